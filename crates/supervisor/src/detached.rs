//! A process that outlives us: the one exception to "no orphan".
//!
//! Owns the start of a background process in a session of its own. It is for a supervisor, which
//! nobody else looks after; everything else is started by a [`Spawner`](crate::Spawner).

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::process::Stdio;

use crate::os;
use crate::spawn::{CommandSpec, SpawnError};

/// A process that was started in the background.
#[derive(Debug)]
pub struct Detached {
    child: std::process::Child,
}

impl Detached {
    /// Starts `command` in a new session, without a terminal. It reads nothing, what it prints
    /// goes to `output`, which is emptied first; the command's own stream settings do not count.
    ///
    /// # Errors
    /// The program cannot be started, or `output` not be written.
    pub fn start(command: CommandSpec, output: &Path) -> Result<Self, SpawnError> {
        let failed = |error| SpawnError::new(&command.program, None, error);
        let open = || -> io::Result<Stdio> {
            Ok(OpenOptions::new().create(true).write(true).truncate(true).open(output)?.into())
        };
        let mut process = command.to_command();
        process.stdin(Stdio::null()).stdout(Stdio::null()).stderr(open().map_err(failed)?);
        os::new_session(&mut process);
        Ok(Detached { child: process.spawn().map_err(failed)? })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The exit code, if it has ended already; -1 where a signal has ended it.
    ///
    /// # Errors
    /// The system does not say.
    pub fn exited(&mut self) -> io::Result<Option<i32>> {
        Ok(self.child.try_wait()?.map(|status| status.code().unwrap_or(-1)))
    }
}
