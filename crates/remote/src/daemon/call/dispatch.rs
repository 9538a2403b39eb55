//! From a request's bytes to its answer's bytes: which object is called, and when.
//!
//! The steps of an INVOKE message: decode it within its memory, find its object, wait for the call
//! permit, call, respond. Knows nothing of sockets.

use std::sync::Arc;

use tracing::{debug, warn};
use wire::exception::Exception;
use wire::message::Header;
use wire::serializer::Serializer;

use crate::admission::call_permit::ClientGone;
use crate::admission::request_memory::{MemoryNeed, RequestPermit, release_freed};
use crate::config;
use crate::daemon::Shared;
use crate::daemon::call::daemon_object;
use crate::daemon::call::decode::{self, After, Decoded, Undecodable};
use crate::daemon::call::invocation::Invocation;
use crate::daemon::call::oneway::{self, OnewayCall, Oneways};
use crate::daemon::call::response::{Responder, Response};
use crate::daemon::locks::lock_gate;
use crate::frames::Frame;
use crate::object::{AnswerBudget, Context, Operation, Request, StartCheck};
use crate::session::Session;

/// A connection's client, as its requests need to know it.
pub(crate) struct Caller {
    pub(crate) session: Arc<Session>,
    pub(crate) client: ClientGone,
    /// The pool was full when it came.
    pub(crate) only_breaks_locks: bool,
    pub(crate) oneways: Oneways,
}

impl Caller {
    pub(crate) fn new(shared: &Shared, session: &Arc<Session>, only_breaks_locks: bool) -> Self {
        Caller {
            session: Arc::clone(session),
            client: shared.admission.calls.client(),
            only_breaks_locks,
            oneways: Oneways::default(),
        }
    }
}

/// Carries out the request in `frame` and appends its answer to `out`; nothing for a oneway.
pub(crate) async fn answer(
    shared: &Arc<Shared>,
    caller: &mut Caller,
    frame: Frame<'_>,
    permit: Option<RequestPermit>,
    out: &mut Vec<u8>,
) -> Response {
    let Some(serializer) = Serializer::from_id(frame.header.serializer) else {
        debug!(peer = %caller.session.peer, serializer = frame.header.serializer,
            "unknown serializer");
        return Response::without_memory(After::Close);
    };
    let session = Arc::clone(&caller.session);
    let responder = Responder::new(shared, &session, frame.header, serializer);
    let is_oneway = responder.is_oneway();
    if !is_oneway && let Some(exception) = caller.oneways.take_exception(shared) {
        return responder.exception(exception, "", "", out);
    }
    let (decoded, context) = match decode_within(shared, &frame, &responder, permit).await {
        Ok(decoded) => decoded,
        Err(undecodable) => {
            if is_oneway && undecodable.is_too_large() {
                caller.oneways.count_refused();
            }
            return responder.exception(undecodable.into_exception(), "", "", out);
        }
    };
    drop(frame);
    let call = match find_object(shared, caller, decoded, context) {
        Ok(call) => call,
        Err((exception, id, member)) => return responder.exception(exception, &id, &member, out),
    };
    if is_oneway {
        return carry_out_oneway(shared, caller, call).await;
    }
    let permit = match call.is_about_lock {
        true => Ok(None),
        false => shared.admission.calls.take_for(&caller.client).await,
    };
    let (result, id, member) = match permit {
        Ok(permit) => call.run(shared, &session, permit).await,
        Err(client_gone) => (Err(client_gone), call.id, call.member),
    };
    responder.result(result, &id, &member, out).await
}

/// Decodes a request within the memory that it has, or within more if that is too little.
async fn decode_within(
    shared: &Shared,
    frame: &Frame<'_>,
    responder: &Responder<'_>,
    mut permit: Option<RequestPermit>,
) -> Result<(Decoded, Context), Undecodable> {
    let (limits, serializer) = (&shared.config.limits, responder.serializer);
    let within = permit.as_ref().map(|permit| permit.limits(limits));
    let mut decoded = decode::decode(frame, serializer, within.as_ref().unwrap_or(limits));
    if let (Some(within), Err(Undecodable::TooLarge(_))) = (within, &decoded) {
        let most = MemoryNeed::most(frame.body.payload.len(), limits);
        if within.memory < most.values {
            // Without any memory meanwhile: two requests that wait for more would wait for each
            // other.
            release_freed(permit.take());
            // Boxed, for it is rare.
            let waiting = Box::pin(RequestPermit::wait(&shared.admission.requests, most));
            permit = Some(waiting.await.map_err(Undecodable::TooLarge)?);
            decoded = decode::decode(frame, serializer, limits);
        }
    }
    if permit.is_some() && decoded.as_ref().is_err_and(Undecodable::is_too_large) {
        release_freed(permit.take());
    }
    let decoded = decoded?;
    if let Some(permit) = &mut permit {
        permit.shrink(decoded.memory);
    }
    let answers = Arc::clone(&shared.admission.answers);
    let context = Context {
        serializer,
        flags: frame.header.flags,
        seq: frame.header.seq,
        correlation_id: responder.correlation_id,
        annotations: decode::owned(&frame.body.annotations),
        may_start: StartCheck::default(),
        request_memory: permit.map(|permit| Arc::new(permit) as _),
        answer_budget: Some(answers as Arc<dyn AnswerBudget>),
    };
    Ok((decoded, context))
}

/// An exception, with the object and the member that it is about.
type Refused = (Exception, String, String);

/// Finds the object of a request, and refuses what must not reach it now.
fn find_object(
    shared: &Shared,
    caller: &Caller,
    decoded: Decoded,
    context: Context,
) -> Result<Invocation, Refused> {
    let Decoded { object: id, operation, memory } = decoded;
    let member = operation.name().to_owned();
    let Some(object) = shared.registry.get(&id) else {
        return Err((daemon_object::unknown_object(shared, &id), id, member));
    };
    let breaks_lock =
        matches!(&operation, Operation::Call(call) if object.breaks_locks(&call.method));
    if caller.only_breaks_locks && !breaks_lock {
        let reason = config::pool_full_text(&shared.config);
        return Err((Exception::new("Pyro5.errors.CommunicationError", reason), id, member));
    }
    let has_lock = shared.locks.settings(&id).is_some();
    let is_about_lock = breaks_lock || has_lock && lock_gate::is_lock_method(&operation);
    // A oneway call keeps nobody waiting, and its client would not hear of it.
    if !context.is_oneway()
        && !is_about_lock
        && let Err(refused) = shared.admission.orphans.check(&id)
    {
        return Err((refused, id, member));
    }
    let request = Request { operation, context };
    Ok(Invocation { id, member, object, has_lock, is_about_lock, request, memory })
}

/// Starts a oneway call. A oneway batch is carried out here, as in Pyro5, and so is every oneway
/// call where the configuration wants no threads for them.
async fn carry_out_oneway(shared: &Arc<Shared>, caller: &mut Caller, call: Invocation) -> Response {
    let session = &caller.session;
    let is_batch = matches!(call.request.operation, Operation::Batch(_));
    if is_batch || !shared.config.oneway_threaded {
        let permit = if call.is_about_lock { None } else { shared.admission.calls.take().await };
        let (result, object, member) = call.run(shared, session, permit).await;
        OnewayCall::new(shared, session, object, member).log(result);
    } else if let Some(slot) = caller.oneways.take_slot(shared, session, &call) {
        oneway::start(shared, session, call, slot).await;
    }
    Response::without_memory(After::Continue)
}

/// Answers a request that is not even decoded.
pub(crate) fn refuse_unread(
    shared: &Arc<Shared>,
    session: &Arc<Session>,
    header: Header,
    exception: Exception,
    out: &mut Vec<u8>,
) -> Response {
    let Some(serializer) = Serializer::from_id(header.serializer) else {
        return Response::without_memory(After::Continue);
    };
    warn!(daemon = %shared.config.name, peer = %session.peer, reason = exception.message(),
        "a request is refused");
    Responder::new(shared, session, header, serializer).exception(exception, "", "", out)
}
