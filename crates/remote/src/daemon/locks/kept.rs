//! Locks of a daemon that its next process restores.

use std::sync::Arc;
use std::time::Duration;

use wire::value::Value;

use crate::daemon::locks::entry::LockEntry;
use crate::daemon::locks::table::LockTable;
use crate::lock::kept::KeptLock;
use crate::lock::policy::{KeptHold, is_restored_session, restored_session};
use crate::lock::types::Party;
use crate::object::LockOrigin;
use crate::session::{Peer, Session};

impl LockTable {
    /// The locks that outlive this process, sorted by id.
    pub(crate) fn kept(&self) -> Vec<KeptLock> {
        let state = self.state();
        let kept = state.entries.iter().filter_map(|(id, entry)| {
            let KeptHold { owner, epoch, token, ttl, until } = entry.lock.kept()?;
            Some(KeptLock {
                id: id.clone(),
                user: owner.user.clone(),
                identity: owner.identity.clone(),
                address: owner.address.clone(),
                credential: owner.credential.as_deref().cloned(),
                since: entry.since(),
                token,
                epoch,
                ttl,
                until,
                session: Some(owner.session).filter(|session| !is_restored_session(*session)),
                is_rested: entry.origin != LockOrigin::LostProcess,
            })
        });
        let mut kept: Vec<KeptLock> = kept.collect();
        kept.sort_by(|a, b| a.id.cmp(&b.id));
        kept
    }

    /// Restores a lock of an earlier process for an owner who may come back within `left`; false
    /// if its object has no lock, or its epoch was not given by an earlier process.
    pub(crate) fn restore(self: &Arc<Self>, lock: &KeptLock, left: Duration) -> bool {
        let mut is_restored = false;
        self.event(&lock.id, |ticket, entry, now, effects| {
            let session = restored_session(ticket);
            let owner = Party {
                session,
                user: lock.user.clone(),
                identity: lock.identity.clone(),
                address: lock.address.clone(),
                credential: lock.credential.clone().map(Arc::new),
            };
            let KeptLock { epoch, token, ttl, until, .. } = *lock;
            let hold = KeptHold { owner: &owner, epoch, token, ttl, until };
            let left = left.min(entry.settings.max_ttl);
            is_restored = !left.is_zero() && entry.lock.restore(now, hold, left, effects);
            if is_restored {
                entry.owner = Some((Arc::new(stand_in(lock, session)), lock.since));
                entry.origin = match lock.is_rested {
                    true => LockOrigin::StoppedProcess,
                    false => LockOrigin::LostProcess,
                };
            }
        });
        is_restored
    }

    /// The process in which the object's last owner got its lock.
    pub(super) fn origin(&self, id: &str) -> LockOrigin {
        self.state().entry(id).map(|entry| entry.origin).unwrap_or_default()
    }

    /// The objects whose locks the next process restores, with the sessions of their owners.
    pub(super) fn kept_owners(&self) -> Vec<(String, Arc<Session>)> {
        let state = self.state();
        let kept = state.entries.iter().filter(|(_, entry)| entry.lock.kept().is_some());
        let owner = |(id, entry): (&String, &LockEntry)| {
            entry.owner.as_ref().map(|(session, _)| (id.clone(), Arc::clone(session)))
        };
        kept.filter_map(owner).collect()
    }

    /// The process ends, and brings the object to a safe state though the lock outlives it: the
    /// lock stays as it is, and its running calls are aborted. False if it does not outlive the
    /// process.
    pub(super) fn freeze(self: &Arc<Self>, id: &str) -> bool {
        let mut is_frozen = false;
        self.event(id, |_, entry, _, effects| is_frozen = entry.lock.freeze(effects));
        is_frozen
    }

    /// Whether a call of an object runs that is no read.
    pub(super) fn has_calls(&self, id: &str) -> bool {
        self.state().entry(id).is_some_and(|entry| entry.lock.has_calls())
    }

    /// Waits until no call of an object runs whose lock is frozen.
    pub(super) async fn calls_ended(&self, id: &str) {
        let mut changes = self.changes();
        loop {
            changes.borrow_and_update();
            if !self.has_calls(id) || changes.changed().await.is_err() {
                return;
            }
        }
    }
}

/// A session in the place of an owner from an earlier process, for the methods of the safe state.
fn stand_in(lock: &KeptLock, number: u64) -> Session {
    let peer = lock.address.parse().map_or(Peer::Unix { process: None }, Peer::Tcp);
    Session::new(number, peer, lock.id.clone(), Value::None)
}
