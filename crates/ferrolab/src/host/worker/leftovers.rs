//! What a worker has started and left behind.
//!
//! A worker's process group dies with it, but a driver's child may have left that group: a vendor's
//! server that made itself a session of its own still holds the instrument. Whatever a worker starts
//! inherits the mark in its environment, and is found by it. Knows nothing of why a worker ended.

use std::ffi::OsString;
use std::sync::atomic::{AtomicU64, Ordering};

/// The environment variable with the mark.
pub(super) const VARIABLE: &str = "FERROLAB_WORKER";

/// How the command line of a worker's guard ends.
#[cfg(target_os = "linux")]
const GUARD: &[u8] = b"\0ferrolab-guard\0";

/// The mark of one run of a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark(String);

impl Mark {
    /// A mark that nothing else on this host has now.
    pub(super) fn new() -> Self {
        static RUNS: AtomicU64 = AtomicU64::new(0);
        let number = RUNS.fetch_add(1, Ordering::Relaxed);
        // It ends with a dot, so that no mark is the beginning of another.
        Mark(format!("{}-{number}.", std::process::id()))
    }

    /// For the worker's environment.
    pub(super) fn to_environment(&self) -> (OsString, OsString) {
        (VARIABLE.into(), self.0.as_str().into())
    }

    /// Kills everything that has the mark, and returns how many of that a driver has started: the
    /// worker's own guard is none of them.
    #[cfg(target_os = "linux")]
    pub(super) fn kill_all(&self) -> usize {
        let wanted = format!("{VARIABLE}={}", self.0).into_bytes();
        let carries = |pid: i32| {
            std::fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
                environment.split(|byte| *byte == 0).any(|entry| entry == wanted)
            })
        };
        let Ok(processes) = std::fs::read_dir("/proc") else { return 0 };
        processes
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|pid| carries(*pid))
            .map(|pid| (is_guard(pid), rustix::process::Pid::from_raw(pid)))
            .filter(|(_, pid)| {
                let kill = |pid| rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                pid.is_some_and(|pid| kill(pid).is_ok())
            })
            .filter(|(is_guard, _)| !is_guard)
            .count()
    }

    /// Elsewhere than on Linux a process cannot be found by its environment.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn kill_all(&self) -> usize {
        0
    }
}

/// Whether it is the shell that a worker starts to be ended by, should it not be able to end itself.
#[cfg(target_os = "linux")]
fn is_guard(pid: i32) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|words| words.ends_with(GUARD))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use supervisor::{CommandSpec, Exit, Spawner};

    use super::*;

    #[tokio::test]
    async fn a_guard_goes_too_and_is_not_counted() {
        let mark = Mark::new();
        let spawner = Spawner::permanent().unwrap();
        let start = |words: &[&str]| {
            let mut command = CommandSpec::new("/bin/sh").args(words);
            command.env.push(mark.to_environment());
            command.stdin = supervisor::Stdin::Pipe;
            spawner.spawn(command)
        };
        let guard = start(&["-c", "read nothing", "ferrolab-guard"]).await.unwrap();
        let server = start(&["-c", "read nothing", "a-server"]).await.unwrap();
        assert_eq!(mark.kill_all(), 1);
        for child in [guard, server] {
            assert!(!matches!(child.wait().await, Exit::Code(_)));
        }
        assert_eq!(mark.kill_all(), 0);
    }
}
