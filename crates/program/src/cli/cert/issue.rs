//! `ferrolab cert server` and `cert client`: certificates for other hosts, and for clients.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use miette::{IntoDiagnostic, Report, WrapErr};

use super::files::{authority, shell_word};
use crate::authority::{AuthorityError, Issued, Subject};
use crate::cli::{Outcome, paths};
use crate::files;

/// Issue a certificate for the ports of another host
///
/// Writes NAME.pem, NAME.key and the authority's certificate, ca.pem, into a folder, for
/// `ssl_servercert`, `ssl_serverkey` and `ssl_cacerts` in the other host's configuration.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ferrolab cert server labpc2 labpc2.example.edu 10.0.0.8 --out labpc2")]
pub(crate) struct ServerArguments {
    /// The host's name, and every other name or address at which clients reach it
    #[arg(required = true, value_parser = file_name)]
    names: Vec<String>,
    /// The folder for the files; it is made where it does not exist
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Days for which it is valid
    #[arg(long, default_value_t = 800, value_parser = clap::value_parser!(i32).range(1..=3650))]
    days: i32,
}

/// Issue a certificate by which a client is known
///
/// Writes NAME.pem, NAME.key and the authority's certificate, ca.pem, into a folder, and prints the
/// lines with which any Pyro5 client uses them.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ferrolab cert client ada --out ada\n  \
    eval \"$(ferrolab cert client ada --out ada)\"   # in this shell, now")]
pub(crate) struct ClientArguments {
    /// The client's name
    #[arg(value_parser = file_name)]
    name: String,
    /// The folder for the files; it is made where it does not exist
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Days for which it is valid
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(i32).range(1..=3650))]
    days: i32,
}

/// A name that can be a file's.
fn file_name(text: &str) -> Result<String, String> {
    let is_usual = |c: char| c.is_ascii_alphanumeric() || ".-_:@".contains(c);
    match text {
        _ if text.len() > 64 => Err("it has more than 64 letters".to_owned()),
        _ if text.is_empty() || text.starts_with('.') || !text.chars().all(is_usual) => {
            Err("a name has letters, digits and `.-_@`, and does not begin with a dot".to_owned())
        }
        _ => Ok(text.to_owned()),
    }
}

pub(super) fn server(arguments: &ServerArguments) -> Outcome {
    let Some(name) = arguments.names.first() else { return Ok(ExitCode::FAILURE) };
    let subject = Subject::Host { name, names: &arguments.names };
    let files = write(&arguments.out, name, subject, arguments.days)?;
    println!("ssl: true");
    println!("ssl_servercert: {}", files.certificate.display());
    println!("ssl_serverkey: {}", files.key.display());
    println!("ssl_cacerts: {}", files.authority.display());
    Ok(ExitCode::SUCCESS)
}

pub(super) fn client(arguments: &ClientArguments) -> Outcome {
    let ClientArguments { name, out, days } = arguments;
    let files = write(out, name, Subject::Client { name }, *days)?;
    println!("export PYRO_SSL=true");
    println!("export PYRO_SSL_CACERTS={}", shell_word(&files.authority));
    println!("export PYRO_SSL_CLIENTCERT={}", shell_word(&files.certificate));
    println!("export PYRO_SSL_CLIENTKEY={}", shell_word(&files.key));
    Ok(ExitCode::SUCCESS)
}

/// The files of an issued certificate, by their absolute paths.
struct IssuedFiles {
    authority: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

fn write(
    folder: &Path,
    name: &str,
    subject: Subject<'_>,
    days: i32,
) -> Result<IssuedFiles, Report> {
    let paths = paths()?;
    paths.ensure().into_diagnostic()?;
    let own = authority(&paths);
    let issuing = own.open().and_then(|authority| authority.issue_with_key(subject, days));
    let Issued { certificate, key } = issuing.into_diagnostic()?;
    let made = std::fs::create_dir_all(folder).and_then(|()| std::path::absolute(folder));
    let folder = made.into_diagnostic().wrap_err_with(|| folder.display().to_string())?;
    let written = IssuedFiles {
        authority: folder.join("ca.pem"),
        certificate: folder.join(format!("{name}.pem")),
        key: folder.join(format!("{name}.key")),
    };
    let writing = || -> Result<(), AuthorityError> {
        files::replace(&written.authority, &own.read_certificate()?)?;
        files::replace_private(&written.key, key.as_bytes())?;
        files::replace(&written.certificate, certificate.as_bytes())?;
        Ok(())
    };
    writing().into_diagnostic()?;
    Ok(written)
}
