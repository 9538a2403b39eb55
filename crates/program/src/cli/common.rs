//! Parts of all commands: their outcome, the folders, a runtime, the connection to the supervisor.

use std::process::ExitCode;

use clap::Args;
use miette::{IntoDiagnostic, Report, miette};
use tokio::runtime::Runtime;

use super::table::lines_for_terminal;
use crate::paths::{Environment, Paths};
use crate::supervise::control::WhenInUse;
use crate::supervise::control::client::{Client, ControlError};

/// Result of a command: exit code 0 (done) or 1 (partly done), or an error (1).
/// Usage errors are clap's, with exit code 2.
pub(super) type Outcome = Result<ExitCode, Report>;

/// Where this user's lab keeps its files.
pub(super) fn paths() -> Result<Paths, Report> {
    Paths::new(&Environment::current()).into_diagnostic()
}

/// A runtime for a command that talks to others.
pub(super) fn runtime() -> Result<Runtime, Report> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().into_diagnostic()
}

/// A connection to the running supervisor, or an error that says how to start one.
pub(super) async fn supervisor(paths: &Paths) -> Result<Client, Report> {
    let socket = paths.control_socket().into_diagnostic()?;
    Client::connect(&socket).await.map_err(explain)
}

pub(super) fn explain(error: ControlError) -> Report {
    match error {
        ControlError::NotRunning { .. } => {
            miette!(help = "start it with `ferrolab up`", "{error}")
        }
        ControlError::Silent { supervisor } => {
            let pid = supervisor.map_or("PID".to_owned(), |pid| pid.to_string());
            miette!(
                help = format!(
                    "`kill -CONT {pid}` if somebody has stopped it; else `kill -KILL {pid}` (all \
                     that it has started ends with it), then `ferrolab up`"
                ),
                "{error}; what was asked will not be done"
            )
        }
        ControlError::InUse(uses) => miette!(
            help = "`--wait` waits until it is free, and `--force` ends that; `ferrolab unlock \
                    SERVICE` breaks a lock",
            "not done, because it is in use:\n  {}",
            uses.iter().map(|text| lines_for_terminal(text)).collect::<Vec<_>>().join("\n  ")
        ),
        error => miette!("{error}"),
    }
}

/// Options for a command that would end clients' locks and calls.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(super) struct InUse {
    /// End held locks and running calls; without, they stop the command, which names them
    #[arg(long, conflicts_with = "wait")]
    force: bool,
    /// Wait until no lock is held and no call runs; Ctrl-C ends the wait, and nothing is done then
    #[arg(long)]
    wait: bool,
}

/// The same for the reload after another change.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(super) struct ReloadInUse {
    /// With --reload: end held locks and running calls in what restarts
    #[arg(long, requires = "reload", conflicts_with = "wait")]
    force: bool,
    /// With --reload: wait until no lock is held and no call runs in what restarts
    #[arg(long, requires = "reload")]
    wait: bool,
}

impl From<ReloadInUse> for WhenInUse {
    fn from(ReloadInUse { force, wait }: ReloadInUse) -> Self {
        InUse { force, wait }.into()
    }
}

impl InUse {
    /// Ends held locks and running calls.
    pub(super) const FORCE: InUse = InUse { force: true, wait: false };

    pub(super) fn is_forced(self) -> bool {
        self.force
    }
}

impl From<InUse> for WhenInUse {
    fn from(InUse { force, wait }: InUse) -> Self {
        match (force, wait) {
            (true, _) => WhenInUse::Force,
            (false, true) => WhenInUse::Wait,
            (false, false) => WhenInUse::Refuse,
        }
    }
}
