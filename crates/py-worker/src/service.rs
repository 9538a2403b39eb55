//! A service in a worker, as the daemon serves it.
//!
//! Owns the way of one call: to a worker that has the service, over a channel, and back; and the
//! words for what goes wrong on it. An exception of Ferrolab's own is a `Pyro5.errors.DaemonError`: a
//! stock client raises it as what it is and keeps its connection, and with it its lock and its other
//! services. A `CommunicationError` would make the client drop the connection, and some of those
//! make it call again by itself, which is not for us to have done with an instrument.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use remote::{
    Annotations, Answer, BoxFuture, CallResult, Context, Exception, Item, ItemStream, Metadata,
    Object, Operation, Reply, ReplyBody, Request, SafeState, SafeStateReached, Serializer, Session,
    Value,
};
use tokio::sync::{Semaphore, watch};

use crate::channel::ExchangeError;
use crate::collisions;
use crate::control::{Outgoing, Trouble};
use crate::frames::{self, Answered};
use crate::run::Run;
use crate::safe_state::{self, Driven};
use crate::supervise::Keeper;

/// How long a call waits for a worker that is just being started.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long the news of a worker's death may come behind the end of its sockets.
const DEATH: Duration = Duration::from_millis(500);
/// How many streams end at a time whose clients have gone: each needs a channel, and when a client
/// with many goes, they all end at once.
const LATE_ENDS: usize = 16;

/// How it stands with a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceStatus {
    /// Its worker is starting, or importing it.
    Starting,
    /// It can be called.
    Ready,
    /// It cannot be imported, its constructor has raised, or its worker keeps dying. It is tried
    /// again without being told to.
    Failed {
        /// Why.
        error: String,
    },
}

/// Where a service is in its life.
#[derive(Clone, Debug)]
pub(crate) enum Phase {
    /// A worker is being started, or imports it.
    Starting,
    /// A worker has it. `broken`: its constructor has raised, and not succeeded since.
    Serving { run: Arc<Run>, broken: Option<Trouble> },
    /// A worker runs, and cannot import it.
    Failed(Trouble),
    /// There is no worker.
    Down(String),
    /// The daemon is stopping.
    Stopped,
}

/// A service of a worker.
#[derive(Clone)]
pub(crate) struct Service {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub name: String,
    pub keeper: Arc<Keeper>,
    phase: watch::Sender<Phase>,
    /// What it exposes; from an earlier run while there is none.
    members: watch::Sender<Option<Metadata>>,
    /// What is said of them in the configuration and does not fit.
    remarks: watch::Sender<Vec<String>>,
    /// Who has driven it in which run, where that says what is left to be brought to rest.
    pub driven: Option<Driven>,
    late_ends: Semaphore,
}

impl Service {
    pub(crate) fn new(name: &str, keeper: Arc<Keeper>) -> Self {
        let mut services = keeper.spec.services.iter();
        let rests =
            services.any(|service| service.name == name && !service.on_disconnect.is_empty());
        let driven = rests.then(Driven::default);
        let inner = Inner {
            name: name.to_owned(),
            keeper,
            phase: watch::Sender::new(Phase::Starting),
            members: watch::Sender::new(None),
            remarks: watch::Sender::new(Vec::new()),
            driven,
            late_ends: Semaphore::new(LATE_ENDS),
        };
        Service { inner: Arc::new(inner) }
    }

    pub(crate) fn name(&self) -> &str {
        &self.inner.name
    }

    pub(crate) fn phase(&self) -> Phase {
        self.inner.phase.borrow().clone()
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        if matches!(phase, Phase::Failed(_)) {
            self.inner.members.send_replace(None);
        }
        self.inner.phase.send_replace(phase);
        self.inner.keeper.changed();
    }

    pub(crate) fn loaded(&self, run: Arc<Run>, members: Metadata, remarks: Vec<String>) {
        self.inner.remarks.send_replace(remarks);
        self.inner.members.send_replace(Some(members));
        self.set_phase(Phase::Serving { run, broken: None });
    }

    pub(crate) fn status(&self) -> ServiceStatus {
        let failed = |error: &str| ServiceStatus::Failed { error: error.to_owned() };
        match &*self.inner.phase.borrow() {
            Phase::Starting => ServiceStatus::Starting,
            Phase::Serving { broken: None, .. } => ServiceStatus::Ready,
            Phase::Serving { broken: Some(trouble), .. } => {
                failed(&format!("its constructor raised {}", trouble.text))
            }
            Phase::Failed(trouble) => failed(&self.inner.with_python(&trouble.text)),
            Phase::Down(reason) => failed(&self.inner.with_python(reason)),
            Phase::Stopped => failed("the daemon is stopping"),
        }
    }

    /// What does not fit, and does not keep it from serving.
    pub(crate) fn remarks(&self) -> Vec<String> {
        self.inner.remarks.borrow().clone()
    }

    /// Whether other services live in its worker.
    pub(crate) fn shares(&self) -> bool {
        self.inner.keeper.spec.services.len() > 1
    }

    /// The interpreter that its worker runs with.
    pub(crate) fn python(&self) -> String {
        self.inner.keeper.python()
    }

    /// Waits until it is known whether the service can be called.
    pub(crate) async fn settled(&self) {
        let mut phase = self.inner.phase.subscribe();
        // The sender lives as long as we do.
        let _ = phase.wait_for(|phase| !matches!(phase, Phase::Starting)).await;
    }
}

impl Object for Service {
    fn metadata(&self) -> Result<Metadata, Exception> {
        if let Some(members) = &*self.inner.members.borrow() {
            return Ok(members.clone());
        }
        Err(self.inner.not_available(&self.inner.phase.borrow()))
    }

    fn call(&self, session: &Arc<Session>, request: Request) -> Answer {
        Answer::Pending(Box::pin(call(Arc::clone(&self.inner), Arc::clone(session), request, 0)))
    }

    fn for_batch(&self, session: &Arc<Session>) -> Result<Option<Arc<dyn Object>>, Exception> {
        Ok(Some(Arc::new(Entries {
            service: Arc::clone(&self.inner),
            session: Arc::clone(session),
            pin: PINS.fetch_add(1, Ordering::Relaxed),
        })))
    }

    fn safe_state(&self, session: &Arc<Session>, reason: SafeState) -> Option<SafeStateReached> {
        let (service, session) = (Arc::clone(&self.inner), Arc::clone(session));
        match reason {
            SafeState::LockLost { method } => {
                Some(Box::pin(safe_state::to_rest(service, session, method)))
            }
            SafeState::SessionEnds { may_drive } => {
                let drives = |driven: &Driven| driven.knows(session.id);
                service.driven.as_ref().is_some_and(drives).then(|| -> SafeStateReached {
                    Box::pin(safe_state::end_session(Arc::clone(&service), session, may_drive))
                })
            }
        }
    }

    fn session_ended(&self, session: &Session) {
        self.inner.keeper.sessions.end(session.id);
        if let Some(driven) = &self.inner.driven {
            driven.forget(session.id);
        }
    }
}

async fn call(
    service: Arc<Inner>,
    session: Arc<Session>,
    request: Request,
    pin: i64,
) -> CallResult {
    let Request { operation, context } = request;
    let serializer = context.serializer;
    let member = member(&operation);
    // The results of several calls make one answer.
    let is_alone = pin == 0 && !matches!(operation, Operation::Batch(_));
    let passes = is_alone.then_some(serializer);
    collisions::check_operation(&operation)?;
    let run = service.run().await?;
    let sessions = &service.keeper.sessions;
    let is_oneway = context.is_oneway();
    let _permit = if is_oneway { service.keeper.oneway_permit().await } else { None };
    let lease = if is_oneway {
        let turn = session.oneway_turn().await;
        sessions.beside(&run, &session).await.map(|mut lease| {
            lease.until_begun(turn);
            lease
        })
    } else {
        session.oneways_begun().await;
        sessions.lease(&run, &session)
    };
    let outcome = match lease {
        Ok(mut lease) => {
            // It has waited for its turn, and for as long as that took.
            context.may_start.check()?;
            if let Some(driven) = &service.driven {
                driven.by(&session, run.number);
            }
            let request = frames::request(&service.name, operation, context, pin);
            lease.exchange_for(passes, request).await
        }
        Err(error) => Err(error),
    };
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
            let items =
                Items { service, session, run, number, serializer, member, is_closed: false };
            (ReplyBody::Stream(Box::new(items)), annotations)
        }
        Answered::End | Answered::Begun => {
            return Err(Exception::daemon_error("the worker's answer is none"));
        }
    };
    Ok(Reply { body, annotations, memory: None })
}

/// What is called, for error texts.
fn member(operation: &Operation) -> String {
    match operation {
        Operation::Call(call) => format!("'{}'", call.method),
        Operation::Blob(blob) => format!("'{}'", blob.method),
        Operation::GetAttr(name) => format!("reading '{name}'"),
        Operation::SetAttr(name, _) => format!("setting '{name}'"),
        Operation::Batch(_) => "a batch".to_owned(),
    }
}

impl Inner {
    /// The run that has the service now.
    pub(crate) fn serving(&self) -> Option<Arc<Run>> {
        match &*self.phase.borrow() {
            Phase::Serving { run, .. } if !run.over.is_cancelled() => Some(Arc::clone(run)),
            _ => None,
        }
    }

    /// A run that has the service. One that is being started is waited for, a moment.
    pub(crate) async fn run(&self) -> Result<Arc<Run>, Exception> {
        if let Some(run) = self.serving() {
            return Ok(run);
        }
        if matches!(&*self.phase.borrow(), Phase::Failed(_)) {
            self.keeper.retry(&self.name);
        }
        let mut phase = self.phase.subscribe();
        let settled = phase.wait_for(|phase| match phase {
            Phase::Serving { run, .. } => !run.over.is_cancelled(),
            Phase::Failed(_) | Phase::Stopped => true,
            Phase::Starting | Phase::Down(_) => false,
        });
        let settled = tokio::time::timeout(PATIENCE, settled).await;
        match settled {
            Ok(Ok(phase)) => match &*phase {
                Phase::Serving { run, .. } => Ok(Arc::clone(run)),
                other => Err(self.not_available(other)),
            },
            _ => Err(self.not_available(&self.phase.borrow())),
        }
    }

    fn not_available(&self, phase: &Phase) -> Exception {
        let exception =
            |reason: &str| Exception::daemon_error(format!("service '{}' {reason}", self.name));
        match phase {
            Phase::Starting => exception("is still starting; try again in a moment"),
            Phase::Serving { .. } => exception("is just being restarted; try again in a moment"),
            Phase::Failed(trouble) => {
                self.keeper.retry(&self.name);
                let text = self.with_python(&trouble.text);
                exception(&format!("is not available: {text}; see `ferrolab ps`"))
                    .with_traceback(trouble.traceback.clone())
            }
            Phase::Down(reason) => {
                exception(&format!("is not available: {}", self.with_python(reason)))
            }
            Phase::Stopped => exception("is not available: its daemon is stopping"),
        }
    }

    fn with_python(&self, text: &str) -> String {
        let python = self.keeper.python();
        // An interpreter that does not start is named already.
        if text.contains(&python) { text.to_owned() } else { format!("{text} (python {python})") }
    }

    /// The exception for a call that got no answer.
    pub(crate) async fn failure(&self, run: &Run, error: ExchangeError, member: &str) -> Exception {
        let name = &self.name;
        match error {
            ExchangeError::Request(error) => Exception::from(error),
            ExchangeError::Answer(error) => Exception::value_error(format!(
                "the result of {member} of service '{name}' cannot be sent: {error}"
            )),
            ExchangeError::Io(error) => {
                // A socket ends a moment before its process is known to have ended.
                let _ = tokio::time::timeout(DEATH, run.over.cancelled()).await;
                match run.fate() {
                    Some(fate) => Exception::daemon_error(format!(
                        "service '{name}': its Python worker {fate} during {member}; it is being \
                         restarted"
                    )),
                    None => Exception::daemon_error(format!(
                        "service '{name}': the connection to its Python worker was lost during \
                         {member}: {}",
                        run.refusal().unwrap_or_else(|| error.to_string())
                    )),
                }
            }
        }
    }
}

/// The service for the entries of one batch: where each call has an instance of its own, they share
/// one.
struct Entries {
    service: Arc<Inner>,
    session: Arc<Session>,
    pin: i64,
}

static PINS: AtomicI64 = AtomicI64::new(1);

impl Object for Entries {
    fn metadata(&self) -> Result<Metadata, Exception> {
        Service { inner: Arc::clone(&self.service) }.metadata()
    }

    fn call(&self, session: &Arc<Session>, request: Request) -> Answer {
        let (service, session) = (Arc::clone(&self.service), Arc::clone(session));
        Answer::Pending(Box::pin(call(service, session, request, self.pin)))
    }
}

impl Drop for Entries {
    fn drop(&mut self) {
        // Where there is no run any more, nor is there an instance.
        if let Phase::Serving { run, .. } = &*self.service.phase.borrow() {
            let unpin = frames::unpin(self.pin);
            self.service.keeper.sessions.tell(run, self.session.id, &unpin);
        }
    }
}

/// An iterator of a driver's.
struct Items {
    service: Arc<Inner>,
    session: Arc<Session>,
    run: Arc<Run>,
    number: i64,
    serializer: Serializer,
    member: String,
    is_closed: bool,
}

impl ItemStream for Items {
    fn close(&mut self) -> BoxFuture<()> {
        self.is_closed = true;
        let (service, run, session) =
            (Arc::clone(&self.service), Arc::clone(&self.run), Arc::clone(&self.session));
        let request = frames::finish_stream(self.number);
        let by_control = Outgoing::close_stream(self.number);
        Box::pin(async move {
            let late_ends = &service.late_ends;
            let _permit = if session.has_ended() { late_ends.acquire().await.ok() } else { None };
            // Where its worker has ended, so has the generator.
            match service.keeper.sessions.lease(&run, &session) {
                Ok(mut lease) => drop(lease.exchange(request).await),
                Err(_) => run.send(by_control),
            }
        })
    }

    fn next(&mut self) -> BoxFuture<Result<Option<Value>, Exception>> {
        let session = Arc::clone(&self.session);
        let mut context = Context::internal();
        context.serializer = self.serializer;
        let next = self.next_for(&session, context);
        Box::pin(async move { Ok(next.await?.map(|item| item.value)) })
    }

    fn next_for(
        &mut self,
        session: &Arc<Session>,
        context: Context,
    ) -> BoxFuture<Result<Option<Item>, Exception>> {
        // A stream that has lingered is somebody else's from now on.
        self.session = Arc::clone(session);
        let (service, run, session) =
            (Arc::clone(&self.service), Arc::clone(&self.run), Arc::clone(session));
        let request = frames::next_item(self.number, context);
        let member = self.member.clone();
        Box::pin(async move {
            let outcome = match service.keeper.sessions.lease(&run, &session) {
                Ok(mut lease) => lease.exchange(request).await,
                Err(error) => Err(error),
            };
            match outcome {
                Ok(Answered::Value(value, annotations)) => Ok(Some(Item { value, annotations })),
                Ok(Answered::End) => Ok(None),
                Ok(Answered::Raised(exception)) => Err(exception),
                Ok(Answered::Serialized(_) | Answered::Stream(..) | Answered::Begun) => {
                    Err(Exception::daemon_error("the worker's answer is none"))
                }
                Err(error) => Err(service.failure(&run, error, &member).await),
            }
        })
    }
}

impl Drop for Items {
    fn drop(&mut self) {
        if self.is_closed {
            return;
        }
        // A generator's last steps run on its session's thread, if that is at hand.
        let request = frames::close_stream(self.number);
        if !self.service.keeper.sessions.tell(&self.run, self.session.id, &request) {
            self.run.send(Outgoing::close_stream(self.number));
        }
    }
}
