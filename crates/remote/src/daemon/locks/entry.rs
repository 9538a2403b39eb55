//! One lock of a daemon, with what its rules need not know.
//!
//! Owns who waits for which answer, the sessions behind the numbers, the wall clock, and the one
//! timer that the lock has.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::table::Locks;
use crate::daemon::Shared;
use crate::lock::policy::{Hold, Lock, Phase, Ticket};
use crate::lock::status::{LockOwner, LockState, LockStatus, LockWaiter};
use crate::lock::types::LockSettings;
use crate::lock::types::{Outcome, Party};
use crate::session::Session;

pub(super) struct Entry {
    pub(super) lock: Lock,
    pub(super) settings: Arc<LockSettings>,
    pub(super) tickets: HashMap<Ticket, Asker>,
    /// Whose the lock is, or was last, since when.
    pub(super) owner: Option<(Arc<Session>, SystemTime)>,
    pub(super) trouble: Option<String>,
    pub(super) timer: Option<Timer>,
}

pub(super) struct Asker {
    pub(super) session: Arc<Session>,
    pub(super) at: SystemTime,
    pub(super) answer: oneshot::Sender<Outcome>,
}

/// Looks at a lock when its next deadline is there.
pub(super) struct Timer {
    at: Instant,
    task: AbortHandle,
}

impl Entry {
    pub(super) fn new(first_epoch: u64, settings: LockSettings) -> Self {
        Entry {
            // Whether there is anything to do then is looked at when it is time.
            lock: Lock::new(first_epoch, true),
            settings: Arc::new(settings),
            tickets: HashMap::new(),
            owner: None,
            trouble: None,
            timer: None,
        }
    }

    /// Whether there is anything to do behind an owner that has lost the lock.
    pub(super) fn has_to_rest(&self, shared: &Shared, id: &str) -> bool {
        let loses = |session| self.lock.has_lost(session);
        !self.settings.on_disconnect.is_empty() || shared.streams.any_lost(id, loses)
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

    /// Makes sure that the lock is looked at when its next deadline is there. A timer that runs out
    /// too early looks in vain and is set anew, which costs less than one for each change.
    pub(super) fn set_timer(&mut self, shared: &Arc<Shared>, id: &str) {
        let next = self.lock.next_deadline();
        let will_do = |timer: &Timer| next.is_some_and(|next| timer.at <= next);
        if self.timer.as_ref().is_some_and(will_do) {
            return;
        }
        if let Some(timer) = self.timer.take() {
            timer.task.abort();
        }
        self.timer = next.and_then(|at| Timer::start(at, shared, id));
    }

    pub(super) fn status(&self, id: &str) -> LockStatus {
        let owner = |hold: &Hold, away| LockOwner {
            user: hold.owner.user.clone(),
            address: hold.owner.address.clone(),
            since: self.since(),
            // Reckoned from one reading of the wall clock, so that it stays the same.
            used: self.since() + hold.used.saturating_duration_since(hold.since),
            is_in_use: self.lock.is_in_use(),
            epoch: hold.epoch,
            away,
        };
        let name = |party: &Party| party.name().to_owned();
        let (state, owner) = match self.lock.phase() {
            Phase::Free => (LockState::Free, None),
            Phase::Held(hold) => (LockState::Locked, Some(owner(hold, None))),
            Phase::Away(hold, until) => (LockState::Away, Some(owner(hold, Some(until)))),
            Phase::Granting(next) => (LockState::Granting { next: name(next) }, None),
            Phase::Ending(after) => (LockState::Ending { after: name(after) }, None),
            Phase::Resting(after) => (LockState::Resting { after: name(after) }, None),
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
            address: party.address.clone(),
            since: self.tickets.get(&ticket).map_or(SystemTime::UNIX_EPOCH, |asker| asker.at),
        };
        self.lock.waiting().map(waiter).collect()
    }

    fn since(&self) -> SystemTime {
        self.owner.as_ref().map_or(SystemTime::UNIX_EPOCH, |(_, since)| *since)
    }
}

impl Timer {
    /// None where the runtime has ended, and with it whoever could wait.
    fn start(at: Instant, shared: &Arc<Shared>, id: &str) -> Option<Self> {
        let runtime = tokio::runtime::Handle::try_current().ok()?;
        let (shared, id) = (Arc::downgrade(shared), id.to_owned());
        let task = runtime.spawn(async move {
            tokio::time::sleep_until(at.into()).await;
            if let Some(shared) = shared.upgrade() {
                Locks::tick(&shared, &id);
            }
        });
        Some(Timer { at, task: task.abort_handle() })
    }
}
