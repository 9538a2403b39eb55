//! Systems without Unix signals: this compiles and keeps children running there, but a child
//! learns of its parent's death by the end of its standard input alone, there are no process
//! groups, and to ask politely is to send the `stop` line.

use std::io;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use super::{Held, Signal};
use crate::Exit;

/// How often a child is looked at, there being no wait that does not also reap.
const EXIT_POLL_INTERVAL: Duration = Duration::from_millis(20);

pub(crate) fn prepare(_command: &mut Command, _death: Option<Signal>, _group: Option<u32>) {}

pub(crate) fn wait_exited(_pid: u32, mut finished: impl FnMut() -> bool) -> Held {
    while !finished() {
        std::thread::sleep(EXIT_POLL_INTERVAL);
    }
    Held::No
}

pub(crate) fn signal(_pid: u32, _signal: Signal) {}

pub(crate) fn signal_group(_pid: u32, _signal: Signal) {}

pub(crate) fn exit_of(status: ExitStatus) -> Exit {
    status.code().map_or(Exit::Unknown, Exit::Code)
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

/// Nothing to do: without Unix there are no sessions.
pub(crate) fn new_session(_command: &mut Command) {}
