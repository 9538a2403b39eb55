//! `ferrolab up`: the lab comes up and stays, in the background or in the foreground.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use miette::{IntoDiagnostic, Report, miette};
use serde::Serialize;
use supervisor::{CommandSpec, Detached, InstanceLock};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::output::print_json;
use super::progress::Progress;
use super::{Outcome, explain, paths, runtime, table};
use crate::open;
use crate::paths::Paths;
use crate::supervise::active_config;
use crate::supervise::control::client::{Client, ControlError};
use crate::supervise::control::{Listing, Request};
use crate::supervise::{self, Options, SuperviseError};
use crate::web;

/// The option of a supervisor that stays in the foreground.
pub(super) const FOREGROUND: &str = "--foreground";
/// The option with which a supervisor serves stand-ins.
pub(super) const SIMULATE: &str = "--simulate";
/// The exit code of a supervisor that finds another one in its home.
pub(super) const ALREADY_RUNNING: i32 = 3;

/// Timeout of a supervisor's answer.
const SUPERVISOR_TIMEOUT: Duration = Duration::from_secs(10);
/// The exit code of a program that Ctrl-C has ended, as a shell reports it.
const INTERRUPTED: u8 = 128 + 2;
/// Longest wait for the end of a killed supervisor.
const KILLED_END_TIME: Duration = Duration::from_secs(5);
/// Interval of checks for its socket.
const SOCKET_CHECK_INTERVAL: Duration = Duration::from_millis(5);

/// Start the lab: everything in the configuration's autolaunch section
///
/// An entry that was started or stopped by hand before starts, or stays stopped, accordingly.
///
/// The lab runs in the background until `ferrolab down`. The command returns when every entry is
/// ready or has failed; it says which failed and why, and then ends with 1.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  ferrolab up\n  ferrolab up --json | jq '.failures[]'\n  ferrolab up --foreground   # for containers \
    and service managers: logs to the terminal"
)]
pub(super) struct Arguments {
    /// Stay in the foreground and log to the terminal; Ctrl-C or SIGTERM stops the lab
    #[arg(long)]
    foreground: bool,
    /// Serve stand-ins in the place of instruments, where the configuration has them (`simulate:`)
    #[arg(long)]
    simulate: bool,
    /// Wait at most this many seconds for entries to become ready
    #[arg(long, value_name = "SECONDS", default_value_t = 60,
          value_parser = clap::value_parser!(u64).range(..=86_400))]
    timeout: u64,
    /// Print how everything stands then as one JSON object, as `ps --json` does
    #[arg(long, conflicts_with = "foreground")]
    json: bool,
}

/// How entries stand after a command that has changed something, for scripts.
#[derive(Debug, Serialize)]
pub(super) struct SettledListing<'a> {
    #[serde(flatten)]
    listing: &'a Listing,
    /// Entries that should run and do not, and why; a sentence each.
    failures: &'a [String],
}

impl<'a> SettledListing<'a> {
    pub(super) fn new(listing: &'a Listing, failures: &'a [String]) -> Self {
        SettledListing { listing, failures }
    }
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let paths = paths()?;
    if arguments.foreground {
        return foreground(&paths, arguments.simulate);
    }
    let brought_up = runtime()?.block_on(async {
        tokio::select! {
            brought_up = bring_up(&paths, arguments) => brought_up.map(Some),
            _ = tokio::signal::ctrl_c() => Ok(None),
        }
    })?;
    let Some(Brought { listing, was_up, fell_back }) = brought_up else {
        eprintln!("The lab goes on starting; see `ferrolab ps`, or stop it with `ferrolab down`.");
        return Ok(ExitCode::from(INTERRUPTED));
    };
    let failed = failures(&listing);
    let whole = failed.is_empty() && !fell_back;
    let code = if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if arguments.json {
        print_json(&SettledListing::new(&listing, &failed))?;
        return Ok(code);
    }
    tell(&listing, was_up, &failed);
    if let Some(open) = active_config::load(&paths).ok().and_then(|(lab, _)| lab.open_to_all()) {
        println!(
            "Mind: {open}; `access: {{}}` in the configuration and `ferrolab reload` change that."
        );
    }
    if fell_back {
        println!(
            "It has its last good configuration. Mend {}, then `ferrolab reload`.",
            paths.config_file.display()
        );
    }
    Ok(code)
}

fn tell(listing: &Listing, was_up: bool, failed: &[String]) {
    if was_up {
        println!("The lab is up already.");
    }
    if listing.daemons.iter().chain(&listing.nameservers).all(|row| !row.autolaunch) {
        println!("Nothing starts with the lab: the configuration's `autolaunch` section is empty.");
    }
    for (kind, row) in listing.all_processes() {
        if row.autolaunch && !row.wanted {
            let (kind, name) = (kind.word(), &row.name);
            println!(
                "{kind} {name} stays stopped: it was stopped by hand \
                 (`ferrolab start {kind} {name}`)."
            );
        }
    }
    if failed.is_empty() {
        let running = listing.services.iter().filter(|row| row.report.status == "running").count();
        println!("The lab is up, with {running} service(s). See `ferrolab ps`.");
    } else {
        println!("The lab is up, but not all of it:");
        for line in failed {
            println!("  {line}");
        }
    }
    if let Some(page) = page(listing) {
        println!("{page}");
    }
    if let Some(simulated) = simulated(listing) {
        println!("{simulated}");
    }
}

/// A sentence about the page, where one runs.
pub(super) fn page(listing: &Listing) -> Option<String> {
    let row = listing.processes.iter().find(|row| row.name == web::PROCESS_NAME)?;
    let link = row.uri.as_ref().filter(|_| row.status == "running")?;
    Some(format!("The page: {}", table::for_terminal(link)))
}

/// A sentence about the services that are simulated, if any.
pub(super) fn simulated(listing: &Listing) -> Option<String> {
    let simulated = listing.services.iter().filter(|row| row.simulated);
    let names: Vec<_> = simulated.map(|row| table::for_terminal(&row.name)).collect();
    let are = if names.len() == 1 { "is" } else { "are" };
    (!names.is_empty())
        .then(|| format!("{} {are} simulated: no instrument is driven.", names.join(", ")))
}

fn foreground(paths: &Paths, simulates: bool) -> Outcome {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().into_diagnostic()?;
    let options = Options { echo: true, simulates };
    match runtime.block_on(Box::pin(supervise::run(paths, options, CancellationToken::new()))) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(report(error)),
    }
}

/// An error of the supervisor's start, with every problem of a configuration.
pub(super) fn report(error: SuperviseError) -> Report {
    match error {
        SuperviseError::Config(error) => Report::new(*error),
        SuperviseError::Running(_) => {
            miette!(help = "see `ferrolab ps`; `ferrolab down` stops it", "{error}")
        }
        error => miette!("{error}"),
    }
}

/// How the lab has come up.
struct Brought {
    listing: Listing,
    was_up: bool,
    /// Its file has a problem, which was shown, and the last one that was right is in force.
    fell_back: bool,
}

/// Starts a supervisor where none runs, and waits until its entries have settled.
async fn bring_up(paths: &Paths, arguments: &Arguments) -> Result<Brought, Report> {
    let Arguments { timeout: seconds, simulate, .. } = *arguments;
    paths.ensure().into_diagnostic()?;
    let socket = paths.control_socket().into_diagnostic()?;
    match Client::connect(&socket).await {
        Ok(client) => {
            if let Some(listing) = standing(paths, client, seconds).await? {
                if simulate && listing.services.iter().all(|row| !row.simulated) {
                    return Err(miette!(
                        help = "`ferrolab down`, then `ferrolab up --simulate`",
                        "the lab is up already, with its instruments"
                    ));
                }
                return Ok(Brought { listing, was_up: true, fell_back: false });
            }
        }
        Err(ControlError::NotRunning { .. }) => {}
        Err(error) => return Err(explain(error)),
    }
    // Checked here first: problems belong on this terminal, not into a log.
    if !paths.config_file.exists() {
        return Err(miette!(
            help = "take one over with `ferrolab config update FILE`, or look at `ferrolab demo`",
            "there is no configuration yet at {}",
            paths.config_file.display()
        ));
    }
    let mut fell_back = false;
    if let Err(error) = active_config::load_as(paths, simulate) {
        let report = Report::new(*error);
        // This command may be the one that a host runs when it boots: a mistake that somebody has
        // left in the file is no reason to leave the instruments dead.
        if active_config::load_good(paths, simulate).is_none() {
            return Err(report);
        }
        eprintln!("{report:?}");
        fell_back = true;
    }
    let program = std::env::current_exe().into_diagnostic()?;
    let client = start(paths, &program, simulate).await?;
    let listing = settle(client, seconds).await.map_err(explain)?;
    Ok(Brought { listing, was_up: false, fell_back })
}

/// How a lab that is up already stands; None once it is not any more.
async fn standing(paths: &Paths, client: Client, seconds: u64) -> Result<Option<Listing>, Report> {
    let supervisor = client.supervisor();
    let patience = match settle(client, seconds).await {
        Ok(listing) => return Ok(Some(listing)),
        // It was killed a moment ago, and the kernel is still closing its sockets.
        Err(ControlError::Lost(_)) => KILLED_END_TIME,
        Err(ControlError::Ending) => {
            eprintln!("The lab is being stopped; it starts anew once it has.");
            Duration::from_secs(seconds)
        }
        Err(error) => return Err(explain(error)),
    };
    let lock = paths.lock_file();
    let left = match supervisor {
        Some(pid) => InstanceLock::wait_released_by(&lock, pid, patience).await,
        None => InstanceLock::wait_free(&lock, patience).await,
    };
    match left.into_diagnostic()? {
        true => Ok(None),
        false => Err(miette!(
            help = "`ferrolab ps` shows what it waits for; then `ferrolab up` again",
            "the lab has been stopping for {patience:?} and has not ended yet"
        )),
    }
}

/// Shows progress until everything has settled.
pub(super) async fn settle(client: Client, seconds: u64) -> Result<Listing, ControlError> {
    let mut progress = Progress::up();
    let request = Request::Settle { seconds };
    let listing = client.ask(&request, |listing| progress.show(listing)).await?;
    progress.show(&listing);
    Ok(listing)
}

/// Starts a supervisor of this program in the background and connects to it, or to the one that was
/// quicker.
pub(super) async fn start(paths: &Paths, program: &Path, simulate: bool) -> Result<Client, Report> {
    let socket = paths.control_socket().into_diagnostic()?;
    let errors = paths.log_dir.join("supervisor.stderr");
    let words = ["run", "supervisor"].into_iter().chain(simulate.then_some(SIMULATE));
    let mut command = CommandSpec::new(program).args(words);
    // It keeps no folder busy that has nothing to do with it.
    command.current_dir = Some("/".into());
    if let Some(home) = &paths.home {
        // A relative one means one from here.
        command = command.env("FERROLAB_HOME", home);
    }
    let mut started = Detached::start(command, &errors).into_diagnostic()?;
    let deadline = Instant::now() + SUPERVISOR_TIMEOUT;
    let mut client = None;
    loop {
        if client.is_none() {
            client = match Client::connect(&socket).await {
                Ok(client) => Some(client),
                Err(ControlError::NotRunning { .. }) => None,
                Err(error) => return Err(explain(error)),
            };
        }
        let ended = started.exit_code().into_diagnostic()?;
        let ours = started.pid();
        match (client, ended) {
            (Some(client), _) if client.supervisor().is_none_or(|pid| pid == ours) => {
                return Ok(client);
            }
            // Another `up` was quicker. Ours must have seen that and ended before this command
            // does: it would take the lock of a lab that is taken down meanwhile.
            (Some(client), Some(_)) => return Ok(client),
            (None, Some(code)) if code != ALREADY_RUNNING => {
                let said = open::read_regular(&errors).unwrap_or_default();
                let said = String::from_utf8_lossy(&said);
                return Err(miette!("the supervisor ended at once with code {code}:\n{said}"));
            }
            _ if Instant::now() >= deadline => {
                let said = open::read_regular(&errors).unwrap_or_default();
                let said = String::from_utf8_lossy(&said);
                return Err(miette!(
                    "the supervisor does not answer within {SUPERVISOR_TIMEOUT:?}\n{said}"
                ));
            }
            (connected, _) => client = connected,
        }
        tokio::time::sleep(SOCKET_CHECK_INTERVAL).await;
    }
}

/// Entries that should run and do not, and why; a line for each.
pub(super) fn failures(listing: &Listing) -> Vec<String> {
    let line = |kind: &str, name: &str, status: &str, error: &Option<String>| {
        let why = error
            .as_ref()
            .map(|error| format!(": {}", table::lines_for_terminal(error)))
            .unwrap_or_default();
        format!("{kind} {name} is {status}{why}")
    };
    let mut failed: Vec<String> = listing
        .all_processes()
        .filter(|(_, row)| row.wanted && row.status != "running")
        .map(|(kind, row)| line(kind.word(), &row.name, &row.status, &row.error))
        .collect();
    // A service whose daemon does not run has not failed itself.
    let serving: Vec<&str> = listing
        .daemons
        .iter()
        .filter(|row| row.wanted && row.status == "running")
        .map(|row| row.name.as_str())
        .collect();
    failed.extend(
        listing
            .services
            .iter()
            .filter(|row| serving.contains(&row.daemon.as_str()) && row.report.status != "running")
            .map(|row| line("service", &row.name, &row.report.status, &row.report.error)),
    );
    failed
}
