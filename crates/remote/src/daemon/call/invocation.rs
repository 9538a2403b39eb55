//! One decoded request with its object, ready to be carried out.

use std::sync::Arc;

use crate::admission::call_permit::CallPermit;
use crate::daemon::Shared;
use crate::daemon::catch_panic::{self, CallName};
use crate::daemon::locks::lock_gate::GatedObject;
use crate::object::{CallResult, Object, Request};
use crate::session::Session;

/// One decoded request with its object.
pub(super) struct Invocation {
    pub(super) id: String,
    /// The member that is called, for logs and errors.
    pub(super) member: String,
    pub(super) object: Arc<dyn Object>,
    pub(super) has_lock: bool,
    /// Whether it calls one of the lock's own methods, or breaks a lock. Such a call needs no
    /// permit: the call that has one may be what hangs.
    pub(super) is_about_lock: bool,
    pub(super) request: Request,
    /// Bytes of memory that its arguments take.
    pub(super) memory: usize,
}

impl Invocation {
    /// Carries out the call; then the result, and the names of object and member.
    pub(super) async fn run(
        self,
        shared: &Arc<Shared>,
        session: &Arc<Session>,
        permit: CallPermit,
    ) -> (CallResult, String, String) {
        let Invocation { id, member, object, has_lock, request, .. } = self;
        let result = if has_lock {
            let (locks, id, object) = (&shared.locks, &id, &object);
            let gated = GatedObject { locks, session, id, object };
            // Boxed, so that connections without locks are no larger for it.
            Box::pin(gated.call(request, permit)).await
        } else {
            let name = CallName { object: &id, member: &member };
            let result = catch_panic::call_object(name, &object, session, request).await;
            drop(permit);
            result
        };
        (result, id, member)
    }
}
