//! The locks of one daemon.
//!
//! Owns the clock, the waiting tasks and the bookkeeping around the rules of each lock: it brings
//! events to [`Lock`] and carries out what comes back. Its mutex is held for one event at a time,
//! never across an await.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{oneshot, watch};
use wire::exception::Exception;

use super::policy::{Effect, Hold, Lock, Ticket};
use super::status::{LockOwner, LockStatus, LockWaiter};
use super::words::{Break, Event, Outcome, Party, Record, Refusal, Request};
use crate::daemon::{Shared, rest};
use crate::session::Session;

/// Where the records of a daemon's locks go; called with the object's id, in order.
pub type LockLog = Arc<dyn Fn(&str, &Record) + Send + Sync>;

/// What can be set about the lock of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockSettings {
    /// Members that others may use while it is locked.
    pub read_while_locked: Vec<String>,
    /// Methods that bring it to a safe state, to be called when its owner is gone.
    pub on_disconnect: Vec<String>,
}

/// The locks of a daemon by the ids of their objects.
pub(crate) struct Locks {
    first_epoch: u64,
    /// Spares the daemons without locks the look into `state`.
    any: AtomicBool,
    state: Mutex<State>,
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    entries: HashMap<String, Entry>,
    next_ticket: Ticket,
    log: Option<LockLog>,
}

struct Entry {
    lock: Lock,
    settings: Arc<LockSettings>,
    tickets: HashMap<Ticket, Asker>,
    owner: Option<(Arc<Session>, SystemTime)>,
    trouble: Option<String>,
    /// A session that has ended, and whose object is not told before it has come to rest.
    ended: Option<Arc<Session>>,
}

struct Asker {
    session: Arc<Session>,
    at: SystemTime,
    answer: oneshot::Sender<Outcome>,
}

/// What is told of a lock to whoever asks.
pub(crate) struct Info {
    pub(crate) hold: Option<(Hold, SystemTime)>,
    /// How long it is kept for an owner who is away.
    pub(crate) expires_in: Option<Duration>,
    pub(crate) idle: Duration,
    pub(crate) waiting: Vec<LockWaiter>,
}

impl Locks {
    pub(crate) fn new(first_epoch: u64) -> Self {
        Locks {
            first_epoch,
            any: AtomicBool::new(false),
            state: Mutex::default(),
            changes: watch::Sender::new(0),
        }
    }

    /// From now on the object of this id has a lock.
    pub(crate) fn add(&self, id: &str, settings: LockSettings) {
        let entry = Entry {
            lock: Lock::new(self.first_epoch, !settings.on_disconnect.is_empty()),
            settings: Arc::new(settings),
            tickets: HashMap::new(),
            owner: None,
            trouble: None,
            ended: None,
        };
        self.state().entries.insert(id.to_owned(), entry);
        self.any.store(true, Ordering::Release);
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
        self.state().entries.get(id).map(|entry| Arc::clone(&entry.settings))
    }

    /// Every lock, sorted by id.
    pub(crate) fn status(&self) -> Vec<LockStatus> {
        let state = self.state();
        let mut all: Vec<LockStatus> =
            state.entries.iter().map(|(id, entry)| entry.status(id)).collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }

    pub(crate) fn info(&self, id: &str) -> Option<Info> {
        let now = Instant::now();
        let state = self.state();
        let entry = state.entries.get(id)?;
        let hold = entry.lock.hold();
        Some(Info {
            idle: hold.map_or(Duration::ZERO, |(hold, _)| now.duration_since(hold.used)),
            expires_in: hold
                .and_then(|(_, until)| until)
                .map(|at| at.saturating_duration_since(now)),
            hold: hold.map(|(hold, _)| (hold.clone(), entry.since())),
            waiting: entry.waiting(),
        })
    }

    /// Asks for a lock on behalf of `session`, and waits for the answer.
    pub(crate) async fn request(
        shared: &Arc<Shared>,
        id: &str,
        session: &Arc<Session>,
        user: String,
        wait: Option<Duration>,
        token: Option<(super::token::TokenHash, Duration)>,
    ) -> Outcome {
        let party = Party { session: session.id, user, address: session.peer.to_string() };
        let (answer, mut answered) = oneshot::channel();
        let mut ticket = 0;
        shared.locks.event(shared, id, |state_ticket, entry, now, effects| {
            ticket = state_ticket;
            let asker = Asker { session: Arc::clone(session), at: SystemTime::now(), answer };
            entry.tickets.insert(ticket, asker);
            entry.lock.request(now, ticket, Request { party, wait, token }, effects);
        });
        // A request that is dropped in the middle leaves the queue, as its connection would.
        loop {
            let Some(deadline) = shared.locks.deadline(id) else {
                return answered.await.unwrap_or(Outcome::TimedOut);
            };
            tokio::select! {
                biased;
                outcome = &mut answered => return outcome.unwrap_or(Outcome::TimedOut),
                () = tokio::time::sleep_until(deadline.into()) => {
                    shared.locks.event(shared, id, |_, entry, now, effects| {
                        entry.lock.tick(now, effects);
                    });
                }
            }
        }
    }

    pub(crate) fn unlock(shared: &Arc<Shared>, id: &str, session: u64) -> Result<bool, Refusal> {
        let mut result = Ok(false);
        shared.locks.event(shared, id, |_, entry, now, effects| {
            result = entry.lock.unlock(now, session, effects);
        });
        result
    }

    /// Breaks a lock; false if nobody had it, `None` if there is no such lock.
    pub(crate) fn break_it(shared: &Arc<Shared>, id: &str, broken: Break) -> Option<bool> {
        let mut result = None;
        shared.locks.event(shared, id, |_, entry, now, effects| {
            result = Some(entry.lock.break_it(now, broken, effects));
        });
        result
    }

    /// Lets a driving call of `member` run until the admission is dropped; `None` where the object
    /// has no lock.
    ///
    /// # Errors
    /// It must not run.
    pub(crate) fn admit(
        shared: &Arc<Shared>,
        id: &str,
        session: u64,
        member: Option<&str>,
    ) -> Result<Option<Admission>, Exception> {
        let mut state = shared.locks.state();
        let Some(entry) = state.entries.get_mut(id) else { return Ok(None) };
        let allowed =
            |member: &str| entry.settings.read_while_locked.iter().any(|name| name == member);
        let read = member.is_some_and(allowed);
        entry.lock.call_start(Instant::now(), session, read)?;
        Ok(Some(Admission {
            shared: Arc::clone(shared),
            id: id.to_owned(),
            session,
            counted: !read,
        }))
    }

    /// The client of `session` is gone, though a call of it may still run.
    pub(crate) fn disconnect(shared: &Arc<Shared>, session: u64) {
        for id in shared.locks.ids() {
            shared.locks.event(shared, &id, |_, entry, now, effects| {
                entry.lock.disconnect(now, session, effects);
            });
        }
    }

    /// The session has ended.
    pub(crate) fn forget(shared: &Arc<Shared>, session: u64) {
        for id in shared.locks.ids() {
            shared.locks.event(shared, &id, |_, entry, now, effects| {
                entry.lock.forget(now, session, effects);
            });
        }
    }

    /// Keeps the news of a session's end from its object while that comes to rest because of it;
    /// whether it does.
    pub(crate) fn defer_end(&self, id: &str, session: &Arc<Session>) -> bool {
        let mut state = self.state();
        let Some(entry) = state.entries.get_mut(id) else { return false };
        let rests = entry.lock.rests_after(session.id);
        if rests {
            entry.ended = Some(Arc::clone(session));
        }
        rests
    }

    /// The session whose end was deferred.
    pub(crate) fn take_ended(&self, id: &str) -> Option<Arc<Session>> {
        self.state().entries.get_mut(id)?.ended.take()
    }

    /// The object has come to rest, or as near to it as can be.
    pub(crate) fn rested(shared: &Arc<Shared>, id: &str, trouble: Option<String>) {
        shared.locks.event(shared, id, |_, entry, now, effects| {
            entry.trouble = trouble;
            entry.lock.rested(now, effects);
        });
        shared.locks.changed();
    }

    /// Time has passed.
    pub(crate) fn tick(shared: &Arc<Shared>) {
        for id in shared.locks.ids() {
            shared.locks.event(shared, &id, |_, entry, now, effects| {
                entry.lock.tick(now, effects);
            });
        }
    }

    /// Brings one event to the lock of an object, and carries out what follows.
    fn event(
        &self,
        shared: &Arc<Shared>,
        id: &str,
        event: impl FnOnce(Ticket, &mut Entry, Instant, &mut Vec<Effect>),
    ) {
        let mut rest: Option<Option<Arc<Session>>> = None;
        let mut suspended = None;
        let mut changed = false;
        {
            let mut guard = self.state();
            let state = &mut *guard;
            let Some(entry) = state.entries.get_mut(id) else { return };
            state.next_ticket += 1;
            let mut effects = Vec::new();
            let waiting = entry.lock.waiting().count();
            event(state.next_ticket, entry, Instant::now(), &mut effects);
            changed |= !effects.is_empty() || entry.lock.waiting().count() != waiting;
            for effect in effects {
                match effect {
                    Effect::Answer(ticket, outcome) => entry.answer(ticket, outcome),
                    Effect::Record(record) => {
                        match record.event {
                            // Its ticket's answer, which comes next, says whose it is now.
                            Event::Granted | Event::Resumed => entry.owner = None,
                            Event::Suspended { ttl } => suspended = Some(ttl),
                            _ => {}
                        }
                        if let Some(log) = &state.log {
                            log(id, &record);
                        }
                    }
                    Effect::Rest => rest = Some(entry.owner.take().map(|(session, _)| session)),
                }
            }
        }
        if changed {
            self.changed();
        }
        if let Some(ttl) = suspended {
            tick_in(ttl, shared, id);
        }
        match rest {
            Some(Some(session)) => rest::start(shared, id, session),
            // Nobody to speak for: there is nothing that could be done.
            Some(None) => Locks::rested(shared, id, None),
            None => {}
        }
    }

    fn deadline(&self, id: &str) -> Option<Instant> {
        self.state().entries.get(id)?.lock.next_deadline()
    }

    fn ids(&self) -> Vec<String> {
        self.state().entries.keys().cloned().collect()
    }

    fn changed(&self) {
        self.changes.send_modify(|version| *version += 1);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks at a lock again when its owner's time to come back is over.
fn tick_in(ttl: Duration, shared: &Arc<Shared>, id: &str) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    let (shared, id) = (Arc::downgrade(shared), id.to_owned());
    runtime.spawn(async move {
        tokio::time::sleep(ttl).await;
        if let Some(shared) = shared.upgrade() {
            shared
                .locks
                .event(&shared, &id, |_, entry, now, effects| entry.lock.tick(now, effects));
        }
    });
}

impl Entry {
    fn answer(&mut self, ticket: Ticket, outcome: Outcome) {
        let Some(asker) = self.tickets.remove(&ticket) else { return };
        if let Outcome::Granted { .. } = outcome
            && self.owner.is_none()
        {
            self.owner = Some((Arc::clone(&asker.session), SystemTime::now()));
        }
        // Nobody listens where the asker's connection has just ended; the lock hears of that next.
        let _ = asker.answer.send(outcome);
    }

    fn since(&self) -> SystemTime {
        self.owner.as_ref().map_or(SystemTime::UNIX_EPOCH, |(_, since)| *since)
    }

    fn status(&self, id: &str) -> LockStatus {
        let owner = |(hold, until): (&Hold, Option<Instant>)| LockOwner {
            user: hold.owner.user.clone(),
            address: hold.owner.address.clone(),
            since: self.since(),
            epoch: hold.epoch,
            away: until.is_some(),
        };
        LockStatus {
            id: id.to_owned(),
            owner: self.lock.hold().map(owner),
            waiting: self.waiting(),
            trouble: self.trouble.clone(),
        }
    }

    fn waiting(&self) -> Vec<LockWaiter> {
        let waiter = |(ticket, party): (Ticket, &Party)| LockWaiter {
            user: party.user.clone(),
            address: party.address.clone(),
            since: self.tickets.get(&ticket).map_or(SystemTime::UNIX_EPOCH, |asker| asker.at),
        };
        self.lock.waiting().map(waiter).collect()
    }
}

/// A call that runs; its end is the end of this.
pub(crate) struct Admission {
    shared: Arc<Shared>,
    id: String,
    session: u64,
    counted: bool,
}

impl Drop for Admission {
    fn drop(&mut self) {
        if self.counted {
            let session = self.session;
            self.shared.locks.event(&self.shared, &self.id, |_, entry, now, effects| {
                entry.lock.call_end(now, session, effects);
            });
        }
    }
}
