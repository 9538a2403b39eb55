//! Running calls of objects with locks: the lock is asked at the start and hears of the end.

use std::sync::Arc;
use std::time::Instant;

use wire::exception::Exception;

use crate::daemon::locks::table::LockTable;
use crate::lock::policy::{ABORT_SESSION, Call, LateWork, OWN_SESSION};
use crate::lock::types::Refusal;
use crate::object::{Context, StartCheck};
use crate::session::OwnCallReason;

impl LockTable {
    /// Starts a call of `member` that drives the object; it counts as running until the result is
    /// dropped. `None` where the object has no lock.
    ///
    /// # Errors
    /// It must not run.
    pub(crate) fn start_call(
        self: &Arc<Self>,
        id: &str,
        session: u64,
        member: Option<&str>,
        is_oneway: bool,
    ) -> Result<Option<RunningCall>, Exception> {
        let mut state = self.state();
        // An object that shares the lock may go while its call runs; the lock stays.
        let id = state.lock_id(id).to_owned();
        let Some(entry) = state.entries.get_mut(&id) else { return Ok(None) };
        let allowed =
            |member: &str| entry.settings.read_while_locked.iter().any(|name| name == member);
        let call = match member.is_some_and(allowed) {
            true => Call::Read,
            false if is_oneway => Call::Send,
            false => Call::Drive,
        };
        entry.lock.call_start(Instant::now(), session, call)?;
        let (mut reports_end, mut owner) = (true, None);
        if call == Call::Read {
            reports_end = entry.lock.read_start(session);
            owner = entry.lock.name_of_other_owner(session);
        }
        Ok(Some(RunningCall { locks: Arc::clone(self), id, session, call, reports_end, owner }))
    }

    /// Starts a call of `member` that the daemon itself makes; it counts as running until the
    /// result is dropped. `None` where the object has no lock.
    ///
    /// # Errors
    /// It must not run now.
    pub(crate) fn start_own(
        self: &Arc<Self>,
        id: &str,
        member: &str,
        reason: OwnCallReason,
    ) -> Result<Option<RunningCall>, Exception> {
        if !self.any() {
            return Ok(None);
        }
        let mut state = self.state();
        let id = state.lock_id(id).to_owned();
        let Some(entry) = state.entries.get_mut(&id) else { return Ok(None) };
        // A check may do more than read, whatever its member may do.
        if reason == OwnCallReason::HealthCheck && entry.lock.is_in_use() {
            return Err(Exception::daemon_error("a call of the lock's owner runs"));
        }
        let may_read = entry.settings.read_while_locked.iter().any(|name| name == member);
        let call = entry.lock.own_start(may_read)?;
        let owner = match call {
            Call::Read => entry.lock.name_of_other_owner(OWN_SESSION),
            _ => None,
        };
        let (session, reports_end) = (OWN_SESSION, call != Call::Read);
        Ok(Some(RunningCall { locks: Arc::clone(self), id, session, call, reports_end, owner }))
    }

    /// Starts work that a session has left; it counts as running until the result is dropped.
    /// `None` if it has to wait for another client.
    pub(crate) fn start_late(
        self: &Arc<Self>,
        id: &str,
        session: u64,
        work: LateWork,
    ) -> Option<RunningCall> {
        let mut state = self.state();
        let id = state.lock_id(id).to_owned();
        let entry = state.entries.get_mut(&id)?;
        let may = entry.lock.late_start(session, work);
        may.then(|| self.started(id, session))
    }

    /// An abort that the lock has started; it counts as running until the result is dropped.
    pub(super) fn started_abort(self: &Arc<Self>, id: &str) -> RunningCall {
        self.started(self.lock_id(id), ABORT_SESSION)
    }

    fn started(self: &Arc<Self>, id: String, session: u64) -> RunningCall {
        let (locks, call) = (Arc::clone(self), Call::Drive);
        RunningCall { locks, id, session, call, reports_end: true, owner: None }
    }

    /// Whether `session` has the lock of this object, or shares it by its token.
    pub(crate) fn is_owner(&self, id: &str, session: u64) -> bool {
        let mut state = self.state();
        let hold = state.entry(id).and_then(|entry| entry.lock.hold());
        hold.is_some_and(|(hold, _)| hold.is_of(session))
    }
}

/// A running call of an object with a lock. It has ended when this is dropped.
pub(crate) struct RunningCall {
    locks: Arc<LockTable>,
    id: String,
    session: u64,
    call: Call,
    /// Whether the lock hears of its end.
    reports_end: bool,
    /// The owner of the lock, if the call is another client's read.
    owner: Option<String>,
}

impl RunningCall {
    /// Has the object obey the lock: a call that it has made wait asks again, and a read beside
    /// another's lock makes no instance.
    pub(crate) fn restrict(&self, context: &mut Context) {
        self.add_check(&mut context.may_start);
        let refusal = self.owner.clone().map(|by| Refusal::NoInstance { by }.into());
        context.no_instance = refusal.map(Arc::new);
    }

    fn add_check(&self, may_start: &mut StartCheck) {
        let (locks, id) = (Arc::downgrade(&self.locks), self.id.clone());
        let (session, call) = (self.session, self.call);
        may_start.set_check(move || {
            let Some(locks) = locks.upgrade() else { return Ok(()) };
            let mut state = locks.state();
            let Some(entry) = state.entries.get_mut(&id) else { return Ok(()) };
            Ok(entry.lock.call_begin(Instant::now(), session, call)?)
        });
    }
}

impl Drop for RunningCall {
    fn drop(&mut self) {
        let (session, call) = (self.session, self.call);
        if self.reports_end {
            self.locks.event(&self.id, |_, entry, now, effects| match call {
                Call::Read => entry.lock.read_end(now, session),
                Call::Drive | Call::Send => entry.lock.call_end(now, session, effects),
            });
        }
    }
}
