//! Locks that outlive their daemon's process: those with a token.
//!
//! The next process restores such a lock as that of an owner who is away. Only the token resumes
//! it, and its time runs from then on.

use std::time::{Duration, Instant};

use super::super::types::{Event, Party};
use super::steps::record;
use super::{Effect, Hold, Lock, LockPhase};
use crate::token::TokenHash;

/// The session of an owner from an earlier process: no client of this one has its number.
pub(crate) const RESTORED_SESSION: u64 = u64::MAX - 1;

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

    /// Restores a lock of an earlier process for `left`; false if its epoch was not given by an
    /// earlier process.
    pub(crate) fn restore(
        &mut self,
        now: Instant,
        KeptHold { owner, epoch, token, ttl, .. }: KeptHold<'_>,
        left: Duration,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let may = matches!(self.phase, LockPhase::Free) && epoch < self.next_epoch;
        if may && let Some(until) = now.checked_add(left) {
            let owner = Party { session: RESTORED_SESSION, ..owner.clone() };
            let token = Some((token, ttl));
            let hold = Hold::new(owner, epoch, now, token, String::new());
            effects.push(record(&hold, Event::Suspended { ttl: left }, None));
            self.phase = LockPhase::Away { hold, until };
        }
        may
    }
}
