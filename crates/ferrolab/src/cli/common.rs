//! Parts of all commands: their outcome, the folders, a runtime, the connection to the supervisor.

use std::process::ExitCode;

use miette::{IntoDiagnostic, Report, miette};
use tokio::runtime::Runtime;

use crate::paths::{Environment, Paths};
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
        error => miette!("{error}"),
    }
}
