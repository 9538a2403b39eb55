//! From a request's bytes to its answer's bytes: which object is called, and when.
//!
//! The steps of an INVOKE message: decode it within its memory, find its object, wait for the call
//! permit, call, respond. Knows nothing of sockets.

use std::sync::Arc;

use tracing::{debug, warn};
use wire::exception::Exception;
use wire::message::{Flags, Header};
use wire::packed;

use crate::admission::call_permit::{CallPermit, ClientGone};
use crate::admission::request_memory::RequestPermit;
use crate::current_call::{CallAction, CallForm, CallInProgress, CallKind, CallPhase, Correlation};
use crate::daemon::Shared;
use crate::daemon::call::access;
use crate::daemon::call::daemon_object;
use crate::daemon::call::deadline::{self, Deadline};
use crate::daemon::call::decode::{self, After, Decoded};
use crate::daemon::call::limited::{self, LimitedCall};
use crate::daemon::call::log_call;
use crate::daemon::call::oneway::{OnewayCall, OnewayMemory, OnewayNote, OnewaySlot, Oneways};
use crate::daemon::call::response::{Responder, Response};
use crate::daemon::catch_panic::{self, CallName};
use crate::daemon::locks::lock_gate::{self, GatedObject};
use crate::daemon::locks::methods;
use crate::daemon::registry::RegisteredObject;
use crate::frames::Frame;
use crate::object::{
    Answer, AnswerBudget, CallResult, Context, Operation, Request, RequestMemory, StartCheck,
};
use crate::session::Session;

/// A connection's client, as its requests need to know it.
pub(crate) struct Caller {
    pub(crate) session: Arc<Session>,
    pub(crate) client: ClientGone,
    /// Why it may only break locks and call internal objects, where it has no slot of the pool.
    pub(crate) refusal: Option<Box<str>>,
    /// Whether it reads an internal object: its calls end with it.
    pub(crate) is_reader: bool,
    pub(crate) oneways: Oneways,
}

impl Caller {
    pub(crate) fn new(shared: &Shared, session: &Arc<Session>, refusal: Option<Box<str>>) -> Self {
        Caller {
            session: Arc::clone(session),
            client: shared.admission.calls.client(),
            refusal,
            is_reader: false,
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
    let Some(serializer) = packed::serializer_of(frame.header.serializer) else {
        debug!(peer = %caller.session.peer, serializer = frame.header.serializer,
            "unknown serializer");
        return Response::without_memory(After::Close);
    };
    let session = &caller.session;
    let responder = Responder::new(shared, session, frame.header, serializer);
    let is_oneway = responder.is_oneway();
    if !is_oneway && let Some(exception) = caller.oneways.take_exception(shared) {
        return responder.exception(exception, "", "", out);
    }
    let (limits, memory) = (&shared.config.limits, &shared.admission.requests);
    // Before the wait for memory, which is part of the call's time.
    let deadline = Deadline::of(&frame.body.annotations);
    let decoded = match permit {
        // Without a future: most requests are small.
        None => decode::decode(&frame, serializer, limits).map(|it| (it, None)),
        // Boxed, so that small requests are no larger for it.
        Some(permit) => {
            Box::pin(decode::decode_within(&frame, serializer, limits, permit, memory)).await
        }
    };
    let (decoded, request_memory) = match decoded {
        Ok(decoded) => decoded,
        Err(undecodable) => {
            if is_oneway && undecodable.is_too_large() {
                caller.oneways.count_refused();
            }
            return responder.exception(undecodable.into_exception(), "", "", out);
        }
    };
    let answers = &shared.admission.answers;
    let context = Context {
        serializer,
        flags: frame.header.flags,
        seq: frame.header.seq,
        correlation_id: responder.correlation_id,
        annotations: deadline::without(&frame.body.annotations),
        may_start: StartCheck::default(),
        no_instance: None,
        request_memory: request_memory.map(RequestMemory::new),
        answer_budget: (!is_oneway).then(|| Arc::clone(answers) as Arc<dyn AnswerBudget>),
    };
    drop(frame);
    let call = match find_object(shared, caller, decoded, context) {
        Ok(call) => call,
        Err((exception, id, member)) => return responder.exception(exception, &id, &member, out),
    };
    let current = begin_call(shared, session, &call);
    if call.needs_no_permit && log_call::administers_by(&call.member) {
        log_call::mark_administering(shared, session, &call.request.operation);
    }
    if shared.call_log.keeps_arguments() {
        log_call::keep_arguments(shared, session, &call.id, &call.request.operation);
    }
    // A oneway batch is carried out here, as in Pyro5, and so is every oneway call where the
    // configuration wants no threads for them.
    let is_batch = matches!(call.request.operation, Operation::Batch(_));
    if is_oneway && !is_batch && shared.config.oneway_threaded {
        let memory = caller.oneways.admit(shared, session, &call.member, call.memory);
        if let Some(memory) = memory {
            let note = OnewayNote::new(shared, session, &current, &responder.header);
            start_oneway(shared, session, &mut caller.oneways, call, memory, note).await;
        }
        return Response::without_memory(After::Continue);
    }
    let limited = LimitedCall::of(shared, session, &call.id, &call.request.operation);
    let limited = limited.filter(|_| !call.needs_no_permit);
    let mut early = None;
    if let Some(deadline) = deadline.filter(|_| !is_oneway && !call.needs_no_permit) {
        // Boxed, so that calls without a deadline are no larger for it.
        let taking = Box::pin(take_any_permit(shared, caller, &call, limited.as_ref()));
        early = deadline.limit(taking).await;
        if early.is_none() {
            let exception = deadline.exception(&call.id, &call.member);
            let name = (call.id.as_str(), call.member.as_str());
            return responder.exception_with(Flags::NOT_BEGUN, exception, name, out);
        }
    }
    let (mut result, id, member) = if let Some(limited) = limited {
        // Boxed, so that calls without a limit are no larger for it.
        Box::pin(call_within(shared, caller, call, limited, early)).await
    } else {
        let permit = match early {
            Some(taken) => taken,
            None => take_permit(shared, caller, &call).await,
        };
        let permit = match permit {
            Ok(permit) => permit,
            Err(refused) if is_oneway => {
                let note = OnewayNote::new(shared, session, &current, &responder.header);
                OnewayCall::new(shared, session, call.id, call.member, note)
                    .log(Err(refused), false);
                return Response::without_memory(After::Continue);
            }
            Err(gone) => return responder.exception(gone, &call.id, &call.member, out),
        };
        call.set_running(session);
        let Invocation { id, member, object, has_lock, request, .. } = call;
        let result = if has_lock {
            let locks = &shared.locks;
            let access = &shared.access;
            let gated = GatedObject { locks, access, session, id: &id, object: &object };
            // Boxed, so that connections without locks are no larger for it.
            Box::pin(gated.call(request, permit)).await
        } else {
            let name = CallName { object: &id, member: &member };
            let answer = access::begin_call(shared, name, &object, session, request);
            let result = catch_panic::finish_call(name, answer).await;
            drop(permit);
            result
        };
        (result, id, member)
    };
    if is_oneway {
        let note = OnewayNote::new(shared, session, &current, &responder.header);
        OnewayCall::new(shared, session, id, member, note).log(result, false);
        return Response::without_memory(After::Continue);
    }
    match result.as_mut().ok().and_then(|reply| reply.memory.take()) {
        None => responder.result(result, &id, &member, out),
        Some(memory) => responder.large_result(result, memory, &id, &member, out).await,
    }
}

/// Waits for the permit of a call without a time limit.
///
/// # Errors
/// Its client has gone, or an overdue call keeps the turn.
async fn take_permit(
    shared: &Shared,
    caller: &Caller,
    call: &Invocation,
) -> Result<CallPermit, Exception> {
    let permits = &shared.admission.calls;
    if call.needs_no_permit {
        return Ok(None);
    }
    // A oneway call is carried out though its client has gone.
    let client = Some(&caller.client).filter(|_| !call.request.context.is_oneway());
    if shared.call_rules.has_limits() && permits.is_multiplex() {
        let name = (call.id.as_str(), call.member.as_str());
        // Boxed, so that daemons without limits are no larger for it.
        return Box::pin(limited::take_turn(shared, client, name)).await;
    }
    permits.take_for(client).await
}

/// Waits for the permit of a call with or without a time limit; errors as for these.
async fn take_any_permit(
    shared: &Shared,
    caller: &Caller,
    call: &Invocation,
    limited: Option<&LimitedCall>,
) -> Result<CallPermit, Exception> {
    match limited {
        Some(limited) => limited.take_permit(shared, Some(&caller.client)).await,
        None => take_permit(shared, caller, call).await,
    }
}

/// Carries out a call that may take so long; then the result, and the names of object and member.
/// A call with a deadline has its permit already.
async fn call_within(
    shared: &Arc<Shared>,
    caller: &Caller,
    call: Invocation,
    limited: LimitedCall,
    early: Option<Result<CallPermit, Exception>>,
) -> (CallResult, String, String) {
    let session = &caller.session;
    let (id, member) = (call.id.clone(), call.member.clone());
    // A oneway call is carried out though its client has gone.
    let client = Some(&caller.client).filter(|_| !call.request.context.is_oneway());
    let permit = match early {
        Some(taken) => taken,
        None => limited.take_permit(shared, client).await,
    };
    let result = match permit {
        Err(exception) => Err(exception),
        Ok(permit) => {
            call.set_running(session);
            let object = Arc::clone(&call.object);
            let (shared_, own) = (Arc::clone(shared), Arc::clone(session));
            let running = async move {
                let Invocation { id, member, object, has_lock, request, .. } = call;
                if has_lock {
                    let Shared { locks, access, .. } = &*shared_;
                    let gated =
                        GatedObject { locks, access, session: &own, id: &id, object: &object };
                    return gated.call(request, permit).await;
                }
                let name = CallName { object: &id, member: &member };
                let answer = access::begin_call(&shared_, name, &object, &own, request);
                let result = catch_panic::finish_call(name, answer).await;
                drop(permit);
                result
            };
            limited.wait(shared, session, Box::pin(running), &object).await
        }
    };
    (result, id, member)
}

/// Notes the call as the one that its session carries out.
fn begin_call<'a>(shared: &Shared, session: &'a Session, call: &Invocation) -> CallInProgress<'a> {
    let kind = match call.request.context.is_oneway() {
        true => CallKind::Oneway,
        false => CallKind::Call,
    };
    let phase = match call.needs_no_permit {
        true if call.asks_for_lock() => CallPhase::WaitsForLock,
        false if shared.admission.calls.is_multiplex() => CallPhase::WaitsForTurn,
        _ => CallPhase::Runs,
    };
    let action = match &call.request.operation {
        Operation::Call(_) | Operation::Blob(_) => CallAction::Method,
        Operation::GetAttr(_) => CallAction::Get,
        Operation::SetAttr(..) => CallAction::Set,
        Operation::Batch(_) => CallAction::Batch,
    };
    let Context { correlation_id: id, flags, .. } = call.request.context;
    let correlation = Correlation { id, is_made_here: !flags.contains(Flags::CORR_ID) };
    let form = CallForm { kind, action, correlation };
    session.call.begin(&call.id, &call.member, form, phase)
}

/// A decoded request with its object, ready to be carried out.
struct Invocation {
    id: String,
    /// The member that is called, for logs and errors.
    member: String,
    object: Arc<RegisteredObject>,
    has_lock: bool,
    /// Whether it calls one of the lock's own methods, breaks a lock, or is about the daemon. Such
    /// a call needs no permit: the call that has one may be what hangs.
    needs_no_permit: bool,
    request: Request,
    /// Bytes of memory that its arguments take.
    memory: usize,
}

impl Invocation {
    /// Whether it is a request for the lock, which may wait for it.
    fn asks_for_lock(&self) -> bool {
        self.has_lock && self.needs_no_permit && self.member == methods::LOCK_METHOD
    }

    /// Notes that it has its turn.
    fn set_running(&self, session: &Session) {
        if !self.asks_for_lock() {
            session.call.set_phase(CallPhase::Runs);
        }
    }
}

/// An exception, with the object and the member that it is about.
type Refused = (Exception, String, String);

/// Finds the object of a request, and refuses what must not reach it now.
#[inline]
fn find_object(
    shared: &Shared,
    caller: &Caller,
    decoded: Decoded,
    context: Context,
) -> Result<Invocation, Refused> {
    let Decoded { object: id, operation, memory } = decoded;
    let member = operation.name().to_owned();
    let Some(object) = shared.registry.get_for_call(&id) else {
        return Err((daemon_object::unknown_object(shared, &id), id, member));
    };
    if let Some(reason) = caller.session.revocation() {
        return Err((Exception::new("builtins.PermissionError", reason), id, member));
    }
    let breaks_lock =
        matches!(&operation, Operation::Call(call) if object.breaks_locks(&call.method));
    let needs_no_slot = breaks_lock || object.is_internal();
    if let Some(reason) = caller.refusal.as_deref().filter(|_| !needs_no_slot) {
        return Err((Exception::new("Pyro5.errors.CommunicationError", reason), id, member));
    }
    let has_lock = shared.locks.settings(&id).is_some();
    if shared.access.is_on()
        && !object.checks_access()
        && let Err(refused) =
            access::check_early(shared, &caller.session, (&id, has_lock), &operation)
    {
        return Err((refused, id, member));
    }
    let needs_no_permit = needs_no_slot || has_lock && lock_gate::is_lock_method(&operation);
    // A oneway call keeps nobody waiting, and its client would not hear of it.
    if !context.is_oneway()
        && !needs_no_permit
        && let Err(refused) = shared.admission.orphans.check(&id)
    {
        return Err((refused, id, member));
    }
    if shared.call_log.refuses_unaudited()
        && !needs_no_permit
        && let Err(refused) = log_call::check_audited(shared, &id, &operation)
    {
        return Err((refused, id, member));
    }
    let request = Request { operation, context };
    Ok(Invocation { id, member, object, has_lock, needs_no_permit, request, memory })
}

/// Starts a oneway call and lets it run beside the next calls, as in Pyro5. Returns when it has
/// begun: no later call of its session overtakes it. In a `multiplex` daemon it begins in turn;
/// while an overdue call keeps the turn, its session does not wait with it.
async fn start_oneway(
    shared: &Arc<Shared>,
    session: &Arc<Session>,
    oneways: &mut Oneways,
    call: Invocation,
    memory: OnewayMemory,
    note: OnewayNote,
) {
    let calls = &shared.admission.calls;
    // A call about a lock needs no permit. With that of another call its session waits, so that a
    // client with many oneway calls delays others by one call.
    let permit = if call.needs_no_permit {
        None
    } else if shared.call_rules.has_limits() && calls.is_multiplex() {
        // Boxed, so that daemons without limits are no larger for it.
        match Box::pin(limited::take_oneway_turn(shared)).await {
            Ok(permit) => permit,
            Err(turn) => {
                let slot = oneways.take_slot(shared, memory);
                let (shared, session) = (Arc::clone(shared), Arc::clone(session));
                tokio::spawn(async move {
                    let permit = turn.await;
                    begin_oneway(&shared, &session, call, note, || slot).await;
                    drop(permit);
                });
                return;
            }
        }
    } else {
        calls.take().await
    };
    call.set_running(session);
    let slot = || oneways.take_slot(shared, memory);
    begin_oneway(shared, session, call, note, slot).await;
    drop(permit);
}

/// Starts a oneway call that has its turn, and returns when it has begun.
async fn begin_oneway(
    shared: &Arc<Shared>,
    session: &Arc<Session>,
    call: Invocation,
    note: OnewayNote,
    slot: impl FnOnce() -> OnewaySlot,
) {
    let limited = LimitedCall::of(shared, session, &call.id, &call.request.operation);
    let limited =
        limited.filter(|_| !call.needs_no_permit).map(|it| (it, Arc::clone(&**call.object)));
    let Invocation { id, member, object, has_lock, mut request, .. } = call;
    let begun = object.reports_begin().then(|| request.context.may_start.signal_begin());
    let oneway = OnewayCall::new(shared, session, id, member, note);
    let answer = if has_lock {
        let (shared, session) = (Arc::clone(shared), Arc::clone(session));
        let id = oneway.object.clone();
        Answer::Pending(Box::pin(async move {
            let Shared { locks, access, .. } = &*shared;
            let (session, id, object) = (&session, &id, &object);
            GatedObject { locks, access, session, id, object }.call(request, None).await
        }))
    } else {
        access::begin_call(shared, oneway.name(), &object, session, request)
    };
    match answer {
        Answer::Ready(result) => oneway.log(result, false),
        Answer::Pending(call) => oneway.run(call, begun, slot(), limited).await,
    }
}

/// Answers a request that is not even decoded.
pub(crate) fn refuse_unread(
    shared: &Arc<Shared>,
    session: &Arc<Session>,
    header: Header,
    exception: Exception,
    out: &mut Vec<u8>,
) -> Response {
    let Some(serializer) = packed::serializer_of(header.serializer) else {
        return Response::without_memory(After::Continue);
    };
    warn!(daemon = %shared.config.name, peer = %session.peer, reason = exception.message(),
        "a request is refused");
    Responder::new(shared, session, header, serializer).exception(exception, "", "", out)
}
