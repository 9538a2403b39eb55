//! Commands, and the one permanent thread that forks.
//!
//! Linux ties a child's death signal to the *thread* that forked it: a pool thread that ends when
//! idle would kill its children. So every spawn goes through one thread that never ends.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};

use tokio::sync::oneshot;

use crate::child::Child;
use crate::os::{self, Signal};
use crate::process::Process;

/// Command to start: program, arguments, environment, streams, process group.
#[derive(Debug)]
pub struct CommandSpec {
    /// The program: a path, or a name that is looked up in PATH.
    pub program: PathBuf,
    /// The arguments.
    pub args: Vec<OsString>,
    /// Environment variables to set, on top of the inherited ones.
    pub env: Vec<(OsString, OsString)>,
    /// Inherited environment variables to remove.
    pub env_remove: Vec<OsString>,
    /// The working directory; ours if `None`.
    pub current_dir: Option<PathBuf>,
    /// Standard input.
    pub stdin: Stdin,
    /// Standard output.
    pub stdout: Output,
    /// Standard error.
    pub stderr: Output,
    /// The signal that the child gets from the kernel when this process dies (Linux only); `None`
    /// for a child that outlives it for a while.
    pub parent_death_signal: Option<Signal>,
    /// Whether the child leads its own process group. Its group is then killed with it, and a
    /// Ctrl-C at our terminal does not reach it.
    pub own_group: bool,
    /// The leader of another process group that the child joins: a child of ours that has not been
    /// reaped.
    pub group_of: Option<u32>,
}

/// Standard input of a child.
#[derive(Debug)]
pub enum Stdin {
    /// `/dev/null`.
    Null,
    /// Our own.
    Inherit,
    /// A pipe: [`Child::stdin`].
    Pipe,
    /// A socket, or another open file.
    #[cfg(unix)]
    Socket(std::os::fd::OwnedFd),
}

/// Output stream of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// `/dev/null`.
    Null,
    /// A pipe, read line by line.
    Pipe,
    /// Our own stream.
    Inherit,
}

impl CommandSpec {
    /// A command with null streams, in its own process group, killed with its parent.
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

    /// A command in the foreground of the terminal: it has our streams and our process group, so
    /// that a Ctrl-C reaches it. It gets SIGTERM when we die.
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

    /// The standard library's command, without standard streams.
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

    fn spawn(self) -> Result<Process, SpawnError> {
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

/// Why a program cannot be started.
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

    /// The reason, without the program's name.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

type SpawnRequest = (CommandSpec, oneshot::Sender<Result<Process, SpawnError>>);

/// Handle of the thread that starts processes; clones share the thread.
#[derive(Debug, Clone)]
pub struct Spawner {
    requests: mpsc::Sender<SpawnRequest>,
}

impl Spawner {
    /// The spawner of this process. The first call starts its thread, which never ends.
    pub fn permanent() -> io::Result<Self> {
        static SPAWNER: Mutex<Option<Spawner>> = Mutex::new(None);
        let mut spawner = SPAWNER.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(spawner) = &*spawner {
            return Ok(spawner.clone());
        }
        let (requests, queue) = mpsc::channel();
        std::thread::Builder::new().name("spawner".into()).spawn(move || serve(&queue))?;
        // The static keeps one sender, so the queue and the thread never end.
        Ok(spawner.insert(Self { requests }).clone())
    }

    /// Starts a process. Must be called within a tokio runtime, which drives the child's pipes.
    ///
    /// If the future is dropped, the child is killed.
    pub async fn spawn(&self, command: CommandSpec) -> Result<Child, SpawnError> {
        let program = command.program.clone();
        let ended = || SpawnError::new(&program, None, io::Error::other("the spawner has failed"));
        let (reply, result) = oneshot::channel();
        self.requests.send((command, reply)).map_err(|_| ended())?;
        let process = result.await.map_err(|_| ended())??;
        Child::new(process).map_err(|error| SpawnError::new(&program, None, error))
    }
}

fn serve(queue: &mpsc::Receiver<SpawnRequest>) {
    for (command, reply) in queue {
        // If this thread unwound, the kernel would kill every child that it has started.
        let spawn = std::panic::AssertUnwindSafe(|| command.spawn());
        if let Ok(result) = std::panic::catch_unwind(spawn) {
            // Fails if the caller has gone: the process is dropped, which kills it.
            let _ = reply.send(result);
        }
    }
}
