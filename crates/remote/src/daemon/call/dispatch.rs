//! From a request's bytes to its answer's bytes: which object is called, and when.
//!
//! The steps of an INVOKE message: decode it within its memory, find its object, wait for the call
//! permit, call, respond. Knows nothing of sockets.

use std::pin::Pin;
use std::sync::{Arc, LazyLock};

use tracing::{debug, warn};
use wire::Limits;
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
    Answer, AnswerBudget, BoxFuture, CallResult, Context, Object, Operation, Request,
    RequestMemory, StartCheck,
};
use crate::session::Session;

/// A connection's client, as its requests need to know it.
pub(crate) struct Caller {
    pub(crate) session: Arc<Session>,
    pub(crate) client: ClientGone,
    /// Why it may not call everything: it has no slot of the pool, or no certificate.
    pub(crate) refusal: Option<Box<str>>,
    /// Whether it reads an internal object: its calls end with it.
    pub(crate) is_reader: bool,
    /// Whether it calls only objects that serve clients without the certificate that the port
    /// requires.
    pub(crate) is_uncertified: bool,
    pub(crate) oneways: Oneways,
}

impl Caller {
    pub(crate) fn new(shared: &Shared, session: &Arc<Session>, refusal: Option<Box<str>>) -> Self {
        Caller {
            session: Arc::clone(session),
            client: shared.admission.calls.client(),
            refusal,
            is_reader: false,
            is_uncertified: false,
            oneways: Oneways::default(),
        }
    }

    /// The limits of its requests.
    pub(crate) fn limits<'a>(&self, shared: &'a Shared) -> &'a Limits {
        /// Those of a client that nobody knows yet.
        static UNCERTIFIED: LazyLock<Limits> = LazyLock::new(Limits::handshake);
        if self.is_uncertified { &UNCERTIFIED } else { &shared.config.limits }
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
    let (limits, memory) = (caller.limits(shared), &shared.admission.requests);
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
            let permit = take_oneway_permit(shared, &call).await;
            let oneways = &mut caller.oneways;
            if let Some(begins) = start_oneway(shared, session, oneways, call, permit, memory, note)
            {
                begins.await;
            }
        }
        return Response::without_memory(After::Continue);
    }
    let limited = LimitedCall::of(shared, session, &call.id, &call.request.operation);
    let limited = limited.filter(|_| !call.needs_no_permit);
    let deadline = deadline.filter(|_| !is_oneway);
    let permit = match take_permit(shared, caller, &call, limited.as_ref(), deadline).await {
        Ok(permit) => permit,
        Err((_, refused)) if is_oneway => {
            let note = OnewayNote::new(shared, session, &current, &responder.header);
            OnewayCall::new(shared, session, call.id, call.member, note).log(Err(refused), false);
            return Response::without_memory(After::Continue);
        }
        Err((flags, refused)) => {
            return responder.exception_with(flags, refused, (&call.id, &call.member), out);
        }
    };
    let (mut result, id, member) = if let Some(limited) = limited {
        // Boxed, so that calls without a limit are no larger for it.
        Box::pin(carry_out_within(shared, session, call, permit, limited)).await
    } else {
        // Here and not in a function: handing the request on would copy it twice.
        call.set_running(session);
        let Invocation { id, member, object, has_lock, request, .. } = call;
        let result = if has_lock {
            // Boxed, so that connections without locks are no larger for it.
            Box::pin(gated(shared, session, &id, &object).call(request, permit)).await
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

/// Waits for the permit of a call, no longer than its deadline and its limit allow.
///
/// # Errors
/// Its client has gone, its time has passed, or an overdue call keeps the turn; with the flags of
/// the answer.
async fn take_permit(
    shared: &Shared,
    caller: &Caller,
    call: &Invocation,
    limited: Option<&LimitedCall>,
    deadline: Option<Deadline>,
) -> Result<CallPermit, (Flags, Exception)> {
    let permits = &shared.admission.calls;
    // A oneway call is carried out though its client has gone.
    let client = Some(&caller.client).filter(|_| !call.request.context.is_oneway());
    let no_flags = |refused| (Flags::default(), refused);
    if call.needs_no_permit {
        return Ok(None);
    }
    if deadline.is_none() && !(shared.call_rules.has_limits() && permits.is_multiplex()) {
        return permits.take_for(client).await.map_err(no_flags);
    }
    let name = (call.id.as_str(), call.member.as_str());
    let taking = async {
        match limited {
            Some(limited) => limited.take_permit(shared, client).await,
            None => limited::take_turn(shared, client, name).await,
        }
    };
    // Boxed, so that calls without limit and deadline are no larger for it.
    match deadline {
        None => Box::pin(taking).await.map_err(no_flags),
        Some(deadline) => match Box::pin(deadline.limit(taking)).await {
            Some(taken) => taken.map_err(no_flags),
            None => Err((Flags::NOT_BEGUN, deadline.exception(name.0, name.1))),
        },
    }
}

/// The object of a call whose lock is asked first.
fn gated<'a>(
    shared: &'a Shared,
    session: &'a Arc<Session>,
    id: &'a str,
    object: &'a Arc<dyn Object>,
) -> GatedObject<'a> {
    let Shared { locks, access, .. } = shared;
    GatedObject { locks, access, session, id, object }
}

/// Carries out a call that may take so long: after its limit it goes on without its client.
async fn carry_out_within(
    shared: &Arc<Shared>,
    session: &Arc<Session>,
    call: Invocation,
    permit: CallPermit,
    limited: LimitedCall,
) -> (CallResult, String, String) {
    let (id, member, object) = (call.id.clone(), call.member.clone(), Arc::clone(&call.object));
    let (shared_, own) = (Arc::clone(shared), Arc::clone(session));
    let running = async move {
        call.set_running(&own);
        let Invocation { id, member, object, has_lock, request, .. } = call;
        if has_lock {
            return gated(&shared_, &own, &id, &object).call(request, permit).await;
        }
        let name = CallName { object: &id, member: &member };
        let answer = access::begin_call(&shared_, name, &object, &own, request);
        let result = catch_panic::finish_call(name, answer).await;
        drop(permit);
        result
    };
    let result = limited.wait(shared, session, Box::pin(running), &object).await;
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
    let no_certificate = caller.refusal.as_deref().filter(|_| caller.is_uncertified);
    let Some(object) = shared.registry.get_for_call(&id) else {
        let unknown = match no_certificate {
            // The other text names the objects that there are.
            Some(reason) => Exception::new("Pyro5.errors.CommunicationError", reason),
            None => daemon_object::unknown_object(shared, &id),
        };
        return Err((unknown, id, member));
    };
    if let Some(reason) = caller.session.revocation() {
        return Err((Exception::new("builtins.PermissionError", reason), id, member));
    }
    let breaks_lock =
        matches!(&operation, Operation::Call(call) if object.breaks_locks(&call.method));
    let needs_no_slot = breaks_lock || object.is_internal();
    if let Some(reason) = caller.refusal.as_deref()
        && !(if caller.is_uncertified { object.serves_uncertified() } else { needs_no_slot })
    {
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

/// The wait until a oneway call has begun.
type OnewayBegin<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Waits for the permit of a oneway call. While an overdue call keeps the turn, its session does
/// not wait with it: the wait is returned.
async fn take_oneway_permit(
    shared: &Shared,
    call: &Invocation,
) -> Result<CallPermit, BoxFuture<CallPermit>> {
    let calls = &shared.admission.calls;
    // A call about a lock needs no permit. With that of another call its session waits, so that a
    // client with many oneway calls delays others by one call.
    if call.needs_no_permit {
        Ok(None)
    } else if shared.call_rules.has_limits() && calls.is_multiplex() {
        // Boxed, so that daemons without limits are no larger for it.
        Box::pin(limited::take_oneway_turn(shared)).await
    } else {
        Ok(calls.take().await)
    }
}

/// Starts a oneway call and lets it run beside the next calls, as in Pyro5. No later call of its
/// session overtakes it: its session waits until it has begun; `None` if it has ended at once. No
/// `async fn`, which would copy the request twice.
fn start_oneway<'a>(
    shared: &'a Arc<Shared>,
    session: &'a Arc<Session>,
    oneways: &mut Oneways,
    call: Invocation,
    permit: Result<CallPermit, BoxFuture<CallPermit>>,
    memory: OnewayMemory,
    note: OnewayNote,
) -> Option<OnewayBegin<'a>> {
    let permit = match permit {
        Ok(permit) => permit,
        Err(turn) => {
            let slot = oneways.take_slot(shared, memory);
            let (shared, session) = (Arc::clone(shared), Arc::clone(session));
            tokio::spawn(async move {
                let permit = turn.await;
                if let Some(begins) = begin_oneway(&shared, &session, call, note, || slot) {
                    begins.await;
                }
                drop(permit);
            });
            return None;
        }
    };
    call.set_running(session);
    let begins = begin_oneway(shared, session, call, note, || oneways.take_slot(shared, memory))?;
    Some(match permit {
        None => begins,
        permit => Box::pin(async move {
            begins.await;
            drop(permit);
        }),
    })
}

/// Begins a oneway call that has its turn; the wait until it has begun, or `None` if it has ended.
fn begin_oneway<'a>(
    shared: &'a Arc<Shared>,
    session: &'a Arc<Session>,
    call: Invocation,
    note: OnewayNote,
    slot: impl FnOnce() -> OnewaySlot,
) -> Option<OnewayBegin<'a>> {
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
            gated(&shared, &session, &id, &object).call(request, None).await
        }))
    } else {
        access::begin_call(shared, oneway.name(), &object, session, request)
    };
    match answer {
        Answer::Ready(result) => {
            oneway.log(result, false);
            None
        }
        Answer::Pending(call) => Some(Box::pin(oneway.run(call, begun, slot(), limited))),
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
