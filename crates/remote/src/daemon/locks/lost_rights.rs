//! Ends of locks whose owners have lost their rights: their users were removed.

use std::sync::Arc;

use crate::daemon::locks::table::LockTable;
use crate::users::Credential;

impl LockTable {
    /// The client of `session` has lost its rights: it does not keep a lock by a token either.
    pub(crate) fn revoke(self: &Arc<Self>, session: u64) {
        for id in self.ids() {
            self.event(&id, |_, entry, now, effects| entry.lock.revoke(now, session, effects));
        }
    }

    /// Gives back locks that are kept for owners who are away, where `is_refused` their credential.
    pub(crate) fn revoke_away(self: &Arc<Self>, is_refused: impl Fn(&Credential) -> bool) {
        for id in self.ids() {
            let owner = {
                let mut state = self.state();
                let owner = state.entry(&id).and_then(|entry| entry.lock.away_owner());
                owner.and_then(|owner| Some((owner.session, owner.credential.clone()?)))
            };
            // Users are asked without the table's mutex: they may look at a file.
            if let Some((session, credential)) = owner
                && is_refused(&credential)
            {
                self.event(&id, |_, entry, now, effects| {
                    entry.lock.revoke_away(now, session, effects);
                });
            }
        }
    }
}
