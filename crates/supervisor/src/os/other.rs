//! Systems without Unix signals. Children are kept running, but without process groups: only the
//! `stop` line asks a child to end, and only the end of its standard input reports its parent's
//! death.

use std::io;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use super::Signal;

/// Pause between two looks at a child: there is no wait that does not reap.
const EXIT_POLL_INTERVAL: Duration = Duration::from_millis(20);

pub(crate) fn prepare(_command: &mut Command, _death: Option<Signal>, _group: Option<u32>) {}

pub(crate) fn wait_exited(_pid: u32, mut has_exited: impl FnMut() -> bool) -> bool {
    while !has_exited() {
        std::thread::sleep(EXIT_POLL_INTERVAL);
    }
    false
}

pub(crate) fn signal(_pid: u32, _signal: Signal) {}

pub(crate) fn signal_group(_pid: u32, _signal: Signal) {}

pub(crate) fn ending_signal(_status: ExitStatus) -> Option<i32> {
    None
}

pub(crate) fn signal_name(_signal: i32) -> Option<&'static str> {
    None
}

pub(crate) fn take_stdio() -> io::Result<(io::Stdin, io::Stdout)> {
    Ok((io::stdin(), io::stdout()))
}

pub(crate) fn kill_self() {
    std::process::abort();
}

/// Does nothing: there are no sessions.
pub(crate) fn new_session(_command: &mut Command) {}
