//! Running process: its exit, and signals to it until then.
//!
//! After reaping, the pid may belong to another process. So reaping and signalling share one
//! lock, and no signal is sent after reaping.
//!
//! One thread per process waits for its exit. That works in every kernel and container, and the
//! process group can be killed while the zombie leader still holds the group's id.

use std::fmt;
use std::io;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::os::{self, Signal};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It exited by itself.
    Code(i32),
    /// A signal killed it.
    Signal(i32),
    /// The system has forgotten the process.
    Unknown,
}

impl Exit {
    /// Whether it exited by itself with code 0.
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        let signal = os::ending_signal(status).map_or(Self::Unknown, Self::Signal);
        status.code().map_or(signal, Self::Code)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited with code {code}"),
            Self::Signal(signal) => match os::signal_name(*signal) {
                Some(name) => write!(f, "killed by {name}"),
                None => write!(f, "killed by signal {signal}"),
            },
            Self::Unknown => f.write_str("exited"),
        }
    }
}

/// Handle that signals a process and waits for its exit; clones are for the same process.
///
/// It stays valid after the exit: signals then do nothing.
#[derive(Debug, Clone)]
pub struct ProcessHandle {
    reaper: Arc<Reaper>,
    exited: watch::Receiver<Option<Exit>>,
}

impl ProcessHandle {
    /// The process id.
    pub fn pid(&self) -> u32 {
        self.reaper.pid
    }

    /// Sends SIGTERM to the process.
    pub fn terminate(&self) {
        self.signal(Signal::Term);
    }

    /// Sends a signal to the process.
    pub fn signal(&self, signal: Signal) {
        if self.reaper.lock().is_some() {
            os::signal(self.reaper.pid, signal);
        }
    }

    /// Sends SIGKILL to the process. A process group that it leads is killed after its exit.
    pub fn kill(&self) {
        if let Some(child) = &mut *self.reaper.lock() {
            // Fails if the process has ended.
            let _ = child.kill();
        }
    }

    /// Sends SIGKILL to the process, and to its process group if it leads one.
    pub fn kill_group(&self) {
        if let Some(child) = &mut *self.reaper.lock() {
            if self.reaper.own_group {
                os::signal_group(self.reaper.pid, Signal::Kill);
            }
            let _ = child.kill();
        }
    }

    /// Waits until the process has ended and been reaped.
    pub async fn wait(&self) -> Exit {
        let mut exited = self.exited.clone();
        // An error means that the waiting thread has panicked.
        exited.wait_for(Option::is_some).await.ok().and_then(|exit| *exit).unwrap_or(Exit::Unknown)
    }

    /// How the process ended, if it has.
    pub fn exited(&self) -> Option<Exit> {
        *self.exited.borrow()
    }
}

/// Owner of a running process. Dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) handle: ProcessHandle,
    pub(crate) stdin: Option<std::process::ChildStdin>,
    pub(crate) stdout: Option<std::process::ChildStdout>,
    pub(crate) stderr: Option<std::process::ChildStderr>,
}

impl Process {
    /// Starts the waiting thread of a child that has just been spawned.
    pub(crate) fn watch(mut child: std::process::Child, own_group: bool) -> io::Result<Self> {
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let pid = child.id();
        let reaper = Arc::new(Reaper { pid, own_group, child: Mutex::new(Some(child)) });
        let (report, exited) = watch::channel(None);
        let process = Self {
            handle: ProcessHandle { reaper: Arc::clone(&reaper), exited },
            stdin,
            stdout,
            stderr,
        };
        let waiter = {
            let reaper = Arc::clone(&reaper);
            move || {
                let exit = reaper.wait_and_reap();
                // Fails if no handle is left.
                let _ = report.send(Some(exit));
            }
        };
        let thread = std::thread::Builder::new().name(format!("wait-{pid}")).stack_size(128 * 1024);
        if let Err(error) = thread.spawn(waiter) {
            process.handle.kill_group();
            reaper.wait_and_reap();
            return Err(error);
        }
        Ok(process)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.handle.kill_group();
    }
}

/// The child as the waiting thread and the handles share it.
#[derive(Debug)]
struct Reaper {
    pid: u32,
    own_group: bool,
    /// `None` once it has been reaped.
    child: Mutex<Option<std::process::Child>>,
}

impl Reaper {
    fn lock(&self) -> MutexGuard<'_, Option<std::process::Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_and_reap(&self) -> Exit {
        let is_zombie = os::wait_exited(self.pid, || match &mut *self.lock() {
            Some(child) => !matches!(child.try_wait(), Ok(None)),
            None => true,
        });
        let mut guard = self.lock();
        // The zombie holds its pid, so no other group can have this id yet.
        if self.own_group && is_zombie {
            os::signal_group(self.pid, Signal::Kill);
        }
        let exit = guard.as_mut().and_then(|child| child.wait().ok()).map(Exit::from);
        *guard = None;
        exit.unwrap_or(Exit::Unknown)
    }
}
