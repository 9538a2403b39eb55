//! `ferrolab run …`: the processes behind the lab. Hidden: the supervisor starts them.

use std::ffi::OsString;
use std::io::Write;
use std::pin::Pin;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::de::DeserializeOwned;
use supervisor::Lifeline;
use tokio_util::sync::CancellationToken;

use super::{paths, session_holder, up};
use crate::history_process::HistoryAssignment;
use crate::host::DaemonAssignment;
use crate::host::simulated_hosts::SimulatedHosts;
use crate::nameserver_process::NameserverAssignment;
use crate::supervise::{self, Options, SuperviseError};
use crate::web::WebAssignment;
use crate::{history_process, host, log, nameserver_process, os, web};

/// Run one process of the lab (for the supervisor's use)
#[derive(Debug, Subcommand)]
pub(super) enum RunCommand {
    /// The supervisor, in the background
    Supervisor {
        /// Simulate the services that have a stand-in
        #[arg(long)]
        simulate: bool,
    },
    /// A nameserver; its assignment comes on standard input
    Nameserver(Name),
    /// A daemon; its assignment comes on standard input
    Daemon(Name),
    /// The page; its assignment comes on standard input
    Web,
    /// The history; its assignment comes on standard input
    History,
    /// The locks of `ferrolab session run`; its assignment comes on standard input
    Session,
    /// Many hosts without daemons, for tests; the assignment comes on standard input
    SimulatedHosts,
}

/// The name is for `ps` and the log; what to be is in the assignment.
#[derive(Debug, Args)]
pub(super) struct Name {
    name: String,
}

/// The command of a process that the supervisor has started, without clap: to build its tables of
/// every command and option leaves each of these processes with a fifth of a megabyte of heap that
/// it never needs again. None where there is anything to say to a person.
pub(super) fn shortcut(mut words: impl Iterator<Item = OsString>) -> Option<RunCommand> {
    let mut next = || words.next().and_then(|word| word.into_string().ok());
    if next()? != "run" {
        return None;
    }
    let command = match (next()?.as_str(), next()) {
        ("supervisor", None) => RunCommand::Supervisor { simulate: false },
        ("supervisor", Some(word)) if word == up::SIMULATE => {
            RunCommand::Supervisor { simulate: true }
        }
        ("nameserver", Some(name)) if !name.starts_with('-') => {
            RunCommand::Nameserver(Name { name })
        }
        ("daemon", Some(name)) if !name.starts_with('-') => RunCommand::Daemon(Name { name }),
        ("web", None) => RunCommand::Web,
        ("history", None) => RunCommand::History,
        ("session", None) => RunCommand::Session,
        _ => return None,
    };
    next().is_none().then_some(command)
}

pub(super) fn run(command: &RunCommand) -> ExitCode {
    match command {
        RunCommand::Supervisor { simulate } => supervisor(*simulate),
        RunCommand::Nameserver(_) => child(|assignment: NameserverAssignment, lifeline| {
            runtime(Box::pin(async move { nameserver_process::run(assignment, &lifeline).await }))
        }),
        RunCommand::Daemon(_) => child(|assignment: DaemonAssignment, lifeline| {
            runtime(Box::pin(async move { host::run(assignment, &lifeline).await }))
        }),
        RunCommand::Web => child(|assignment: WebAssignment, lifeline| {
            runtime(Box::pin(async move { web::run(assignment, &lifeline).await }))
        }),
        RunCommand::Session => session_holder::run(),
        RunCommand::SimulatedHosts => child(|assignment: SimulatedHosts, lifeline| {
            let working = async move { host::simulated_hosts::run(assignment, &lifeline).await };
            runtime(Box::pin(working))
        }),
        RunCommand::History => child(|assignment: HistoryAssignment, lifeline| {
            runtime(Box::pin(async move { history_process::run(assignment, &lifeline).await }))
        }),
    }
}

fn supervisor(simulates: bool) -> ExitCode {
    let running = paths().and_then(|paths| {
        let runtime = super::runtime()?;
        let options = Options { simulates, ..Options::default() };
        match runtime.block_on(Box::pin(supervise::run(&paths, options, CancellationToken::new())))
        {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(SuperviseError::Running(_)) => Ok(ExitCode::from(up::ALREADY_RUNNING as u8)),
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
    let _log = log::init_child();
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

/// Runs the work of a child. It comes in a box, since `block_on` is compiled once more for every
/// type of future, and these are large.
fn runtime(work: Pin<Box<dyn Future<Output = Result<(), String>>>>) -> Result<(), String> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(daemon_threads())
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the runtime: {error}"))?
        .block_on(work)
}

/// Enough to use the machine, few enough to cost little memory.
fn daemon_threads() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 8)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    /// The supervisor's commands mean the same with and without clap.
    #[test]
    fn the_shortcut_leads_where_the_long_way_does() {
        let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        for line in [
            "run supervisor",
            "run nameserver local",
            "run daemon bench.1",
            "run web",
            "run history",
        ] {
            let long =
                crate::cli::Cli::try_parse_from([vec!["ferrolab".into()], words(line)].concat());
            let Ok(crate::cli::Cli { command: crate::cli::Command::Run(long) }) = long else {
                panic!("{line}")
            };
            let short = shortcut(words(line).into_iter());
            assert_eq!(short.map(|short| format!("{short:?}")), Some(format!("{long:?}")));
        }
        for line in
            ["up", "run", "run daemon", "run daemon --help", "run daemon a b", "run supervisor x"]
        {
            assert!(shortcut(words(line).into_iter()).is_none(), "{line}");
        }
    }
}
