//! State of a service in a worker, and the words for one that cannot be called.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use remote::{Exception, Metadata, Session};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::control::{SourceFile, Trouble};
use crate::run::Run;
use crate::service_card::ServiceCard;
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

    fn lock(&self) -> MutexGuard<'_, Runs> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
