//! Remote laboratory instruments, kept running on a lab host.
//!
//! The binary: a command line, a supervisor, and the processes it keeps (see ARCHITECTURE.md).

mod announce;
mod backlog;
mod child_log;
mod cli;
mod config;
mod control;
mod files;
mod fleet;
mod host;
mod installed;
mod leftover_names;
mod locklog;
mod log_query;
mod logs;
mod names;
mod nameserver;
mod os;
mod paths;
mod plain;
mod rotated;
mod supervise;
mod troubles;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
