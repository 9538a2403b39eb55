//! `ferrolab down`: everything stops, in order.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use miette::{IntoDiagnostic, Report, miette};
use supervisor::InstanceLock;
use tokio::time::timeout;

use super::output::print_json;
use super::progress::Progress;
use super::{InUse, Outcome, explain, paths, runtime};
use crate::os::SYSTEM;
use crate::paths::Paths;
use crate::supervise::control::Request;
use crate::supervise::control::client::{Client, ControlError, News};

/// Time until the supervisor's end after its last answer.
const SUPERVISOR_END_TIME: Duration = Duration::from_secs(10);

/// Stop the lab: all services, daemons and nameservers
///
/// A held lock or a running call stops the command, which names its client.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ferrolab down\n  ferrolab down --wait\n  \
    ferrolab down --force --timeout 30 --json")]
pub(super) struct Arguments {
    /// Wait at most this many seconds; without, until everything has stopped
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    timeout: Option<u64>,
    /// Print one JSON object: whether the lab was up
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    in_use: InUse,
}

pub(super) fn run(&Arguments { timeout: seconds, json, in_use }: &Arguments) -> Outcome {
    let paths = paths()?;
    runtime()?.block_on(async {
        let socket = paths.control_socket().into_diagnostic()?;
        let client = match Client::connect(&socket).await {
            Ok(client) => client,
            // As in `docker compose down`: a lab that is down already is a success.
            Err(ControlError::NotRunning { .. }) => {
                return tell(json, false, None);
            }
            Err(error) => return Err(explain(error)),
        };
        let manager = stop_lab(&paths, client, seconds, in_use).await?;
        tell(json, true, manager.as_deref())
    })
}

/// Stops a lab, and waits until its supervisor has ended; the service manager that had started it.
///
/// # Errors
/// It is in use, or not everything has stopped.
pub(super) async fn stop_lab(
    paths: &Paths,
    client: Client,
    seconds: Option<u64>,
    in_use: InUse,
) -> Result<Option<String>, Report> {
    let mut progress = Progress::down();
    let supervisor = client.supervisor();
    let mut manager = None;
    let mut has_begun = false;
    let hear = |news: News<'_>| match news {
        News::Progress(listing) => {
            // An empty listing is only a sign of life.
            has_begun |= listing.host.pid != 0;
            manager = listing.host.manager.clone().or(manager.take());
            progress.show(listing);
        }
        News::Waiting(uses) => progress.show_waiting(uses),
        News::Note(_) | News::Changes(_) => {}
    };
    let request = Request::Down { in_use: in_use.into() };
    let asked = client.ask_for_news(&request, hear);
    let limit = seconds.map_or(Duration::MAX, Duration::from_secs);
    let Ok(stopped) = timeout(limit, asked).await else {
        if !has_begun {
            return Err(miette!(
                help = "`ferrolab down --force` stops it all the same",
                "it was still in use after {} s; nothing was stopped",
                limit.as_secs()
            ));
        }
        return Err(miette!(
            help = "`ferrolab ps` shows what is left; `ferrolab down` waits for it",
            "not everything has stopped within {} s; it goes on stopping",
            limit.as_secs()
        ));
    };
    // A supervisor that ends on another request has no time to answer this one.
    let unanswered = match stopped {
        Ok(_) => None,
        Err(error @ (ControlError::Lost(_) | ControlError::Ending)) => Some(error),
        Err(error) => return Err(explain(error)),
    };
    let lock = paths.lock_file();
    let gone = match supervisor {
        // Another user may start the next supervisor at once.
        Some(pid) => InstanceLock::wait_released_by(&lock, pid, SUPERVISOR_END_TIME).await,
        None => InstanceLock::wait_free(&lock, SUPERVISOR_END_TIME).await,
    }
    .into_diagnostic()?;
    if !gone {
        return Err(match unanswered {
            Some(error) => explain(error),
            None => miette!("everything has stopped, but the supervisor has not ended"),
        });
    }
    Ok(manager)
}

fn tell(json: bool, was_up: bool, manager: Option<&str>) -> Outcome {
    match (json, was_up) {
        (true, _) => print_json(&serde_json::json!({ "was_up": was_up }))?,
        (false, true) => println!("The lab is down."),
        (false, false) => println!("The lab is not up."),
    }
    if let (false, Some(manager)) = (json, manager) {
        let sudo = if manager == SYSTEM { "sudo " } else { "" };
        println!(
            "Its systemd unit starts it again with the host; until then it stays down.\n  \
             now:   {sudo}systemctl --{manager} start ferrolab\n  \
             never: {sudo}ferrolab service uninstall{}",
            if manager == SYSTEM { " --system" } else { "" }
        );
    }
    Ok(ExitCode::SUCCESS)
}
