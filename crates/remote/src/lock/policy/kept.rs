//! Locks that outlive their daemon's process: those with a token.
//!
//! The next process restores such a lock as that of an owner who is away. Only the token resumes
//! it, and its time runs from then on.

use std::time::{Duration, Instant};

use super::super::types::{Event, Party};
use super::calls::OWN_SESSION;
use super::steps::record;
use super::{Effect, Hold, Lock, LockPhase};
use crate::token::TokenHash;

/// The least number of a session of an owner from an earlier process; clients are numbered from 1.
const FIRST_RESTORED_SESSION: u64 = 1 << 63;

/// The session of an owner from an earlier process, by a number that no other restored lock of this
/// process has: what ends with one owner must not end with another.
pub(crate) fn restored_session(number: u64) -> u64 {
    // The last number of all is the daemon's own session.
    OWN_SESSION - 1 - number.min(FIRST_RESTORED_SESSION - 2)
}

/// Whether this is the session of an owner from an earlier process.
pub(crate) fn is_restored_session(session: u64) -> bool {
    (FIRST_RESTORED_SESSION..OWN_SESSION).contains(&session)
}

/// The parts of a lock with a token that the next process needs.
pub(crate) struct KeptHold<'a> {
    pub(crate) owner: &'a Party,
    pub(crate) epoch: u64,
    pub(crate) token: TokenHash,
    /// How long it outlives its owner's connection.
    pub(crate) ttl: Duration,
    /// Until when it is kept, if its owner is away.
    pub(crate) until: Option<Instant>,
}

impl Lock {
    /// The lock as the next process would restore it; `None` where it ends with this one.
    pub(crate) fn kept(&self) -> Option<KeptHold<'_>> {
        let (hold, until) = match &self.phase {
            LockPhase::Held(hold) => (hold, None),
            LockPhase::Away { hold, until } => (hold, Some(*until)),
            LockPhase::Free | LockPhase::Ending { .. } | LockPhase::Resting { .. } => return None,
        };
        let (token, ttl) = hold.token.filter(|(_, ttl)| !ttl.is_zero())?;
        Some(KeptHold { owner: &hold.owner, epoch: hold.epoch, token, ttl, until })
    }

    /// The process ends, and brings the object to a safe state though the lock outlives it. From
    /// now on it neither expires nor is granted, and its running calls are aborted. False if it
    /// does not outlive the process.
    pub(crate) fn freeze(&mut self, effects: &mut Vec<Effect>) -> bool {
        self.is_frozen |= self.kept().is_some();
        if self.is_frozen && self.has_calls() {
            effects.push(Effect::Abort);
        }
        self.is_frozen
    }

    /// Restores a lock of an earlier process for `left`; its owner has a [`restored_session`].
    /// False if its epoch was not given by an earlier process.
    pub(crate) fn restore(
        &mut self,
        now: Instant,
        KeptHold { owner, epoch, token, ttl, .. }: KeptHold<'_>,
        left: Duration,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let may = matches!(self.phase, LockPhase::Free) && epoch < self.next_epoch;
        if may && let Some(until) = now.checked_add(left) {
            let token = Some((token, ttl));
            let hold = Hold::new(owner.clone(), epoch, now, token, String::new());
            effects.push(record(&hold, Event::Suspended { ttl: left }, None));
            self.phase = LockPhase::Away { hold, until };
        }
        may
    }
}
