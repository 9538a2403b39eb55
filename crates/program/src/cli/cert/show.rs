//! `ferrolab cert show`: the lab's authority and this host's certificate.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use miette::{IntoDiagnostic, Report, miette};
use serde::Serialize;

use super::files::{authority, shell_word};
use crate::authority::AuthorityFiles;
use crate::cli::output::print_json;
use crate::cli::{Outcome, paths};

/// Show the lab's authority and this host's certificate
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ferrolab cert show\n  ferrolab cert show --json")]
pub(crate) struct Arguments {
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

/// A certificate as scripts get it.
#[derive(Serialize)]
struct CertificateRow {
    file: PathBuf,
    name: String,
    names: Vec<String>,
    /// RFC 3339.
    expires: String,
    sha256: String,
}

#[derive(Serialize)]
struct Shown {
    authority: CertificateRow,
    host: Option<CertificateRow>,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let files = authority(&paths()?);
    if arguments.json {
        print_json(&read(&files)?)?;
    } else {
        print(&files)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints both certificates, and what clients need of them.
pub(super) fn print(files: &AuthorityFiles) -> Result<(), Report> {
    let Shown { authority, host } = read(files)?;
    println!("Authority: {}", authority.name);
    println!("  file     {}", authority.file.display());
    println!("  SHA-256  {}", authority.sha256);
    println!("  expires  {}", authority.expires);
    if let Some(host) = host {
        println!("This host: {}", host.name);
        println!("  file     {}", host.file.display());
        println!("  for      {}", host.names.join(", "));
        println!("  expires  {}", host.expires);
    }
    println!("Clients trust this lab with:");
    println!("  export PYRO_SSL=true PYRO_SSL_CACERTS={}", shell_word(&authority.file));
    Ok(())
}

fn read(files: &AuthorityFiles) -> Result<Shown, Report> {
    if !files.exist() {
        return Err(miette!(
            help = "`ferrolab cert host` makes it, and so does the first nameserver or daemon with \
                    `ssl` and without `ssl_servercert`",
            "this lab has no authority yet"
        ));
    }
    let host = files.host();
    let host = if host.is_file() { Some(row(host)?) } else { None };
    Ok(Shown { authority: row(files.certificate())?, host })
}

fn row(file: PathBuf) -> Result<CertificateRow, Report> {
    let facts = remote::read_certificate(&file).into_diagnostic()?;
    let expires = Timestamp::try_from(facts.expires).into_diagnostic()?;
    let hex: Vec<String> = facts.sha256.iter().map(|byte| format!("{byte:02X}")).collect();
    Ok(CertificateRow {
        file,
        name: facts.common_name.unwrap_or_default(),
        names: facts.names,
        expires: expires.to_string(),
        sha256: hex.join(":"),
    })
}
