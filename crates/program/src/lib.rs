//! Supervised servers for laboratory instruments, for Pyro5 clients.
//!
//! The program: a command line, a supervisor, and the processes it keeps (see ARCHITECTURE.md).

mod access;
mod authority;
mod card;
mod cli;
mod daemon_keys;
mod history_process;
mod host;
mod labs;
mod metrics;
mod nameserver_process;
mod notify;
mod os;
mod paths;
mod supervise;
mod tls;
mod web;

use std::process::ExitCode;

// Every room of this crate uses them, by `crate::files` and so on.
use lab_files::{audit, files, log, open, state_file};

/// Carries out the command line of this process.
pub fn main() -> ExitCode {
    cli::main()
}
