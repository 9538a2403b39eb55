//! Handle of a worker, for its services and for the task that keeps it running.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, watch};

use crate::sessions::Sessions;
use crate::spec::WorkerSpec;

/// State that a worker's services share with the task that keeps it running.
pub(crate) struct WorkerHandle {
    pub spec: WorkerSpec,
    pub sessions: Arc<Sessions>,
    retries: mpsc::UnboundedSender<String>,
    changes: Arc<watch::Sender<u64>>,
    /// The path of the interpreter, as the last worker that has started knew it.
    interpreter: Mutex<Option<String>>,
}

impl WorkerHandle {
    /// The handle of a worker that does not run yet, and the queue of services to import again.
    pub(crate) fn new(
        spec: WorkerSpec,
        changes: Arc<watch::Sender<u64>>,
    ) -> (Arc<Self>, mpsc::UnboundedReceiver<String>) {
        let (sender, retries) = mpsc::unbounded_channel();
        let worker = WorkerHandle {
            spec,
            sessions: Arc::default(),
            retries: sender,
            changes,
            interpreter: Mutex::default(),
        };
        (Arc::new(worker), retries)
    }

    /// The interpreter: its path, or what the configuration calls it until it has started once.
    pub(crate) fn python(&self) -> String {
        let known = self.interpreter.lock().unwrap_or_else(PoisonError::into_inner).clone();
        known.unwrap_or_else(|| self.spec.python.executable.display().to_string())
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
