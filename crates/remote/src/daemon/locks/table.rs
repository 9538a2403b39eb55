//! The locks of one daemon.
//!
//! Owns the clock and the bookkeeping around the rules of each lock: it brings events to
//! [`Lock`](crate::lock::policy::Lock) and carries out what comes back. Its mutex is held for one event at
//! a time, never across an await.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{oneshot, watch};
use wire::exception::Exception;

use super::entry::{Asker, Entry};
use crate::daemon::Shared;
use crate::daemon::locks::on_disconnect;
use crate::daemon::locks::session_end;
use crate::daemon::streams::Ended as EndedStream;
use crate::lock::policy::{Call, Effect, Ticket};
use crate::lock::status::LockStatus;
use crate::lock::token::TokenHash;
use crate::lock::types::{Break, Event, LockLog, LockSettings, Outcome, Party, Refusal, Request};
use crate::object::Leave;
use crate::session::Session;

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
    /// Objects that share another's lock, each with the id that the lock has.
    shares: HashMap<String, String>,
    next_ticket: Ticket,
    log: Option<LockLog>,
    ended: Vec<Ended>,
}

/// A session that has ended, which no object is told before these have come to rest.
struct Ended {
    session: Arc<Session>,
    resting: BTreeSet<String>,
}

impl State {
    /// The object that has the lock of this one: mostly the same.
    fn home<'a>(&'a self, id: &'a str) -> &'a str {
        self.shares.get(id).map_or(id, String::as_str)
    }

    fn entry(&mut self, id: &str) -> Option<&mut Entry> {
        let id = self.shares.get(id).map_or(id, String::as_str);
        self.entries.get_mut(id)
    }
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
        let entry = Entry::new(self.first_epoch, settings);
        self.state().entries.insert(id.to_owned(), entry);
        self.any.store(true, Ordering::Release);
    }

    /// From now on the lock of `with`, if it has one, is that of the object of this id too.
    pub(crate) fn share(&self, id: &str, with: &str) {
        let mut state = self.state();
        let home = state.home(with).to_owned();
        if state.entries.contains_key(&home) && !state.entries.contains_key(id) {
            state.shares.insert(id.to_owned(), home);
        }
    }

    /// The object that has the lock of this one.
    pub(crate) fn home(&self, id: &str) -> String {
        if self.any() { self.state().home(id).to_owned() } else { id.to_owned() }
    }

    /// The object of this id is served no more, or has no part in another's lock.
    pub(crate) fn end_share(&self, id: &str) {
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

    /// Every lock, sorted by id.
    pub(crate) fn status(&self) -> Vec<LockStatus> {
        let state = self.state();
        let mut all: Vec<LockStatus> =
            state.entries.iter().map(|(id, entry)| entry.status(id)).collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }

    /// How it stands with the lock of an object, and for how long its owner has done nothing.
    pub(crate) fn look(&self, id: &str) -> Option<(LockStatus, Duration)> {
        let mut state = self.state();
        let entry = state.entry(id)?;
        Some((entry.status(id), entry.lock.idle(Instant::now())))
    }

    /// Whether whoever has the lock of an object has this token, be it away or not.
    pub(crate) fn is_by(&self, id: &str, token: TokenHash) -> bool {
        self.state().entry(id).is_some_and(|entry| entry.lock.is_by(token))
    }

    /// Asks for a lock on behalf of `session`, and waits for the answer.
    pub(crate) async fn request(
        shared: &Arc<Shared>,
        id: &str,
        session: &Arc<Session>,
        user: String,
        wait: Option<Duration>,
        token: Option<(TokenHash, Duration)>,
    ) -> Outcome {
        let party = Party { session: session.id, user, address: session.peer.to_string() };
        let (answer, answered) = oneshot::channel();
        let mut ticket = 0;
        shared.locks.event(shared, id, |state_ticket, entry, now, effects| {
            ticket = state_ticket;
            let asker = Asker { session: Arc::clone(session), at: SystemTime::now(), answer };
            entry.tickets.insert(ticket, asker);
            let via = id.to_owned();
            entry.lock.request(now, ticket, Request { party, via, wait, token }, effects);
        });
        // The answer comes in time whatever happens: each lock has a timer. A request that is dropped
        // in the middle leaves the queue when its connection does.
        answered.await.unwrap_or(Outcome::TimedOut)
    }

    /// Gives a lock up on behalf of `session`, which has it, or shows the token of who does.
    pub(crate) fn unlock(
        shared: &Arc<Shared>,
        id: &str,
        session: &Session,
        token: Option<TokenHash>,
    ) -> Result<bool, Refusal> {
        let mut result = Ok(false);
        let by = session.peer.to_string();
        shared.locks.event(shared, id, |_, entry, now, effects| {
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
        is_oneway: bool,
    ) -> Result<Option<Admission>, Exception> {
        let mut state = shared.locks.state();
        // An object that shares the lock may go while its call runs; the lock stays.
        let id = state.home(id).to_owned();
        let Some(entry) = state.entries.get_mut(&id) else { return Ok(None) };
        let allowed =
            |member: &str| entry.settings.read_while_locked.iter().any(|name| name == member);
        let call = match member.is_some_and(allowed) {
            true => Call::Read,
            false if is_oneway => Call::Send,
            false => Call::Drive,
        };
        entry.lock.call_start(Instant::now(), session, call)?;
        Ok(Some(Admission { shared: Arc::clone(shared), id, session, call }))
    }

    /// Lets something run that a session has left to be done, until the admission is dropped; not now,
    /// if none comes back.
    pub(crate) fn admit_late(shared: &Arc<Shared>, id: &str, session: u64) -> Option<Admission> {
        let mut state = shared.locks.state();
        let id = state.home(id).to_owned();
        let entry = state.entries.get_mut(&id)?;
        let may = entry.lock.late_start(session);
        may.then(|| Admission { shared: Arc::clone(shared), id, session, call: Call::Drive })
    }

    /// Takes out the streams of this object that those had who have lost its lock.
    pub(crate) fn take_lost_streams(shared: &Shared, id: &str) -> Vec<EndedStream> {
        let mut state = shared.locks.state();
        let Some(entry) = state.entry(id) else { return Vec::new() };
        shared.streams.take_lost(id, |session| entry.lock.has_lost(session))
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

    /// Keeps the news of a session's end from the objects while any of them comes to rest because of
    /// it; whether one does.
    pub(crate) fn defer_end(&self, session: &Arc<Session>) -> bool {
        if !self.any() {
            return false;
        }
        let mut state = self.state();
        let resting = state.entries.iter().filter(|(_, entry)| {
            !entry.settings.on_disconnect.is_empty() && entry.lock.rests_after(session.id)
        });
        let resting: BTreeSet<String> = resting.map(|(id, _)| id.clone()).collect();
        let is_deferred = !resting.is_empty();
        if is_deferred {
            state.ended.push(Ended { session: Arc::clone(session), resting });
        }
        is_deferred
    }

    /// The object of this id has come to rest: sessions whose ends were deferred for it, and for no
    /// other any more.
    pub(crate) fn take_ended(&self, id: &str) -> Vec<Arc<Session>> {
        let mut state = self.state();
        let over = state.ended.extract_if(.., |ended| {
            ended.resting.remove(id);
            ended.resting.is_empty()
        });
        over.map(|ended| ended.session).collect()
    }

    /// The object has come to rest, or as near to it as can be.
    pub(crate) fn rested(shared: &Arc<Shared>, id: &str, trouble: Option<String>) {
        shared.locks.event(shared, id, |_, entry, now, effects| {
            entry.trouble = trouble;
            entry.lock.rested(now, effects);
        });
        shared.locks.changed();
    }

    /// What goes wrong while the object is brought to rest, before that is over.
    pub(crate) fn set_trouble(&self, id: &str, trouble: String) {
        if let Some(entry) = self.state().entry(id) {
            entry.trouble = Some(trouble);
        }
        self.changed();
    }

    /// The timer of a lock has run out.
    pub(super) fn tick(shared: &Arc<Shared>, id: &str) {
        shared.locks.event(shared, id, |_, entry, now, effects| {
            entry.timer = None;
            entry.lock.tick(now, effects);
        });
    }

    /// Brings one event to the lock of an object, and carries out what follows.
    fn event(
        &self,
        shared: &Arc<Shared>,
        id: &str,
        event: impl FnOnce(Ticket, &mut Entry, Instant, &mut Vec<Effect>),
    ) {
        let mut rest: Option<(String, Option<Arc<Session>>)> = None;
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
            let mut effects = VecDeque::from(effects);
            while let Some(effect) = effects.pop_front() {
                match effect {
                    Effect::Rest if !entry.has_to_rest(shared, id) => {
                        let mut further = Vec::new();
                        entry.lock.rested(Instant::now(), &mut further);
                        effects.extend(further);
                    }
                    Effect::Answer(ticket, outcome) => entry.answer(ticket, outcome),
                    Effect::Record(record) => {
                        is_resumed |= record.event == Event::Resumed;
                        // Its ticket's answer, which comes next, says whose it is now.
                        if matches!(record.event, Event::Granted | Event::Resumed) {
                            entry.owner = None;
                        }
                        if let Some(log) = &log {
                            log(id, &record);
                        }
                    }
                    Effect::Rest => {
                        rest =
                            Some((id.to_owned(), entry.owner.take().map(|(session, _)| session)));
                    }
                }
            }
            entry.set_timer(shared, id);
        }
        if changed {
            self.changed();
        }
        if is_resumed {
            // Its client is back, on another connection: the object does not come to rest for it.
            for session in self.take_ended(&self.home(id)) {
                session_end::say(shared, &session);
            }
        }
        match rest {
            Some((id, Some(session))) => on_disconnect::start(shared, &id, session),
            // Nobody to speak for: there is nothing that could be done.
            Some((id, None)) => Locks::rested(shared, &id, None),
            None => {}
        }
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

/// A call that runs; its end is the end of this.
pub(crate) struct Admission {
    shared: Arc<Shared>,
    id: String,
    session: u64,
    call: Call,
}

impl Admission {
    /// What the call's object asks when the call has waited there.
    pub(crate) fn leave(&self) -> Leave {
        let (shared, id) = (Arc::downgrade(&self.shared), self.id.clone());
        let (session, call) = (self.session, self.call);
        Leave::by(move || {
            let Some(shared) = shared.upgrade() else { return Ok(()) };
            let mut state = shared.locks.state();
            let Some(entry) = state.entries.get_mut(&id) else { return Ok(()) };
            Ok(entry.lock.call_begin(Instant::now(), session, call)?)
        })
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if self.call != Call::Read {
            let session = self.session;
            self.shared.locks.event(&self.shared, &self.id, |_, entry, now, effects| {
                entry.lock.call_end(now, session, effects);
            });
        }
    }
}
