//! `ferrolab abort`: has a service's `abort` methods called, beside the calls that run in it.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use miette::{Report, miette};
use remote::{Error, Value};
use serde_json::json;

use super::nslist::NameserverArgument;
use super::output::print_json;
use super::{Outcome, find, labs, lock, paths, table};

/// Timeout of the daemon's answer: each `abort` method may take 10 s.
const ABORT_TIMEOUT: Duration = Duration::from_secs(60);

/// Stop what runs in a service, now
///
/// Calls the methods that `abort` of the service names, beside the call that runs. No lock is
/// needed: if somebody holds it, it is broken, so that its owner cannot go on, and the service's
/// `on_disconnect` methods follow when the call has ended.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ferrolab abort lab.stage\n  \
    ferrolab abort lab.stage --reason \"it hits the lens\"")]
pub(super) struct Arguments {
    /// The service's name, or its URI
    name: String,
    /// Why; the owner of the lock is shown this, and the log keeps it
    #[arg(long, default_value = "emergency stop")]
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

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let paths = paths()?;
    labs::block_on(async {
        let name = &arguments.name;
        let target = find::service(&paths, name, &arguments.nameserver).await?;
        let target = target.resolved(ABORT_TIMEOUT).await;
        let target = target.map_err(|error| lock::explain(name, &error))?;
        let user = arguments.user.clone().unwrap_or_else(lock::own_name);
        let request = vec![
            Value::from(target.uri.to_string()),
            Value::from(arguments.reason.as_str()),
            Value::from(user.as_str()),
        ];
        // Of the daemon itself, which lets us in for this even where all its places are taken.
        let mut proxy = target.daemon().with_timeout(ABORT_TIMEOUT);
        let offered = proxy.metadata().await.map_err(|error| explain(name, &error))?;
        // A daemon without such methods would have the call wait for the turn of what runs.
        if !offered.methods.iter().any(|method| method == "abort") {
            return Err(has_none(name));
        }
        let answer = proxy.call_daemon("abort", request).await;
        let answer = answer.map_err(|error| explain(name, &error))?;
        let (called, troubles) = (texts(&answer, "called"), texts(&answer, "troubles"));
        if arguments.json {
            print_json(&json!({
                "aborted": name, "by": user, "reason": arguments.reason, "called": called,
                "troubles": troubles,
            }))?;
        } else if !called.is_empty() {
            println!("aborted: {name} ({}() called)", called.join("(), "));
        } else if troubles.is_empty() {
            println!("nothing to abort: {name} has no instance");
        }
        if troubles.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        Err(miette!(
            help = format!("see `ferrolab calls --service {name}`"),
            "'{name}': {}",
            table::lines_for_terminal(&troubles.join("; "))
        ))
    })?
}

fn explain(name: &str, error: &Error) -> Report {
    let no_abort = match error {
        Error::Remote(exception) => {
            exception.class == "builtins.AttributeError"
                || exception.message().contains("has no `abort` methods")
        }
        Error::Unexposed { .. } => true,
        _ => false,
    };
    if no_abort {
        return has_none(name);
    }
    lock::explain(name, error)
}

fn has_none(name: &str) -> Report {
    miette!(
        help = "write `abort: [METHOD]` in its configuration; until then, `ferrolab restart` of \
                its daemon ends what runs",
        "'{name}' has no `abort` methods"
    )
}

/// A list of texts in the daemon's answer.
fn texts(answer: &Value, key: &str) -> Vec<String> {
    let list = answer.as_dict().and_then(|dict| dict.get(key)).and_then(Value::as_list);
    let texts = list.unwrap_or_default().iter().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}
