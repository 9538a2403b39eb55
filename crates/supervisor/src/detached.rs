//! Background process in its own session, which outlives the command that started it.
//!
//! Only a supervisor that `ferrolab up` starts is one. Everything else is a child of a
//! [`Spawner`](crate::Spawner) and dies with its parent.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::process::Stdio;

use crate::os;
use crate::spawn::{CommandSpec, SpawnError};

/// Process in a new session, without a terminal.
#[derive(Debug)]
pub struct Detached {
    child: std::process::Child,
}

impl Detached {
    /// Starts `command` in a new session. Stdin and stdout are `/dev/null`; stderr is the file
    /// `output`, which is truncated first. The command's own stream settings are ignored.
    ///
    /// # Errors
    /// The program cannot be started, or `output` cannot be written.
    pub fn start(command: CommandSpec, output: &Path) -> Result<Self, SpawnError> {
        let failed = |error| SpawnError::new(&command.program, None, error);
        let open = || -> io::Result<Stdio> {
            let mut options = OpenOptions::new();
            options.create(true).write(true).truncate(true);
            // A FIFO in its place would block.
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
            let opened = options.open(output).map_err(|error| {
                io::Error::new(error.kind(), format!("cannot write {}: {error}", output.display()))
            });
            Ok(opened?.into())
        };
        let mut process = command.to_command();
        process.stdin(Stdio::null()).stdout(Stdio::null()).stderr(open().map_err(failed)?);
        os::new_session(&mut process);
        Ok(Detached { child: process.spawn().map_err(failed)? })
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The exit code if the process has ended, -1 if a signal ended it.
    ///
    /// # Errors
    /// waitpid fails.
    pub fn exit_code(&mut self) -> io::Result<Option<i32>> {
        Ok(self.child.try_wait()?.map(|status| status.code().unwrap_or(-1)))
    }
}
