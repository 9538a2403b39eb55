//! Locks of a daemon that its next process restores.

use std::sync::Arc;
use std::time::Duration;

use crate::daemon::locks::table::LockTable;
use crate::lock::kept::KeptLock;
use crate::lock::policy::KeptHold;
use crate::lock::types::Party;

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
    /// if its object has no lock, or its epoch is none of an earlier process.
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
            entry.restored_since = is_restored.then_some(lock.since);
        });
        is_restored
    }
}
