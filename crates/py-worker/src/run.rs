//! One run of a worker: from the start of its process to its death.
//!
//! Owns the process, its control socket and its ready channels. Knows nothing of what happens after
//! the end; that is [`supervise`](crate::supervise)'s.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use supervisor::{
    Child, CommandSpec, Exit, Output, ProcessHandle, Signal, SpawnError, Spawner, Stdin,
};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use wire::value::{Dict, Value};

use crate::channel::Channel;
use crate::control::{self, Facts, FrameReader, Message, Outgoing};
use crate::oneway_ends::OnewayEnds;
use crate::orphan_killer::Guard;
use crate::output;
use crate::protocol;
use crate::reap_descendants::Mark;
use crate::script;
use crate::spec::WorkerSpec;

/// Returned channels beyond this many more than those on standby are closed.
const SPARE: usize = 12;
/// How long an interpreter may take to say hello. A cold start from a network drive is slow.
const HELLO: Duration = Duration::from_secs(30);
/// One whose end of the socket is closed must be gone by then.
const END_TIMEOUT: Duration = Duration::from_secs(2);
/// The oldest Python that the worker's program runs with.
const OLDEST_MINOR: u32 = 8;
/// Number of heaps of the C library's allocator, as its environment variable. With a heap for each
/// thread, each keeps up to 64 MiB that its thread has freed. Python's lock lets one thread
/// allocate at a time anyway. The leading zero marks the value as ours: `boot.py` removes it.
const ARENAS: (&str, &str) = ("MALLOC_ARENA_MAX", "01");

/// A worker's process that runs, or that has ended and whose callers still ask why.
#[derive(Debug)]
pub(crate) struct Run {
    /// Rises with each start.
    pub number: u64,
    /// The process.
    pub process: ProcessHandle,
    /// The interpreter.
    pub facts: Facts,
    /// Cancelled when the process has ended.
    pub over: CancellationToken,
    /// Why we have killed it, if we have.
    pub verdict: OnceLock<String>,
    /// Whether it has answered a call since its supervisor looked last.
    pub has_answered: AtomicBool,
    /// Its oneway calls.
    pub oneways: OnewayEnds,
    /// More channels are wanted.
    pub wanted: Notify,
    /// Why it serves no new channels; `None` while it does.
    refusal: Mutex<Option<String>>,
    /// Set while it does not answer.
    silence: Mutex<Option<Silence>>,
    /// The sessions of polls that run in it.
    polls: Mutex<HashSet<u64>>,
    outgoing: mpsc::UnboundedSender<Outgoing>,
    ready: Mutex<Vec<Channel>>,
    /// How many channels are kept ready.
    standby: usize,
}

/// The silence of a worker whose interpreter does not move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Silence {
    /// When it was heard last.
    pub since: SystemTime,
    /// Whether a signal has stopped its process.
    pub is_stopped: bool,
}

/// A run that has started, and its parts that belong to the worker's supervisor.
pub(crate) struct Started {
    /// The run.
    pub run: Run,
    /// The child; when it is dropped, its process group is killed.
    pub child: Child,
    /// Messages of the worker.
    pub messages: FrameReader<OwnedReadHalf>,
    /// Process that ends the worker if this daemon dies first.
    pub guard: Option<Guard>,
    /// Mark on all descendants of the worker.
    pub mark: Mark,
}

/// Why there is no run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    #[error("{executable} {exit} before its worker was up{last}; Python 3.8 or later is needed")]
    Died { executable: String, exit: String, last: String },
    #[error("{0} has not started its worker within 30 s")]
    Silent(String),
    #[error("{executable} is Python {version}; 3.8 or later is needed")]
    TooOld { executable: String, version: String },
    #[error("the worker speaks version {0} of the protocol")]
    Version(i64),
    #[error("cannot talk to the worker: {0}")]
    Io(#[from] io::Error),
    #[error("the worker's program cannot be sent: {0}")]
    Program(#[from] wire::EncodeError),
}

/// A poll that runs until this is dropped.
pub(crate) struct RunningPoll<'a> {
    run: &'a Run,
    session: u64,
}

impl Drop for RunningPoll<'_> {
    fn drop(&mut self) {
        self.run.polls.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.session);
    }
}

impl Run {
    /// A poll of this session begins.
    pub(crate) fn begin_poll(&self, session: u64) -> RunningPoll<'_> {
        self.polls.lock().unwrap_or_else(PoisonError::into_inner).insert(session);
        RunningPoll { run: self, session }
    }

    /// The sessions of polls that run.
    pub(crate) fn polls(&self) -> HashSet<u64> {
        self.polls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Starts a worker.
    pub(crate) async fn start(
        spec: &WorkerSpec,
        spawner: &Spawner,
        number: u64,
    ) -> Result<Started, StartError> {
        let program = script::frames()?;
        let (control, theirs) = socket_pair()?;
        let mark = Mark::new();
        let mut child = spawner.spawn(command(spec, &mark, theirs)).await?;
        let guard = Guard::start(spawner, child.pid(), &mark).await;
        let (reader, writer) = control.into_split();
        let mut messages = FrameReader::new(reader);
        let (outgoing, queue) = mpsc::unbounded_channel();
        tokio::spawn(control::send_all(writer, queue));
        let send = |message| {
            // The writing task ends with the worker only, which the reader sees to.
            let _ = outgoing.send(message);
        };
        send(Outgoing::raw(program));

        let only_service = match spec.services.as_slice() {
            [service] => Some(service.name.clone()),
            _ => None,
        };
        let printed = output::Printed::new(&spec.name, only_service.as_deref());
        let last_words = output::follow_streams(&mut child, &printed);
        let process = child.handle();
        let facts = match tokio::time::timeout(HELLO, messages.next()).await {
            Ok(Ok(Some(content))) => greeting(content)?,
            Ok(Ok(None) | Err(_)) => {
                // It may have closed its input and live on: not for longer than this.
                let exit = match tokio::time::timeout(END_TIMEOUT, process.wait()).await {
                    Ok(exit) => exit_text(exit),
                    Err(_) => {
                        process.kill_group();
                        "closed its standard input, which a worker must not".to_owned()
                    }
                };
                let last = last_words.get().map(|line| format!(" ({line})")).unwrap_or_default();
                return Err(StartError::Died { executable: executable(spec), exit, last });
            }
            Err(_) => return Err(StartError::Silent(executable(spec))),
        };

        let (log, log_end) = socket_pair()?;
        tokio::spawn(output::follow_records(log, printed));
        send(Outgoing::start(settings(spec, &mark, only_service), log_end));
        send(Outgoing::load(&spec.services));
        let run = Run {
            number,
            process,
            facts,
            over: CancellationToken::new(),
            verdict: OnceLock::new(),
            has_answered: AtomicBool::new(false),
            oneways: OnewayEnds::default(),
            wanted: Notify::new(),
            refusal: Mutex::default(),
            silence: Mutex::default(),
            polls: Mutex::default(),
            outgoing,
            ready: Mutex::new(Vec::new()),
            standby: spec.standby,
        };
        run.refill();
        Ok(Started { run, child, messages, guard, mark })
    }

    /// Sends something to the worker. A worker that is gone gets nothing.
    pub(crate) fn send(&self, message: Outgoing) {
        let _ = self.outgoing.send(message);
    }

    /// A channel of the worker's, a ready one if there is one.
    pub(crate) fn channel(&self) -> io::Result<Channel> {
        loop {
            let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(channel) = ready else { return self.new_channel() };
            self.wanted.notify_one();
            // The worker has closed those that it could not serve when they were made.
            if !channel.has_ended() {
                return Ok(channel);
            }
        }
    }

    pub(crate) fn set_refusal(&self, reason: Option<String>) {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }

    /// Why the worker serves no new channels; `None` while it does.
    pub(crate) fn refusal(&self) -> Option<String> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes back a channel that belongs to no session any more.
    pub(crate) fn give_back(&self, channel: Channel) {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if ready.len() < self.standby + SPARE && !self.over.is_cancelled() {
            ready.push(channel);
        }
    }

    /// Makes channels until enough are ready.
    pub(crate) fn refill(&self) {
        let missing = {
            let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
            self.standby.saturating_sub(ready.len())
        };
        for _ in 0..missing {
            // Without descriptors no channel is made ahead; a call that needs one reports it.
            let Ok(channel) = self.new_channel() else { return };
            self.ready.lock().unwrap_or_else(PoisonError::into_inner).push(channel);
        }
    }

    fn new_channel(&self) -> io::Result<Channel> {
        let (channel, theirs) = Channel::pair()?;
        // Bytes written before the worker has taken its end wait in the socket.
        self.send(Outgoing::channel(theirs));
        Ok(channel)
    }

    /// A channel whose requests are carried out on a thread beside all calls.
    ///
    /// # Errors
    /// There are no more file descriptors.
    pub(crate) fn channel_beside(&self) -> io::Result<Channel> {
        let (channel, theirs) = Channel::pair()?;
        self.send(Outgoing::beside(theirs));
        Ok(channel)
    }

    /// Sets or clears the silence of the worker.
    pub(crate) fn set_silence(&self, silence: Option<Silence>) {
        *self.silence.lock().unwrap_or_else(PoisonError::into_inner) = silence;
    }

    /// The silence of the worker, if its interpreter does not move.
    pub(crate) fn silence(&self) -> Option<Silence> {
        *self.silence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The process has ended: nothing that waits for it waits any longer.
    pub(crate) fn end(&self) {
        self.over.cancel();
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Whether the process has ended by a signal that this daemon has not sent.
    pub(crate) fn is_killed_from_outside(&self) -> bool {
        self.verdict.get().is_none() && self.process.exited().is_some_and(is_kill)
    }

    /// How the process ended, as a predicate: `was killed by SIGSEGV`; `None` while it lives.
    pub(crate) fn fate(&self) -> Option<String> {
        let exit = self.process.exited()?;
        Some(self.verdict.get().cloned().unwrap_or_else(|| exit_text(exit)))
    }
}

/// Signals that people and other programs end a process with. A process that dies by itself ends by
/// its own exit, or by the signal of its error.
const KILLS: [rustix::process::Signal; 4] = {
    use rustix::process::Signal;
    [Signal::KILL, Signal::TERM, Signal::INT, Signal::HUP]
};

fn is_kill(exit: Exit) -> bool {
    matches!(exit, Exit::Signal(number) if KILLS.iter().any(|kill| kill.as_raw() == number))
}

/// How a process ended, as what one says of it.
pub(crate) fn exit_text(exit: Exit) -> String {
    match exit {
        Exit::Signal(_) => format!("was {exit}"),
        Exit::Code(_) | Exit::Unknown => exit.to_string(),
    }
}

fn executable(spec: &WorkerSpec) -> String {
    spec.python.executable.display().to_string()
}

/// Our end of a connected pair, and that for the worker.
fn socket_pair() -> io::Result<(UnixStream, OwnedFd)> {
    let (ours, theirs) = StdStream::pair()?;
    ours.set_nonblocking(true)?;
    Ok((UnixStream::from_std(ours)?, theirs.into()))
}

fn command(spec: &WorkerSpec, mark: &Mark, control: OwnedFd) -> CommandSpec {
    let mut command = CommandSpec::new(&spec.python.executable).args([
        "-c",
        script::BOOTSTRAP,
        "ferrolab-worker",
        spec.name.as_str(),
    ]);
    command.env = spec.python.env.iter().map(|(name, value)| (name.into(), value.into())).collect();
    command.env.push(mark.to_environment());
    let is_set = |(name, _): &(OsString, OsString)| name == ARENAS.0;
    if std::env::var_os(ARENAS.0).is_none() && !command.env.iter().any(is_set) {
        command.env.push((ARENAS.0.into(), ARENAS.1.into()));
    }
    command.stdin = Stdin::Socket(control);
    command.stdout = Output::Pipe;
    command.stderr = Output::Pipe;
    // The worker may release its instruments when we die; its guard sees to it that this takes no
    // longer than it may.
    command.parent_death_signal = Some(Signal::Term);
    command.own_group = true;
    command
}

pub(crate) fn settings(spec: &WorkerSpec, mark: &Mark, only_service: Option<String>) -> Dict {
    let path = spec.python.path.iter().map(|entry| entry.display().to_string().into()).collect();
    let mut settings = Dict::with_capacity(7);
    settings.insert("mark", mark.number());
    settings.insert("path", Value::List(path));
    settings.insert("multiplex", spec.multiplex);
    settings.insert("imports_only", spec.imports_only);
    settings.insert("max_answer_bytes", u64::try_from(spec.max_answer_bytes).unwrap_or(u64::MAX));
    settings.insert("only_service", only_service);
    settings.insert("log_level", output::python_level());
    settings
}

fn greeting(content: Value) -> Result<Facts, StartError> {
    match Message::read(content) {
        Some(Message::Hello { version: protocol::VERSION, facts }) => {
            let mut parts = facts.version.split('.').map(|part| part.parse().unwrap_or(0));
            let version: (u32, u32) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
            if version < (3, OLDEST_MINOR) {
                let Facts { version, executable, .. } = facts;
                return Err(StartError::TooOld { executable, version });
            }
            Ok(facts)
        }
        Some(Message::Hello { version, .. }) => Err(StartError::Version(version)),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "its first word is no hello").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_is_told_from_a_death_by_itself() {
        let (kills, others) = ([9, 15, 2, 1].map(Exit::Signal), [11, 6, 4].map(Exit::Signal));
        assert!(kills.into_iter().all(is_kill));
        assert!(!others.into_iter().chain([Exit::Code(1), Exit::Unknown]).any(is_kill));
    }
}
