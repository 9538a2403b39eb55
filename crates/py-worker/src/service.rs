//! A service in a worker, as its daemon keeps it: phase, members and status, and the words for one
//! that cannot be called.
//!
//! [`service_object`](crate::service_object) serves its calls.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use remote::card::MemberFacts;
use remote::{Exception, Metadata, Session};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::control::{Described, SourceFile, Trouble};
use crate::run::{Run, Silence};
use crate::service_card::ServiceCard;
use crate::spec::WorkerSpec;
use crate::worker_handle::WorkerHandle;

/// Time for a driver to load. After it the service counts as failed until it has loaded.
pub const LOADING: Duration = Duration::from_secs(20);

const SLOW: &str = "not loaded after 20 s: its driver hangs while it is imported or made";
const SLOW_OR_WAITING: &str = "not loaded after 20 s: its driver hangs while it is imported or made, or \
                               waits for one that does; `isolate: true` gives a service a worker of \
                               its own";

/// Where a service is in its life.
#[derive(Clone, Debug)]
pub(crate) enum ServicePhase {
    /// A worker is being started, or imports it.
    Starting { since: Instant },
    /// A worker has it. `broken`: its constructor has raised, and not succeeded since.
    Serving { run: Arc<Run>, broken: Option<Trouble> },
    /// A worker runs, and cannot import it.
    Failed(Trouble),
    /// There is no worker.
    Down(String),
    /// The daemon is stopping.
    Stopped,
}

impl ServicePhase {
    /// A worker is started from now on.
    pub(crate) fn starting() -> Self {
        ServicePhase::Starting { since: Instant::now() }
    }
}

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
    pub(crate) inner: Arc<ServiceState>,
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
        let facts = member_facts(&spec, owner, name);
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
        let facts = member_facts(&self.inner.worker.spec(), &self.inner.owner, &self.inner.name);
        self.inner.card.set_facts(facts);
    }

    /// Takes up what the worker's new specification says of the members, at once. The worker's
    /// parts follow when its supervisor has heard of it.
    pub(crate) fn take_facts(&self, spec: &WorkerSpec) {
        self.inner.worker.set_facts(spec.clone());
        self.lay_facts();
    }

    /// Lays the facts of the worker's specification over the card.
    pub(crate) fn lay_facts(&self) {
        let facts = member_facts(&self.inner.worker.spec(), &self.inner.owner, &self.inner.name);
        self.inner.card.lay_facts(&self.inner.name, facts);
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

pub(crate) struct ServiceState {
    pub name: String,
    /// The service that it is loaded with: itself, or the one that it is a part of.
    pub owner: String,
    pub worker: Arc<WorkerHandle>,
    pub phase: watch::Sender<ServicePhase>,
    /// Exposed members; those of an earlier run while no worker runs.
    pub members: watch::Sender<Option<Metadata>>,
    /// Types, texts and limits of the members.
    pub card: ServiceCard,
    /// Settings that do not fit the members.
    pub remarks: watch::Sender<Vec<String>>,
    /// The files that its driver was imported from.
    pub sources: watch::Sender<Arc<[SourceFile]>>,
    /// Sessions that drove it, with their run: which instruments still need their safe state.
    /// Empty where it has no safe state.
    pub driven: OnceLock<Driven>,
}

/// The configuration's facts about the members of an object that is loaded with a service.
fn member_facts(spec: &WorkerSpec, owner: &str, name: &str) -> Vec<MemberFacts> {
    let service = spec.services.iter().find(|service| service.name == owner);
    let part = name.strip_prefix(owner).and_then(|rest| rest.strip_prefix('.'));
    service.map(|service| MemberFacts::of_part(&service.members, part)).unwrap_or_default()
}

impl ServiceState {
    pub(crate) fn not_available(&self, phase: &ServicePhase) -> Exception {
        let exception =
            |reason: &str| Exception::daemon_error(format!("service '{}' {reason}", self.name));
        match phase {
            ServicePhase::Starting { since } if since.elapsed() >= LOADING => {
                exception(&format!("is not available: {}", self.slow_start()))
            }
            ServicePhase::Starting { .. } => exception("is still starting; try again in a moment"),
            ServicePhase::Serving { .. } => {
                exception("is just being restarted; try again in a moment")
            }
            ServicePhase::Failed(trouble) => {
                self.worker.retry(&self.owner);
                let text = self.with_python(&trouble.text);
                exception(&format!("is not available: {text}; see `ferrolab ps`"))
                    .with_traceback(trouble.traceback.clone())
            }
            ServicePhase::Down(reason) => {
                exception(&format!("is not available: {}", self.with_python(reason)))
            }
            ServicePhase::Stopped => exception("is not available: its daemon is stopping"),
        }
    }

    /// Whether other services live in its worker.
    pub(crate) fn shares(&self) -> bool {
        self.worker.spec().services.len() > 1
    }

    /// Why a service that starts for too long counts as failed.
    pub(crate) fn slow_start(&self) -> &'static str {
        if self.shares() { SLOW_OR_WAITING } else { SLOW }
    }

    pub(crate) fn with_python(&self, text: &str) -> String {
        let python = self.worker.python();
        // An interpreter that does not start is named already.
        if text.contains(&python) { text.to_owned() } else { format!("{text} (python {python})") }
    }
}

/// The runs of its worker in which a service was called: whether something that it drove has gone
/// with a process.
#[derive(Debug, Default)]
pub(crate) struct Driven {
    runs: Mutex<Runs>,
}

#[derive(Debug, Default)]
struct Runs {
    last: Option<u64>,
    by_session: HashMap<u64, u64>,
}

impl Driven {
    /// A call of this session is carried out in this run.
    pub(crate) fn by(&self, session: &Session, run: u64) {
        let mut runs = self.lock();
        runs.last = Some(run);
        // Of an ended session nobody would forget it any more.
        if !session.has_ended() {
            runs.by_session.insert(session.id, run);
        }
    }

    pub(crate) fn knows(&self, session: u64) -> bool {
        self.lock().by_session.contains_key(&session)
    }

    pub(crate) fn forget(&self, session: u64) {
        self.lock().by_session.remove(&session);
    }

    pub(crate) fn was_before(&self, run: u64) -> bool {
        self.lock().last.is_some_and(|last| last != run)
    }

    pub(crate) fn was_before_by(&self, session: u64, run: u64) -> bool {
        self.lock().by_session.get(&session).is_some_and(|last| *last != run)
    }

    pub(crate) fn last_run_of(&self, session: u64) -> Option<u64> {
        self.lock().by_session.get(&session).copied()
    }

    fn lock(&self) -> MutexGuard<'_, Runs> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
