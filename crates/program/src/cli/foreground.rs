//! Command that runs in the foreground on behalf of another, such as `ferrolab lock`: it has the
//! terminal and our streams, gets the signals that are sent to us, and ends when we die.

use std::ffi::OsString;
use std::process::ExitCode;

use miette::{IntoDiagnostic, Report, miette};
use supervisor::{Child, CommandSpec, Exit, Signal, Spawner};
use tokio::signal::unix::{self, SignalKind};

use crate::os;

/// A running command. From its start on, signals of this process are the command's.
pub(super) struct ForegroundCommand {
    child: Child,
    interrupt: unix::Signal,
    quit: unix::Signal,
    terminate: unix::Signal,
    user1: unix::Signal,
    user2: unix::Signal,
}

impl ForegroundCommand {
    /// Starts a command with these environment variables.
    ///
    /// # Errors
    /// It cannot be started.
    pub(super) async fn start(
        command: &[OsString],
        environment: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Result<Self, Report> {
        let (program, args) = command.split_first().ok_or_else(|| miette!("no command"))?;
        let listen = |kind| unix::signal(kind).into_diagnostic();
        let (interrupt, quit) = (listen(SignalKind::interrupt())?, listen(SignalKind::quit())?);
        let terminate = listen(SignalKind::terminate())?;
        let (user1, user2) =
            (listen(SignalKind::user_defined1())?, listen(SignalKind::user_defined2())?);
        let mut command = CommandSpec::foreground(program).args(args);
        for (name, value) in environment {
            command = command.env(name, value);
        }
        let child = Spawner::permanent().into_diagnostic()?.spawn(command).await;
        let child = child.into_diagnostic()?;
        Ok(ForegroundCommand { child, interrupt, quit, terminate, user1, user2 })
    }

    /// Passes signals on until the command has ended; its exit code as shells report it. Cancel
    /// safe.
    pub(super) async fn wait(&mut self) -> ExitCode {
        loop {
            let signal = tokio::select! {
                exit = self.child.wait() => return exit_code(exit),
                _ = self.interrupt.recv() => Signal::Interrupt,
                _ = self.quit.recv() => Signal::Quit,
                _ = self.terminate.recv() => Signal::Term,
                _ = self.user1.recv() => Signal::User1,
                _ = self.user2.recv() => Signal::User2,
            };
            // A terminal sends its signals to the command as well: twice would be once too often.
            let is_of_terminal = matches!(signal, Signal::Interrupt | Signal::Quit);
            if !(is_of_terminal && os::is_in_foreground()) {
                self.child.signal(signal);
            }
        }
    }
}

fn exit_code(exit: Exit) -> ExitCode {
    let number = match exit {
        Exit::Code(code) => u8::try_from(code).unwrap_or(1),
        Exit::Signal(signal) => u8::try_from(signal).unwrap_or(127).saturating_add(128),
        Exit::Unknown => 1,
    };
    ExitCode::from(number)
}
