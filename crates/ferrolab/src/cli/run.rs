//! `ferrolab run …`: the processes behind the lab. Hidden: the supervisor starts them.

use std::io::Write;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::de::DeserializeOwned;
use supervisor::Lifeline;
use tokio_util::sync::CancellationToken;

use super::{paths, up};
use crate::assignment::{DaemonAssignment, NameserverAssignment};
use crate::supervise::{self, SuperviseError};
use crate::{host, logs, nameserver, os};

/// The exit code of a supervisor that finds another one in its home.
pub(super) const ALREADY_RUNNING: i32 = 3;

/// Run one process of the lab (for the supervisor's use)
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// The supervisor, in the background
    Supervisor,
    /// A nameserver; its assignment comes on standard input
    Nameserver(Name),
    /// A daemon; its assignment comes on standard input
    Daemon(Name),
}

/// The name is for `ps` and the log; what to be is in the assignment.
#[derive(Debug, Args)]
pub(super) struct Name {
    name: String,
}

pub(super) fn run(command: &Command) -> ExitCode {
    match command {
        Command::Supervisor => supervisor(),
        Command::Nameserver(_) => child(|assignment: NameserverAssignment, lifeline| {
            runtime(daemon_threads(), async move { nameserver::run(assignment, &lifeline).await })
        }),
        Command::Daemon(_) => child(|assignment: DaemonAssignment, lifeline| {
            runtime(daemon_threads(), async move { host::run(assignment, &lifeline).await })
        }),
    }
}

fn supervisor() -> ExitCode {
    let running = paths().and_then(|paths| {
        let runtime = super::runtime()?;
        match runtime.block_on(supervise::run(&paths, false, CancellationToken::new())) {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(SuperviseError::Running(_)) => Ok(ExitCode::from(ALREADY_RUNNING as u8)),
            Err(error) => Err(up::report(error)),
        }
    });
    running.unwrap_or_else(|report| {
        // Standard error is a file, and its disk may be full: `eprintln!` would panic then.
        let _ = writeln!(std::io::stderr(), "{report:?}");
        ExitCode::FAILURE
    })
}

/// Reads the assignment, does the work, and tells the supervisor where it fails.
fn child<A: DeserializeOwned>(work: impl FnOnce(A, Lifeline) -> Result<(), String>) -> ExitCode {
    logs::init_child();
    os::raise_file_limit();
    let (assignment, lifeline) = match Lifeline::take() {
        Ok(taken) => taken,
        Err(error) => {
            eprintln!(
                "this process is for the supervisor, which gives it its assignment: {error}; \
                 start the lab with `ferrolab up`"
            );
            return ExitCode::FAILURE;
        }
    };
    let told = lifeline.clone();
    let worked = serde_json::from_str(&assignment)
        .map_err(|error| format!("the assignment makes no sense: {error}"))
        .and_then(|assignment| work(assignment, lifeline));
    match worked {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error, "cannot go on");
            told.failed(&error);
            ExitCode::FAILURE
        }
    }
}

fn runtime(threads: usize, work: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    let mut builder = match threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    if threads > 1 {
        builder.worker_threads(threads);
    }
    builder
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the runtime: {error}"))?
        .block_on(work)
}

/// Enough to use the machine, few enough to cost little memory.
fn daemon_threads() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 8)
}
