//! A child as the parent holds it: a process, its pipes as lines.
//!
//! Owns: the pipes. Refuses to know: what is said over them.

use std::io;

use tokio::process::{ChildStderr, ChildStdin, ChildStdout};

use crate::lines::Lines;
use crate::process::{Exit, Process, ProcessHandle};

/// A running child process. When it is dropped, the process is killed, its group with it, and
/// reaped.
#[derive(Debug)]
pub struct Child {
    /// What the child reads, if its stdin is a pipe.
    pub stdin: Option<ChildStdin>,
    /// The lines that the child prints, if its stdout is a pipe.
    pub stdout: Option<Lines<ChildStdout>>,
    /// The lines of its stderr, if that is a pipe.
    pub stderr: Option<Lines<ChildStderr>>,
    process: Process,
}

impl Child {
    pub(crate) fn new(mut process: Process) -> io::Result<Self> {
        let stdin = process.stdin.take().map(ChildStdin::from_std).transpose()?;
        let stdout = process.stdout.take().map(ChildStdout::from_std).transpose()?;
        let stderr = process.stderr.take().map(ChildStderr::from_std).transpose()?;
        Ok(Self { stdin, stdout: stdout.map(Lines::new), stderr: stderr.map(Lines::new), process })
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.process.handle.pid()
    }

    /// A handle that can signal the process and wait for its end, and does not keep it alive.
    pub fn handle(&self) -> ProcessHandle {
        self.process.handle.clone()
    }

    /// Sends SIGTERM to the process. Nothing happens if it has ended.
    pub fn terminate(&self) {
        self.process.handle.terminate();
    }

    /// Sends SIGKILL to the process. Nothing happens if it has ended.
    pub fn kill(&self) {
        self.process.handle.kill();
    }

    /// Sends SIGKILL to the process and to its group, if it has its own.
    pub fn kill_group(&self) {
        self.process.handle.kill_group();
    }

    /// Waits until the process has ended and been reaped. Its group, if it has its own, has been
    /// killed by then. May be called again, and may be cancelled.
    pub async fn wait(&self) -> Exit {
        self.process.handle.wait().await
    }
}
