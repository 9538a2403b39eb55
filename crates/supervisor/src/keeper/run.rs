//! One run of a child, from its spawn to its end.
//!
//! Owns: the process, its pipes, and the escalation of stopping it: the `stop` line, SIGTERM, SIGKILL.
//! Refuses to know: what happens after the end; it reports and that is all.

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
use crate::protocol::{MAX_REPORT_BYTES, Report, STOP};
use crate::spawn::{Output, Spawner, Stdin};

/// How long to read on after the end of a process: something that it started may hold the pipe.
const PIPE_DRAIN_TIMEOUT: Duration = Duration::from_millis(500);

/// A process that outlives SIGKILL for so long hangs in the kernel.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// How many of the last lines of stderr an error quotes, and how much of each.
const QUOTED_LINES: usize = 3;
const QUOTED_CHARS: usize = 300;

/// News of a run.
#[derive(Debug)]
pub(super) struct RunEvent {
    /// The entry.
    pub(super) id: String,
    /// Which of its runs.
    pub(super) run: u64,
    pub(super) kind: RunEventKind,
}

#[derive(Debug)]
pub(super) enum RunEventKind {
    /// The process exists.
    Spawned { pid: u32, at: SystemTime },
    /// It serves.
    Ready { detail: Value },
    /// It has something new to say about itself.
    Status { detail: Value },
    /// It does not end, though it was killed.
    Stuck { pid: u32 },
    /// It is gone. The last event of a run.
    Ended { error: String },
}

/// What a run needs.
pub(super) struct Run {
    pub(super) number: u64,
    pub(super) spec: Arc<EntrySpec>,
    pub(super) spawner: Spawner,
    pub(super) log: LogSink,
    pub(super) stop: CancellationToken,
    /// The reason for which it is to be killed.
    pub(super) kill_reason: Option<oneshot::Receiver<String>>,
    pub(super) events: mpsc::Sender<RunEvent>,
}

impl Run {
    /// Leads the child through its life. Always ends with [`RunEventKind::Ended`].
    pub(super) async fn run_to_end(self) {
        let (id, run, events) = (self.spec.id.clone(), self.number, self.events.clone());
        // In a task of its own, since the command's factory and the log are others' code: should
        // they panic, the entry must not wait for ever for a run that is no more.
        let error = match tokio::spawn(self.supervise_child()).await {
            Ok(error) => error,
            Err(error) => format!("internal error: {error}"),
        };
        // Fails if the keeper is gone, and then nobody wants to know.
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
        let _feeder = child.stdin.take().map(|pipe| {
            let task = write_stdin(pipe, self.assignment_line(), self.stop.clone());
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

        // The last words, unless something else holds the pipes.
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

    /// A deadline has passed: takes the next step. Returns an error text if that was a crash.
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
        // Fails if the keeper is gone; its end has cancelled `stop` as well.
        let _ = self.events.send(event).await;
    }

    fn assignment_line(&self) -> Vec<u8> {
        format!("{}\n", self.spec.assignment).into_bytes()
    }
}

/// How far a run has come, and what is to happen when.
struct Escalation {
    stage: RunStage,
    deadline: Option<Instant>,
    /// The stop has been seen.
    asked: bool,
    stop_grace: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RunStage {
    /// Not ready yet.
    Starting,
    /// Ready.
    Up,
    /// It says that it has failed, and is to exit by itself.
    Failing,
    /// It has been sent the `stop` line.
    Asked,
    /// It has been sent SIGTERM.
    Terminated,
    /// It has been sent SIGKILL.
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

/// Why the process is to be killed; never returns if it is not.
async fn receive_kill_reason(receiver: &mut Option<oneshot::Receiver<String>>) -> String {
    if let Some(verdict) = receiver {
        let reason = verdict.await;
        *receiver = None;
        // An error means that the keeper has forgotten this run, which `stop` tells too.
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

/// Writes the parent's lines. A child that does not read them blocks nobody but this task. The
/// pipe stays open until the task is aborted: its end would mean that we are gone.
async fn write_stdin(mut pipe: ChildStdin, assignment: Vec<u8>, stop: CancellationToken) {
    // Errors mean that the child has ended, or does not listen; the escalation sees to both.
    if let Err(error) = pipe.write_all(&assignment).await {
        debug!(%error, "a child does not read its assignment");
    }
    stop.cancelled().await;
    let _ = pipe.write_all(format!("{STOP}\n").as_bytes()).await;
    std::future::pending::<()>().await;
}

/// The next line of stdout if it is a report; other lines go to the log. Sets `stdout` to None at
/// its end, and never returns after that.
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

/// The last lines of stderr that are for a reader: panics, what the loader or a shell says. A line of
/// a structured log is for the log; the last of a long run say what it did, and not why it ended.
#[derive(Default)]
struct StderrTail(Mutex<VecDeque<String>>);

impl StderrTail {
    fn push(&self, line: &str) {
        let line = line.trim();
        // One that was cut has no end.
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

    /// The cause comes first: the last lines of a long run may have nothing to do with its end.
    fn explain(&self, exit: Exit) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.is_empty() {
            return exit.to_string();
        }
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        format!("{exit}: {}", lines.join(" | "))
    }
}
