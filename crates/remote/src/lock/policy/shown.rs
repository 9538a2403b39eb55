//! Questions about a lock that change nothing.

use std::time::{Duration, Instant};

use super::super::types::Party;
use super::{Hold, Lock, LockPhase, Ticket, WaitKind};
use crate::token::TokenHash;

/// The phase of a lock, as others see it.
#[derive(Debug)]
pub(crate) enum PhaseView<'a> {
    Free,
    Held(&'a Hold),
    /// Kept until then for an owner that is away.
    Away(&'a Hold, Instant),
    /// This client gets it when calls of others have ended.
    Granting(&'a Party),
    /// No client has it any longer, and calls of this owner still run.
    Ending(&'a Party),
    /// The object is being brought to a safe state after this owner.
    Resting(&'a Party),
}

impl Lock {
    pub(crate) fn phase(&self) -> PhaseView<'_> {
        match &self.phase {
            LockPhase::Free => match self.queue.front() {
                Some(next) => PhaseView::Granting(&next.request.party),
                None => PhaseView::Free,
            },
            LockPhase::Held(hold) => PhaseView::Held(hold),
            LockPhase::Away { hold, until } => PhaseView::Away(hold, *until),
            LockPhase::Ending { after } => PhaseView::Ending(after),
            LockPhase::Resting { after } => PhaseView::Resting(after),
        }
    }

    /// The possession of the lock, and until when it is kept if its owner is away.
    pub(crate) fn hold(&self) -> Option<(&Hold, Option<Instant>)> {
        match self.phase() {
            PhaseView::Held(hold) => Some((hold, None)),
            PhaseView::Away(hold, until) => Some((hold, Some(until))),
            _ => None,
        }
    }

    /// Whether the owner of the lock has this token.
    pub(crate) fn is_by(&self, token: TokenHash) -> bool {
        self.hold().is_some_and(|(hold, _)| hold.has_token(token))
    }

    /// The name of the lock's owner, where that is not this session.
    pub(crate) fn name_of_other_owner(&self, session: u64) -> Option<String> {
        let (hold, away) = self.hold()?;
        let is_other = away.is_some() || !hold.is_of(session);
        is_other.then(|| hold.owner.name().to_owned())
    }

    /// Whether a call of the owner runs.
    pub(crate) fn is_in_use(&self) -> bool {
        match &self.phase {
            LockPhase::Held(hold) => self.calls.keys().any(|session| hold.is_of(*session)),
            _ => false,
        }
    }

    /// For how long the owner has been idle.
    pub(crate) fn idle(&self, now: Instant) -> Duration {
        match self.hold() {
            Some((hold, _)) if !self.is_in_use() => now.saturating_duration_since(hold.used),
            _ => Duration::ZERO,
        }
    }

    /// Whether the object is brought to a safe state because of this session, now or soon, or when
    /// the session's client does not come back.
    pub(crate) fn needs_safe_state_after(&self, session: u64) -> bool {
        match &self.phase {
            LockPhase::Ending { after } => self.has_safe_state && after.session == session,
            LockPhase::Resting { after } => after.session == session,
            LockPhase::Away { hold, .. } => self.has_safe_state && hold.owner.session == session,
            LockPhase::Free | LockPhase::Held(_) => false,
        }
    }

    /// Whether the session has lost the lock, and has not got it again.
    pub(crate) fn has_lost(&self, session: u64) -> bool {
        let is_last = match &self.phase {
            LockPhase::Ending { after } | LockPhase::Resting { after } => after.session == session,
            LockPhase::Free | LockPhase::Held(_) | LockPhase::Away { .. } => false,
        };
        is_last || self.lost.contains_key(&session)
    }

    /// Whether a call runs that is no read.
    pub(crate) fn has_calls(&self) -> bool {
        !self.calls.is_empty()
    }

    /// Whether it stays as it is for the next process.
    pub(crate) fn is_frozen(&self) -> bool {
        self.is_frozen
    }

    /// The tickets that wait, in order.
    pub(crate) fn waiting(&self) -> impl ExactSizeIterator<Item = (Ticket, &Party)> {
        self.queue.iter().map(|waiting| (waiting.ticket, &waiting.request.party))
    }

    /// When [`tick`](Self::tick) has something to do next.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        if self.is_frozen {
            return None;
        }
        let away = match &self.phase {
            LockPhase::Away { until, .. } if !self.is_resuming() => Some(*until),
            _ => None,
        };
        let awaited = self.awaited().map(|(_, until)| until);
        let deadlines = self.queue.iter().map(|waiting| waiting.deadline);
        deadlines.chain(away).chain(awaited).chain(self.lease_end()).min()
    }

    /// The client that the queue waits for, since it asks without waiting and has its turn; and
    /// until when.
    pub(crate) fn awaited(&self) -> Option<(&Party, Instant)> {
        let waits = self.queue.front().is_some_and(|next| next.kind == WaitKind::Patient);
        match &self.phase {
            LockPhase::Free if waits => self.attempts.awaited(),
            _ => None,
        }
    }
}

impl Hold {
    /// Whether this is the token that the lock is kept by.
    pub(super) fn has_token(&self, shown: TokenHash) -> bool {
        self.token.is_some_and(|(token, _)| token == shown)
    }

    /// A session that has joined the owner leaves it; false if it had not joined. It has used the
    /// lock until now: a call of it may still run.
    pub(super) fn end_membership(&mut self, now: Instant, session: u64) -> bool {
        let was_member = self.members.remove(&session);
        if was_member {
            self.used = now;
        }
        was_member
    }

    /// Whether the session is the owner's, or has joined it.
    pub(crate) fn is_of(&self, session: u64) -> bool {
        self.owner.session == session || self.members.contains(&session)
    }
}
