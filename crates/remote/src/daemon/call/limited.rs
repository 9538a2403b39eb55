//! Calls with a time limit: the client gets a `TimeoutError`, and the call goes on without it.
//!
//! A call cannot be ended from outside: `abort` methods ask its driver to end it. It keeps what it
//! has (the turn of a `multiplex` daemon, its part in the lock) until it ends, and is shown as
//! overdue. Calls that wait for the turn of an overdue one do not wait for ever, whether they have
//! a limit or not.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::{info, warn};
use wire::exception::Exception;
use wire::value::Value;

use crate::admission::call_permit::{CallPermit, ClientGone};
use crate::admission::limits::OVERDUE_TURN_WAIT;
use crate::config::DAEMON_NAME;
use crate::current_call::CallAction;
use crate::daemon::Shared;
use crate::daemon::call::daemon_object::NEXT_ITEM;
use crate::daemon::call::log_call::{self, CallEnd};
use crate::daemon::call_rules::CallLimit;
use crate::daemon::locks::abort::{self, AbortReport};
use crate::object::{BoxFuture, CallResult, MethodCall, Object, Operation};
use crate::session::Session;

/// How long a call may take to end after its `abort` methods, before its process is restarted.
const ABORTED_CALL_TIME: Duration = Duration::from_secs(2);

/// The limit of a call, and what the call is about.
pub(super) struct LimitedCall {
    pub(super) limit: CallLimit,
    /// The object's id.
    pub(super) id: String,
    pub(super) member: String,
    /// The stream whose next item it is.
    stream: Option<String>,
}

impl LimitedCall {
    /// A call that has a limit.
    pub(super) fn of(
        shared: &Shared,
        session: &Session,
        id: &str,
        operation: &Operation,
    ) -> Option<Self> {
        if !shared.call_rules.has_limits() {
            return None;
        }
        if id == DAEMON_NAME {
            return LimitedCall::of_item(shared, session, operation);
        }
        let limit = match operation {
            Operation::Batch(calls) => limit_of_batch(shared, id, calls)?,
            operation => shared.call_rules.limit(id, operation.name())?,
        };
        let member = operation.name().to_owned();
        Some(LimitedCall { limit, id: id.to_owned(), member, stream: None })
    }

    /// The next item of a stream has the limit of the call that has returned the stream.
    fn of_item(shared: &Shared, session: &Session, operation: &Operation) -> Option<Self> {
        let Operation::Call(MethodCall { method, args, kwargs }) = operation else { return None };
        let stream = args.first().or(kwargs.first().map(|(_, value)| value));
        let Some(Value::Str(stream)) = stream.filter(|_| method == NEXT_ITEM) else { return None };
        let origin = shared.streams.origin(stream, session.id)?;
        let limit = shared.call_rules.limit(&origin.object, &origin.member)?;
        let stream = Some(stream.clone());
        Some(LimitedCall { limit, id: origin.object, member: origin.member, stream })
    }

    /// Waits for the call's turn, no longer than the call may take.
    ///
    /// # Errors
    /// Its client has gone, or its turn has not come in time.
    pub(super) async fn take_permit(
        &self,
        shared: &Shared,
        client: Option<&ClientGone>,
    ) -> Result<CallPermit, Exception> {
        let taking = shared.admission.calls.take_for(client);
        let taken = tokio::time::timeout(self.limit.timeout, taking).await;
        taken.unwrap_or_else(|_| {
            let overdue = shared.calls.overdue_turn().map(|(_, call)| call);
            let running = match overdue {
                Some(call) => format!("{call}, is overdue and keeps its turn"),
                None => "another call of its daemon still runs".to_owned(),
            };
            Err(self.exception(&format!("has not begun: {running}; it has waited")))
        })
    }

    /// Waits for the end of the call, or for its limit.
    pub(super) async fn wait(
        &self,
        shared: &Arc<Shared>,
        session: &Arc<Session>,
        mut call: BoxFuture<CallResult>,
        object: &Arc<dyn Object>,
    ) -> CallResult {
        let timeout = self.limit.timeout;
        if let Ok(result) = tokio::time::timeout(timeout, &mut call).await {
            return result;
        }
        let overdue = self.begin_overdue(shared, session, object);
        let is_aborted = overdue.aborted.is_some();
        let current = session.call.read();
        let shown = shared.calls.begin_overdue(session, shared.admission.calls.is_multiplex());
        let (shared_, session_) = (Arc::clone(shared), Arc::clone(session));
        let (service, method) = (self.id.clone(), self.member.clone());
        tokio::spawn(async move {
            let _shown = shown;
            let result = overdue.wait(call).await;
            let exception = result.as_ref().err().map(log_call::shortened);
            let action =
                current.as_ref().map_or(CallAction::Batch, |(facts, ..)| facts.form.action);
            let outcome = result.err().map_or_else(
                || "returned".to_owned(),
                |it| log_call::describe_exception(&shared_, (&service, &method), action, &it),
            );
            info!(service, method, outcome, "an overdue call has ended");
            if let Some((facts, since, _)) = current {
                let end = CallEnd { exception, was_overdue: true, ..CallEnd::default() };
                log_call::log(&shared_, &session_, facts, since, end);
            }
        });
        if let Some(stream) = &self.stream {
            // Its next reader would not know that an item is missing.
            shared.streams.close(stream);
        }
        Err(self.exception(match (self.limit.restarts, is_aborted, &self.stream) {
            (true, false, _) => "was ended by a restart of its process, after",
            (true, true, _) => {
                "is aborted, and ended by a restart of its process if that is in vain, after"
            }
            (false, true, _) => "is aborted; it has not returned within",
            (false, false, None) => "goes on; it has not returned within",
            (false, false, Some(_)) => "goes on, and its stream ends; it has not come within",
        }))
    }

    /// Logs that the call is overdue, and has it aborted where its service has methods for that.
    /// Without them its process is restarted now, where that is to be.
    pub(super) fn begin_overdue(
        &self,
        shared: &Shared,
        session: &Arc<Session>,
        object: &Arc<dyn Object>,
    ) -> OverdueCall {
        self.warn(session);
        let aborted = abort::call_is_overdue(&shared.locks, &self.id, session, &self.member);
        let mut restart = self.limit.restarts.then(|| self.restart(shared, object));
        if aborted.is_none()
            && let Some((object, reason)) = restart.take()
        {
            object.restart(reason);
        }
        OverdueCall { aborted, restart }
    }

    fn warn(&self, session: &Session) {
        let CallLimit { timeout, restarts } = self.limit;
        let (service, method, seconds) = (&self.id, &self.member, timeout.as_secs_f64());
        warn!(service, method, caller = %session.peer, seconds, restarts,
            "a call takes longer than its `call_timeout`");
    }

    /// The object whose process is restarted: the one that is called, or that has made the stream.
    /// And why.
    fn restart(&self, shared: &Shared, object: &Arc<dyn Object>) -> (Arc<dyn Object>, String) {
        let maker = self.stream.as_ref().and_then(|_| shared.registry.get(&self.id));
        let reason = format!(
            "was killed, since {} took longer than its `call_timeout` of {} s",
            self.what(),
            self.limit.timeout.as_secs_f64()
        );
        (maker.unwrap_or_else(|| Arc::clone(object)), reason)
    }

    fn what(&self) -> String {
        match self.stream {
            None => format!("'{}'", self.member),
            Some(_) => format!("the next item of '{}'", self.member),
        }
    }

    fn exception(&self, what: &str) -> Exception {
        let (call, id, seconds) = (self.what(), &self.id, self.limit.timeout.as_secs_f64());
        let text = format!("{call} of service '{id}' {what} {seconds} s (`call_timeout`)");
        Exception::new("builtins.TimeoutError", text)
    }
}

/// An overdue call that still runs.
pub(super) struct OverdueCall {
    /// The end of its abort.
    aborted: Option<oneshot::Receiver<AbortReport>>,
    /// The object whose process is restarted if that is in vain, and why.
    restart: Option<(Arc<dyn Object>, String)>,
}

impl OverdueCall {
    /// Waits for the end of the call, and restarts its process where an abort does not end it.
    pub(super) async fn wait<T>(self, call: impl Future<Output = T>) -> T {
        let mut call = pin!(call);
        if let (Some(aborted), Some((object, reason))) = (self.aborted, self.restart) {
            let in_vain = async {
                let _ = aborted.await;
                tokio::time::sleep(ABORTED_CALL_TIME).await;
            };
            tokio::select! {
                biased;
                result = &mut call => return result,
                () = in_vain => object.restart(reason),
            }
        }
        call.await
    }
}

/// The longest time of a batch: that of its calls together.
fn limit_of_batch(shared: &Shared, id: &str, calls: &[MethodCall]) -> Option<CallLimit> {
    let rules = shared.call_rules.of(id);
    let mut timeout = Duration::ZERO;
    for call in calls {
        timeout = timeout.saturating_add(rules.limit(&call.method)?.timeout);
    }
    let restarts = rules.restarts;
    (!calls.is_empty()).then_some(CallLimit { timeout, restarts })
}

/// Waits for the turn of a oneway call. While an overdue call keeps the turn: what still waits for
/// it.
pub(super) async fn take_oneway_turn(shared: &Shared) -> Result<CallPermit, BoxFuture<CallPermit>> {
    let calls = shared.admission.calls.clone();
    let mut taking: BoxFuture<CallPermit> = Box::pin(async move { calls.take().await });
    let kept = pin!(shared.calls.wait_for_overdue_turn(OVERDUE_TURN_WAIT));
    tokio::select! {
        biased;
        permit = &mut taking => Ok(permit),
        _ = kept => Err(taking),
    }
}

/// Waits for the turn of a call without a limit; with `client`, for as long as that is there.
///
/// # Errors
/// Its client has gone, or an overdue call keeps the turn.
pub(super) async fn take_turn(
    shared: &Shared,
    client: Option<&ClientGone>,
    (id, member): (&str, &str),
) -> Result<CallPermit, Exception> {
    let taking = pin!(shared.admission.calls.take_for(client));
    let kept = pin!(shared.calls.wait_for_overdue_turn(OVERDUE_TURN_WAIT));
    tokio::select! {
        biased;
        permit = taking => permit,
        call = kept => Err(Exception::new(
            "builtins.TimeoutError",
            format!(
                "'{member}' of service '{id}' has not begun: {call}, is overdue (`call_timeout`) \
                 and has kept its turn for {} s",
                OVERDUE_TURN_WAIT.as_secs()
            ),
        )),
    }
}
