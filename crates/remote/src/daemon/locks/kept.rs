//! Locks of a daemon that its next process restores.

use std::sync::Arc;
use std::time::Duration;

use wire::value::Value;

use crate::daemon::locks::table::LockTable;
use crate::lock::kept::KeptLock;
use crate::lock::policy::{KeptHold, RESTORED_SESSION};
use crate::lock::types::Party;
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
        self.event(&lock.id, |_, entry, now, effects| {
            let owner = Party {
                session: 0,
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
                entry.owner = Some((Arc::new(stand_in(lock)), lock.since));
                entry.is_restored = true;
            }
        });
        is_restored
    }

    /// Whether the object's last owner had its lock in an earlier process already: what it drove
    /// has gone with that.
    pub(super) fn is_restored(&self, id: &str) -> bool {
        self.state().entry(id).is_some_and(|entry| entry.is_restored)
    }
}

/// A session in the place of an owner from an earlier process, for the methods of the safe state.
fn stand_in(lock: &KeptLock) -> Session {
    let peer = lock.address.parse().map_or(Peer::Unix { process: None }, Peer::Tcp);
    Session::new(RESTORED_SESSION, peer, lock.id.clone(), Value::None)
}
