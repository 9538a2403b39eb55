//! Handle of a worker, for its services and for the task that keeps it running.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use tokio::sync::{Notify, mpsc, watch};

use crate::sessions::Sessions;
use crate::spec::{WorkerSpec, program_path};

/// State that a worker's services share with the task that keeps it running.
pub(crate) struct WorkerHandle {
    /// Changed between two runs, by a restart with another one. No call looks at it.
    spec: RwLock<Arc<WorkerSpec>>,
    /// Whether the main thread carries out all calls; the same in all runs.
    pub is_multiplex: bool,
    pub sessions: Arc<Sessions>,
    retries: mpsc::UnboundedSender<String>,
    changes: Arc<watch::Sender<u64>>,
    /// The path of the interpreter, as the last worker that has started knew it.
    interpreter: Mutex<Option<String>>,
    /// The services' members have other facts than before.
    other_facts: Notify,
    /// The last run, if it was stopped with its daemon and had released all instances by its end.
    released_run: OnceLock<u64>,
}

impl WorkerHandle {
    /// The handle of a worker that does not run yet, and the queue of services to import again.
    pub(crate) fn new(
        spec: WorkerSpec,
        changes: Arc<watch::Sender<u64>>,
    ) -> (Arc<Self>, mpsc::UnboundedReceiver<String>) {
        let (sender, retries) = mpsc::unbounded_channel();
        let worker = WorkerHandle {
            is_multiplex: spec.multiplex,
            spec: RwLock::new(Arc::new(spec)),
            sessions: Arc::default(),
            retries: sender,
            changes,
            interpreter: Mutex::default(),
            other_facts: Notify::new(),
            released_run: OnceLock::new(),
        };
        (Arc::new(worker), retries)
    }

    /// The specification that the worker is started with.
    pub(crate) fn spec(&self) -> Arc<WorkerSpec> {
        Arc::clone(&self.spec.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sets what the worker is started with from now on.
    pub(crate) fn set_spec(&self, spec: WorkerSpec) {
        *self.spec.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(spec);
    }

    /// The same, of a worker that goes on; its supervisor is told.
    pub(crate) fn set_facts(&self, spec: WorkerSpec) {
        self.set_spec(spec);
        self.other_facts.notify_one();
    }

    /// Waits until the services' members have other facts.
    pub(crate) async fn has_other_facts(&self) {
        self.other_facts.notified().await;
    }

    /// The daemon stops, and this run has ended, having released all instances.
    pub(crate) fn set_released(&self, run: u64) {
        self.released_run.get_or_init(|| run);
    }

    /// Whether this run has ended with the daemon, having released all instances.
    pub(crate) fn has_released(&self, run: u64) -> bool {
        self.released_run.get() == Some(&run)
    }

    /// The interpreter: its path, or what the configuration calls it until it has started once.
    pub(crate) fn python(&self) -> String {
        let known = self.interpreter.lock().unwrap_or_else(PoisonError::into_inner).clone();
        known.unwrap_or_else(|| program_path(&self.spec().python.executable).display().to_string())
    }

    pub(crate) fn runs_with(&self, interpreter: &str) {
        // An embedded interpreter may not know where it is.
        let found = Some(interpreter.to_owned()).filter(|path| !path.is_empty());
        *self.interpreter.lock().unwrap_or_else(PoisonError::into_inner) = found;
    }

    /// Asks for another attempt to import a service.
    pub(crate) fn retry(&self, service: &str) {
        let _ = self.retries.send(service.to_owned());
    }

    /// Something about a service has changed.
    pub(crate) fn changed(&self) {
        self.changes.send_modify(|version| *version = version.wrapping_add(1));
    }
}
