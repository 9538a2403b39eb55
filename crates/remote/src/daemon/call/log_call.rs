//! Records of the call log, written at the end of a call.

use wire::exception::{Exception, unwrap_from_batch};
use wire::message::{Flags, HEADER_LEN, Header};
use wire::value::Value;

use crate::current_call::{Beginning, CallAction, CallFacts, CallKind};
use crate::daemon::Shared;
use crate::daemon::call::argument_text;
use crate::daemon::call_log::{AuditReason, CallException, CallLogMode, CallRecord};
use crate::daemon::call_rules::CallRules;
use crate::daemon::locks::methods;
use crate::object::{Operation, Reply, ReplyBody};
use crate::session::Session;
use crate::value_text::beginning;

/// Bytes of an exception's first line that are kept.
const MAX_MESSAGE_BYTES: usize = 256;

/// The end of a call.
#[derive(Default)]
pub(super) struct CallEnd {
    pub(super) exception: Option<CallException>,
    pub(super) request_bytes: usize,
    pub(super) answer_bytes: usize,
    pub(super) was_overdue: bool,
}

/// Class and first line of an exception.
pub(super) fn shortened(exception: &Exception) -> CallException {
    let class = exception.class.strip_prefix("builtins.").unwrap_or(&exception.class);
    let message = exception.message();
    let first = message.lines().next().unwrap_or_default();
    CallException {
        class: beginning(class, MAX_MESSAGE_BYTES).to_owned(),
        message: beginning(first, MAX_MESSAGE_BYTES).to_owned(),
    }
}

/// The exception in the answer to a batch, which ends with it.
pub(super) fn exception_in_batch(header: &Header, reply: &Reply) -> Option<CallException> {
    if !header.flags.contains(Flags::BATCH) {
        return None;
    }
    last_exception(reply)
}

/// The exception that ends the results of a batch.
pub(super) fn last_exception(reply: &Reply) -> Option<CallException> {
    let ReplyBody::Value(Value::List(results)) = &reply.body else { return None };
    results.last().and_then(unwrap_from_batch).map(|exception| shortened(&exception))
}

/// Bytes of a request on the wire.
pub(super) fn request_bytes(header: &Header) -> usize {
    HEADER_LEN.saturating_add(header.body_len())
}

/// Keeps the arguments of a call that begins, where its object's log has them.
pub(super) fn keep_arguments(shared: &Shared, session: &Session, id: &str, operation: &Operation) {
    let rules = shared.call_rules.of(id);
    if rules.log < CallLogMode::Changes && !rules.is_audited {
        return;
    }
    // The token of a lock is a key.
    let private =
        |member: &str| rules.private.contains(member) || methods::METHODS.contains(&member);
    if let Some(arguments) = argument_text::describe(operation, private) {
        session.call.set_arguments(arguments);
    }
}

/// Has the end of a call by which an administrator acts looked at, and keeps its arguments.
pub(super) fn mark_administering(shared: &Shared, session: &Session, operation: &Operation) {
    if shared.call_log.audit().is_none() {
        return;
    }
    session.call.set_may_be_slow(true);
    if let Some(arguments) = argument_text::describe(operation, |_| false) {
        session.call.set_arguments(arguments);
    }
}

/// Records the call that its session carries out, or a request of `object` that has not become one.
pub(super) fn log_current(
    shared: &Shared,
    session: &Session,
    (object, member): (&str, &str),
    end: CallEnd,
) {
    let (facts, since) = match session.call.read() {
        Some((facts, since, _)) => (facts, since),
        None => {
            let object = if object.is_empty() { &session.object } else { object };
            (CallFacts::named(object, member), Beginning::now())
        }
    };
    session.call.set_may_be_slow(false);
    log(shared, session, facts, since, end);
}

/// Records a call, if its object's log has such calls.
pub(super) fn log(
    shared: &Shared,
    session: &Session,
    facts: CallFacts,
    since: Beginning,
    end: CallEnd,
) {
    let duration = since.elapsed();
    let is_slow = shared.call_log.is_slow(duration);
    // The end of a stream is no failure of its last item.
    let is_end = |exception: &CallException| {
        facts.form.kind == CallKind::StreamItem && exception.class == "StopIteration"
    };
    let exception = end.exception.filter(|exception| !is_end(exception));
    let is_fault = exception.is_some() || is_slow || end.was_overdue;
    if is_fault {
        shared.registry.count_fault(&facts.object, exception.is_some(), is_slow);
    }
    let (receiver, audit) = (shared.call_log.receiver(), shared.call_log.audit());
    if receiver.is_none() && audit.is_none() {
        return;
    }
    let is_administering = audit.is_some() && administers(shared, &facts);
    if !is_fault && !is_administering && !shared.call_log.looks_at_all() {
        return;
    }
    let rules = shared.call_rules.of(&facts.object);
    let is_wanted = match rules.log {
        CallLogMode::Off => false,
        CallLogMode::Errors => is_fault,
        CallLogMode::Changes => is_fault || is_change(&facts),
        CallLogMode::All => true,
    };
    let reason = match &exception {
        _ if is_administering => Some(AuditReason::Administer),
        Some(exception) if is_refusal(&facts, exception) => Some(AuditReason::Refused),
        _ if rules.is_audited && is_change(&facts) => Some(AuditReason::Call),
        _ => None,
    };
    let audit = audit.zip(reason);
    if !is_wanted && audit.is_none() {
        return;
    }
    let hides = hides_message(&rules, &facts.member, facts.form.action);
    let exception = exception.map(|exception| match hides {
        true => CallException { message: String::new(), ..exception },
        false => exception,
    });
    let CallFacts { object, member, form, arguments, .. } = facts;
    let record = CallRecord {
        epoch: audit.and_then(|_| shared.locks.epoch_of_owner(&object, session.id)),
        user: shared.locks.name_of_owner(&object, session.id),
        object,
        member,
        action: form.action,
        kind: form.kind,
        peer: session.peer.clone(),
        identity: session.identity().known().cloned(),
        since: since.time(),
        duration,
        exception,
        is_slow,
        was_overdue: end.was_overdue,
        request_bytes: end.request_bytes,
        answer_bytes: end.answer_bytes,
        arguments,
        mode: rules.log,
    };
    if let Some((audit, reason)) = audit {
        audit(reason, &record);
    }
    if let Some(receive) = receiver.filter(|_| is_wanted) {
        // The arguments may be there for the audit only.
        let keeps = rules.log >= CallLogMode::Changes;
        let arguments = record.arguments.filter(|_| keeps);
        receive(CallRecord { arguments, ..record });
    }
}

/// Whether a call may be made while the audit cannot be written.
///
/// # Errors
/// The audit must have it.
pub(super) fn check_audited(
    shared: &Shared,
    id: &str,
    operation: &Operation,
) -> Result<(), Exception> {
    if matches!(operation, Operation::GetAttr(_)) || !shared.call_rules.of(id).is_audited {
        return Ok(());
    }
    Err(Exception::daemon_error(format!(
        "service '{id}' carries out no calls now: its audit cannot be written (`audit: required`); \
         `ferrolab status` on its host says why"
    )))
}

/// Whether a method of this name breaks a lock or aborts calls, where its object has such a one.
pub(super) fn administers_by(member: &str) -> bool {
    [methods::RELEASE, methods::ABORT].contains(&member)
}

/// Whether a call breaks a lock or aborts calls.
fn administers(shared: &Shared, facts: &CallFacts) -> bool {
    administers_by(&facts.member)
        && shared.registry.get(&facts.object).is_some_and(|it| it.breaks_locks(&facts.member))
}

/// Whether a call was refused for what its caller is: one without the lock, or without the right.
/// A client that asks for a lock while another has it is in the lock's queue, so to speak; one that
/// has no right to lock is refused.
fn is_refusal(facts: &CallFacts, exception: &CallException) -> bool {
    let class = exception.class.as_str();
    class == "PermissionError"
        || class == "ConnectionRefusedError" && !methods::METHODS.contains(&facts.member.as_str())
}

/// Whether a call may have changed its object. Locks have their own log.
fn is_change(facts: &CallFacts) -> bool {
    facts.form.kind != CallKind::StreamItem
        && facts.form.action != CallAction::Get
        && !methods::METHODS.contains(&facts.member.as_str())
}

/// The text of a call's exception for the host's log: its class only, where the message may have
/// private arguments in it.
pub(super) fn describe_exception(
    shared: &Shared,
    (object, member): (&str, &str),
    action: CallAction,
    exception: &Exception,
) -> String {
    match hides_message(&shared.call_rules.of(object), member, action) {
        true => exception.class.clone(),
        false => exception.to_string(),
    }
}

/// Whether the message of an exception may have private arguments in it.
fn hides_message(rules: &CallRules, member: &str, action: CallAction) -> bool {
    rules.private.contains(member) || action == CallAction::Batch && !rules.private.is_empty()
}
