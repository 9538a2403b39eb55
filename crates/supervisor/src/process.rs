//! A running process: its death, and signals to it while it lives.
//!
//! Owns: the pid. A pid that has been reaped may be another process's a moment later, so the
//! thread that reaps and whoever signals meet at one lock, and after the reaping nothing is
//! signalled. Refuses to know: pipes, protocols, policies.
//!
//! One thread per process waits for its death: that works in every kernel and container, and it
//! is how the process group can be killed while the dead leader still holds the group's id.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::os::{self, Held, Signal};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It exited by itself.
    Code(i32),
    /// A signal killed it.
    Signal(i32),
    /// The system does not say.
    Unknown,
}

impl Exit {
    /// Whether it exited by itself with code 0.
    pub fn success(self) -> bool {
        self == Self::Code(0)
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

/// Signals to a process and news of its end; clones mean the same process.
///
/// It stays valid after the process has ended: signals then do nothing.
#[derive(Debug, Clone)]
pub struct ProcessHandle {
    reaper: Arc<Reaper>,
    exited: watch::Receiver<Option<Exit>>,
}

impl ProcessHandle {
    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.reaper.pid
    }

    /// Sends SIGTERM to the process.
    pub fn terminate(&self) {
        if self.reaper.lock().is_some() {
            os::signal(self.reaper.pid, Signal::Term);
        }
    }

    /// Sends SIGKILL to the process. Its group, if it has its own, is killed when it is dead.
    pub fn kill(&self) {
        if let Some(child) = &mut *self.reaper.lock() {
            // Fails for a process that is dead already.
            let _ = child.kill();
        }
    }

    /// Sends SIGKILL to the process and to its group, if it has its own.
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
        // An error means that the waiting thread is gone without a word.
        exited.wait_for(Option::is_some).await.ok().and_then(|exit| *exit).unwrap_or(Exit::Unknown)
    }

    /// How the process ended, if it has.
    pub fn exited(&self) -> Option<Exit> {
        *self.exited.borrow()
    }
}

/// The owner of a running process: when it is dropped, the process is killed.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) handle: ProcessHandle,
    pub(crate) stdin: Option<std::process::ChildStdin>,
    pub(crate) stdout: Option<std::process::ChildStdout>,
    pub(crate) stderr: Option<std::process::ChildStderr>,
}

impl Process {
    /// Takes over a child that has just been spawned.
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
                // Fails if nobody is interested any more.
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

/// What the waiting thread and the signallers share.
#[derive(Debug)]
struct Reaper {
    pid: u32,
    own_group: bool,
    /// None once it has been reaped.
    child: Mutex<Option<std::process::Child>>,
}

impl Reaper {
    fn lock(&self) -> MutexGuard<'_, Option<std::process::Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_and_reap(&self) -> Exit {
        let held = os::wait_exited(self.pid, || match &mut *self.lock() {
            Some(child) => !matches!(child.try_wait(), Ok(None)),
            None => true,
        });
        let mut guard = self.lock();
        // The zombie still holds its pid, so the group's id cannot be anyone else's yet.
        if self.own_group && held == Held::Yes {
            os::signal_group(self.pid, Signal::Kill);
        }
        let exit = guard.as_mut().and_then(|child| child.wait().ok()).map(os::exit_of);
        *guard = None;
        exit.unwrap_or(Exit::Unknown)
    }
}
