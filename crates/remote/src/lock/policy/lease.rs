//! Lease of a lock (`lock_idle`): an owner that makes no call for a while loses it, never during
//! a call.
//!
//! For an owner whose connection is there; one that is away has the time of its token.

use std::time::{Duration, Instant};

use super::super::types::Event;
use super::{Effect, Lease, Lock, LockPhase};

impl Lock {
    /// Sets how long an owner may make no call; `None` ends no lock.
    pub(crate) fn set_lease(&mut self, now: Instant, limit: Option<Duration>) {
        if self.lease_limit() != limit {
            self.lease = limit.map(|limit| Lease { limit, since: now });
        }
    }

    /// How long an owner may make no call.
    pub(crate) fn lease_limit(&self) -> Option<Duration> {
        self.lease.map(|lease| lease.limit)
    }

    /// A read has been started by [`call_start`](Self::call_start): whether its end has to be
    /// reported, since it keeps the lease of the lock's owner.
    pub(crate) fn read_start(&mut self, session: u64) -> bool {
        let keeps = self.lease.is_some()
            && matches!(&self.phase, LockPhase::Held(hold) if hold.is_of(session));
        if keeps {
            *self.reads.entry(session).or_insert(0) += 1;
        }
        keeps
    }

    /// Such a read has ended.
    pub(crate) fn read_end(&mut self, now: Instant, session: u64) {
        if let Some(reads) = self.reads.get_mut(&session) {
            *reads = reads.saturating_sub(1);
            if *reads == 0 {
                self.reads.remove(&session);
            }
        }
        self.mark_used(now, session);
    }

    /// A call of this session begins or ends.
    pub(super) fn mark_used(&mut self, now: Instant, session: u64) {
        if let LockPhase::Held(hold) = &mut self.phase
            && hold.is_of(session)
        {
            hold.used = now;
        }
    }

    /// When the owner loses the lock if it makes no call until then; `None` during a call.
    pub(crate) fn lease_end(&self) -> Option<Instant> {
        let (LockPhase::Held(hold), Some(Lease { limit, since })) = (&self.phase, self.lease)
        else {
            return None;
        };
        let reads = self.reads.keys().any(|session| hold.is_of(*session));
        if self.is_in_use() || reads || self.is_resuming() {
            return None;
        }
        hold.used.max(since).checked_add(limit)
    }

    /// Takes the lock from an owner whose lease is over.
    pub(super) fn end_lease(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if let (Some(end), Some(limit)) = (self.lease_end(), self.lease_limit())
            && now >= end
        {
            self.end(now, Event::Idle { limit }, effects);
        }
    }
}
