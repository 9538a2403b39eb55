//! Check of a request by the rules of access, where there are rules: early, so that a refused
//! client waits for nothing, and again when the call is carried out.
//!
//! Objects with a lock are checked at the [gate](crate::daemon::locks::lock_gate) for the second
//! time, together with their lock.

use std::sync::Arc;

use wire::exception::Exception;

use crate::access::AccessKind;
use crate::batch::refuse_rest;
use crate::daemon::Shared;
use crate::daemon::catch_panic::{self, CallName};
use crate::daemon::locks::lock_gate::GatedObject;
use crate::daemon::locks::methods;
use crate::object::{Answer, CallResult, Context, MethodCall, Object, Operation, Request};
use crate::session::Session;

/// Checks a request that has just come. The entries of a batch are checked when they are carried
/// out.
///
/// # Errors
/// Its client may not make it.
pub(super) fn check_early(
    shared: &Shared,
    session: &Session,
    (id, has_lock): (&str, bool),
    operation: &Operation,
) -> Result<(), Exception> {
    let asked = match operation {
        Operation::Batch(_) => return Ok(()),
        Operation::Call(call) => {
            (call.method.as_str(), methods::access_kind(&call.method, has_lock))
        }
        Operation::GetAttr(name) => (name.as_str(), AccessKind::Read),
        Operation::SetAttr(name, _) => (name.as_str(), AccessKind::Set),
        Operation::Blob(blob) => (blob.method.as_str(), AccessKind::Call),
    };
    let holds_lock = || has_lock && shared.locks.is_owner(id, session.id);
    shared.access.check(session, id, asked, holds_lock).map(drop)
}

/// Begins a batch of a client that has logged in, on an object without a lock: it ends when the
/// client loses its rights. Each entry is checked when it runs.
fn begin_batch_of_user(
    shared: &Arc<Shared>,
    id: &str,
    object: &Arc<dyn Object>,
    session: &Arc<Session>,
    (calls, context): (Vec<MethodCall>, Context),
) -> Answer {
    let (shared, session) = (Arc::clone(shared), Arc::clone(session));
    let (id, object) = (id.to_owned(), Arc::clone(object));
    Answer::Pending(Box::pin(async move {
        let (locks, access) = (&shared.locks, &shared.access);
        let gated = GatedObject { locks, access, session: &session, id: &id, object: &object };
        gated.batch(calls, &context, None).await
    }))
}

/// Begins a call of an object without a lock, if its client may make it. Of a batch the entries
/// before the first refused one are made, as with an entry that raises.
pub(super) fn begin_call(
    shared: &Arc<Shared>,
    name: CallName<'_>,
    object: &Arc<dyn Object>,
    session: &Arc<Session>,
    request: Request,
) -> Answer {
    let request = match request {
        Request { operation: Operation::Batch(calls), context }
            if session.login().is_some() && !object.checks_access() =>
        {
            return begin_batch_of_user(shared, name.object, object, session, (calls, context));
        }
        request => request,
    };
    if !shared.access.is_on() || object.checks_access() {
        return catch_panic::begin_call(name, object, session, request);
    }
    let Request { mut operation, context } = request;
    let Operation::Batch(calls) = &mut operation else {
        return match check_early(shared, session, (name.object, false), &operation) {
            Ok(()) => {
                catch_panic::begin_call(name, object, session, Request { operation, context })
            }
            Err(refused) => Answer::exception(refused),
        };
    };
    let check = |method: &str| {
        shared.access.check(session, name.object, (method, AccessKind::Call), || false)
    };
    let refused = calls
        .iter()
        .enumerate()
        .find_map(|(index, call)| Some((index, check(&call.method).err()?)));
    let (made, refused) = match refused {
        None => {
            return catch_panic::begin_call(name, object, session, Request { operation, context });
        }
        // Without a call there is no instance to be made.
        Some((0, refused)) => return Answer::exception(refused),
        Some(refused) => refused,
    };
    calls.truncate(made);
    let answer = catch_panic::begin_call(name, object, session, Request { operation, context });
    Answer::Pending(Box::pin(async move {
        let result: CallResult = answer.wait().await;
        refuse_rest(made, result, &refused)
    }))
}
