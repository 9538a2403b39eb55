//! What can be seen of a lock from outside.
//!
//! Owns no rule: it only tells.

use std::time::{Duration, Instant};

use super::super::token::TokenHash;
use super::super::types::Party;
use super::{Hold, Lock, State, Ticket};

/// How it stands with a lock.
#[derive(Debug)]
pub(crate) enum Phase<'a> {
    Free,
    Held(&'a Hold),
    /// Kept until then for an owner who is away.
    Away(&'a Hold, Instant),
    /// It is nobody's yet: calls of others still run.
    Granting(&'a Party),
    /// It is nobody's any more, and calls of this owner still run.
    Ending(&'a Party),
    /// The object is being brought to rest behind this owner.
    Resting(&'a Party),
}

impl Lock {
    pub(crate) fn phase(&self) -> Phase<'_> {
        match &self.state {
            State::Free => match self.queue.front() {
                Some(next) => Phase::Granting(&next.request.party),
                None => Phase::Free,
            },
            State::Held(hold) => Phase::Held(hold),
            State::Away { hold, until } => Phase::Away(hold, *until),
            State::Ending { after } => Phase::Ending(after),
            State::Resting { after } => Phase::Resting(after),
        }
    }

    /// Whoever has the lock, and until when it is kept where its owner is away.
    pub(crate) fn hold(&self) -> Option<(&Hold, Option<Instant>)> {
        match self.phase() {
            Phase::Held(hold) => Some((hold, None)),
            Phase::Away(hold, until) => Some((hold, Some(until))),
            _ => None,
        }
    }

    /// Whether whoever has the lock has this token.
    pub(crate) fn is_by(&self, token: TokenHash) -> bool {
        self.hold().is_some_and(|(hold, _)| hold.has_token(token))
    }

    /// Whether a call of the owner runs.
    pub(crate) fn is_in_use(&self) -> bool {
        match &self.state {
            State::Held(hold) => self.calls.keys().any(|session| hold.is_of(*session)),
            _ => false,
        }
    }

    /// For how long the owner has done nothing.
    pub(crate) fn idle(&self, now: Instant) -> Duration {
        match self.hold() {
            Some((hold, _)) if !self.is_in_use() => now.saturating_duration_since(hold.used),
            _ => Duration::ZERO,
        }
    }

    /// Whether the object is brought to rest because of this session, or is about to be, or will be
    /// if the session's client does not come back.
    pub(crate) fn rests_after(&self, session: u64) -> bool {
        match &self.state {
            State::Ending { after } => self.rests && after.session == session,
            State::Resting { after } => after.session == session,
            State::Away { hold, .. } => self.rests && hold.owner.session == session,
            State::Free | State::Held(_) => false,
        }
    }

    /// Whether the session has lost the lock, and has not got it again.
    pub(crate) fn has_lost(&self, session: u64) -> bool {
        let is_last = match &self.state {
            State::Ending { after } | State::Resting { after } => after.session == session,
            State::Free | State::Held(_) | State::Away { .. } => false,
        };
        is_last || self.lost.contains_key(&session)
    }

    /// The tickets that wait, in order.
    pub(crate) fn waiting(&self) -> impl ExactSizeIterator<Item = (Ticket, &Party)> {
        self.queue.iter().map(|waiting| (waiting.ticket, &waiting.request.party))
    }

    /// When [`tick`](Self::tick) has something to do next.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let away = match &self.state {
            State::Away { until, .. } if !self.is_resuming() => Some(*until),
            _ => None,
        };
        self.queue.iter().map(|waiting| waiting.deadline).chain(away).min()
    }
}

impl Hold {
    /// Whether this is the token that the lock is kept by.
    pub(super) fn has_token(&self, shown: TokenHash) -> bool {
        self.token.is_some_and(|(token, _)| token == shown)
    }

    /// Whether the session is the owner's, or has joined it.
    pub(super) fn is_of(&self, session: u64) -> bool {
        self.owner.session == session || self.members.contains(&session)
    }
}
