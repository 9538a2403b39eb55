//! What a worker has started and left behind.
//!
//! A worker's process group dies with it, but a driver's child may have left that group: a vendor's
//! server that made itself a session of its own still holds the instrument. Whatever a worker starts
//! inherits the mark in its environment, and is found by it. Knows nothing of why a worker ended.

use std::ffi::OsString;
use std::sync::atomic::{AtomicU64, Ordering};

/// The environment variable with the mark.
pub(super) const VARIABLE: &str = "FERROLAB_WORKER";

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

    /// Kills everything that has the mark, and returns how many that were.
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
            .filter_map(rustix::process::Pid::from_raw)
            .filter(|pid| {
                rustix::process::kill_process(*pid, rustix::process::Signal::KILL).is_ok()
            })
            .count()
    }

    /// Elsewhere than on Linux a process cannot be found by its environment.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn kill_all(&self) -> usize {
        0
    }
}
