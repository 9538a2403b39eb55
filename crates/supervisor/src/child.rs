//! Child process handle: the process and its standard streams, read line by line.
//!
//! It does not know the protocol that is spoken over the streams.

use std::io;

use tokio::process::{ChildStderr, ChildStdin, ChildStdout};

use crate::lines::Lines;
use crate::os::Signal;
use crate::process::Exit;
use crate::process::{Process, ProcessHandle};

/// Running child process. Dropping it kills and reaps the process and its process group.
#[derive(Debug)]
pub struct Child {
    /// The writing end of its stdin, if that is a pipe.
    pub stdin: Option<ChildStdin>,
    /// The lines of its stdout, if that is a pipe.
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

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.handle.pid()
    }

    /// A handle that can signal the process and wait for its end. It does not keep the process
    /// alive.
    pub fn handle(&self) -> ProcessHandle {
        self.process.handle.clone()
    }

    /// Sends SIGTERM to the process. Does nothing if it has ended.
    pub fn terminate(&self) {
        self.process.handle.terminate();
    }

    /// Sends a signal to the process. Does nothing if it has ended.
    pub fn signal(&self, signal: Signal) {
        self.process.handle.signal(signal);
    }

    /// Sends SIGKILL to the process. Does nothing if it has ended.
    pub fn kill(&self) {
        self.process.handle.kill();
    }

    /// Sends SIGKILL to the process, and to its process group if it leads one.
    pub fn kill_group(&self) {
        self.process.handle.kill_group();
    }

    /// Waits until the process has ended and been reaped. A process group that it leads has been
    /// killed by then. Cancel safe; may be called again.
    pub async fn wait(&self) -> Exit {
        self.process.handle.wait().await
    }
}
