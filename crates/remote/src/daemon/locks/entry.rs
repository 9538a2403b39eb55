//! One lock of a daemon, with the facts that its rules need not know.
//!
//! The requests that wait for an answer, the sessions of the rules' numbers, the wall clock, and
//! the one timer of the lock.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::admission::slots::Slots;
use crate::daemon::streams::Streams;
use crate::lock::policy::{Hold, Lock, PhaseView, Ticket};
use crate::lock::status::{LockOwner, LockState, LockStatus, LockWaiter};
use crate::lock::types::LockSettings;
use crate::lock::types::{Outcome, Party};
use crate::object::LockOrigin;
use crate::session::Session;

pub(super) struct LockEntry {
    pub(super) lock: Lock,
    pub(super) settings: Arc<LockSettings>,
    pub(super) tickets: HashMap<Ticket, Asker>,
    /// Whose the lock is, or was last, since when.
    pub(super) owner: Option<(Arc<Session>, SystemTime)>,
    /// The process in which that one got it; after an earlier one it has a stand-in for a session
    /// until it comes back.
    pub(super) origin: LockOrigin,
    pub(super) trouble: Option<String>,
    pub(super) timer: Option<Timer>,
    /// Item streams that end after their clients, at a time.
    pub(super) stream_ends: Arc<Slots>,
}

pub(super) struct Asker {
    pub(super) session: Arc<Session>,
    pub(super) at: SystemTime,
    pub(super) answer: oneshot::Sender<Outcome>,
}

/// Looks at a lock at its next deadline.
pub(super) struct Timer {
    at: Instant,
    task: AbortHandle,
}

impl LockEntry {
    pub(super) fn new(first_epoch: u64, settings: LockSettings, stream_ends: Arc<Slots>) -> Self {
        // Whether there is anything to do then is looked at when it is time.
        let mut lock = Lock::new(first_epoch, true);
        lock.set_lease(Instant::now(), settings.max_idle);
        LockEntry {
            lock,
            settings: Arc::new(settings),
            tickets: HashMap::new(),
            owner: None,
            origin: LockOrigin::ThisProcess,
            trouble: None,
            timer: None,
            stream_ends,
        }
    }

    /// Whether there is anything to do for a safe state after an owner has lost the lock.
    pub(super) fn needs_safe_state(&self, streams: &Streams, id: &str) -> bool {
        let loses = |session| self.lock.has_lost(session);
        !self.settings.on_disconnect.is_empty() || streams.any_lost(id, loses)
    }

    pub(super) fn answer(&mut self, ticket: Ticket, outcome: Outcome) {
        let Some(asker) = self.tickets.remove(&ticket) else { return };
        if let Outcome::Granted { .. } = outcome
            && self.owner.is_none()
        {
            self.owner = Some((Arc::clone(&asker.session), SystemTime::now()));
        }
        // Nobody listens where the asker's connection has just ended; the lock hears of that next.
        let _ = asker.answer.send(outcome);
    }

    /// Has `start` set a timer for the lock's next deadline. A timer that runs out too early looks
    /// in vain and is set again, which costs less than setting one for each change.
    pub(super) fn set_timer(&mut self, start: impl FnOnce(Instant) -> Option<AbortHandle>) {
        let next = self.lock.next_deadline();
        let is_early_enough = |timer: &Timer| next.is_some_and(|next| timer.at <= next);
        if self.timer.as_ref().is_some_and(is_early_enough) {
            return;
        }
        if let Some(timer) = self.timer.take() {
            timer.task.abort();
        }
        self.timer = next.and_then(|at| Some(Timer { at, task: start(at)? }));
    }

    pub(super) fn status(&self, id: &str) -> LockStatus {
        let owner = |hold: &Hold, away| LockOwner {
            user: hold.owner.user.clone(),
            identity: hold.owner.identity.clone(),
            address: hold.owner.address.clone(),
            since: self.since(),
            // Reckoned from one reading of the wall clock, so that it stays the same.
            used: self.since() + hold.used.saturating_duration_since(hold.since),
            is_in_use: self.lock.is_in_use(),
            epoch: hold.epoch,
            away,
            idle_limit: self.lock.lease_limit(),
            expires: away.or_else(|| self.lock.lease_end()),
        };
        let name = |party: &Party| party.name().to_owned();
        let (state, owner) = match self.lock.phase() {
            PhaseView::Free => (LockState::Free, None),
            PhaseView::Held(hold) => (LockState::Locked, Some(owner(hold, None))),
            PhaseView::Away(hold, until) => (LockState::Away, Some(owner(hold, Some(until)))),
            PhaseView::Granting(next) => {
                let next = self.lock.awaited().map_or(next, |(party, _)| party);
                (LockState::Granting { next: name(next) }, None)
            }
            PhaseView::Ending(after) => (LockState::Ending { after: name(after) }, None),
            PhaseView::Resting(after) => (LockState::Resting { after: name(after) }, None),
        };
        LockStatus {
            id: id.to_owned(),
            state,
            owner,
            waiting: self.waiting(),
            trouble: self.trouble.clone(),
        }
    }

    fn waiting(&self) -> Vec<LockWaiter> {
        let waiter = |(ticket, party): (Ticket, &Party)| LockWaiter {
            user: party.user.clone(),
            identity: party.identity.clone(),
            address: party.address.clone(),
            since: self.tickets.get(&ticket).map_or(SystemTime::UNIX_EPOCH, |asker| asker.at),
        };
        self.lock.waiting().map(waiter).collect()
    }

    pub(super) fn since(&self) -> SystemTime {
        self.owner.as_ref().map_or(SystemTime::UNIX_EPOCH, |(_, since)| *since)
    }
}
