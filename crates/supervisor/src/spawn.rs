//! Starting processes.
//!
//! Owns: the one permanent thread that forks, and what a command is. Refuses to know: why a
//! process is started, and what happens to it afterwards.
//!
//! Linux ties a child's death signal to the *thread* that forked it. A pool thread that forks and
//! then idles out would kill the child, so every spawn of the process goes through one thread that
//! never ends.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};

use tokio::sync::oneshot;

use crate::child::Child;
use crate::os::{self, Signal};
use crate::process::Process;

/// What to run and how.
#[derive(Debug)]
pub struct CommandSpec {
    /// The program: a path, or a name that is looked up in PATH.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Environment variables to set, on top of the inherited ones.
    pub env: Vec<(OsString, OsString)>,
    /// Environment variables to take away.
    pub env_remove: Vec<OsString>,
    /// The working directory, if not ours.
    pub current_dir: Option<PathBuf>,
    /// What the child reads.
    pub stdin: Stdin,
    /// Where its output goes.
    pub stdout: Output,
    /// Where its errors go.
    pub stderr: Output,
    /// What the kernel sends the child when this process dies (Linux only); nothing to one that has
    /// to live on for a while.
    pub parent_death_signal: Option<Signal>,
    /// Whether the child leads its own process group. If so, whatever it has started is killed
    /// with it, and a Ctrl-C at our terminal does not reach it.
    pub own_group: bool,
    /// The leader of the process group that the child joins, where that is neither ours nor its own. It
    /// must be a child of ours that has not been waited for.
    pub group_of: Option<u32>,
}

/// What a child reads.
#[derive(Debug)]
pub enum Stdin {
    /// Nothing.
    Null,
    /// What we would read.
    Inherit,
    /// What we write into [`Child::stdin`].
    Pipe,
    /// A socket (or any other file) of the caller's.
    #[cfg(unix)]
    Socket(std::os::fd::OwnedFd),
}

/// Where an output stream of a child goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Away.
    Null,
    /// To us, line by line.
    Pipe,
    /// To where ours goes.
    Inherit,
}

impl CommandSpec {
    /// A command with nothing on its standard streams, in its own group, killed with its parent.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            env_remove: Vec::new(),
            current_dir: None,
            stdin: Stdin::Null,
            stdout: Output::Null,
            stderr: Output::Null,
            parent_death_signal: Some(Signal::Kill),
            own_group: true,
            group_of: None,
        }
    }

    /// A command in our place at the terminal: it has our streams and our group, so that a Ctrl-C
    /// reaches it. It is asked to end when we die.
    pub fn foreground(program: impl Into<PathBuf>) -> Self {
        Self {
            stdin: Stdin::Inherit,
            stdout: Output::Inherit,
            stderr: Output::Inherit,
            parent_death_signal: Some(Signal::Term),
            own_group: false,
            ..Self::new(program)
        }
    }

    /// Adds arguments.
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// The command with everything but its standard streams.
    pub(crate) fn to_command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).envs(self.env.iter().map(|(name, value)| (name, value)));
        for name in &self.env_remove {
            command.env_remove(name);
        }
        if let Some(dir) = &self.current_dir {
            command.current_dir(dir);
        }
        command
    }

    fn start(self) -> Result<Process, SpawnError> {
        let mut command = self.to_command();
        command.stdin(match self.stdin {
            Stdin::Null => Stdio::null(),
            Stdin::Inherit => Stdio::inherit(),
            Stdin::Pipe => Stdio::piped(),
            #[cfg(unix)]
            Stdin::Socket(socket) => Stdio::from(socket),
        });
        command.stdout(self.stdout.stdio()).stderr(self.stderr.stdio());
        let group = if self.own_group { Some(0) } else { self.group_of };
        os::prepare(&mut command, self.parent_death_signal, group);
        let (program, dir) = (&self.program, self.current_dir.as_deref());
        let child = command.spawn().map_err(|error| SpawnError::new(program, dir, error))?;
        Process::watch(child, self.own_group).map_err(|error| SpawnError::new(program, None, error))
    }
}

impl Output {
    fn stdio(self) -> Stdio {
        match self {
            Self::Null => Stdio::null(),
            Self::Pipe => Stdio::piped(),
            Self::Inherit => Stdio::inherit(),
        }
    }
}

/// A program could not be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start {}: {reason}", program.display())]
pub struct SpawnError {
    program: PathBuf,
    reason: String,
    source: io::Error,
}

impl SpawnError {
    pub(crate) fn new(program: &Path, dir: Option<&Path>, source: io::Error) -> Self {
        let missing_dir = dir.filter(|dir| !dir.is_dir());
        let reason = match (source.kind(), missing_dir) {
            (_, Some(dir)) => format!("its working directory {} does not exist", dir.display()),
            (io::ErrorKind::NotFound, _) if program.components().count() < 2 => {
                "no such program in PATH".to_owned()
            }
            (io::ErrorKind::NotFound, _) if program.exists() => {
                "the interpreter or loader it names does not exist".to_owned()
            }
            (io::ErrorKind::NotFound, _) => "no such file".to_owned(),
            (io::ErrorKind::PermissionDenied, _) => {
                "permission denied (is it an executable file?)".to_owned()
            }
            _ => source.to_string(),
        };
        Self { program: program.to_owned(), reason, source }
    }

    /// Why the program could not be started.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

type Reply = oneshot::Sender<Result<Process, SpawnError>>;
type Job = (CommandSpec, Reply);

/// The way to start processes; clones share the one thread.
#[derive(Debug, Clone)]
pub struct Spawner {
    jobs: mpsc::Sender<Job>,
}

impl Spawner {
    /// The spawner of this process. The first call starts its thread, which lives as long as the
    /// process does.
    pub fn permanent() -> io::Result<Self> {
        static SPAWNER: Mutex<Option<Spawner>> = Mutex::new(None);
        let mut spawner = SPAWNER.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(spawner) = &*spawner {
            return Ok(spawner.clone());
        }
        let (jobs, queue) = mpsc::channel();
        std::thread::Builder::new().name("spawner".into()).spawn(move || serve(&queue))?;
        // The static keeps one sender, so that the queue, and with it the thread, never ends.
        Ok(spawner.insert(Self { jobs }).clone())
    }

    /// Starts a process. To be called within a tokio runtime, which will drive the child's pipes.
    ///
    /// A child whose future is dropped before it is returned is killed.
    pub async fn spawn(&self, command: CommandSpec) -> Result<Child, SpawnError> {
        let program = command.program.clone();
        let ended = || SpawnError::new(&program, None, io::Error::other("the spawner has failed"));
        let (reply, result) = oneshot::channel();
        self.jobs.send((command, reply)).map_err(|_| ended())?;
        let process = result.await.map_err(|_| ended())??;
        Child::new(process).map_err(|error| SpawnError::new(&program, None, error))
    }
}

fn serve(queue: &mpsc::Receiver<Job>) {
    for (command, reply) in queue {
        // Were this thread to unwind, the kernel would kill every child that it has started.
        let start = std::panic::AssertUnwindSafe(|| command.start());
        if let Ok(result) = std::panic::catch_unwind(start) {
            // Nobody waits for it any more: the process is dropped, and thereby killed.
            let _ = reply.send(result);
        }
    }
}
