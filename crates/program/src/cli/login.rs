//! `ferrolab login`: exchanges a code of the lab's operator for a login, and stores it here.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use miette::{IntoDiagnostic, Report, miette};
use serde_json::json;

use super::output::print_json;
use super::{Outcome, paths, runtime};
use crate::access::{self, LoginCode, RENEWAL_DUE, StoredLogin};

/// Time for the renewal of a certificate.
const RENEWAL_TIMEOUT: Duration = Duration::from_secs(15);

/// Log in to a lab with a code
///
/// The lab's operator makes the code: `ferrolab user add NAME` prints the whole line. A private key
/// and a token are made here; the lab issues a certificate for the key. All are stored in the
/// configuration folder, for this user only. Ferrolab's own clients use them by themselves. For a
/// stock client, the printed lines do.
///
/// The certificate lasts for 90 days. Ferrolab's clients renew it by themselves in its last 30
/// days; so does this command without a code.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ferrolab login lab7.example K7Q2MXW4...\n  \
    eval \"$(ferrolab login lab7.example K7Q2MXW4... --shell)\"\n  \
    eval \"$(ferrolab login lab7.example --shell)\"        # again, in another shell")]
pub(super) struct Arguments {
    /// The lab's host, and its nameserver's port where that is not 9090
    #[arg(value_name = "HOST[:PORT]", value_parser = address)]
    at: (String, u16),
    /// The code; without it, an earlier login is printed, and renewed where it ends within 30 days
    code: Option<String>,
    /// Print only the lines for the shell, for `eval`
    #[arg(long, conflicts_with = "json")]
    shell: bool,
    /// Print a JSON object instead
    #[arg(long)]
    json: bool,
}

fn address(text: &str) -> Result<(String, u16), String> {
    let is_bare_ipv6 = text.matches(':').count() > 1 && !text.starts_with('[');
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !is_bare_ipv6 && !port.ends_with(']') => {
            (host, port.parse().map_err(|_| format!("'{port}' is no port"))?)
        }
        _ => (text, access::DEFAULT_PORT),
    };
    match host {
        "" => Err("a host is needed".to_owned()),
        host => Ok((host.to_owned(), port)),
    }
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let Arguments { at: (host, port), code, shell, json } = arguments;
    let paths = paths()?;
    let login = match code {
        Some(code) => {
            let code = LoginCode::parse(code).ok_or_else(|| {
                miette!(
                    help = "copy the whole line that `ferrolab user add` has printed",
                    "this is no login code: it has 52 letters and digits"
                )
            })?;
            let runtime = runtime()?;
            runtime.block_on(access::log_in(&paths, host, *port, &code)).into_diagnostic()?
        }
        None => {
            let stored = StoredLogin::all(&paths);
            let found = stored.into_iter().find(|login| login.host == *host && login.port == *port);
            let found = found.ok_or_else(|| {
                miette!(
                    help = "ask the lab's operator for a code: `ferrolab user add NAME` prints one",
                    "there is no login for {host}:{port} here"
                )
            })?;
            renewed(found)?
        }
    };
    if *json {
        print_json(&json!({
            "host": login.host, "port": login.port, "user": login.user, "until": login.until,
            "authority": login.authority(), "certificate": login.certificate(),
            "key": login.key(), "token": login.token_file(),
        }))?;
    } else if *shell {
        print_shell(&login, "");
    } else {
        let until = login.until;
        println!("logged in to {host} as {} (certificate until {until:.0})", login.user);
        println!();
        println!(
            "Ferrolab's own clients use this login by themselves. A stock client with TLS, from"
        );
        let lab = format!("{host}:{port}");
        println!("this shell (`eval \"$(ferrolab login {lab} --shell)\"` in another one):");
        println!();
        print_shell(&login, "  ");
        println!();
        println!("A stock client without TLS, on the lab's own host, in a notebook:");
        println!();
        println!("  proxy._pyroHandshake = open({:?}).read()", login.token_file());
    }
    Ok(ExitCode::SUCCESS)
}

/// The login, renewed in the last third of its certificate's time.
fn renewed(mut login: StoredLogin) -> Result<StoredLogin, Report> {
    if login.until.duration_since(Timestamp::now()) > RENEWAL_DUE {
        return Ok(login);
    }
    let runtime = runtime()?;
    match runtime.block_on(access::renew(&login, RENEWAL_TIMEOUT)) {
        Ok(until) => login.until = until,
        Err(error) => {
            let until = login.until;
            eprintln!("warning: the certificate (until {until:.0}) was not renewed: {error}");
        }
    }
    Ok(login)
}

/// The lines by which Pyro5's settings take the login.
fn print_shell(login: &StoredLogin, indent: &str) {
    println!("{indent}export PYRO_SSL=true");
    for (variable, file) in [
        ("PYRO_SSL_CACERTS", login.authority()),
        ("PYRO_SSL_CLIENTCERT", login.certificate()),
        ("PYRO_SSL_CLIENTKEY", login.key()),
    ] {
        println!("{indent}export {variable}={}", quoted(&file));
    }
}

/// A path as a shell reads it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+:@%,=".contains(letter);
    match text.chars().all(is_plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}
