//! `ferrolab upgrade`: this program takes over a lab that runs with another one.
//!
//! Everything stops and starts once, in one step: a client's connection ends once and its locks
//! with a token are kept (`host/lock_state`). Everything that can be refused is looked at before
//! anything stops. A copy of the program that ran is kept; a lab whose processes do not come up
//! with this program goes on with that one.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use miette::{IntoDiagnostic, Report, WrapErr, miette};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use super::output::print_json;
use super::up::{self, Standing};
use super::{InUse, Outcome, down, explain, paths, runtime, service, supervisor};
use crate::os::{self, SYSTEM, USER};
use crate::paths::Paths;
use crate::supervise::active_config;
use crate::supervise::control::client::{Client, ControlError};
use crate::supervise::control::{Listing, ProcessRow, Request};

/// The version of this program.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Take over the running lab with this program, after a new one was installed
///
/// All processes stop and start once: a client's connection ends once, and locks with a token are
/// kept for their owners. A lab that does not come up goes on with the program before.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pip install -U ferrolab && ferrolab upgrade\n  \
    ferrolab upgrade --wait    # when no lock is held and no call runs\n  \
    ferrolab upgrade --force --json")]
pub(super) struct Arguments {
    /// Wait at most this many seconds for entries to become ready
    #[arg(long, value_name = "SECONDS", default_value_t = 60,
          value_parser = clap::value_parser!(u64).range(..=86_400))]
    timeout: u64,
    /// Print one JSON object: both versions, and how everything stands then, as `ps --json` does
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    in_use: InUse,
}

/// The lab before the upgrade.
struct LabBefore {
    listing: Listing,
    /// Its program as a file to be run; `None` where the system does not tell.
    program: Option<PathBuf>,
    /// The file of this program, before anything changes.
    this: PathBuf,
}

/// The outcome, for scripts.
#[derive(Debug, Serialize)]
struct Upgraded<'a> {
    /// The version that ran before.
    before: &'a str,
    now: &'a str,
    /// The copy of the program that ran before.
    kept_program: Option<&'a Path>,
    #[serde(flatten)]
    standing: Standing<'a>,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let paths = paths()?;
    let runtime = runtime()?;
    let before = runtime.block_on(examine(&paths, arguments.in_use))?;
    let version = before.listing.host.version.as_str();
    if before.program.as_deref().is_some_and(|program| os::is_same_file(program, &before.this)) {
        return tell(arguments, version, None, &before.listing);
    }
    let kept = before.program.as_deref().map(|program| keep(program, &paths)).transpose()?;
    runtime.block_on(stop(&paths, arguments.in_use))?;

    let seconds = arguments.timeout;
    let is_service = before.listing.host.manager.as_deref() == Some(USER);
    let simulates = is_simulated(&before.listing);
    let started = match is_service {
        true => service::start_of_user().and_then(|()| {
            runtime.block_on(async { settle(supervisor(&paths).await?, seconds).await })
        }),
        false => runtime.block_on(start(&paths, &before.this, simulates, seconds)),
    };
    let started = started
        .map_err(|report| report.chain().map(ToString::to_string).collect::<Vec<_>>().join(": "));
    let failure = match started.map(|listing| (lost(&before.listing, &listing), listing)) {
        Ok((None, listing)) => return tell(arguments, version, kept.as_deref(), &listing),
        Ok((Some(failure), _)) | Err(failure) => failure,
    };
    let Some(kept) = kept else {
        return Err(miette!(
            help = "`ferrolab status` says what does not run",
            "the lab is not as it was, and the program before could not be kept: {failure}"
        ));
    };
    runtime.block_on(go_back(&paths, &kept, simulates, seconds)).wrap_err_with(|| {
        format!("the lab is not as it was, with this program ({failure}) or the one before")
    })?;
    Err(miette!(
        help = format!(
            "`ferrolab logs show --level warn` may tell more; it runs as {} now, and the next \
             `ferrolab upgrade` ends that",
            kept.display()
        ),
        "the lab runs on with the program before ({version}), since with {VERSION} it did not come \
         up: {failure}"
    ))
}

/// Looks at all that keeps a lab from being upgraded, before anything is stopped.
async fn examine(paths: &Paths, in_use: InUse) -> Result<LabBefore, Report> {
    let client = supervisor(paths).await?;
    let pid = client.supervisor();
    let listing = client.ask(&Request::Ps { looks: false }, |_| {}).await.map_err(explain)?;
    if listing.host.manager.as_deref() == Some(SYSTEM) {
        return Err(miette!(
            help = "`sudo systemctl restart ferrolab` takes over the new program in the same way; \
                    `ferrolab locks` and `ferrolab calls` show who would notice",
            "the host's service manager has started this lab, and only it can start it again"
        ));
    }
    if let Err(error) = active_config::load_as(paths, is_simulated(&listing)) {
        eprintln!("This program does not accept the lab's configuration; nothing was stopped.");
        return Err(Report::new(*error));
    }
    let locked = locked_in_old_lab(&listing);
    if !in_use.is_forced() && !locked.is_empty() {
        return Err(explain(ControlError::InUse(locked)));
    }
    let program = pid.and_then(os::program_of);
    let this = std::env::current_exe().into_diagnostic()?;
    Ok(LabBefore { listing, program, this })
}

/// The held locks of a lab whose supervisor does not look for them before it stops: that of 0.1.0,
/// which does not count calls either.
fn locked_in_old_lab(listing: &Listing) -> Vec<String> {
    let old = listing.services.iter().filter(|row| row.calls.is_none());
    let locked = old.filter_map(|row| Some((&row.name, row.locked_by.as_ref()?)));
    locked.map(|(service, owner)| format!("{service} is locked by {owner}")).collect()
}

fn is_simulated(listing: &Listing) -> bool {
    listing.services.iter().any(|row| row.simulated)
}

/// Copies the program that runs, whose own file may be gone already.
fn keep(program: &Path, paths: &Paths) -> Result<PathBuf, Report> {
    let kept = paths.program_before_upgrade();
    let new = kept.with_extension("new");
    // The copy before may be what runs now: it is replaced, not written to.
    fs::copy(program, &new).and_then(|_| fs::rename(&new, &kept)).into_diagnostic().wrap_err_with(
        || format!("cannot keep the program that runs as {}; nothing was stopped", kept.display()),
    )?;
    Ok(kept)
}

/// Stops the lab. From then on neither Ctrl-C nor the end of the terminal ends this command.
async fn stop(paths: &Paths, in_use: InUse) -> Result<(), Report> {
    let mut hangup = signal(SignalKind::hangup()).into_diagnostic()?;
    let mut interrupt = signal(SignalKind::interrupt()).into_diagnostic()?;
    let client = supervisor(paths).await?;
    let mut stopping = std::pin::pin!(down::stop_lab(paths, client, None, in_use));
    tokio::select! {
        stopped = &mut stopping => return stopped.map(drop),
        _ = interrupt.recv() => {}
        _ = hangup.recv() => {}
    }
    // It may only wait until the lab is free: the end of its connection ends that.
    match is_ending(paths).await {
        true => stopping.await.map(drop),
        false => Err(miette!("interrupted; nothing was stopped")),
    }
}

async fn is_ending(paths: &Paths) -> bool {
    match supervisor(paths).await {
        Ok(client) => {
            let asked = client.ask(&Request::Settle { seconds: 0 }, |_| {}).await;
            matches!(asked, Err(ControlError::Ending | ControlError::Lost(_)))
        }
        Err(_) => true,
    }
}

/// Starts the lab with a program, and waits until everything has settled.
async fn start(
    paths: &Paths,
    program: &Path,
    simulates: bool,
    seconds: u64,
) -> Result<Listing, Report> {
    settle(up::start(paths, program, simulates).await?, seconds).await
}

async fn settle(client: Client, seconds: u64) -> Result<Listing, Report> {
    up::settle(client, seconds).await.map_err(explain)
}

/// The processes that ran before and have failed since, in a sentence.
fn lost(before: &Listing, after: &Listing) -> Option<String> {
    let has_failed = |row: &ProcessRow| matches!(row.status.as_str(), "failed" | "restarting");
    let failed = after.all_processes().filter(|(_, row)| has_failed(row));
    let ran = |kind, name: &str| {
        before
            .all_processes()
            .any(|(other, row)| other == kind && row.name == name && row.status == "running")
    };
    let lost = failed.filter(|(kind, row)| ran(*kind, &row.name)).map(|(kind, row)| {
        let (kind, name, why) = (kind.word(), &row.name, row.error.as_deref().unwrap_or_default());
        format!("{kind} {name} is {}: {why}", row.status)
    });
    let lost: Vec<String> = lost.collect();
    (!lost.is_empty()).then(|| lost.join("; "))
}

/// Brings the lab up with the program before.
async fn go_back(
    paths: &Paths,
    kept: &Path,
    simulates: bool,
    seconds: u64,
) -> Result<Listing, Report> {
    let note = "It does not come up; going back to the program before.";
    // A terminal that is gone must not end this in the middle.
    drop(writeln!(std::io::stderr(), "{note}"));
    let socket = paths.control_socket().into_diagnostic()?;
    match Client::connect(&socket).await {
        Ok(client) => drop(down::stop_lab(paths, client, None, InUse::FORCE).await?),
        Err(ControlError::NotRunning { .. }) => {}
        Err(error) => return Err(explain(error)),
    }
    start(paths, kept, simulates, seconds).await
}

fn tell(arguments: &Arguments, before: &str, kept: Option<&Path>, listing: &Listing) -> Outcome {
    let failures = up::failures(listing);
    let is_whole = failures.is_empty();
    if arguments.json {
        let standing = Standing::new(listing, &failures);
        print_json(&Upgraded { before, now: VERSION, kept_program: kept, standing })?;
    } else if let Some(kept) = kept {
        println!("The lab runs with this program now: {VERSION}, before {before}.");
        println!("The program before is kept: {}", kept.display());
    } else {
        println!("The lab runs with this program: {VERSION}.");
    }
    if !arguments.json && !is_whole {
        println!("Not all of it runs:");
        for line in failures {
            println!("  {line}");
        }
    }
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
