//! Health checks: calls that the daemon itself makes on one of its objects.
//!
//! A check obeys the rules of a client's call: it waits for the call permit of a `multiplex`
//! daemon, and does not run while a client has the object's lock. It is bounded: one that takes too
//! long loses its permit and counts as running no longer, so that nothing waits for it.

use std::sync::Arc;
use std::time::Duration;

use tracing::debug;
use wire::exception::Exception;
use wire::value::Value;

use crate::current_call::{CallForm, CallPhase};
use crate::daemon::Shared;
use crate::daemon::catch_panic::{self, CallName};
use crate::object::HealthCheck;
use crate::session::{Peer, Session};

/// The maker of an object's health checks: a session without a client, whose calls are listed.
pub struct HealthChecker {
    shared: Arc<Shared>,
    session: Arc<Session>,
    object: String,
}

impl HealthChecker {
    pub(crate) fn new(shared: &Arc<Shared>, object: &str) -> Self {
        let peer = Peer::HealthCheck;
        let session = Session::new(shared.session_id(), peer, object.to_owned(), Value::None);
        let session = Arc::new(session);
        shared.calls.add_session(&session);
        HealthChecker { shared: Arc::clone(shared), session, object: object.to_owned() }
    }

    /// Makes a check, and waits for its end. `overdue` is called if that takes longer than `limit`;
    /// its turn is not counted. The result is what the object said: whether it is well; `None`
    /// where a client has the lock, or the object is gone.
    pub async fn check(
        &self,
        check: HealthCheck,
        limit: Duration,
        overdue: impl FnOnce(),
    ) -> Option<Result<bool, Exception>> {
        let Shared { registry, locks, admission, .. } = &*self.shared;
        let object = registry.get(&self.object)?;
        let member = check.member.clone().unwrap_or_else(|| CONSTRUCTOR.to_owned());
        let phase = match admission.calls.is_multiplex() {
            true => CallPhase::WaitsForTurn,
            false => CallPhase::Runs,
        };
        let form = CallForm::default();
        let _shown = self.session.call.begin(&self.object, &member, form, phase);
        let permit = admission.calls.take().await;
        let running = match locks.start_check(&self.object, self.session.id, &member) {
            Ok(running) => running,
            Err(refused) => {
                debug!(object = self.object, %refused, "no health check now");
                return None;
            }
        };
        self.session.call.set_phase(CallPhase::Runs);
        let name = CallName { object: &self.object, member: &member };
        let begun = catch_panic::run(name, || Ok(object.check_health(&self.session, check)));
        let mut work = match begun {
            Ok(work) => work,
            Err(broken) => return Some(Err(broken)),
        };
        let mut ended = std::pin::pin!(catch_panic::wait(name, &mut work));
        if let Ok(outcome) = tokio::time::timeout(limit, &mut ended).await {
            return Some(outcome);
        }
        drop((permit, running));
        overdue();
        Some(ended.await)
    }

    /// Whether a call of a client runs in the object.
    pub fn is_in_use(&self) -> bool {
        let is_other = |peer: &Peer| *peer != Peer::HealthCheck;
        let calls = self.shared.calls.list(|_| None, None);
        calls.iter().any(|call| {
            call.object == self.object && call.waits_for.is_none() && is_other(&call.peer)
        })
    }
}

impl Drop for HealthChecker {
    fn drop(&mut self) {
        self.shared.calls.remove_session(&self.session);
        self.session.set_ended();
        self.shared.registry.end_session(&self.session);
    }
}

/// The member that is shown while an instance is made.
const CONSTRUCTOR: &str = "the constructor";
