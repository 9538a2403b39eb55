//! Supervised servers for laboratory instruments, for Pyro5 clients.
//!
//! The binary: a command line, a supervisor, and the processes it keeps (see ARCHITECTURE.md).

mod access;
mod audit;
mod authority;
mod card;
mod cli;
mod files;
mod history_process;
mod host;
mod http_client;
mod log;
mod metrics;
mod nameserver_process;
mod notify;
mod os;
mod paths;
mod state_file;
mod supervise;
mod tls;
mod web;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
