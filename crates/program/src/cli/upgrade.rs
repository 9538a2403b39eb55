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
use std::time::Duration;

use clap::Args;
use miette::{IntoDiagnostic, Report, WrapErr, miette};
use serde::Serialize;
use supervisor::{CommandSpec, Exit, InstanceLock, Output, Spawner};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, timeout};

use super::output::print_json;
use super::up::{self, FOREGROUND, SettledListing};
use super::{InUse, Outcome, down, explain, paths, runtime, service, supervisor};
use crate::os::{self, SYSTEM, USER};
use crate::paths::Paths;
use crate::supervise::active_config;
use crate::supervise::control::client::{Client, ControlError};
use crate::supervise::control::{Listing, ProcessRow, Request};

/// The version of this program.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Longest wait for the end of a lab that is being stopped and has not said so: its processes have
/// their graces, and what hangs is killed.
const LAB_END_TIME: Duration = Duration::from_secs(300);

/// Longest wait for the version of the kept program, which shows that it can be started.
const VERSION_TIME: Duration = Duration::from_secs(60);

/// Longest wait for a supervisor that has the lab's lock and does not answer yet.
const ANSWER_TIME: Duration = Duration::from_secs(60);
/// Interval of looks for it.
const ANSWER_CHECK_INTERVAL: Duration = Duration::from_millis(100);

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
    /// Whether the configuration has changed since the lab took it up.
    is_changed: bool,
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
    listing: SettledListing<'a>,
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
    if let Some(kept) = &kept {
        runtime.block_on(check_runs(kept, VERSION_TIME))?;
    }
    if before.is_changed {
        say(
            "The configuration has changed since the lab took it up; it counts from this upgrade on.",
        );
    }
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
    let failure = match started {
        Ok(listing) => match fault(&before.listing, &listing, &before.this, VERSION) {
            None => return tell(arguments, version, kept.as_deref(), &listing),
            Some(fault) => fault,
        },
        Err(failure) => failure,
    };
    let Some(kept) = kept else {
        return Err(miette!(
            help = "`ferrolab status` says what does not run",
            "the lab is not as it was, and the program before could not be kept: {failure}"
        ));
    };
    let neither =
        || format!("the lab is not as it was, with this program ({failure}) or the one before");
    // Its unit would start this program again, beside the one before.
    if is_service && let Err(report) = service::stop_of_user() {
        say(&format!(
            "systemd cannot be told to stop the lab's unit ({report}); going back without it. \
             Systemd may start the unit again meanwhile, with this program: if the lab does not \
             run with the one before then, `systemctl --user stop ferrolab` and `{} up`.",
            kept.display()
        ));
    }
    let back =
        runtime.block_on(go_back(&paths, &kept, simulates, seconds)).wrap_err_with(neither)?;
    if let Some(fault) = fault(&before.listing, &back, &kept, version) {
        return Err(miette!(help = "`ferrolab status` says what does not run", "{fault}"))
            .wrap_err_with(neither);
    }
    let unit = match is_service {
        true => {
            ". It is not under systemd until `ferrolab down` and `systemctl --user start ferrolab`"
        }
        false => "",
    };
    Err(miette!(
        help = format!(
            "`ferrolab logs show --level warn` may tell more; it runs as {} now, and the next \
             `ferrolab upgrade` ends that{unit}",
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
    if listing.host.manager.is_none() && pid.is_some_and(|pid| os::has_argument(pid, FOREGROUND)) {
        return Err(miette!(
            help = "stop it where it was started (Ctrl-C; in a container its end, and a new image), \
                    and start it there again",
            "this lab runs in the foreground (`up {FOREGROUND}`), and what has started it would see it \
             end; nothing was stopped"
        ));
    }
    if let Err(error) = active_config::load_as(paths, is_simulated(&listing)) {
        eprintln!("This program does not accept the lab's configuration; nothing was stopped.");
        return Err(Report::new(*error));
    }
    let locked = locked_in_old_lab(&listing);
    if !in_use.is_forced() && !locked.is_empty() {
        return Err(miette!(
            help = "the lab's version cannot wait for that: `--force` ends it, and `ferrolab unlock \
                    SERVICE` breaks a lock",
            "not done, because it is in use:\n  {}",
            locked.join("\n  ")
        ));
    }
    let program = pid.and_then(os::program_of);
    let this = std::env::current_exe().into_diagnostic()?;
    if listing.host.manager.as_deref() == Some(USER) && !service::has_bus_of_user() {
        return Err(miette!(
            help =
                "log in as this user (ssh or the console, not `su` or `sudo`), and upgrade there",
            "systemd has started this lab, and `systemctl --user` has no bus to it here \
             (neither XDG_RUNTIME_DIR nor DBUS_SESSION_BUS_ADDRESS is set); nothing was stopped"
        ));
    }
    if listing.host.manager.as_deref() == Some(USER)
        && let Some(started) = service::program_of_user()
        && !os::is_same_file(&started, &this)
    {
        return Err(miette!(
            help =
                "`ferrolab service install` by this program writes the unit anew; then this again",
            "systemd would start the lab with {}, and this program is {}; nothing was stopped",
            started.display(),
            this.display()
        ));
    }
    let now = active_config::fingerprint(paths);
    let is_changed = now.is_some_and(|now| now != listing.host.configuration);
    Ok(LabBefore { listing, program, this, is_changed })
}

/// Says something on the terminal. One that is gone must not end the command in the middle.
fn say(note: &str) {
    drop(writeln!(std::io::stderr(), "{note}"));
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
    let copied = fs::copy(program, &new)
        .and_then(|_| fs::File::open(&new)?.sync_all())
        .and_then(|()| fs::rename(&new, &kept));
    if copied.is_err() {
        // A part of the copy is of no use to anybody.
        drop(fs::remove_file(&new));
    }
    copied.into_diagnostic().wrap_err_with(|| {
        format!("cannot keep the program that runs as {}; nothing was stopped", kept.display())
    })?;
    Ok(kept)
}

/// Checks within `time` that the kept program can be started and works: its folder may forbid that,
/// and the disk may be full of half of it.
async fn check_runs(kept: &Path, time: Duration) -> Result<(), Report> {
    let mut command = CommandSpec::new(kept).args(["--version"]);
    (command.stdout, command.stderr) = (Output::Null, Output::Null);
    let started = Spawner::permanent().into_diagnostic()?.spawn(command).await;
    let started = started.into_diagnostic().wrap_err_with(|| {
        format!(
            "{} cannot be run, so there would be no way back; nothing was stopped",
            kept.display()
        )
    })?;
    let begun = Instant::now();
    let fault = match timeout(time, started.wait()).await {
        Ok(Exit::Code(0)) => return Ok(()),
        Ok(exit) => format!("{exit} after {:.1} s", begun.elapsed().as_secs_f64()),
        Err(_) => format!("has not ended within {} s", time.as_secs_f64()),
    };
    Err(miette!(
        "`{} --version` {fault}, so there would be no way back; nothing was stopped",
        kept.display()
    ))
}

/// Stops the lab. From then on neither Ctrl-C nor the end of the terminal ends this command.
async fn stop(paths: &Paths, in_use: InUse) -> Result<(), Report> {
    let mut hangup = signal(SignalKind::hangup()).into_diagnostic()?;
    let mut interrupt = signal(SignalKind::interrupt()).into_diagnostic()?;
    let client = supervisor(paths).await?;
    let interrupted = || Err(miette!("interrupted; nothing was stopped"));
    // A wait until the lab is free ends with its connection, before the lab is asked.
    let stopped = tokio::select! {
        stopped = down::stop_lab(paths, client, None, in_use) => stopped.map(drop),
        _ = interrupt.recv() => interrupted(),
        _ = hangup.recv() => interrupted(),
    };
    see_end(paths, stopped).await
}

/// Waits for the end of a lab where the request to stop it has failed, and it ends all the same.
async fn see_end(paths: &Paths, stopped: Result<(), Report>) -> Result<(), Report> {
    let Err(report) = stopped else { return Ok(()) };
    if goes_on(paths).await {
        return Err(report);
    }
    say(&format!(
        "Waiting at most {} s until the lab, which was told to stop, has ended ({report}).",
        LAB_END_TIME.as_secs()
    ));
    // A lab that is down, or about to be, must come up again.
    match InstanceLock::wait_free(&paths.lock_file(), LAB_END_TIME).await.into_diagnostic()? {
        true => Ok(()),
        false => Err(report.wrap_err("the lab was told to stop and has not ended")),
    }
}

/// Whether the lab goes on after a request to stop it that has failed.
async fn goes_on(paths: &Paths) -> bool {
    let Ok(client) = supervisor(paths).await else { return false };
    let asked = client.ask(&Request::Settle { seconds: 0 }, |_| {}).await;
    let ends = |error| {
        let is_silent = matches!(error, ControlError::Silent { .. });
        is_silent || matches!(error, ControlError::Ending | ControlError::Lost(_))
    };
    !asked.is_err_and(ends)
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

/// The fault of a lab that has come up, in a sentence: another program than the one `meant`,
/// or the processes that are [`lost`].
fn fault(before: &Listing, after: &Listing, meant: &Path, version: &str) -> Option<String> {
    let found = os::program_of(after.host.pid);
    let is_meant = match &found {
        Some(program) => os::is_same_file(program, meant),
        None => after.host.version == version,
    };
    if is_meant {
        return lost(before, after);
    }
    let found = found.and_then(|program| program.read_link().ok());
    let found = found.map_or_else(String::new, |program| format!(" ({})", program.display()));
    let (meant, other) = (meant.display(), &after.host.version);
    Some(format!("it was to run with {meant}, and another program came up: {other}{found}"))
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
    say("It does not come up; going back to the program before.");
    let socket = paths.control_socket().into_diagnostic()?;
    let deadline = Instant::now() + ANSWER_TIME;
    let mut has_said = false;
    loop {
        match Client::connect(&socket).await {
            Ok(client) => {
                // Nothing ends this command now: the lab is not as it was.
                let stopped = down::stop_lab(paths, client, None, InUse::FORCE).await.map(drop);
                break see_end(paths, stopped).await?;
            }
            Err(ControlError::NotRunning { .. }) => {}
            Err(error) => return Err(explain(error)),
        }
        // One that starts slowly has the lock long before it answers.
        if InstanceLock::wait_free(&paths.lock_file(), ANSWER_CHECK_INTERVAL)
            .await
            .into_diagnostic()?
        {
            break;
        }
        if !std::mem::replace(&mut has_said, true) {
            say(&format!(
                "Waiting at most {} s until its supervisor answers or has ended.",
                ANSWER_TIME.as_secs()
            ));
        }
        if Instant::now() >= deadline {
            let pid = InstanceLock::holder(&paths.lock_file()).unwrap_or_default();
            return Err(miette!(
                help = format!("`kill -KILL {pid}`, then `{} up`", kept.display()),
                "its supervisor (pid {pid}) neither answers nor ends"
            ));
        }
    }
    start(paths, kept, simulates, seconds).await
}

fn tell(arguments: &Arguments, before: &str, kept: Option<&Path>, listing: &Listing) -> Outcome {
    let failures = up::failures(listing);
    let is_whole = failures.is_empty();
    if arguments.json {
        let settled = SettledListing::new(listing, &failures);
        print_json(&Upgraded { before, now: VERSION, kept_program: kept, listing: settled })?;
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[tokio::test]
    async fn a_kept_program_that_does_not_work_is_named_with_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        let (never, soon) = (Duration::from_secs(600), Duration::from_millis(50));
        for (script, time, fault) in [
            ("exit 0", never, None),
            ("exit 7", never, Some("exited with code 7 after ")),
            ("kill -9 $$", never, Some("killed by SIGKILL after ")),
            ("sleep 600", soon, Some("has not ended within 0.05 s")),
        ] {
            let text = format!("#!/bin/sh\n{script}\n");
            crate::files::replace_private(&program, text.as_bytes()).unwrap();
            fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
            let said = check_runs(&program, time).await.err().map(|report| report.to_string());
            match (&said, fault) {
                (None, None) => {}
                (Some(said), Some(fault)) => assert!(said.contains(fault), "{said}"),
                _ => panic!("{script}: {said:?}"),
            }
        }
    }
}
