//! `ferrolab unlock --break`: takes a lock away from its owner.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use miette::miette;
use remote::Value;
use serde_json::json;

use super::nslist::NameserverArgument;
use super::output::print_json;
use super::{Outcome, find, labs, lock, paths};

const DAEMON_TIMEOUT: Duration = Duration::from_secs(30);

/// Break a service's lock
///
/// A lock belongs to the connection that took it, and ends with it; this is for the case that its
/// owner cannot be asked. The owner gets an error at its next call and no longer drives the
/// instrument. `ferrolab locks --history` shows who broke it, when and why.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  ferrolab unlock --break lab.laser --reason \"ada has gone home\""
)]
pub(super) struct Arguments {
    /// Yes, take it away from its owner
    #[arg(long = "break", required = true)]
    is_break: bool,
    /// The service's name, or its URI
    name: String,
    /// The reason, which its owner and later callers are shown
    #[arg(long, required = true, value_parser = reason)]
    reason: String,
    /// Your name (default: your user name)
    #[arg(long)]
    user: Option<String>,
    /// Print what was done as one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    nameserver: NameserverArgument,
}

/// Its owner comes back to a refused call, and has nothing else to go by.
fn reason(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => {
            Err("say why: the owner of the lock is shown it, and the history keeps it".to_owned())
        }
        text => Ok(text.to_owned()),
    }
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let paths = paths()?;
    labs::block_on(async {
        let name = &arguments.name;
        let target = find::service(&paths, name, &arguments.nameserver).await?;
        let target = target.resolved(DAEMON_TIMEOUT).await;
        let target = target.map_err(|error| lock::explain(name, &error))?;
        let user = arguments.user.clone().unwrap_or_else(lock::own_name);
        let request = vec![
            Value::from(target.uri.to_string()),
            Value::from(arguments.reason.as_str()),
            Value::from(user.as_str()),
        ];
        // Of the daemon itself, which lets us in for this even where all its places are taken.
        let mut proxy = target.daemon().with_timeout(DAEMON_TIMEOUT);
        let broken = proxy.call_daemon("release", request).await;
        match broken.map_err(|error| lock::explain(name, &error))?.as_bool() {
            Some(true) => {
                let reason = &arguments.reason;
                match arguments.json {
                    true => print_json(&json!({ "broken": name, "by": user, "reason": reason }))?,
                    false => println!("broken: {name}"),
                }
                Ok(ExitCode::SUCCESS)
            }
            _ => Err(miette!("'{name}' is not locked")),
        }
    })?
}
