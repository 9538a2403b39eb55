//! Which calls may run, and the count of those that do.

use std::time::Instant;

use super::super::types::{Loss, Refusal};
use super::{Block, Effect, GRANT_PATIENCE, Lock, LockPhase, Waiting};

/// How a call uses an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// It drives the object.
    Drive,
    /// It drives the object, and its caller waits for no answer.
    Send,
    /// It reads: others may make it while the object is locked.
    Read,
}

/// Work that a session has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LateWork {
    /// The end of an item stream. There may be a thousand of them, so that they let a client that
    /// waits for the lock go first.
    StreamEnd,
    /// The safe state of an instance.
    SafeState,
    /// The abort of a call whose client has gone without having had the lock.
    AbortAbandoned,
    /// The abort of a call that takes longer than it may.
    AbortOverdue,
}

/// The session of calls that the daemon itself makes.
pub(crate) const OWN_SESSION: u64 = u64::MAX;

/// The session of aborts: they count as running calls of no client.
pub(crate) const ABORT_SESSION: u64 = 0;

impl Lock {
    /// A call wants to run.
    ///
    /// # Errors
    /// It must not run. Otherwise the end of a driving call has to be reported.
    pub(crate) fn call_start(
        &mut self,
        now: Instant,
        session: u64,
        call: Call,
    ) -> Result<(), Refusal> {
        self.may_drive(session, call)?;
        self.mark_used(now, session);
        if call == Call::Read {
            return Ok(());
        }
        if let LockPhase::Free = &self.phase {
            match self.queue.front().map(|next| next.request.party.clone()) {
                Some(next)
                    if next.session != session
                        && self.awaited().is_none()
                        && self.keeps_out(now) =>
                {
                    return Err(Refusal::locked(&next));
                }
                _ => {}
            }
        }
        *self.calls.entry(session).or_insert(0) += 1;
        Ok(())
    }

    /// A call of the daemon itself wants to run, of a member that others may read or not.
    ///
    /// # Errors
    /// It must not run. Otherwise the end of a driving call has to be reported, as one of
    /// [`OWN_SESSION`].
    pub(crate) fn own_start(&mut self, may_read: bool) -> Result<Call, Refusal> {
        if may_read {
            return Ok(Call::Read);
        }
        if let Some(next) = self.queue.front() {
            return Err(Refusal::locked(&next.request.party));
        }
        self.may_drive(OWN_SESSION, Call::Drive)?;
        *self.calls.entry(OWN_SESSION).or_insert(0) += 1;
        Ok(Call::Drive)
    }

    /// Whether the daemon's own calls are all that keeps this session from the lock.
    pub(super) fn waits_for_own_calls_only(&self, session: u64) -> bool {
        let is_own = |running: &u64| *running == OWN_SESSION || *running == session;
        matches!(self.phase, LockPhase::Free)
            && self.queue.is_empty()
            && self.calls.contains_key(&OWN_SESSION)
            && self.calls.keys().all(is_own)
    }

    /// A call that was started has waited since, and is about to begin.
    ///
    /// # Errors
    /// It must not. Its end has to be reported all the same.
    pub(crate) fn call_begin(
        &mut self,
        now: Instant,
        session: u64,
        call: Call,
    ) -> Result<(), Refusal> {
        self.may_drive(session, call)?;
        // A client that waits gets its turn, however many oneway calls a client had sent before it
        // went. Calls of a client that is still there came first and are waited for.
        match self.queue.front() {
            Some(next)
                if next.request.party.session != session
                    && self.gone.contains_key(&session)
                    && now.saturating_duration_since(next.since) >= GRANT_PATIENCE =>
            {
                Err(Refusal::Lost(Loss::Gone))
            }
            _ => Ok(()),
        }
    }

    /// Starts work that a session has left; its end has to be reported like a call's. False if it
    /// has to wait.
    pub(crate) fn late_start(&mut self, session: u64, work: LateWork) -> bool {
        let is_next = |next: &Waiting| next.request.party.session == session;
        let is_overdue = work == LateWork::AbortOverdue;
        let may = match &self.phase {
            LockPhase::Free => {
                work != LateWork::StreamEnd || self.queue.front().is_none_or(is_next)
            }
            // An owner's loss aborts its calls already.
            LockPhase::Held(_) if work == LateWork::AbortAbandoned => false,
            LockPhase::Held(hold) => hold.is_of(session),
            LockPhase::Away { hold, .. } => is_overdue && hold.is_of(session),
            LockPhase::Ending { .. } => is_overdue && self.calls.contains_key(&session),
            LockPhase::Resting { .. } => false,
        };
        if may {
            *self.calls.entry(session).or_insert(0) += 1;
        }
        may
    }

    /// Starts an abort of the running calls, whose end has to be reported as that of a call of
    /// [`ABORT_SESSION`]. The sessions of the calls that it is for.
    pub(crate) fn abort_start(&mut self) -> Vec<u64> {
        let sessions = self.calls.keys().copied().filter(|session| *session != ABORT_SESSION);
        let sessions = sessions.collect();
        *self.calls.entry(ABORT_SESSION).or_insert(0) += 1;
        sessions
    }

    fn may_drive(&mut self, session: u64, call: Call) -> Result<(), Refusal> {
        // A client that sends a oneway call and closes wants it done, without an answer. This does
        // not hold after it had the lock: its work ends with that.
        let is_sent_off = call == Call::Send && !self.lost.contains_key(&session);
        if self.gone.contains_key(&session) && !is_sent_off {
            return Err(Refusal::Lost(Loss::Gone));
        }
        if call == Call::Read {
            return Ok(());
        }
        if let Some(lost) = self.lost.get_mut(&session) {
            // A call without an answer tells nobody.
            lost.told |= call == Call::Drive;
            return Err(Refusal::Lost(lost.loss.clone()));
        }
        match &self.phase {
            LockPhase::Held(hold) if hold.is_of(session) => Ok(()),
            LockPhase::Held(hold) | LockPhase::Away { hold, .. } => {
                Err(Refusal::locked(&hold.owner))
            }
            LockPhase::Ending { after } => Err(Refusal::Ending { after: after.name().to_owned() }),
            LockPhase::Resting { after } => {
                Err(Refusal::Resting { after: after.name().to_owned() })
            }
            LockPhase::Free => Ok(()),
        }
    }

    /// A started call that was no read has ended.
    pub(crate) fn call_end(&mut self, now: Instant, session: u64, effects: &mut Vec<Effect>) {
        self.mark_used(now, session);
        if let Some(running) = self.calls.get_mut(&session) {
            *running = running.saturating_sub(1);
            if *running == 0 {
                self.calls.remove(&session);
                self.forget_if_over(session);
            }
        }
        if let Block::Over { stuck } = &mut self.block {
            // Of several calls of a session, the one that has ended counts as the oldest: then no
            // later one is waited for in its place.
            if let Some(calls) = stuck.get_mut(&session) {
                *calls = calls.saturating_sub(1);
            }
            stuck.retain(|_, calls| *calls > 0);
            if stuck.is_empty() {
                self.block = Block::Idle;
            }
        }
        if self.calls.is_empty() {
            self.block = Block::Idle;
        }
        self.advance(now, effects);
    }

    /// Whether the next in the queue keeps calls of others out of a free lock.
    fn keeps_out(&mut self, now: Instant) -> bool {
        match self.block {
            Block::Idle => self.block = Block::Until(now + GRANT_PATIENCE),
            Block::Until(end) if now < end => {}
            Block::Until(_) => self.block = Block::Over { stuck: self.calls.clone() },
            Block::Over { .. } => {}
        }
        !matches!(self.block, Block::Over { .. })
    }

    pub(super) fn forget_if_over(&mut self, session: u64) {
        if self.gone.get(&session) == Some(&true) && !self.calls.contains_key(&session) {
            self.gone.remove(&session);
            self.lost.remove(&session);
        }
    }
}
