//! The object by which a daemon serves a service of a worker.
//!
//! The way of one call: to a worker that has the service, over a channel, and back; and the texts
//! of its failures. Ferrolab's exceptions are `Pyro5.errors.DaemonError`: a stock client raises it
//! as what it is and keeps its connection, and with it its lock and its other services. A
//! `CommunicationError` would make the client drop the connection, and some of those make it call
//! again by itself, which is not for us to have done with an instrument.

use std::mem::take;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use remote::card::{Card, ValueLimits};
use remote::{
    Annotations, Answer, BoxFuture, CallResult, Context, Exception, HealthCheck, Metadata, Object,
    Operation, Reply, ReplyBody, Request, SafeState, SafeStateReached, Session, Value, refuse_rest,
};

use crate::channel::ExchangeError;
use crate::collisions;
use crate::frames::{self, Answered};
use crate::health;
use crate::item_stream::DriverStream;
use crate::poll;
use crate::run::Run;
use crate::safe_state;
use crate::service::{Driven, Service, ServicePhase, ServiceState};

/// How long a call waits for a worker that is just being started.
const WORKER_START_WAIT: Duration = Duration::from_secs(2);
/// How long the news of a worker's death may come after the end of its sockets: one that lives on
/// without its control socket is killed before.
const DEATH_NEWS_WAIT: Duration = Duration::from_secs(3);

impl Object for Service {
    fn metadata(&self) -> Result<Metadata, Exception> {
        if let Some(members) = &*self.inner.members.borrow() {
            return Ok(members.clone());
        }
        Err(self.inner.not_available(&self.inner.phase.borrow()))
    }

    /// The worker judges: an instance may have got further members since they were listed.
    fn has_method(&self, _method: &str) -> Result<bool, Exception> {
        Ok(true)
    }

    fn card(&self) -> Option<Arc<Card>> {
        self.inner.card.card()
    }

    fn call(&self, session: &Arc<Session>, request: Request) -> Answer {
        let (service, session) = (Arc::clone(&self.inner), Arc::clone(session));
        Answer::Pending(Box::pin(call(service, session, request, 0, None)))
    }

    fn reports_begin(&self) -> bool {
        true
    }

    fn restart(&self, reason: String) {
        if let Some(run) = self.inner.serving() {
            // The first killer says why.
            let _ = run.verdict.set(reason);
            run.process.kill_group();
        }
    }

    fn for_batch(&self, session: &Arc<Session>) -> Result<Option<Arc<dyn Object>>, Exception> {
        Ok(Some(Arc::new(BatchObject {
            service: Arc::clone(&self.inner),
            session: Arc::clone(session),
            pin: PINS.fetch_add(1, Ordering::Relaxed),
            is_lost: Arc::default(),
        })))
    }

    fn check_health(
        &self,
        session: &Arc<Session>,
        check: HealthCheck,
    ) -> BoxFuture<Result<bool, Exception>> {
        Box::pin(health::check(Arc::clone(&self.inner), Arc::clone(session), check))
    }

    fn poll(
        &self,
        session: &Arc<Session>,
        member: &str,
        context: Context,
    ) -> BoxFuture<Result<Value, Exception>> {
        let (service, session) = (Arc::clone(&self.inner), Arc::clone(session));
        Box::pin(poll::read(service, session, member.to_owned(), context))
    }

    fn safe_state(&self, session: &Arc<Session>, reason: SafeState) -> Option<SafeStateReached> {
        let (service, session) = (Arc::clone(&self.inner), Arc::clone(session));
        match reason {
            SafeState::Abort { method, sessions } => {
                Some(Box::pin(safe_state::abort(service, method, sessions)))
            }
            SafeState::LockLost { method, origin } => {
                Some(Box::pin(safe_state::to_rest(service, session, method, origin)))
            }
            SafeState::SessionEnds { may_drive } => {
                let drives = |driven: &Driven| driven.knows(session.id);
                service.driven.get().is_some_and(drives).then(|| -> SafeStateReached {
                    Box::pin(safe_state::end_session(Arc::clone(&service), session, may_drive))
                })
            }
        }
    }

    /// The worker releases its instances when it is stopped.
    fn ends_in_safe_state(&self) -> bool {
        true
    }

    fn session_ended(&self, session: &Session) {
        self.inner.worker.sessions.end(session.id);
        if let Some(driven) = self.inner.driven.get() {
            driven.forget(session.id);
        }
    }
}

impl ServiceState {
    /// The run that has the service now.
    pub(crate) fn serving(&self) -> Option<Arc<Run>> {
        match &*self.phase.borrow() {
            ServicePhase::Serving { run, .. } if !run.over.is_cancelled() => Some(Arc::clone(run)),
            _ => None,
        }
    }

    /// A run that has the service. One that is being started is waited for, a moment.
    pub(crate) async fn run(&self) -> Result<Arc<Run>, Exception> {
        if let Some(run) = self.serving() {
            return Ok(run);
        }
        if matches!(&*self.phase.borrow(), ServicePhase::Failed(_)) {
            self.worker.retry(&self.owner);
        }
        let mut phase = self.phase.subscribe();
        let settled = phase.wait_for(|phase| match phase {
            ServicePhase::Serving { run, .. } => !run.over.is_cancelled(),
            ServicePhase::Failed(_) | ServicePhase::Stopped => true,
            ServicePhase::Starting { .. } | ServicePhase::Down(_) => false,
        });
        let settled = tokio::time::timeout(WORKER_START_WAIT, settled).await;
        match settled {
            Ok(Ok(phase)) => match &*phase {
                ServicePhase::Serving { run, .. } => Ok(Arc::clone(run)),
                other => Err(self.not_available(other)),
            },
            _ => Err(self.not_available(&self.phase.borrow())),
        }
    }

    /// The exception for a call that got no answer.
    pub(crate) async fn failure(&self, run: &Run, error: ExchangeError, member: &str) -> Exception {
        let name = &self.name;
        match error {
            ExchangeError::Request(error) => Exception::from(error),
            ExchangeError::NoMemory(error) => Exception::daemon_error(format!(
                "{member} of service '{name}' was carried out, and its result is lost: {}",
                error.message()
            )),
            ExchangeError::Answer(error) => Exception::value_error(format!(
                "the result of {member} of service '{name}' cannot be sent: {error}"
            )),
            ExchangeError::Io(error) => {
                // Another client that is let in meanwhile takes the reason back.
                let refusal = run.refusal();
                // A socket ends a moment before its process is known to have ended; a worker that
                // refuses channels lives.
                if refusal.is_none() {
                    let _ = tokio::time::timeout(DEATH_NEWS_WAIT, run.over.cancelled()).await;
                }
                match run.fate() {
                    Some(fate) => Exception::daemon_error(format!(
                        "service '{name}': its Python worker {fate} during {member}; it is being \
                         restarted"
                    )),
                    None => Exception::daemon_error(format!(
                        "service '{name}': the connection to its Python worker was lost during \
                         {member}: {}",
                        run.refusal().or(refusal).unwrap_or_else(|| error.to_string())
                    )),
                }
            }
        }
    }
}

async fn call(
    service: Arc<ServiceState>,
    session: Arc<Session>,
    request: Request,
    pin: i64,
    is_lost: Option<Arc<AtomicBool>>,
) -> CallResult {
    let lost = |exception: Exception| {
        if let Some(is_lost) = &is_lost {
            is_lost.store(true, Ordering::Release);
        }
        exception
    };
    let Request { operation, mut context } = request;
    let serializer = context.serializer;
    let member = member(&operation);
    // The results of several calls make one answer.
    let is_alone = pin == 0 && !matches!(operation, Operation::Batch(_));
    let passes = is_alone.then_some(serializer);
    collisions::check_operation(&operation)?;
    // Kept until the call has begun.
    let may_start = take(&mut context.may_start);
    let no_instance = context.no_instance.clone();
    let request_memory = context.request_memory();
    // In a multiplex daemon everybody would wait with it: there it is only counted as it is sent.
    let waits = pin == 0 && !service.worker.is_multiplex;
    let answer_memory = if waits { context.answer_memory() } else { None };
    let run = match service.serving() {
        Some(run) => run,
        None => {
            let _waits = session.wait_for_worker();
            service.run().await.map_err(&lost)?
        }
    };
    let (operation, refused) = match service.card.limits() {
        None => (operation, None),
        Some(limits) => within_limits(operation, &limits)?,
    };
    let mut oneway = may_start.is_waited_for().then(|| run.oneways.expect());
    let number = oneway.as_ref().map_or(0, |oneway| oneway.number);
    let mut outcome = match service.worker.sessions.lease(&run, &session) {
        Ok(mut lease) => {
            // It has waited for the worker, and for as long as that took.
            may_start.check()?;
            if let Some(driven) = service.driven.get() {
                driven.by(&session, run.number);
            }
            let request = frames::request(&service.name, operation, context, pin, number);
            lease.keep(request_memory);
            lease.exchange_for(passes, request, answer_memory.as_ref()).await
        }
        Err(error) => Err(error),
    };
    drop(may_start);
    if let (Some(oneway), Ok(Answered::Begun)) = (&mut oneway, &outcome) {
        outcome = tokio::select! {
            biased;
            raised = oneway.wait() => Ok(raised.map_or_else(
                || Answered::Value(Value::None, Annotations::new()),
                Answered::Raised,
            )),
            () = run.over.cancelled() => Err(ExchangeError::of_ended_worker()),
        };
    }
    drop(oneway);
    let answered = match outcome {
        Ok(answered) => answered,
        Err(error) => return Err(lost(service.failure(&run, error, &member).await)),
    };
    let (body, annotations) = match answered {
        Answered::Value(value, annotations) => (ReplyBody::Value(value), annotations),
        Answered::Serialized(value) => (ReplyBody::Serialized(value), Annotations::new()),
        Answered::Raised(exception) => return Err(exception),
        Answered::NotMade(exception) => return Err(lost(exception)),
        Answered::Stream(number, annotations) => {
            let service = Arc::clone(&service);
            let items = DriverStream {
                service,
                session,
                run,
                number,
                serializer,
                member,
                is_closed: false,
                is_refused: Arc::default(),
            };
            (ReplyBody::Stream(Box::new(items)), annotations)
        }
        Answered::NoInstance => {
            let refusal = no_instance.map(|refusal| refusal.as_ref().clone());
            return Err(refusal.unwrap_or_else(frames::unexpected_answer));
        }
        Answered::End | Answered::Begun | Answered::Refused(_) => {
            return Err(frames::unexpected_answer());
        }
    };
    let memory = answer_memory.filter(|memory| memory.is_reserved());
    let reply = Ok(Reply { body, annotations, memory });
    match refused {
        None => reply,
        Some(refused) => refuse_rest(refused.made, reply, &refused.exception),
    }
}

/// A batch of which a later call is refused.
struct RefusedRest {
    /// The number of calls before it.
    made: usize,
    exception: Exception,
}

/// The operation, if its values are within the limits; the calls of a batch before the first one
/// that is not.
fn within_limits(
    operation: Operation,
    limits: &ValueLimits,
) -> Result<(Operation, Option<Box<RefusedRest>>), Exception> {
    let (operation, refused) = operation.within(limits)?;
    let made = match &operation {
        Operation::Batch(calls) => calls.len(),
        _ => 0,
    };
    Ok((operation, refused.map(|exception| Box::new(RefusedRest { made, exception }))))
}

/// Name of the called member, for error texts.
fn member(operation: &Operation) -> String {
    match operation {
        Operation::Call(call) => format!("'{}'", call.method),
        Operation::Blob(blob) => format!("'{}'", blob.method),
        Operation::GetAttr(name) => format!("reading '{name}'"),
        Operation::SetAttr(name, _) => format!("setting '{name}'"),
        Operation::Batch(_) => "a batch".to_owned(),
    }
}

/// The service for the entries of one batch, which share an instance in mode `percall`.
struct BatchObject {
    service: Arc<ServiceState>,
    session: Arc<Session>,
    pin: i64,
    /// Whether an entry found no instance, or the end of the worker.
    is_lost: Arc<AtomicBool>,
}

static PINS: AtomicI64 = AtomicI64::new(1);

impl Object for BatchObject {
    fn metadata(&self) -> Result<Metadata, Exception> {
        Service { inner: Arc::clone(&self.service) }.metadata()
    }

    fn call(&self, session: &Arc<Session>, request: Request) -> Answer {
        let (service, session) = (Arc::clone(&self.service), Arc::clone(session));
        let is_lost = Some(Arc::clone(&self.is_lost));
        Answer::Pending(Box::pin(call(service, session, request, self.pin, is_lost)))
    }

    fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Acquire)
    }
}

impl Drop for BatchObject {
    fn drop(&mut self) {
        // Where there is no run any more, nor is there an instance.
        if let ServicePhase::Serving { run, .. } = &*self.service.phase.borrow() {
            let unpin = frames::unpin(self.pin);
            self.service.worker.sessions.tell(run, self.session.id, &unpin);
        }
    }
}
