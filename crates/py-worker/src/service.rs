//! A service in a worker, as the daemon serves it.
//!
//! Owns the way of one call: to a worker that has the service, over a channel, and back; and the
//! texts of its failures. Ferrolab's exceptions are `Pyro5.errors.DaemonError`: a stock client
//! raises it as what it is and keeps its connection, and with it its lock and its other services. A
//! `CommunicationError` would make the client drop the connection, and some of those make it call
//! again by itself, which is not for us to have done with an instrument.

use std::mem::take;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use remote::card::{Card, MemberFacts, ValueLimits};
use remote::{
    Annotations, Answer, BoxFuture, CallResult, Exception, HealthCheck, Metadata, Object,
    Operation, Reply, ReplyBody, Request, SafeState, SafeStateReached, Session, Value, refuse_rest,
};
use tokio::sync::watch;

use crate::channel::ExchangeError;
use crate::collisions;
use crate::control::{Described, SourceFile, Trouble};
use crate::frames::{self, Answered};
use crate::health;
use crate::item_stream::DriverStream;
use crate::run::{Run, Silence};
use crate::safe_state;
use crate::service_card::ServiceCard;
use crate::service_state::{Driven, LOADING, ServicePhase, ServiceState};
use crate::worker_handle::WorkerHandle;

/// How it stands with a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceStatus {
    /// Its worker is starting, or importing it.
    Starting,
    /// It can be called.
    Ready,
    /// The interpreter of its process does not move: calls wait for it.
    Hangs {
        /// When it moved last.
        since: SystemTime,
        /// The process.
        pid: u32,
        /// Whether a signal has stopped it; otherwise C code holds the interpreter lock.
        is_stopped: bool,
    },
    /// It cannot be imported, its constructor has raised, or its worker keeps dying. It is tried
    /// again without being told to.
    Failed {
        /// Why.
        error: String,
    },
}

/// A service of a worker.
#[derive(Clone)]
pub(crate) struct Service {
    inner: Arc<ServiceState>,
}

impl Service {
    pub(crate) fn new(name: &str, worker: Arc<WorkerHandle>) -> Self {
        Service::part_of(name, name, worker)
    }

    /// An object that is loaded with the service `owner`.
    pub(crate) fn part_of(owner: &str, name: &str, worker: Arc<WorkerHandle>) -> Self {
        let spec = worker.spec();
        let driven = OnceLock::new();
        if spec.has_safe_state(name) {
            driven.get_or_init(Driven::default);
        }
        let spec = spec.services.iter().find(|service| service.name == owner);
        let part = name.strip_prefix(owner).and_then(|rest| rest.strip_prefix('.'));
        let facts = spec.map(|spec| MemberFacts::of_part(&spec.members, part)).unwrap_or_default();
        let inner = ServiceState {
            name: name.to_owned(),
            owner: owner.to_owned(),
            worker,
            phase: watch::Sender::new(ServicePhase::starting()),
            members: watch::Sender::new(None),
            card: ServiceCard::new(facts),
            remarks: watch::Sender::new(Vec::new()),
            sources: watch::Sender::new(Arc::default()),
            driven,
        };
        Service { inner: Arc::new(inner) }
    }

    /// Takes up what the worker's new specification says of the service.
    pub(crate) fn follow_spec(&self) {
        if self.inner.worker.spec().has_safe_state(&self.inner.name) {
            self.inner.driven.get_or_init(Driven::default);
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.inner.name
    }

    pub(crate) fn phase(&self) -> ServicePhase {
        self.inner.phase.borrow().clone()
    }

    pub(crate) fn set_phase(&self, phase: ServicePhase) {
        if matches!(phase, ServicePhase::Failed(_)) {
            self.inner.members.send_replace(None);
        }
        self.inner.phase.send_replace(phase);
        self.inner.worker.changed();
    }

    /// The members that an instance has shown.
    pub(crate) fn set_members(&self, members: Described, remarks: Vec<String>) {
        self.inner.remarks.send_replace(remarks);
        self.inner.card.update(&self.inner.name, &members.names, members.card);
        self.inner.members.send_replace(Some(members.names));
        self.inner.worker.changed();
    }

    pub(crate) fn set_sources(&self, files: Vec<SourceFile>) {
        self.inner.sources.send_replace(files.into());
        self.inner.worker.changed();
    }

    /// The files that its driver was imported from, as they were then.
    pub(crate) fn sources(&self) -> Arc<[SourceFile]> {
        Arc::clone(&self.inner.sources.borrow())
    }

    pub(crate) fn owner(&self) -> &str {
        &self.inner.owner
    }

    /// A worker has loaded it; `broken`: and its constructor has raised.
    pub(crate) fn loaded(
        &self,
        run: Arc<Run>,
        members: Described,
        remarks: Vec<String>,
        broken: Option<Trouble>,
    ) {
        self.inner.remarks.send_replace(remarks);
        // Before the phase: the first call that finds the run finds the limits.
        self.inner.card.update(&self.inner.name, &members.names, members.card);
        self.inner.members.send_replace(Some(members.names));
        self.set_phase(ServicePhase::Serving { run, broken });
    }

    pub(crate) fn status(&self) -> ServiceStatus {
        let failed = |error: &str| ServiceStatus::Failed { error: error.to_owned() };
        match &*self.inner.phase.borrow() {
            ServicePhase::Starting { since } if since.elapsed() >= LOADING => {
                failed(self.inner.slow_start())
            }
            ServicePhase::Starting { .. } => ServiceStatus::Starting,
            ServicePhase::Serving { run, broken } => match (run.silence(), broken) {
                (Some(Silence { since, is_stopped }), _) => {
                    ServiceStatus::Hangs { since, pid: run.process.pid(), is_stopped }
                }
                (None, None) => ServiceStatus::Ready,
                (None, Some(trouble)) => {
                    failed(&format!("its constructor raised {}", trouble.text))
                }
            },
            ServicePhase::Failed(trouble) => failed(&self.inner.with_python(&trouble.text)),
            ServicePhase::Down(reason) => failed(&self.inner.with_python(reason)),
            ServicePhase::Stopped => failed("the daemon is stopping"),
        }
    }

    /// Settings that do not fit; the service serves nevertheless.
    pub(crate) fn remarks(&self) -> Vec<String> {
        self.inner.remarks.borrow().clone()
    }

    /// Whether other services live in its worker.
    pub(crate) fn shares(&self) -> bool {
        self.inner.shares()
    }

    /// Whether a worker has it, also where its constructor has raised.
    pub(crate) fn is_loaded(&self) -> bool {
        self.inner.serving().is_some()
    }

    /// The id of its worker's process, while that has the service.
    pub(crate) fn process(&self) -> Option<u32> {
        self.inner.serving().map(|run| run.process.pid())
    }

    /// The interpreter that its worker runs with.
    pub(crate) fn python(&self) -> String {
        self.inner.worker.python()
    }

    /// Waits until it is known whether the service can be called.
    pub(crate) async fn settled(&self) {
        let mut phase = self.inner.phase.subscribe();
        // The sender lives as long as we do.
        let _ = phase.wait_for(|phase| !matches!(phase, ServicePhase::Starting { .. })).await;
    }
}

impl Object for Service {
    fn metadata(&self) -> Result<Metadata, Exception> {
        if let Some(members) = &*self.inner.members.borrow() {
            return Ok(members.clone());
        }
        Err(self.inner.not_available(&self.inner.phase.borrow()))
    }

    fn card(&self) -> Option<Arc<Card>> {
        self.inner.card.card()
    }

    fn call(&self, session: &Arc<Session>, request: Request) -> Answer {
        Answer::Pending(Box::pin(call(Arc::clone(&self.inner), Arc::clone(session), request, 0)))
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
        })))
    }

    fn check_health(
        &self,
        session: &Arc<Session>,
        check: HealthCheck,
    ) -> BoxFuture<Result<bool, Exception>> {
        Box::pin(health::check(Arc::clone(&self.inner), Arc::clone(session), check))
    }

    fn safe_state(&self, session: &Arc<Session>, reason: SafeState) -> Option<SafeStateReached> {
        let (service, session) = (Arc::clone(&self.inner), Arc::clone(session));
        match reason {
            SafeState::Abort { method, sessions } => {
                Some(Box::pin(safe_state::abort(service, method, sessions)))
            }
            SafeState::LockLost { method } => {
                Some(Box::pin(safe_state::to_rest(service, session, method)))
            }
            SafeState::SessionEnds { may_drive } => {
                let drives = |driven: &Driven| driven.knows(session.id);
                service.driven.get().is_some_and(drives).then(|| -> SafeStateReached {
                    Box::pin(safe_state::end_session(Arc::clone(&service), session, may_drive))
                })
            }
        }
    }

    fn session_ended(&self, session: &Session) {
        self.inner.worker.sessions.end(session.id);
        if let Some(driven) = self.inner.driven.get() {
            driven.forget(session.id);
        }
    }
}

async fn call(
    service: Arc<ServiceState>,
    session: Arc<Session>,
    request: Request,
    pin: i64,
) -> CallResult {
    let Request { operation, mut context } = request;
    let serializer = context.serializer;
    let member = member(&operation);
    // The results of several calls make one answer.
    let is_alone = pin == 0 && !matches!(operation, Operation::Batch(_));
    let passes = is_alone.then_some(serializer);
    collisions::check_operation(&operation)?;
    // Kept until the call has begun.
    let may_start = take(&mut context.may_start);
    let request_memory = context.request_memory();
    // In a multiplex daemon everybody would wait with it: there it is only counted as it is sent.
    let waits = pin == 0 && !service.worker.is_multiplex;
    let answer_memory = if waits { context.answer_memory() } else { None };
    let run = match service.serving() {
        Some(run) => run,
        None => {
            let _waits = session.wait_for_worker();
            service.run().await?
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
        Err(error) => return Err(service.failure(&run, error, &member).await),
    };
    let (body, annotations) = match answered {
        Answered::Value(value, annotations) => (ReplyBody::Value(value), annotations),
        Answered::Serialized(value) => (ReplyBody::Serialized(value), Annotations::new()),
        Answered::Raised(exception) => return Err(exception),
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
        Answered::End | Answered::Begun | Answered::Refused(_) => {
            return Err(Exception::daemon_error("the worker's answer is none"));
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
}

static PINS: AtomicI64 = AtomicI64::new(1);

impl Object for BatchObject {
    fn metadata(&self) -> Result<Metadata, Exception> {
        Service { inner: Arc::clone(&self.service) }.metadata()
    }

    fn call(&self, session: &Arc<Session>, request: Request) -> Answer {
        let (service, session) = (Arc::clone(&self.service), Arc::clone(session));
        Answer::Pending(Box::pin(call(service, session, request, self.pin)))
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
