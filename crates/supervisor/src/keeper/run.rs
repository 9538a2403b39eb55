//! One run of a child, from its spawn to its exit.
//!
//! Stopping escalates: the `stop` line, SIGTERM, SIGKILL. The keeper receives the run's events and
//! decides what follows the exit.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWriteExt};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, info, warn};

use super::{EntrySpec, LogSink};
use crate::child::Child;
use crate::lines::Lines;
use crate::process::Exit;
use crate::protocol::{MAX_REPORT_BYTES, ParentMessage, Report, STOP};
use crate::spawn::{Output, Spawner, Stdin};

/// Longest wait for the end of the pipes after the exit: a grandchild may hold them open.
const PIPE_DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Time to exit after SIGKILL. A process that takes longer hangs in the kernel.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// Last lines of stderr that an error quotes.
const QUOTED_LINES: usize = 3;
/// Characters of each quoted line.
const QUOTED_CHARS: usize = 300;

/// Event of a run, for the keeper.
#[derive(Debug)]
pub(super) struct RunEvent {
    /// The entry.
    pub(super) id: String,
    /// The number of the run: an event of an earlier run is ignored.
    pub(super) run: u64,
    pub(super) kind: RunEventKind,
}

#[derive(Debug)]
pub(super) enum RunEventKind {
    /// The process exists.
    Spawned { pid: u32, at: SystemTime },
    /// The child has reported ready.
    Ready { detail: Value },
    /// The child has reported a new detail.
    Status { detail: Value },
    /// SIGKILL does not end the process.
    Stuck { pid: u32 },
    /// The process has ended. The last event of a run.
    Ended { error: String },
}

/// Task of one run.
pub(super) struct ChildRun {
    pub(super) number: u64,
    pub(super) spec: Arc<EntrySpec>,
    pub(super) spawner: Spawner,
    pub(super) log: LogSink,
    pub(super) stop: CancellationToken,
    /// Receives the reason to kill the process.
    pub(super) kill_reason: Option<oneshot::Receiver<String>>,
    /// Messages to the child.
    pub(super) messages: mpsc::Receiver<Value>,
    pub(super) events: mpsc::Sender<RunEvent>,
}

impl ChildRun {
    /// Runs the child until its exit. The last event is always [`RunEventKind::Ended`].
    pub(super) async fn run_to_end(self) {
        let (id, run, events) = (self.spec.id.clone(), self.number, self.events.clone());
        // A separate task, because the command's factory and the log are foreign code: if they
        // panic, the entry must still get its last event.
        let error = match tokio::spawn(self.supervise_child()).await {
            Ok(error) => error,
            Err(error) => format!("internal error: {error}"),
        };
        // Fails if the keeper has ended.
        let _ = events.send(RunEvent { id, run, kind: RunEventKind::Ended { error } }).await;
    }

    async fn supervise_child(mut self) -> String {
        let mut command = (self.spec.command)();
        command.stdin = Stdin::Pipe;
        command.stdout = Output::Pipe;
        command.stderr = Output::Pipe;
        let mut child = match self.spawner.spawn(command).await {
            Ok(child) => child,
            Err(error) => return error.to_string(),
        };
        self.send_event(RunEventKind::Spawned { pid: child.pid(), at: SystemTime::now() }).await;
        let tail = Arc::new(StderrTail::default());
        let (_, no_messages) = mpsc::channel(1);
        let messages = std::mem::replace(&mut self.messages, no_messages);
        let _stdin_writer = child.stdin.take().map(|pipe| {
            let task = write_stdin(pipe, self.assignment_line(), messages, self.stop.clone());
            AbortOnDropHandle::new(tokio::spawn(task))
        });
        let reader = child.stderr.take().map(|pipe| {
            let task = read_stderr(pipe, self.spec.id.clone(), self.log.clone(), tail.clone());
            AbortOnDropHandle::new(tokio::spawn(task))
        });
        let mut stdout = child.stdout.take().map(|lines| lines.limited(MAX_REPORT_BYTES));
        let mut escalation = Escalation::new(&self.spec);
        let mut failure = None;

        let exit = loop {
            tokio::select! {
                exit = child.wait() => break exit,
                report = next_report(&mut stdout, &self.spec.id, &self.log) => {
                    self.on_report(report, &mut escalation, &mut failure).await;
                }
                reason = receive_kill_reason(&mut self.kill_reason), if escalation.stage == RunStage::Up => {
                    warn!(entry = %self.spec.id, pid = child.pid(), reason, "killing it");
                    child.kill_group();
                    escalation.enter(RunStage::Killed, Some(KILL_TIMEOUT));
                    failure.get_or_insert(reason);
                }
                () = self.stop.cancelled(), if !escalation.asked => escalation.ask_to_stop(),
                () = sleep_until_deadline(escalation.deadline) => {
                    if let Some(text) = self.escalate(&mut escalation, &child).await {
                        failure.get_or_insert(text);
                    }
                }
            }
        };

        // The last reports, unless a grandchild holds the pipes open.
        let _ = timeout(PIPE_DRAIN_TIMEOUT, async {
            while stdout.is_some() {
                let report = next_report(&mut stdout, &self.spec.id, &self.log).await;
                self.on_report(report, &mut escalation, &mut failure).await;
            }
            if let Some(reader) = reader {
                let _ = reader.await;
            }
        })
        .await;
        info!(entry = %self.spec.id, pid = child.pid(), %exit, "process ended");
        failure.unwrap_or_else(|| tail.explain(exit))
    }

    async fn on_report(
        &self,
        report: Option<Report>,
        escalation: &mut Escalation,
        failure: &mut Option<String>,
    ) {
        match report {
            Some(Report::Ready { detail }) => {
                escalation.mark_ready();
                self.send_event(RunEventKind::Ready { detail }).await;
            }
            Some(Report::Status { detail }) => {
                self.send_event(RunEventKind::Status { detail }).await
            }
            Some(Report::Failed { error }) => {
                warn!(entry = %self.spec.id, error, "reports that it has failed");
                *failure = Some(error);
                escalation.mark_failed();
            }
            None => {}
        }
    }

    /// Takes the next step after a deadline. Returns the error if the missed deadline is a crash.
    async fn escalate(&self, escalation: &mut Escalation, child: &Child) -> Option<String> {
        let (entry, pid) = (&self.spec.id, child.pid());
        match escalation.stage {
            RunStage::Starting => {
                let timeout = self.spec.ready_timeout;
                warn!(%entry, pid, ?timeout, "not ready in time: killing it");
                child.kill_group();
                escalation.enter(RunStage::Killed, Some(KILL_TIMEOUT));
                return Some(format!("not ready within {timeout:?}"));
            }
            RunStage::Failing => {
                warn!(%entry, pid, "has failed but does not exit: killing it");
                child.kill_group();
                escalation.enter(RunStage::Killed, Some(KILL_TIMEOUT));
            }
            RunStage::Asked => {
                warn!(%entry, pid, after = ?self.spec.stop_grace, "does not stop: sending SIGTERM");
                child.terminate();
                escalation.enter(RunStage::Terminated, Some(self.spec.term_grace));
            }
            RunStage::Terminated => {
                warn!(%entry, pid, after = ?self.spec.term_grace, "does not end: sending SIGKILL");
                child.kill_group();
                escalation.enter(RunStage::Killed, Some(KILL_TIMEOUT));
            }
            RunStage::Killed => {
                warn!(%entry, pid, "does not end even when killed: it hangs in the kernel");
                escalation.enter(RunStage::Killed, None);
                self.send_event(RunEventKind::Stuck { pid }).await;
            }
            RunStage::Up => {}
        }
        None
    }

    async fn send_event(&self, kind: RunEventKind) {
        let event = RunEvent { id: self.spec.id.clone(), run: self.number, kind };
        // Fails if the keeper has ended, which has cancelled `stop` as well.
        let _ = self.events.send(event).await;
    }

    fn assignment_line(&self) -> Vec<u8> {
        format!("{}\n", self.spec.assignment).into_bytes()
    }
}

/// Stage of a run, and the deadline after which [`ChildRun::escalate`] takes the next step.
struct Escalation {
    stage: RunStage,
    deadline: Option<Instant>,
    /// The stop signal has been handled.
    asked: bool,
    stop_grace: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RunStage {
    /// Not ready yet.
    Starting,
    /// Ready.
    Up,
    /// Has reported `failed`, and exits by itself.
    Failing,
    /// The `stop` line has been sent.
    Asked,
    /// SIGTERM has been sent.
    Terminated,
    /// SIGKILL has been sent.
    Killed,
}

impl Escalation {
    fn new(spec: &EntrySpec) -> Self {
        let deadline = Some(Instant::now() + spec.ready_timeout);
        Self { stage: RunStage::Starting, deadline, asked: false, stop_grace: spec.stop_grace }
    }

    fn enter(&mut self, stage: RunStage, limit: Option<Duration>) {
        self.stage = stage;
        self.deadline = limit.map(|limit| Instant::now() + limit);
    }

    fn mark_ready(&mut self) {
        if self.stage == RunStage::Starting {
            self.enter(RunStage::Up, None);
        }
    }

    fn mark_failed(&mut self) {
        if matches!(self.stage, RunStage::Starting | RunStage::Up) {
            self.enter(RunStage::Failing, Some(self.stop_grace));
        }
    }

    fn ask_to_stop(&mut self) {
        self.asked = true;
        if self.stage != RunStage::Killed {
            self.enter(RunStage::Asked, Some(self.stop_grace));
        }
    }
}

/// Waits for the reason to kill the process; never returns without one.
async fn receive_kill_reason(receiver: &mut Option<oneshot::Receiver<String>>) -> String {
    if let Some(pending) = receiver {
        let reason = pending.await;
        *receiver = None;
        // An error means that the keeper has dropped this run, which cancels `stop` too.
        if let Ok(reason) = reason {
            return reason;
        }
    }
    std::future::pending().await
}

async fn sleep_until_deadline(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Writes the assignment, the messages, then the `stop` line. A child that does not read blocks
/// only this task. The pipe stays open until the task is aborted: to the child, its end is our
/// death.
async fn write_stdin(
    mut pipe: ChildStdin,
    assignment: Vec<u8>,
    mut messages: mpsc::Receiver<Value>,
    stop: CancellationToken,
) {
    // An error means that the child has ended or closed its stdin; the deadlines handle both.
    if let Err(error) = pipe.write_all(&assignment).await {
        debug!(%error, "a child does not read its assignment");
    }
    while let Some(Some(message)) = stop.run_until_cancelled(messages.recv()).await {
        // Whole lines only, so that the `stop` line is a line.
        let line = ParentMessage { message }.to_line();
        if let Err(error) = pipe.write_all(line.as_bytes()).await {
            debug!(%error, "a child does not read its messages");
        }
    }
    stop.cancelled().await;
    let _ = pipe.write_all(format!("{STOP}\n").as_bytes()).await;
    std::future::pending::<()>().await;
}

/// Reads a line of stdout. Returns it if it is a report, otherwise logs it. Sets `stdout` to `None`
/// at its end, and never returns after that.
async fn next_report(
    stdout: &mut Option<Lines<ChildStdout>>,
    id: &str,
    log: &LogSink,
) -> Option<Report> {
    let Some(lines) = stdout else { return std::future::pending().await };
    match lines.next().await {
        Ok(Some(line)) => {
            let report = Report::parse(&line);
            if report.is_none() {
                log(id, &line);
            }
            report
        }
        Ok(None) => {
            *stdout = None;
            None
        }
        Err(error) => {
            warn!(entry = %id, %error, "cannot read the reports");
            *stdout = None;
            None
        }
    }
}

async fn read_stderr(
    mut lines: Lines<impl AsyncRead + Unpin>,
    id: String,
    log: LogSink,
    tail: Arc<StderrTail>,
) {
    while let Ok(Some(line)) = lines.next().await {
        tail.push(&line);
        log(&id, &line);
    }
}

/// Last lines of stderr that may explain the exit: a panic, an error of the loader or a shell.
/// Lines of a structured log are left out: they say what the run did, not why it ended.
#[derive(Default)]
struct StderrTail(Mutex<VecDeque<String>>);

impl StderrTail {
    fn push(&self, line: &str) {
        let line = line.trim();
        // Only the beginning is checked, because a long record is cut.
        let is_record = line.starts_with("{\"");
        if line.is_empty() || is_record {
            return;
        }
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == QUOTED_LINES {
            lines.pop_front();
        }
        lines.push_back(line.chars().take(QUOTED_CHARS).collect());
    }

    /// The exit, then the lines: those of a long run may have nothing to do with it.
    fn explain(&self, exit: Exit) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.is_empty() {
            return exit.to_string();
        }
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        format!("{exit}: {}", lines.join(" | "))
    }
}
