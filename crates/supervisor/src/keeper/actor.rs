//! The task that owns the entries, and every decision about them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{debug, error, info, warn};

use super::entry::{Entry, Live, Process, State, Then, answer};
use super::handle::{Handle, KeeperError, Reply, Request, StartOutcome, StopOutcome};
use super::run::{Event, EventKind, Run};
use super::{EntrySpec, LogSink};
use crate::policy::Decision;
use crate::spawn::Spawner;

/// How many events may wait for the keeper, before the runs do.
const EVENTS: usize = 256;

/// Keeps children running. Reached by its [`Handle`].
pub struct Keeper {
    entries: BTreeMap<String, Entry>,
    requests: mpsc::UnboundedReceiver<Request>,
    events: mpsc::Receiver<Event>,
    /// Given to every run.
    reports: mpsc::Sender<Event>,
    version: watch::Sender<u64>,
    next_run: u64,
    /// Those who wait for the end, once it has begun.
    ending: Option<Vec<oneshot::Sender<()>>>,
    spawner: Spawner,
    log: LogSink,
    /// Every run's stop follows this: if the keeper should vanish, its children stop.
    root: CancellationToken,
    _guard: DropGuard,
}

impl Keeper {
    /// Starts a keeper without entries on the current tokio runtime. Lines that the children
    /// print go to `log`.
    pub fn start(spawner: Spawner, log: LogSink) -> Handle {
        let (requests, inbox) = mpsc::unbounded_channel();
        let (reports, events) = mpsc::channel(EVENTS);
        let (version, versions) = watch::channel(0);
        let root = CancellationToken::new();
        let keeper = Self {
            entries: BTreeMap::new(),
            requests: inbox,
            events,
            reports,
            version,
            next_run: 0,
            ending: None,
            spawner,
            log,
            _guard: root.clone().drop_guard(),
            root,
        };
        tokio::spawn(keeper.serve());
        Handle::new(requests, versions)
    }

    async fn serve(mut self) {
        let mut handles_left = true;
        while !self.ended() {
            let restart_at = self.next_restart();
            // Not for a snapshot: whoever takes one at every change would keep us busy for ever.
            let mut changed = true;
            tokio::select! {
                request = self.requests.recv(), if handles_left => match request {
                    Some(request) => {
                        changed = !matches!(request, Request::Snapshot(_));
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
        for reply in self.ending.take().unwrap_or_default() {
            let _ = reply.send(());
        }
    }

    fn on_request(&mut self, request: Request) {
        match request {
            Request::Snapshot(reply) => {
                let mut entries: Vec<_> = self.entries.values().collect();
                // Stable: within an order they stay sorted by id.
                entries.sort_by_key(|entry| entry.spec.order);
                let _ = reply.send(entries.into_iter().map(Entry::status).collect());
            }
            Request::Shutdown(reply) => {
                self.begin_shutdown("asked to");
                self.ending.get_or_insert_default().push(reply);
            }
            Request::Stop(id, reply) => self.stop(&id, Then::Stay, reply),
            Request::Condemn(id, pid, reason) => self.condemn(&id, pid, reason),
            Request::Remove(id, reply) => self.stop(&id, Then::Remove, reply),
            Request::Add(_, reply) | Request::Replace(_, reply) if self.ending.is_some() => {
                answer(Some(reply), Err(KeeperError::ShuttingDown));
            }
            Request::Start(_, reply) | Request::Restart(_, reply) if self.ending.is_some() => {
                answer(Some(reply), Err(KeeperError::ShuttingDown));
            }
            Request::Add(spec, reply) => answer(Some(reply), self.add(spec)),
            Request::Replace(spec, reply) => answer(Some(reply), self.replace(spec)),
            Request::Start(id, reply) => answer(Some(reply), self.start_entry(&id, false)),
            Request::Restart(id, reply) => answer(Some(reply), self.start_entry(&id, true)),
        }
    }

    fn add(&mut self, spec: EntrySpec) -> Result<(), KeeperError> {
        check(&spec)?;
        if self.entries.contains_key(&spec.id) {
            return Err(KeeperError::Exists { id: spec.id });
        }
        debug!(entry = %spec.id, order = spec.order, "added");
        self.entries.insert(spec.id.clone(), Entry::new(spec));
        Ok(())
    }

    fn replace(&mut self, spec: EntrySpec) -> Result<(), KeeperError> {
        check(&spec)?;
        let id = spec.id.clone();
        let entry = self.get(&id)?;
        if matches!(entry.state, State::Stopping { then: Then::Remove, .. }) {
            return Err(KeeperError::BeingRemoved { id });
        }
        entry.respecify(spec);
        match entry.state {
            State::Stopped | State::Stopping { .. } => {
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
            State::Running { .. } | State::Starting { .. } if again => {
                info!(entry = %id, "restarting: asked to");
                entry.stop(Then::Start, None);
                Ok(StartOutcome::AfterStop)
            }
            State::Running { .. } => {
                info!(entry = %id, "not started: it is running");
                Ok(StartOutcome::AlreadyRunning)
            }
            State::Starting { .. } => {
                info!(entry = %id, "not started: it is being started");
                Ok(StartOutcome::AlreadyStarting)
            }
            State::Stopping { then: Then::Remove, .. } => {
                Err(KeeperError::BeingRemoved { id: id.to_owned() })
            }
            State::Stopping { then, .. } => {
                info!(entry = %id, "will be started when it has stopped");
                *then = Then::Start;
                Ok(StartOutcome::AfterStop)
            }
            State::Stopped | State::Restarting { .. } | State::Failed { .. } => {
                info!(entry = %id, "starting: asked to");
                entry.forget_crashes();
                self.launch(id, None);
                Ok(StartOutcome::Started)
            }
        }
    }

    fn stop(&mut self, id: &str, then: Then, reply: Reply<StopOutcome>) {
        let entry = match self.get(id) {
            Ok(entry) => entry,
            Err(error) => return answer(Some(reply), Err(error)),
        };
        // Who removes an entry wants it gone, whatever others ask after that.
        let then = match entry.state {
            State::Stopping { then: Then::Remove, .. } => Then::Remove,
            _ => then,
        };
        info!(entry = %id, remove = then == Then::Remove, "stopping: asked to");
        entry.stop(then, Some(reply));
        if then == Then::Remove && matches!(entry.state, State::Stopped) {
            self.entries.remove(id);
        }
    }

    fn condemn(&mut self, id: &str, pid: u32, reason: String) {
        let Some(Entry { state: State::Running { live, .. }, .. }) = self.entries.get_mut(id)
        else {
            return;
        };
        if live.process.is_some_and(|process| process.pid == pid)
            && let Some(condemn) = live.condemn.take()
        {
            // Fails if it has ended by itself meanwhile.
            let _ = condemn.send(reason);
        }
    }

    fn on_event(&mut self, event: Event) {
        let Event { id, run, kind } = event;
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let Some(live) = entry.live().filter(|live| live.run == run) else { return };
        match kind {
            EventKind::Spawned { pid, at } => {
                info!(entry = %id, pid, "process started");
                live.process = Some(Process { pid, since: at });
            }
            EventKind::Status { detail } => live.detail = detail,
            EventKind::Ready { detail } => {
                live.detail = detail;
                let state = std::mem::replace(&mut entry.state, State::Stopped);
                entry.state = match state {
                    State::Starting { live, .. } => {
                        info!(entry = %id, "ready");
                        State::Running { live, ready_at: Instant::now() }
                    }
                    other => other,
                };
            }
            EventKind::Stuck { pid } => entry.give_up_waiting(pid),
            EventKind::Ended { error } => {
                match std::mem::replace(&mut entry.state, State::Stopped) {
                    State::Running { ready_at, .. } => {
                        self.on_crash(&id, ready_at.elapsed(), error);
                    }
                    State::Stopping { then, waiters, .. } => self.on_stopped(&id, then, waiters),
                    _ => self.on_crash(&id, Duration::ZERO, error),
                }
            }
        }
    }

    fn on_stopped(&mut self, id: &str, then: Then, waiters: Vec<Reply<StopOutcome>>) {
        info!(entry = %id, ?then, "stopped");
        match then {
            Then::Stay => {}
            Then::Remove => drop(self.entries.remove(id)),
            Then::Start => {
                if let Some(entry) = self.entries.get_mut(id) {
                    entry.forget_crashes();
                    self.launch(id, None);
                }
            }
        }
        for waiter in waiters {
            answer(Some(waiter), Ok(StopOutcome::Stopped));
        }
    }

    fn on_crash(&mut self, id: &str, uptime: Duration, error: String) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        if self.ending.is_some() {
            info!(entry = %id, error, "ended by itself; not restarted: shutting down");
            return;
        }
        let decision = entry.restarts.on_exit(uptime);
        let crashes = entry.restarts.crashes();
        match decision {
            Decision::RestartNow => {
                warn!(entry = %id, error, ?uptime, crashes, "crashed: restarting it at once");
                entry.restarted += 1;
                self.launch(id, Some(error));
            }
            Decision::RestartIn(delay) => {
                warn!(entry = %id, error, ?uptime, crashes, ?delay, "crashed: restarting it later");
                entry.state = State::Restarting { at: Instant::now() + delay, error };
            }
            Decision::GiveUp => {
                error!(entry = %id, error, ?uptime, crashes, "crashed too often: giving up");
                entry.state = State::Failed { error };
            }
        }
    }

    fn next_restart(&self) -> Option<Instant> {
        let at = |entry: &Entry| match entry.state {
            State::Restarting { at, .. } => Some(at),
            _ => None,
        };
        self.entries.values().filter_map(at).min()
    }

    fn restart_due(&mut self) {
        let now = Instant::now();
        let mut due = Vec::new();
        for (id, entry) in &mut self.entries {
            if let State::Restarting { at, error } = &mut entry.state
                && *at <= now
            {
                due.push((id.clone(), std::mem::take(error)));
                entry.restarted += 1;
            }
        }
        for (id, error) in due {
            info!(entry = %id, "restarting: its delay is over");
            self.launch(&id, Some(error));
        }
    }

    /// Starts a run. The entry must not have one.
    fn launch(&mut self, id: &str, previous: Option<String>) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        self.next_run += 1;
        let stop = self.root.child_token();
        let (condemn, condemned) = oneshot::channel();
        let run = Run {
            number: self.next_run,
            spec: Arc::clone(&entry.spec),
            spawner: self.spawner.clone(),
            log: self.log.clone(),
            stop: stop.clone(),
            condemned: Some(condemned),
            events: self.reports.clone(),
        };
        let (detail, condemn) = (Value::Null, Some(condemn));
        let live = Live { run: run.number, stop, condemn, process: None, detail, stuck: false };
        entry.state = State::Starting { live, previous };
        tokio::spawn(run.lead());
    }

    fn begin_shutdown(&mut self, reason: &str) {
        if self.ending.is_some() {
            return;
        }
        info!(reason, "shutting down");
        self.ending = Some(Vec::new());
        for entry in self.entries.values_mut() {
            match &mut entry.state {
                State::Restarting { .. } | State::Failed { .. } => entry.state = State::Stopped,
                State::Stopping { then: then @ Then::Start, .. } => *then = Then::Stay,
                _ => {}
            }
        }
    }

    /// Whether the shutdown is complete; if not, asks the next group to stop.
    fn ended(&mut self) -> bool {
        if self.ending.is_none() {
            return false;
        }
        // What hangs in the kernel cannot be waited for.
        let mut left: Vec<_> = self
            .entries
            .values_mut()
            .filter_map(|entry| entry.live().is_some_and(|live| !live.stuck).then_some(entry))
            .collect();
        let Some(order) = left.iter().map(|entry| entry.spec.order).max() else { return true };
        left.retain(|entry| entry.spec.order == order);
        for entry in left {
            if !matches!(entry.state, State::Stopping { .. }) {
                info!(entry = %entry.spec.id, order, "stopping: shutting down");
                entry.stop(Then::Stay, None);
            }
        }
        false
    }

    fn get(&mut self, id: &str) -> Result<&mut Entry, KeeperError> {
        self.entries.get_mut(id).ok_or_else(|| KeeperError::Unknown { id: id.to_owned() })
    }
}

fn check(spec: &EntrySpec) -> Result<(), KeeperError> {
    if spec.assignment.contains('\n') {
        return Err(KeeperError::BadAssignment { id: spec.id.clone() });
    }
    Ok(())
}
