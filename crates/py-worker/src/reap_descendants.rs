//! Kills the descendants that a worker has left running.
//!
//! A worker's process group dies with it, but a driver's child may have left that group: a vendor's
//! server in a new session still holds the instrument. The descendants of a worker inherit two
//! marks: a variable of the environment, and a limit that limits nothing, which a child with an
//! empty environment has as well. (The worker or the daemon could adopt the orphans instead; but a
//! driver would see strangers among its children, and the daemon could not tell which worker
//! started them.) Knows nothing of why a worker ended.

use std::ffi::OsString;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The environment variable with the mark.
const VARIABLE: &str = "FERROLAB_WORKER";

/// How long a process may run under a real-time policy without a pause, in microseconds: some
/// hundred thousand years. Nobody else sets what is beyond this (`RLIMIT_RTTIME`, Linux only).
const ENDLESS: u64 = 1 << 62;

/// Name of that limit.
#[cfg(target_os = "linux")]
const LIMIT: &str = "Max realtime timeout";

/// The mark of one run of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    daemon: u32,
    run: u32,
}

/// A number of 30 bits for this process. Its id would not do: a daemon in a container has the same
/// as another outside of it, which sees the processes of both.
static DAEMON: LazyLock<u32> = LazyLock::new(|| {
    let random = RandomState::new().hash_one(std::process::id());
    u32::try_from(random >> 34).unwrap_or_default()
});

impl Mark {
    /// A mark that nothing else on this host has now.
    pub(crate) fn new() -> Self {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        Mark { daemon: *DAEMON, run: RUNS.fetch_add(1, Ordering::Relaxed) }
    }

    /// For the worker's environment.
    pub(crate) fn to_environment(self) -> (OsString, OsString) {
        (VARIABLE.into(), self.text().into())
    }

    /// The variable as it stands in an environment.
    pub(crate) fn variable(self) -> String {
        format!("{VARIABLE}={}", self.text())
    }

    /// It ends with a dot, so that no mark is the beginning of another.
    fn text(self) -> String {
        format!("{}-{}.", self.daemon, self.run)
    }

    /// The limit.
    pub(crate) fn number(self) -> u64 {
        ENDLESS | u64::from(self.daemon) << 32 | u64::from(self.run)
    }

    /// Kills everything that has the mark, and returns how many that were.
    #[cfg(target_os = "linux")]
    pub(crate) fn kill_all(self) -> usize {
        let Ok(processes) = std::fs::read_dir("/proc") else { return 0 };
        let (variable, number) = (self.variable().into_bytes(), self.number().to_string());
        let carries =
            |pid: i32| has_variable(pid, &variable).or_else(|| has_limit(pid, &number)).is_some();
        processes
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|pid| carries(*pid))
            .filter_map(rustix::process::Pid::from_raw)
            .filter(|pid| {
                rustix::process::kill_process(*pid, rustix::process::Signal::KILL).is_ok()
            })
            .count()
    }

    /// Elsewhere than on Linux a process cannot be found by its marks.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn kill_all(self) -> usize {
        0
    }
}

#[cfg(target_os = "linux")]
fn has_variable(pid: i32, variable: &[u8]) -> Option<()> {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    environment.split(|byte| *byte == 0).find(|entry| *entry == variable).map(|_| ())
}

#[cfg(target_os = "linux")]
fn has_limit(pid: i32, number: &str) -> Option<()> {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let limit = limits.lines().find(|line| line.starts_with(LIMIT))?;
    limit.split_whitespace().find(|word| *word == number).map(|_| ())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use supervisor::{CommandSpec, Exit, Spawner};

    use super::*;

    #[tokio::test]
    async fn what_has_the_mark_is_killed() {
        let mark = Mark::new();
        let spawner = Spawner::permanent().unwrap();
        let start = |with_mark: bool| {
            let mut command = CommandSpec::new("/bin/sh").args(["-c", "read nothing"]);
            command.env.extend(with_mark.then(|| mark.to_environment()));
            command.stdin = supervisor::Stdin::Pipe;
            spawner.spawn(command)
        };
        let (server, other) = (start(true).await.unwrap(), start(false).await.unwrap());
        assert_eq!(mark.kill_all(), 1);
        assert!(matches!(server.wait().await, Exit::Signal(_)));
        assert_eq!(mark.kill_all(), 0);
        assert_eq!(other.handle().exited(), None);
    }
}
