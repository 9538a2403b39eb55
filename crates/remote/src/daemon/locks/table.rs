//! The locks of one daemon: the clock and the bookkeeping around the rules of each lock.
//!
//! Brings events to [`Lock`](crate::lock::policy::Lock) and carries out the effects that come back.
//! Its mutex is held for one event at a time, never across an await.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;
use tokio_util::task::TaskTracker;

use crate::admission::call_permit::CallPermits;
use crate::admission::slots::Slots;
use crate::admission::{Admission, StreamEnds};
use crate::config::DaemonConfig;
use crate::daemon::access_gate::AccessGate;
use crate::daemon::calls::RunningCalls;
use crate::daemon::locks::abort_table::Aborts;
use crate::daemon::locks::entry::{Asker, LockEntry};
use crate::daemon::registry::Registry;
use crate::daemon::streams::{EndedStream, Streams};
use crate::lock::policy::{Effect, Ticket};
use crate::lock::status::LockStatus;
use crate::lock::types::{Break, Event, LockLog, LockSettings, Outcome, Party, Refusal, Request};
use crate::object::LockOrigin;
use crate::session::Session;
use crate::token::TokenHash;
use crate::users::Login;

/// The locks of a daemon by the ids of their objects.
pub(crate) struct LockTable {
    /// The daemon's name, for the log.
    pub(super) daemon: String,
    pub(super) registry: Arc<Registry>,
    pub(super) streams: Arc<Streams>,
    pub(super) calls: CallPermits,
    running: Arc<RunningCalls>,
    pub(super) access: Arc<AccessGate>,
    stream_ends: StreamEnds,
    /// An `on_disconnect` method may take this long before the next one is called.
    pub(super) safe_state_timeout: Duration,
    /// Objects that are being brought to a safe state.
    pub(super) safe_states: TaskTracker,
    /// The methods that abort calls, of objects with and without a lock.
    pub(crate) aborts: Aborts,
    reactions: Reactions,
    first_epoch: u64,
    /// Saves daemons without locks the look into `state`.
    any: AtomicBool,
    state: Mutex<TableState>,
    changes: watch::Sender<u64>,
}

/// Reactions to events of a lock, called without the table's mutex.
pub(crate) struct Reactions {
    /// The owner of this object's lock has lost it while calls of these sessions run.
    pub(crate) calls_left: fn(&Arc<LockTable>, &str, CallsLeft),
    /// A session has lost the lock of this object.
    pub(crate) lock_lost: fn(&Arc<LockTable>, &str, Arc<Session>),
    /// The owner of this object's lock has come back on another connection.
    pub(crate) owner_returned: fn(&Arc<LockTable>, &str),
}

/// Calls that run on after their owner has lost the lock.
pub(crate) struct CallsLeft {
    pub(crate) owner: Arc<Session>,
    pub(crate) sessions: Vec<u64>,
}

#[derive(Default)]
pub(super) struct TableState {
    pub(super) entries: HashMap<String, LockEntry>,
    /// Objects that share another's lock, each with the id that the lock has.
    shares: HashMap<String, String>,
    next_ticket: Ticket,
    log: Option<LockLog>,
    deferred: Vec<DeferredEnd>,
}

/// The end of a session, which objects are told when these have reached a safe state.
struct DeferredEnd {
    session: Arc<Session>,
    waits_for: BTreeSet<String>,
}

impl TableState {
    /// The id of the object that has the lock of this one: mostly the same.
    pub(super) fn lock_id<'a>(&'a self, id: &'a str) -> &'a str {
        self.shares.get(id).map_or(id, String::as_str)
    }

    pub(super) fn entry(&mut self, id: &str) -> Option<&mut LockEntry> {
        let id = self.shares.get(id).map_or(id, String::as_str);
        self.entries.get_mut(id)
    }
}

impl LockTable {
    pub(crate) fn new(
        config: &DaemonConfig,
        running: Arc<RunningCalls>,
        registry: Arc<Registry>,
        streams: Arc<Streams>,
        admission: &Admission,
        access: Arc<AccessGate>,
        reactions: Reactions,
    ) -> Self {
        LockTable {
            daemon: config.name.clone(),
            registry,
            streams,
            calls: admission.calls.clone(),
            running,
            access,
            stream_ends: admission.stream_ends.clone(),
            safe_state_timeout: config.safe_state_timeout,
            safe_states: TaskTracker::new(),
            aborts: Aborts::default(),
            reactions,
            first_epoch: config.first_epoch,
            any: AtomicBool::new(false),
            state: Mutex::default(),
            changes: watch::Sender::new(0),
        }
    }

    /// From now on the object of this id has a lock.
    pub(crate) fn add(&self, id: &str, settings: LockSettings) {
        let entry = LockEntry::new(self.first_epoch, settings, self.stream_ends.of_lock());
        self.state().entries.insert(id.to_owned(), entry);
        self.any.store(true, Ordering::Release);
    }

    /// Replaces the settings of an object's lock; who has it and who waits for it stays.
    pub(crate) fn set_settings(self: &Arc<Self>, id: &str, settings: LockSettings) {
        self.event(id, |_, entry, now, _| {
            entry.lock.set_lease(now, settings.max_idle);
            entry.settings = Arc::new(settings);
        });
    }

    /// From now on the lock and the abort methods of `with`, if it has any, are those of the object
    /// of this id too.
    pub(crate) fn share(&self, id: &str, with: &str) {
        self.aborts.share(id, with);
        let mut state = self.state();
        let lock_id = state.lock_id(with).to_owned();
        if state.entries.contains_key(&lock_id) && !state.entries.contains_key(id) {
            state.shares.insert(id.to_owned(), lock_id);
        }
    }

    /// The id of the object that has the lock of this one.
    pub(crate) fn lock_id(&self, id: &str) -> String {
        if self.any() { self.state().lock_id(id).to_owned() } else { id.to_owned() }
    }

    /// The object of this id is not served any longer, or shares another's lock no longer.
    pub(crate) fn end_share(&self, id: &str) {
        self.aborts.end_share(id);
        if self.any() {
            self.state().shares.remove(id);
        }
    }

    pub(crate) fn set_log(&self, log: LockLog) {
        self.state().log = Some(log);
    }

    /// Changes whenever the [status](Self::status) may have.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Whether any object has a lock.
    pub(crate) fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// The settings of an object's lock, if it has one.
    pub(crate) fn settings(&self, id: &str) -> Option<Arc<LockSettings>> {
        if !self.any() {
            return None;
        }
        self.state().entry(id).map(|entry| Arc::clone(&entry.settings))
    }

    /// The slots for the ends of an object's item streams, if it has a lock.
    pub(super) fn stream_ends(&self, id: &str) -> Option<Arc<Slots>> {
        self.state().entry(id).map(|entry| Arc::clone(&entry.stream_ends))
    }

    /// Waits for the safe states that are under way; false if that takes longer than `time`. For
    /// the end of the daemon.
    pub(crate) async fn safe_states_reached_within(&self, time: Duration) -> bool {
        self.safe_states.close();
        tokio::time::timeout(time, self.safe_states.wait()).await.is_ok()
    }

    /// Every lock, sorted by id.
    pub(crate) fn status(&self) -> Vec<LockStatus> {
        let state = self.state();
        let mut all: Vec<LockStatus> =
            state.entries.iter().map(|(id, entry)| entry.status(id)).collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }

    /// The status of an object's lock, and for how long its owner has been idle.
    pub(crate) fn status_of(&self, id: &str) -> Option<(LockStatus, Duration)> {
        let mut state = self.state();
        let entry = state.entry(id)?;
        Some((entry.status(id), entry.lock.idle(Instant::now())))
    }

    /// The name under which `session` has the lock of this object; `None` without one.
    pub(crate) fn name_of_owner(&self, id: &str, session: u64) -> Option<String> {
        if !self.any() {
            return None;
        }
        let mut state = self.state();
        let (hold, _) = state.entry(id)?.lock.hold()?;
        let owner = &hold.owner;
        (owner.session == session && !owner.user.is_empty()).then(|| owner.user.clone())
    }

    /// The epoch of the lock of this object, if `session` has it.
    pub(crate) fn epoch_of_owner(&self, id: &str, session: u64) -> Option<u64> {
        if !self.any() {
            return None;
        }
        let mut state = self.state();
        let (hold, _) = state.entry(id)?.lock.hold()?;
        (hold.owner.session == session).then_some(hold.epoch)
    }

    /// A call of the object that is overdue, in words.
    pub(super) fn overdue_call(&self, id: &str) -> Option<String> {
        let id = self.lock_id(id);
        self.running.overdue(|object| self.lock_id(object) == id)
    }

    /// Whether the owner of an object's lock has this token, be the owner away or not.
    pub(crate) fn is_held_with(&self, id: &str, token: TokenHash) -> bool {
        self.state().entry(id).is_some_and(|entry| entry.lock.is_by(token))
    }

    /// Asks for a lock on behalf of `session`, and waits for the answer.
    pub(crate) async fn request(
        self: &Arc<Self>,
        id: &str,
        session: &Arc<Session>,
        user: String,
        wait: Option<Duration>,
        token: Option<(TokenHash, Duration)>,
    ) -> Outcome {
        let party = Party {
            session: session.id,
            user,
            identity: session.identity().known().cloned(),
            address: session.peer.to_string(),
            credential: session.login().map(Login::credential),
        };
        let (answer, answered) = oneshot::channel();
        let mut ticket = 0;
        self.event(id, |state_ticket, entry, now, effects| {
            ticket = state_ticket;
            let asker = Asker { session: Arc::clone(session), at: SystemTime::now(), answer };
            entry.tickets.insert(ticket, asker);
            let via = id.to_owned();
            entry.lock.request(now, ticket, Request { party, via, wait, token }, effects);
        });
        // The answer comes in time whatever happens: each lock has a timer. A request that is
        // dropped in the middle leaves the queue when its connection does.
        answered.await.unwrap_or(Outcome::TimedOut)
    }

    /// Gives a lock up on behalf of `session`, which has it, or shows the token of who does.
    pub(crate) fn unlock(
        self: &Arc<Self>,
        id: &str,
        session: &Session,
        token: Option<TokenHash>,
    ) -> Result<bool, Refusal> {
        let mut result = Ok(false);
        let by = session.client_text("");
        self.event(id, |_, entry, now, effects| {
            if let Some(token) = token {
                result = entry.lock.give_back(now, (session.id, &by), token, effects);
                if result != Ok(false) {
                    return;
                }
            }
            result = entry.lock.unlock(now, session.id, effects);
        });
        result
    }

    /// Breaks a lock; false if nobody had it, `None` if there is no such lock.
    pub(crate) fn break_lock(self: &Arc<Self>, id: &str, broken: Break) -> Option<bool> {
        let mut result = None;
        self.event(id, |_, entry, now, effects| {
            result = Some(entry.lock.break_it(now, broken, effects));
        });
        result
    }

    /// Takes out the streams of this object whose sessions have lost its lock.
    pub(crate) fn take_lost_streams(&self, id: &str) -> Vec<EndedStream> {
        let mut state = self.state();
        let Some(entry) = state.entry(id) else { return Vec::new() };
        self.streams.take_lost(id, |session| entry.lock.has_lost(session))
    }

    /// The client of `session` is gone, though a call of it may still run.
    pub(crate) fn disconnect(self: &Arc<Self>, session: u64) {
        for id in self.ids() {
            self.event(&id, |_, entry, now, effects| {
                entry.lock.disconnect(now, session, effects);
            });
        }
    }

    /// The session has ended.
    pub(crate) fn forget(self: &Arc<Self>, session: u64) {
        for id in self.ids() {
            self.event(&id, |_, entry, now, effects| {
                entry.lock.forget(now, session, effects);
            });
        }
    }

    /// Defers the end of a session while an object is brought to a safe state because of it;
    /// whether one is.
    pub(super) fn defer_end(&self, session: &Arc<Session>) -> bool {
        if !self.any() {
            return false;
        }
        let mut state = self.state();
        let waits_for = state.entries.iter().filter(|(_, entry)| {
            !entry.settings.on_disconnect.is_empty()
                && entry.lock.needs_safe_state_after(session.id)
        });
        let waits_for: BTreeSet<String> = waits_for.map(|(id, _)| id.clone()).collect();
        let is_deferred = !waits_for.is_empty();
        if is_deferred {
            state.deferred.push(DeferredEnd { session: Arc::clone(session), waits_for });
        }
        is_deferred
    }

    /// The object of this id has reached its safe state: the sessions whose ends were deferred for
    /// it, and now for no other.
    pub(super) fn take_deferred(&self, id: &str) -> Vec<Arc<Session>> {
        let mut state = self.state();
        let over = state.deferred.extract_if(.., |ended| {
            ended.waits_for.remove(id);
            ended.waits_for.is_empty()
        });
        over.map(|ended| ended.session).collect()
    }

    /// The object has reached its safe state, or as near to it as can be.
    pub(super) fn safe_state_reached(self: &Arc<Self>, id: &str, trouble: Option<String>) {
        self.event(id, |_, entry, now, effects| {
            entry.trouble = trouble;
            entry.lock.safe_state_reached(now, effects);
        });
        self.changed();
    }

    /// Sets the failures so far of a safe state that is under way.
    pub(super) fn set_trouble(&self, id: &str, trouble: String) {
        if let Some(entry) = self.state().entry(id) {
            entry.trouble = Some(trouble);
        }
        self.changed();
    }

    /// The timer of a lock has run out.
    fn tick(self: &Arc<Self>, id: &str) {
        self.event(id, |_, entry, now, effects| {
            entry.timer = None;
            entry.lock.tick(now, effects);
        });
    }

    /// Brings one event to the lock of an object, and carries out the effects.
    pub(super) fn event(
        self: &Arc<Self>,
        id: &str,
        event: impl FnOnce(Ticket, &mut LockEntry, Instant, &mut Vec<Effect>),
    ) {
        let mut safe_state: Option<(String, Option<Arc<Session>>)> = None;
        let mut calls_left: Option<(String, CallsLeft)> = None;
        let mut changed = false;
        let mut is_resumed = false;
        {
            let mut guard = self.state();
            let state = &mut *guard;
            state.next_ticket += 1;
            let ticket = state.next_ticket;
            let log = state.log.clone();
            let id = state.shares.get(id).map_or(id, String::as_str);
            let Some(entry) = state.entries.get_mut(id) else { return };
            let mut effects = Vec::new();
            let waiting = entry.lock.waiting().len();
            event(ticket, entry, Instant::now(), &mut effects);
            changed |= !effects.is_empty() || entry.lock.waiting().len() != waiting;
            // The end of the daemon waits for the calls.
            changed |= entry.lock.is_frozen();
            let mut effects = VecDeque::from(effects);
            while let Some(effect) = effects.pop_front() {
                match effect {
                    Effect::BringToSafeState if !entry.needs_safe_state(&self.streams, id) => {
                        let mut further = Vec::new();
                        entry.lock.safe_state_reached(Instant::now(), &mut further);
                        effects.extend(further);
                    }
                    Effect::Abort => {
                        if let Some((owner, _)) = &entry.owner
                            && self.aborts.has(id)
                        {
                            let owner = Arc::clone(owner);
                            let sessions = entry.lock.abort_start();
                            calls_left = Some((id.to_owned(), CallsLeft { owner, sessions }));
                        }
                    }
                    Effect::Answer(ticket, outcome) => entry.answer(ticket, outcome),
                    Effect::Record(record) => {
                        is_resumed |= record.event == Event::Resumed;
                        // Its ticket's answer, which comes next, says whose it is now.
                        if matches!(record.event, Event::Granted | Event::Resumed) {
                            entry.owner = None;
                        }
                        // An owner that comes back has it as before.
                        if record.event == Event::Granted {
                            entry.origin = LockOrigin::ThisProcess;
                        }
                        if let Some(log) = &log {
                            log(id, &record);
                        }
                    }
                    Effect::BringToSafeState => {
                        let owner = entry.owner.take().map(|(session, _)| session);
                        safe_state = Some((id.to_owned(), owner));
                    }
                }
            }
            entry.set_timer(|at| self.start_timer(at, id));
        }
        if changed {
            self.changed();
        }
        if let Some((id, left)) = calls_left {
            (self.reactions.calls_left)(self, &id, left);
        }
        if is_resumed {
            (self.reactions.owner_returned)(self, &self.lock_id(id));
        }
        match safe_state {
            Some((id, Some(session))) => (self.reactions.lock_lost)(self, &id, session),
            // No owner to call methods for: nothing can be done.
            Some((id, None)) => self.safe_state_reached(&id, None),
            None => {}
        }
    }

    /// `None` where the runtime has ended, and with it every client that could wait.
    fn start_timer(self: &Arc<Self>, at: Instant, id: &str) -> Option<AbortHandle> {
        let runtime = tokio::runtime::Handle::try_current().ok()?;
        let (locks, id) = (Arc::downgrade(self), id.to_owned());
        let task = runtime.spawn(async move {
            tokio::time::sleep_until(at.into()).await;
            if let Some(locks) = locks.upgrade() {
                locks.tick(&id);
            }
        });
        Some(task.abort_handle())
    }

    pub(super) fn ids(&self) -> Vec<String> {
        self.state().entries.keys().cloned().collect()
    }

    pub(super) fn changed(&self) {
        self.changes.send_modify(|version| *version += 1);
    }

    pub(super) fn state(&self) -> MutexGuard<'_, TableState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
