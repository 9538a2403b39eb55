//! The task that owns the entries, and every decision about them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{debug, error, info, warn};

use super::entry::{ActiveRun, Entry, EntryState, ProcessInfo, StopGoal, send_reply};
use super::handle::{
    KeeperError, KeeperHandle, KeeperRequest, ReplySender, StartOutcome, StopOutcome,
};
use super::run::{Run, RunEvent, RunEventKind};
use super::{EntrySpec, LogSink};
use crate::policy::RestartDecision;
use crate::spawn::Spawner;

/// How many events may wait for the keeper, before the runs do.
const RUN_EVENT_QUEUE: usize = 256;

/// Keeps children running. Reached by its [`KeeperHandle`].
pub struct Keeper {
    entries: BTreeMap<String, Entry>,
    requests: mpsc::UnboundedReceiver<KeeperRequest>,
    events: mpsc::Receiver<RunEvent>,
    /// Given to every run.
    event_sender: mpsc::Sender<RunEvent>,
    version: watch::Sender<u64>,
    next_run: u64,
    /// Those who wait for the end, once it has begun.
    shutdown_waiters: Option<Vec<oneshot::Sender<()>>>,
    spawner: Spawner,
    log: LogSink,
    /// Every run's stop follows this: if the keeper should vanish, its children stop.
    stop_all: CancellationToken,
    _stop_all_guard: DropGuard,
}

impl Keeper {
    /// Starts a keeper without entries on the current tokio runtime. Lines that the children
    /// print go to `log`.
    pub fn start(spawner: Spawner, log: LogSink) -> KeeperHandle {
        let (requests, inbox) = mpsc::unbounded_channel();
        let (event_sender, events) = mpsc::channel(RUN_EVENT_QUEUE);
        let (version, versions) = watch::channel(0);
        let stop_all = CancellationToken::new();
        let keeper = Self {
            entries: BTreeMap::new(),
            requests: inbox,
            events,
            event_sender,
            version,
            next_run: 0,
            shutdown_waiters: None,
            spawner,
            log,
            _stop_all_guard: stop_all.clone().drop_guard(),
            stop_all,
        };
        tokio::spawn(keeper.serve());
        KeeperHandle::new(requests, versions)
    }

    async fn serve(mut self) {
        let mut handles_left = true;
        while !self.advance_shutdown() {
            let restart_at = self.next_restart();
            // Not for a snapshot: whoever takes one at every change would keep us busy for ever.
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
                self.version.send_modify(|version| *version += 1);
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
                // Stable: within an order they stay sorted by id.
                entries.sort_by_key(|entry| entry.spec.order);
                let _ = reply.send(entries.into_iter().map(Entry::status).collect());
            }
            KeeperRequest::Shutdown(reply) => {
                self.begin_shutdown("asked to");
                self.shutdown_waiters.get_or_insert_default().push(reply);
            }
            KeeperRequest::Stop(id, reply) => self.stop(&id, StopGoal::Stay, reply),
            KeeperRequest::KillAsCrashed(id, pid, reason) => self.kill_as_crashed(&id, pid, reason),
            KeeperRequest::Remove(id, reply) => self.stop(&id, StopGoal::Remove, reply),
            KeeperRequest::Add(_, reply) | KeeperRequest::Replace(_, reply)
                if self.shutdown_waiters.is_some() =>
            {
                send_reply(Some(reply), Err(KeeperError::ShuttingDown));
            }
            KeeperRequest::Start(_, reply) | KeeperRequest::Restart(_, reply)
                if self.shutdown_waiters.is_some() =>
            {
                send_reply(Some(reply), Err(KeeperError::ShuttingDown));
            }
            KeeperRequest::Add(spec, reply) => send_reply(Some(reply), self.add(spec)),
            KeeperRequest::Replace(spec, reply) => send_reply(Some(reply), self.replace(spec)),
            KeeperRequest::Start(id, reply) => {
                send_reply(Some(reply), self.start_entry(&id, false))
            }
            KeeperRequest::Restart(id, reply) => {
                send_reply(Some(reply), self.start_entry(&id, true))
            }
        }
    }

    fn add(&mut self, spec: EntrySpec) -> Result<(), KeeperError> {
        check_assignment(&spec)?;
        if self.entries.contains_key(&spec.id) {
            return Err(KeeperError::Exists { id: spec.id });
        }
        debug!(entry = %spec.id, order = spec.order, "added");
        self.entries.insert(spec.id.clone(), Entry::new(spec));
        Ok(())
    }

    fn replace(&mut self, spec: EntrySpec) -> Result<(), KeeperError> {
        check_assignment(&spec)?;
        let id = spec.id.clone();
        let entry = self.get(&id)?;
        if matches!(entry.state, EntryState::Stopping { goal: StopGoal::Remove, .. }) {
            return Err(KeeperError::BeingRemoved { id });
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

    fn start_entry(&mut self, id: &str, again: bool) -> Result<StartOutcome, KeeperError> {
        let entry = self.get(id)?;
        match &mut entry.state {
            EntryState::Running { .. } | EntryState::Starting { .. } if again => {
                info!(entry = %id, "restarting: asked to");
                entry.stop(StopGoal::Start, None);
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
            EntryState::Stopping { goal: StopGoal::Remove, .. } => {
                Err(KeeperError::BeingRemoved { id: id.to_owned() })
            }
            EntryState::Stopping { goal, .. } => {
                info!(entry = %id, "will be started when it has stopped");
                *goal = StopGoal::Start;
                Ok(StartOutcome::AfterStop)
            }
            EntryState::Stopped | EntryState::Restarting { .. } | EntryState::Failed { .. } => {
                info!(entry = %id, "starting: asked to");
                entry.forget_crashes();
                self.start_run(id, None);
                Ok(StartOutcome::Started)
            }
        }
    }

    fn stop(&mut self, id: &str, goal: StopGoal, reply: ReplySender<StopOutcome>) {
        let entry = match self.get(id) {
            Ok(entry) => entry,
            Err(error) => return send_reply(Some(reply), Err(error)),
        };
        // Who removes an entry wants it gone, whatever others ask after that.
        let goal = match entry.state {
            EntryState::Stopping { goal: StopGoal::Remove, .. } => StopGoal::Remove,
            _ => goal,
        };
        info!(entry = %id, remove = goal == StopGoal::Remove, "stopping: asked to");
        entry.stop(goal, Some(reply));
        if goal == StopGoal::Remove && matches!(entry.state, EntryState::Stopped) {
            self.entries.remove(id);
        }
    }

    fn kill_as_crashed(&mut self, id: &str, pid: u32, reason: String) {
        let Some(Entry { state: EntryState::Running { live, .. }, .. }) = self.entries.get_mut(id)
        else {
            return;
        };
        if live.process.is_some_and(|process| process.pid == pid)
            && let Some(kill_as_crashed) = live.kill_as_crashed.take()
        {
            // Fails if it has ended by itself meanwhile.
            let _ = kill_as_crashed.send(reason);
        }
    }

    fn on_event(&mut self, event: RunEvent) {
        let RunEvent { id, run, kind } = event;
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let Some(live) = entry.active_run().filter(|live| live.run == run) else { return };
        match kind {
            RunEventKind::Spawned { pid, at } => {
                info!(entry = %id, pid, "process started");
                live.process = Some(ProcessInfo { pid, since: at });
            }
            RunEventKind::Status { detail } => live.detail = detail,
            RunEventKind::Ready { detail } => {
                live.detail = detail;
                let state = std::mem::replace(&mut entry.state, EntryState::Stopped);
                entry.state = match state {
                    EntryState::Starting { live, .. } => {
                        info!(entry = %id, "ready");
                        EntryState::Running { live, ready_at: Instant::now() }
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

    fn on_stopped(&mut self, id: &str, goal: StopGoal, waiters: Vec<ReplySender<StopOutcome>>) {
        info!(entry = %id, then = ?goal, "stopped");
        match goal {
            StopGoal::Stay => {}
            StopGoal::Remove => drop(self.entries.remove(id)),
            StopGoal::Start => {
                if let Some(entry) = self.entries.get_mut(id) {
                    entry.forget_crashes();
                    self.start_run(id, None);
                }
            }
        }
        for waiter in waiters {
            send_reply(Some(waiter), Ok(StopOutcome::Stopped));
        }
    }

    fn on_crash(&mut self, id: &str, uptime: Duration, error: String) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        if self.shutdown_waiters.is_some() {
            info!(entry = %id, error, "ended by itself; not restarted: shutting down");
            return;
        }
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
                entry.state = EntryState::Restarting { at: Instant::now() + delay, error };
            }
            RestartDecision::GiveUp => {
                error!(entry = %id, error, ?uptime, crashes, "crashed too often: giving up");
                entry.state = EntryState::Failed { error };
            }
        }
    }

    fn next_restart(&self) -> Option<Instant> {
        let at = |entry: &Entry| match entry.state {
            EntryState::Restarting { at, .. } => Some(at),
            _ => None,
        };
        self.entries.values().filter_map(at).min()
    }

    fn restart_due(&mut self) {
        let now = Instant::now();
        let mut due = Vec::new();
        for (id, entry) in &mut self.entries {
            if let EntryState::Restarting { at, error } = &mut entry.state
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

    /// Starts a run. The entry must not have one.
    fn start_run(&mut self, id: &str, previous: Option<String>) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        self.next_run += 1;
        let stop = self.stop_all.child_token();
        let (kill_as_crashed, kill_reason) = oneshot::channel();
        let run = Run {
            number: self.next_run,
            spec: Arc::clone(&entry.spec),
            spawner: self.spawner.clone(),
            log: self.log.clone(),
            stop: stop.clone(),
            kill_reason: Some(kill_reason),
            events: self.event_sender.clone(),
        };
        let (detail, kill_as_crashed) = (Value::Null, Some(kill_as_crashed));
        let live = ActiveRun {
            run: run.number,
            stop,
            kill_as_crashed,
            process: None,
            detail,
            stuck: false,
        };
        entry.state = EntryState::Starting { live, previous };
        tokio::spawn(run.run_to_end());
    }

    fn begin_shutdown(&mut self, reason: &str) {
        if self.shutdown_waiters.is_some() {
            return;
        }
        info!(reason, "shutting down");
        self.shutdown_waiters = Some(Vec::new());
        for entry in self.entries.values_mut() {
            match &mut entry.state {
                EntryState::Restarting { .. } | EntryState::Failed { .. } => {
                    entry.state = EntryState::Stopped
                }
                EntryState::Stopping { goal: goal @ StopGoal::Start, .. } => *goal = StopGoal::Stay,
                _ => {}
            }
        }
    }

    /// Whether the shutdown is complete; if not, asks the next group to stop.
    fn advance_shutdown(&mut self) -> bool {
        if self.shutdown_waiters.is_none() {
            return false;
        }
        // What hangs in the kernel cannot be waited for.
        let mut left: Vec<_> = self
            .entries
            .values_mut()
            .filter_map(|entry| entry.active_run().is_some_and(|live| !live.stuck).then_some(entry))
            .collect();
        let Some(order) = left.iter().map(|entry| entry.spec.order).max() else { return true };
        left.retain(|entry| entry.spec.order == order);
        for entry in left {
            if !matches!(entry.state, EntryState::Stopping { .. }) {
                info!(entry = %entry.spec.id, order, "stopping: shutting down");
                entry.stop(StopGoal::Stay, None);
            }
        }
        false
    }

    fn get(&mut self, id: &str) -> Result<&mut Entry, KeeperError> {
        self.entries.get_mut(id).ok_or_else(|| KeeperError::Unknown { id: id.to_owned() })
    }
}

fn check_assignment(spec: &EntrySpec) -> Result<(), KeeperError> {
    if spec.assignment.contains('\n') {
        return Err(KeeperError::BadAssignment { id: spec.id.clone() });
    }
    Ok(())
}
