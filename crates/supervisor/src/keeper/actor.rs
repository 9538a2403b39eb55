//! Keeper task: owns the entries, one for each supervised child, and decides when each is started,
//! stopped, restarted or given up. It gets requests from [`KeeperHandle`](super::KeeperHandle)s
//! and events from the runs, the tasks that each drive one process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{debug, error, info, warn};

use super::entry::{ActiveRun, EntryState, KeeperEntry, NextStep, ProcessInfo, send_reply};
use super::handle::{
    KeeperError, KeeperHandle, KeeperRequest, ReplySender, StartOutcome, StopOutcome,
};
use super::run::{ChildRun, RunEvent, RunEventKind};
use super::{EntrySpec, LogSink};
use crate::policy::RestartDecision;
use crate::spawn::Spawner;

/// Events in the queue of the keeper; when it is full, the runs wait.
const RUN_EVENT_QUEUE: usize = 256;

/// Messages that a child has not read yet; one more is refused.
const UNREAD_MESSAGES: usize = 64;

/// Actor that keeps children running, driven through its [`KeeperHandle`]s.
pub struct Keeper {
    entries: BTreeMap<String, KeeperEntry>,
    requests: mpsc::UnboundedReceiver<KeeperRequest>,
    events: mpsc::Receiver<RunEvent>,
    /// The sender that every run gets a clone of.
    event_sender: mpsc::Sender<RunEvent>,
    /// The number of changes so far, for those who watch.
    changes: watch::Sender<u64>,
    /// The number that the next run of any entry gets.
    next_run_number: u64,
    /// Callers that wait for the shutdown; `None` until it begins.
    shutdown_waiters: Option<Vec<oneshot::Sender<()>>>,
    spawner: Spawner,
    log: LogSink,
    /// Parent of every run's stop signal: the children stop if the keeper is dropped.
    stop_all: CancellationToken,
    _stop_all_guard: DropGuard,
}

impl Keeper {
    /// Starts a keeper without entries on the current tokio runtime. `log` receives the lines that
    /// the children print.
    pub fn start(spawner: Spawner, log: LogSink) -> KeeperHandle {
        let (requests, inbox) = mpsc::unbounded_channel();
        let (event_sender, events) = mpsc::channel(RUN_EVENT_QUEUE);
        let (changes, watched) = watch::channel(0);
        let stop_all = CancellationToken::new();
        let keeper = Self {
            entries: BTreeMap::new(),
            requests: inbox,
            events,
            event_sender,
            changes,
            next_run_number: 0,
            shutdown_waiters: None,
            spawner,
            log,
            _stop_all_guard: stop_all.clone().drop_guard(),
            stop_all,
        };
        tokio::spawn(keeper.serve());
        KeeperHandle::new(requests, watched)
    }

    async fn serve(mut self) {
        let mut handles_left = true;
        while !self.advance_shutdown() {
            let restart_at = self.next_restart();
            // A snapshot is no change: a watcher that takes one at each change would loop.
            let mut changed = true;
            tokio::select! {
                request = self.requests.recv(), if handles_left => match request {
                    Some(request) => {
                        changed = !matches!(request, KeeperRequest::Snapshot(_));
                        self.on_request(request);
                    }
                    None => {
                        handles_left = false;
                        self.begin_shutdown("nobody holds a handle any more");
                    }
                },
                Some(event) = self.events.recv() => self.on_event(event),
                () = sleep_until(restart_at.unwrap_or_else(Instant::now)), if restart_at.is_some() => {
                    self.restart_due();
                }
            }
            if changed {
                self.changes.send_modify(|count| *count += 1);
            }
        }
        for reply in self.shutdown_waiters.take().unwrap_or_default() {
            let _ = reply.send(());
        }
    }

    fn on_request(&mut self, request: KeeperRequest) {
        match request {
            KeeperRequest::Snapshot(reply) => {
                let mut entries: Vec<_> = self.entries.values().collect();
                // A stable sort: entries of one order stay sorted by id.
                entries.sort_by_key(|entry| entry.spec.order);
                let _ = reply.send(entries.into_iter().map(KeeperEntry::status).collect());
            }
            KeeperRequest::Shutdown(reply) => {
                self.begin_shutdown("asked to");
                self.shutdown_waiters.get_or_insert_default().push(reply);
            }
            KeeperRequest::Stop(id, reply) => self.stop(&id, NextStep::Stay, reply),
            KeeperRequest::KillAsCrashed(id, pid, reason) => self.kill_as_crashed(&id, pid, reason),
            KeeperRequest::Remove(id, reply) => self.stop(&id, NextStep::Remove, reply),
            KeeperRequest::Add(spec, reply) => send_reply(reply, self.add(spec)),
            KeeperRequest::Replace(spec, reply) => send_reply(reply, self.replace(spec)),
            KeeperRequest::Change(spec, message, reply) => {
                send_reply(reply, self.change(spec, message));
            }
            KeeperRequest::Send(id, message, reply) => {
                let sent = self.get(&id).and_then(|entry| entry.send(message));
                send_reply(reply, sent);
            }
            KeeperRequest::Start(id, reply) => send_reply(reply, self.start_entry(&id, false)),
            KeeperRequest::Restart(id, reply) => send_reply(reply, self.start_entry(&id, true)),
        }
    }

    fn add(&mut self, spec: EntrySpec) -> Result<(), KeeperError> {
        self.check_spec(&spec)?;
        if self.entries.contains_key(&spec.id) {
            return Err(KeeperError::Exists(spec.id));
        }
        debug!(entry = %spec.id, order = spec.order, "added");
        self.entries.insert(spec.id.clone(), KeeperEntry::new(spec));
        Ok(())
    }

    fn replace(&mut self, spec: EntrySpec) -> Result<(), KeeperError> {
        self.check_spec(&spec)?;
        let id = spec.id.clone();
        let entry = self.get(&id)?;
        if matches!(entry.state, EntryState::Stopping { goal: NextStep::Remove, .. }) {
            return Err(KeeperError::BeingRemoved(id));
        }
        entry.replace_spec(spec);
        match entry.state {
            EntryState::Stopped | EntryState::Stopping { .. } => {
                info!(entry = %id, "has a new specification for its next start");
                Ok(())
            }
            _ => {
                info!(entry = %id, "has a new specification: restarting it");
                self.start_entry(&id, true).map(drop)
            }
        }
    }

    fn change(&mut self, spec: EntrySpec, message: Value) -> Result<(), KeeperError> {
        self.check_spec(&spec)?;
        let entry = self.get(&spec.id)?;
        if !matches!(entry.state, EntryState::Running { .. }) {
            return Err(KeeperError::NotRunning(spec.id));
        }
        info!(entry = %spec.id, "has a new specification, which its process takes up");
        entry.spec = Arc::new(spec);
        entry.send(message)
    }

    fn start_entry(&mut self, id: &str, again: bool) -> Result<StartOutcome, KeeperError> {
        self.check_open()?;
        let entry = self.get(id)?;
        match &mut entry.state {
            EntryState::Running { .. } | EntryState::Starting { .. } if again => {
                info!(entry = %id, "restarting: asked to");
                entry.stop(NextStep::Start, None);
                Ok(StartOutcome::AfterStop)
            }
            EntryState::Running { .. } => {
                info!(entry = %id, "not started: it is running");
                Ok(StartOutcome::AlreadyRunning)
            }
            EntryState::Starting { .. } => {
                info!(entry = %id, "not started: it is being started");
                Ok(StartOutcome::AlreadyStarting)
            }
            EntryState::Stopping { goal: NextStep::Remove, .. } => {
                Err(KeeperError::BeingRemoved(id.to_owned()))
            }
            EntryState::Stopping { goal, .. } => {
                info!(entry = %id, "will be started when it has stopped");
                *goal = NextStep::Start;
                Ok(StartOutcome::AfterStop)
            }
            EntryState::Stopped
            | EntryState::WaitingToRestart { .. }
            | EntryState::Failed { .. } => {
                info!(entry = %id, "starting: asked to");
                entry.forget_crashes();
                self.start_run(id, None);
                Ok(StartOutcome::Started)
            }
        }
    }

    fn stop(&mut self, id: &str, goal: NextStep, reply: ReplySender<StopOutcome>) {
        let entry = match self.get(id) {
            Ok(entry) => entry,
            Err(error) => return send_reply(reply, Err(error)),
        };
        // A removal is not revoked by a later stop.
        let goal = match entry.state {
            EntryState::Stopping { goal: NextStep::Remove, .. } => NextStep::Remove,
            _ => goal,
        };
        info!(entry = %id, remove = goal == NextStep::Remove, "stopping: asked to");
        entry.stop(goal, Some(reply));
        if goal == NextStep::Remove && matches!(entry.state, EntryState::Stopped) {
            self.entries.remove(id);
        }
    }

    fn kill_as_crashed(&mut self, id: &str, pid: u32, reason: String) {
        let Some(KeeperEntry { state: EntryState::Running { active, .. }, .. }) =
            self.entries.get_mut(id)
        else {
            return;
        };
        if active.process.is_some_and(|process| process.pid == pid)
            && let Some(kill_as_crashed) = active.kill_as_crashed.take()
        {
            // Fails if the process has ended meanwhile.
            let _ = kill_as_crashed.send(reason);
        }
    }

    fn on_event(&mut self, event: RunEvent) {
        let RunEvent { id, run, kind } = event;
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let Some(active) = entry.active_run().filter(|active| active.run == run) else { return };
        match kind {
            RunEventKind::Spawned { pid, at } => {
                info!(entry = %id, pid, "process started");
                active.process = Some(ProcessInfo { pid, since: at });
            }
            RunEventKind::Status { detail } => active.detail = detail,
            RunEventKind::Ready { detail } => {
                active.detail = detail;
                let state = std::mem::replace(&mut entry.state, EntryState::Stopped);
                entry.state = match state {
                    EntryState::Starting { active, .. } => {
                        info!(entry = %id, "ready");
                        EntryState::Running { active, ready_at: Instant::now() }
                    }
                    other => other,
                };
            }
            RunEventKind::Stuck { pid } => entry.mark_stuck(pid),
            RunEventKind::Ended { error } => {
                match std::mem::replace(&mut entry.state, EntryState::Stopped) {
                    EntryState::Running { ready_at, .. } => {
                        self.on_crash(&id, ready_at.elapsed(), error);
                    }
                    EntryState::Stopping { goal, waiters, .. } => {
                        self.on_stopped(&id, goal, waiters)
                    }
                    _ => self.on_crash(&id, Duration::ZERO, error),
                }
            }
        }
    }

    fn on_stopped(&mut self, id: &str, goal: NextStep, waiters: Vec<ReplySender<StopOutcome>>) {
        info!(entry = %id, then = ?goal, "stopped");
        match goal {
            NextStep::Stay => {}
            NextStep::Remove => drop(self.entries.remove(id)),
            NextStep::Start => {
                if let Some(entry) = self.entries.get_mut(id) {
                    entry.forget_crashes();
                    self.start_run(id, None);
                }
            }
        }
        for waiter in waiters {
            send_reply(waiter, Ok(StopOutcome::Stopped));
        }
    }

    fn on_crash(&mut self, id: &str, uptime: Duration, error: String) {
        if self.is_shutting_down() {
            info!(entry = %id, error, "ended by itself; not restarted: shutting down");
            return;
        }
        let Some(entry) = self.entries.get_mut(id) else { return };
        let decision = entry.restarts.on_exit(uptime);
        let crashes = entry.restarts.crashes();
        match decision {
            RestartDecision::RestartNow => {
                warn!(entry = %id, error, ?uptime, crashes, "crashed: restarting it at once");
                entry.restarted += 1;
                self.start_run(id, Some(error));
            }
            RestartDecision::RestartIn(delay) => {
                warn!(entry = %id, error, ?uptime, crashes, ?delay, "crashed: restarting it later");
                entry.state = EntryState::WaitingToRestart { at: Instant::now() + delay, error };
            }
            RestartDecision::GiveUp => {
                error!(entry = %id, error, ?uptime, crashes, "crashed too often: giving up");
                entry.state = EntryState::Failed { error };
            }
        }
    }

    fn next_restart(&self) -> Option<Instant> {
        let at = |entry: &KeeperEntry| match entry.state {
            EntryState::WaitingToRestart { at, .. } => Some(at),
            _ => None,
        };
        self.entries.values().filter_map(at).min()
    }

    fn restart_due(&mut self) {
        let now = Instant::now();
        let mut due = Vec::new();
        for (id, entry) in &mut self.entries {
            if let EntryState::WaitingToRestart { at, error } = &mut entry.state
                && *at <= now
            {
                due.push((id.clone(), std::mem::take(error)));
                entry.restarted += 1;
            }
        }
        for (id, error) in due {
            info!(entry = %id, "restarting: its delay is over");
            self.start_run(&id, Some(error));
        }
    }

    /// Starts a run of an entry that has none.
    fn start_run(&mut self, id: &str, previous: Option<String>) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        self.next_run_number += 1;
        let stop = self.stop_all.child_token();
        let (kill_as_crashed, kill_reason) = oneshot::channel();
        let (messages, inbox) = mpsc::channel(UNREAD_MESSAGES);
        let run = ChildRun {
            number: self.next_run_number,
            spec: Arc::clone(&entry.spec),
            spawner: self.spawner.clone(),
            log: self.log.clone(),
            stop: stop.clone(),
            kill_reason: Some(kill_reason),
            messages: inbox,
            events: self.event_sender.clone(),
        };
        let (detail, kill_as_crashed) = (Value::Null, Some(kill_as_crashed));
        let active = ActiveRun {
            run: run.number,
            stop,
            kill_as_crashed,
            messages,
            process: None,
            detail,
            stuck: false,
        };
        entry.state = EntryState::Starting { active, previous };
        tokio::spawn(run.run_to_end());
    }

    fn begin_shutdown(&mut self, reason: &str) {
        if self.is_shutting_down() {
            return;
        }
        info!(reason, "shutting down");
        self.shutdown_waiters = Some(Vec::new());
        for entry in self.entries.values_mut() {
            match &mut entry.state {
                EntryState::WaitingToRestart { .. } | EntryState::Failed { .. } => {
                    entry.state = EntryState::Stopped
                }
                EntryState::Stopping { goal: goal @ NextStep::Start, .. } => *goal = NextStep::Stay,
                _ => {}
            }
        }
    }

    fn is_shutting_down(&self) -> bool {
        self.shutdown_waiters.is_some()
    }

    /// During a shutdown, stops the entries of the highest order that still run; true when none
    /// is left.
    fn advance_shutdown(&mut self) -> bool {
        if !self.is_shutting_down() {
            return false;
        }
        // A process that hangs in the kernel is not waited for.
        let mut left: Vec<_> = self
            .entries
            .values_mut()
            .filter_map(|entry| {
                entry.active_run().is_some_and(|active| !active.stuck).then_some(entry)
            })
            .collect();
        let Some(order) = left.iter().map(|entry| entry.spec.order).max() else { return true };
        left.retain(|entry| entry.spec.order == order);
        for entry in left {
            if !matches!(entry.state, EntryState::Stopping { .. }) {
                info!(entry = %entry.spec.id, order, "stopping: shutting down");
                entry.stop(NextStep::Stay, None);
            }
        }
        false
    }

    fn check_spec(&self, spec: &EntrySpec) -> Result<(), KeeperError> {
        self.check_open()?;
        if spec.assignment.contains('\n') {
            return Err(KeeperError::BadAssignment(spec.id.clone()));
        }
        Ok(())
    }

    fn check_open(&self) -> Result<(), KeeperError> {
        if self.is_shutting_down() { Err(KeeperError::ShuttingDown) } else { Ok(()) }
    }

    fn get(&mut self, id: &str) -> Result<&mut KeeperEntry, KeeperError> {
        self.entries.get_mut(id).ok_or_else(|| KeeperError::Unknown(id.to_owned()))
    }
}
