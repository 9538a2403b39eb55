//! Calls that the daemon itself makes of one of its objects: health checks, and polls of members.
//!
//! Such a call obeys the rules of a client's call: it waits for the call permit of a `multiplex`
//! daemon, and does not run while a client has the object's lock. It gives way: it does not begin
//! while a client waits for the lock, and a `lock()` that finds only such a call waits for its end
//! instead of being refused. It is bounded: one that takes too long loses its permit and counts as
//! running no longer, so that nothing waits for it.

use std::sync::Arc;
use std::time::Duration;

use tracing::debug;
use wire::exception::Exception;
use wire::value::Value;

use crate::current_call::{CallForm, CallPhase};
use crate::daemon::Shared;
use crate::daemon::catch_panic::{self, CallName};
use crate::object::{BoxFuture, Context, HealthCheck, Object};
use crate::session::{OwnCallReason, Peer, Session};

/// The maker of a daemon's own calls of one object: a session without a client, whose calls are
/// listed.
pub struct OwnCaller {
    shared: Arc<Shared>,
    session: Arc<Session>,
    object: String,
    reason: OwnCallReason,
}

/// The outcome of a daemon's own call.
#[derive(Debug)]
pub enum OwnCall<T> {
    /// It was made.
    Done(T),
    /// A client has the lock, or waits for it.
    Refused(Exception),
    /// There is no such object.
    Gone,
}

impl OwnCaller {
    pub(crate) fn new(shared: &Arc<Shared>, object: &str, reason: OwnCallReason) -> Self {
        let peer = Peer::Daemon(reason);
        let session = Session::new(shared.session_id(), peer, object.to_owned(), Value::None);
        let session = Arc::new(session);
        shared.calls.add_session(&session);
        OwnCaller { shared: Arc::clone(shared), session, object: object.to_owned(), reason }
    }

    /// Makes a health check, and waits for its end. `overdue` is called if that takes longer than
    /// `limit`; its turn is not counted. The result is what the object said: whether it is well.
    pub async fn check(
        &self,
        check: HealthCheck,
        limit: Duration,
        overdue: impl FnOnce(),
    ) -> OwnCall<Result<bool, Exception>> {
        let member = check.member.clone().unwrap_or_else(|| CONSTRUCTOR.to_owned());
        let begin = |object: &Arc<dyn Object>, _| object.check_health(&self.session, check);
        self.call(&member, begin, limit, overdue).await
    }

    /// Reads a property, or calls a method without arguments, and waits for its end; after `limit`
    /// it keeps nobody waiting.
    pub async fn poll(&self, member: &str, limit: Duration) -> OwnCall<Result<Value, Exception>> {
        let begin = |object: &Arc<dyn Object>, context| object.poll(&self.session, member, context);
        self.call(member, begin, limit, || ()).await
    }

    async fn call<T>(
        &self,
        member: &str,
        begin: impl FnOnce(&Arc<dyn Object>, Context) -> BoxFuture<Result<T, Exception>>,
        limit: Duration,
        overdue: impl FnOnce(),
    ) -> OwnCall<Result<T, Exception>> {
        let Shared { registry, locks, admission, .. } = &*self.shared;
        let Some(object) = registry.get(&self.object) else { return OwnCall::Gone };
        let phase = match admission.calls.is_multiplex() {
            true => CallPhase::WaitsForTurn,
            false => CallPhase::Runs,
        };
        let form = CallForm::default();
        let _shown = self.session.call.begin(&self.object, member, form, phase);
        let permit = admission.calls.take().await;
        let running = match locks.start_own(&self.object, member, self.reason) {
            Ok(running) => running,
            Err(refused) => {
                debug!(object = self.object, member, %refused, "no call of the daemon now");
                return OwnCall::Refused(refused);
            }
        };
        self.session.call.set_phase(CallPhase::Runs);
        let mut context = Context::internal();
        if let Some(running) = &running {
            running.restrict(&mut context);
        }
        let no_instance = context.no_instance.clone();
        let name = CallName { object: &self.object, member };
        let begun = catch_panic::run(name, || Ok(begin(&object, context)));
        let mut work = match begun {
            Ok(work) => work,
            Err(broken) => return OwnCall::Done(Err(broken)),
        };
        let mut ended = std::pin::pin!(catch_panic::wait(name, &mut work));
        let outcome = match tokio::time::timeout(limit, &mut ended).await {
            Ok(outcome) => outcome,
            Err(_) => {
                drop((permit, running));
                overdue();
                ended.await
            }
        };
        match (outcome, no_instance) {
            // A read beside a client's lock, for which there is no instance.
            (Err(exception), Some(refusal)) if exception == *refusal => OwnCall::Refused(exception),
            (outcome, _) => OwnCall::Done(outcome),
        }
    }

    /// Whether a call of a client runs in the object.
    pub fn is_in_use(&self) -> bool {
        let calls = self.shared.calls.list(|_| None, None);
        calls.iter().any(|call| {
            call.object == self.object && call.waits_for.is_none() && call.peer.is_client()
        })
    }
}

impl Drop for OwnCaller {
    fn drop(&mut self) {
        self.shared.calls.remove_session(&self.session);
        self.session.set_ended();
        self.shared.registry.end_session(&self.session);
    }
}

/// The member that is shown while an instance is made.
const CONSTRUCTOR: &str = "the constructor";
