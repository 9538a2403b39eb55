//! Aborts: `abort` methods that are called beside running calls, to end them.
//!
//! The first phase of a safe state; `on_disconnect` methods follow when the calls have ended. An
//! abort comes when a client has gone during its call, when an owner has lost its lock, when a call
//! takes longer than it may, and when somebody asks for one, who needs no lock.
//!
//! An abort counts as a running call: nobody gets the lock before it has ended. It ends in time: a
//! method that hangs is shown, and is not waited for any longer.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tracing::{info, warn};
use wire::exception::Exception;

use crate::current_call::{CallKind, CallPhase};
pub(crate) use crate::daemon::locks::abort_table::AbortReport;
use crate::daemon::locks::abort_table::AbortRequest;
use crate::daemon::locks::running_call::RunningCall;
use crate::daemon::locks::step::{StepEnd, StepTask, run_step, step_result};
use crate::daemon::locks::table::{CallsLeft, LockTable};
use crate::lock::policy::{Effect, LateWork};
use crate::lock::types::Break;
use crate::object::{Object, SafeState};
use crate::session::Session;

/// The client of `session` has gone during a call. A call of the lock's owner is aborted by
/// [`owner_has_gone`].
pub(crate) fn client_has_gone(locks: &Arc<LockTable>, session: &Arc<Session>) {
    if !locks.aborts.any() {
        return;
    }
    let Some((call, _, phase)) = session.call.read() else { return };
    let runs = matches!(phase, CallPhase::Runs | CallPhase::WaitsForWorker);
    // A client that sends a oneway call and closes wants it done.
    if !runs || call.form.kind == CallKind::Oneway {
        return;
    }
    let reason = format!("{} has gone during '{}'", session.client_text(""), call.member);
    start_for_call(locks, &call.object, session, LateWork::AbortAbandoned, reason);
}

/// A call of `session` takes longer than it may. `None` if there is nothing to call, or another
/// client has the lock.
pub(crate) fn call_is_overdue(
    locks: &Arc<LockTable>,
    id: &str,
    session: &Arc<Session>,
    member: &str,
) -> Option<oneshot::Receiver<AbortReport>> {
    let reason = format!("'{member}' takes longer than its `call_timeout`");
    start_for_call(locks, id, session, LateWork::AbortOverdue, reason)
}

/// The owner of the lock of object `id` has lost it, and calls still run.
pub(crate) fn owner_has_gone(locks: &Arc<LockTable>, id: &str, left: CallsLeft) {
    let CallsLeft { owner, sessions } = left;
    let running = Some(locks.started_abort(id));
    let reason = format!("{} has lost the lock during a call", owner.client_text(""));
    start(locks, id, &owner, Some(sessions), reason, running);
}

/// Aborts all calls of object `id`, since somebody asks for it, and breaks the lock if a client
/// holds it: its owner must not go on by the next call. `None`, and nothing is done, if another
/// client holds it and this one may not break it.
///
/// # Errors
/// The object has no `abort` methods.
pub(crate) async fn abort_all(
    locks: &Arc<LockTable>,
    id: &str,
    session: &Arc<Session>,
    broken: Break,
    may_break: bool,
) -> Result<Option<AbortReport>, Exception> {
    if locks.registry.get(id).is_none() {
        return Err(Exception::new("builtins.KeyError", id));
    }
    let Some(owner) = locks.aborts.owner(id) else {
        return Err(Exception::value_error(format!(
            "service '{id}' has no `abort` methods in its configuration"
        )));
    };
    let Break { by, reason } = &broken;
    let reason = format!("{by} has asked for it ({reason})");
    let breaker = if may_break { None } else { Some(session.id) };
    let Some(has_lock) = start_asked(locks, &owner, broken, breaker) else { return Ok(None) };
    let running = has_lock.then(|| locks.started_abort(&owner));
    let report = start(locks, &owner, session, None, reason, running);
    match report {
        Some(report) => Ok(Some(report.await.unwrap_or_default())),
        None => Err(Exception::daemon_error("the daemon is stopping")),
    }
}

/// Begins an abort in the object's lock, and breaks that if a client holds it; whether it has one.
/// `None` where only the session `own` may hold it, and another does.
fn start_asked(locks: &Arc<LockTable>, id: &str, broken: Break, own: Option<u64>) -> Option<bool> {
    let mut has_lock = Some(false);
    locks.event(id, |_, entry, now, effects| {
        let is_others = |own| entry.lock.hold().is_some_and(|(hold, _)| hold.owner.session != own);
        if own.is_some_and(is_others) {
            has_lock = None;
            return;
        }
        has_lock = Some(true);
        entry.lock.abort_start();
        if entry.lock.hold().is_some() {
            entry.lock.break_it(now, broken, effects);
            // This abort is for the owner's calls, too.
            effects.retain(|effect| *effect != Effect::Abort);
        }
    });
    has_lock
}

/// Aborts a call of `session`, if the lock lets it.
fn start_for_call(
    locks: &Arc<LockTable>,
    id: &str,
    session: &Arc<Session>,
    work: LateWork,
    reason: String,
) -> Option<oneshot::Receiver<AbortReport>> {
    let owner = locks.aborts.owner(id)?;
    let running = match locks.settings(&owner) {
        None => None,
        Some(_) => Some(locks.start_late(&owner, session.id, work)?),
    };
    start(locks, &owner, session, Some(vec![session.id]), reason, running)
}

/// Has an abort carried out; `running` is kept until that has ended. `None` where the runtime has
/// ended, and with it every call.
fn start(
    locks: &Arc<LockTable>,
    id: &str,
    session: &Arc<Session>,
    sessions: Option<Vec<u64>>,
    reason: String,
    running: Option<RunningCall>,
) -> Option<oneshot::Receiver<AbortReport>> {
    let runtime = Handle::try_current().ok()?;
    let (answer, answered) = oneshot::channel();
    let request = AbortRequest {
        session: Arc::clone(session),
        sessions: sessions.map(BTreeSet::from_iter),
        reasons: vec![reason],
        answers: vec![answer],
    };
    if locks.aborts.add_request(id, request) {
        let carrying_out = carry_out_requests(Arc::clone(locks), id.to_owned());
        locks.safe_states.spawn_on(carrying_out, &runtime);
    }
    let (ended, report) = oneshot::channel();
    // The one that has asked may go meanwhile; the lock stays where it is.
    locks.safe_states.spawn_on(
        async move {
            let report = answered.await.unwrap_or_default();
            drop(running);
            // Its receiver may be gone.
            let _ = ended.send(report);
        },
        &runtime,
    );
    Some(report)
}

async fn carry_out_requests(locks: Arc<LockTable>, id: String) {
    while let Some((methods, request)) = locks.aborts.take_request(&id) {
        let AbortRequest { session, sessions, reasons, answers } = request;
        let sessions: Option<Vec<u64>> = sessions.map(Vec::from_iter);
        warn!(daemon = %locks.daemon, service = id, reasons = reasons.join("; "),
            methods = methods.join(", "), "aborting what runs");
        let mut report = AbortReport::default();
        for method in methods.iter() {
            let reason = SafeState::Abort { method: method.clone(), sessions: sessions.clone() };
            match call_method(&locks, &id, method, &session, reason).await {
                Ok(true) => report.called.push(method.clone()),
                Ok(false) => {}
                Err(trouble) => report.troubles.push(trouble),
            }
        }
        for answer in answers {
            // Its receiver may be gone.
            let _ = answer.send(report.clone());
        }
    }
}

/// Calls one method; whether there was an instance to call it on.
async fn call_method(
    locks: &Arc<LockTable>,
    id: &str,
    method: &str,
    session: &Arc<Session>,
    reason: SafeState,
) -> Result<bool, String> {
    let daemon = &locks.daemon;
    let failed = |trouble: String| {
        let trouble = format!("abort: {method}() {trouble}");
        warn!(%daemon, service = id, trouble, "an abort has failed; what runs may go on");
        locks.aborts.set_trouble(id, method, Some(trouble.clone()));
        locks.changed();
        Err(trouble)
    };
    if !locks.aborts.may_call(id, method) {
        return failed("hangs since earlier aborts, and is not called again".to_owned());
    }
    let Some(object) = locks.registry.get(id) else { return Ok(false) };
    let timeout = locks.safe_state_timeout;
    match run_step(call_object(object, Arc::clone(session), reason), timeout).await {
        StepEnd::Done { was_called } => {
            info!(%daemon, service = id, method, was_called, "an abort method has returned");
            locks.aborts.set_trouble(id, method, None);
            locks.changed();
            Ok(was_called)
        }
        StepEnd::Failed(trouble) => failed(trouble),
        StepEnd::Late(task) => {
            locks.aborts.add_hanging(id, method);
            tokio::spawn(follow_late(Arc::clone(locks), id.to_owned(), method.to_owned(), task));
            failed(format!(
                "has not returned within {} s, and is not waited for any longer",
                timeout.as_secs_f64()
            ))
        }
    }
}

async fn call_object(
    object: Arc<dyn Object>,
    session: Arc<Session>,
    reason: SafeState,
) -> Result<bool, Exception> {
    match object.safe_state(&session, reason) {
        Some(call) => call.await,
        None => Ok(false),
    }
}

/// Waits for a method that has not returned in time.
async fn follow_late(locks: Arc<LockTable>, id: String, method: String, task: StepTask) {
    let ended = step_result(task.await);
    locks.aborts.remove_hanging(&id, &method);
    info!(daemon = %locks.daemon, service = id, method, outcome = ?ended,
        "an abort method that had hung has ended");
    let trouble = ended.err().map(|trouble| format!("abort: {method}() {trouble}"));
    locks.aborts.set_trouble(&id, &method, trouble);
    locks.changed();
}
