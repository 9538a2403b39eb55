//! The workers of a daemon.

use std::sync::Arc;

use remote::Object;
use supervisor::Spawner;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::control::SourceFile;
use crate::registry::Registry;
use crate::service::{Service, ServiceStatus};
use crate::spec::WorkerSpec;
use crate::supervise::{WorkerRestart, WorkerSupervisor};

/// Workers that are kept running until this is dropped or stopped.
pub struct WorkerSet {
    services: Vec<Service>,
    workers: Vec<(WorkerSpec, mpsc::UnboundedSender<WorkerRestart>)>,
    tasks: TaskTracker,
    changes: Arc<watch::Sender<u64>>,
    stop: CancellationToken,
    _stop_when_dropped: DropGuard,
}

impl WorkerSet {
    /// Starts workers. To be called within a tokio runtime.
    pub fn start(spawner: &Spawner, specs: Vec<WorkerSpec>, registry: &Arc<dyn Registry>) -> Self {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let changes = Arc::new(watch::Sender::new(0));
        let (mut services, mut workers) = (Vec::new(), Vec::new());
        for spec in specs {
            let (sender, restarts) = mpsc::unbounded_channel();
            workers.push((spec.clone(), sender));
            let supervisor = WorkerSupervisor::new(
                spec,
                spawner.clone(),
                Arc::clone(registry),
                stop.clone(),
                Arc::clone(&changes),
                restarts,
            );
            services.extend_from_slice(supervisor.services());
            tasks.spawn(supervisor.run());
        }
        tasks.close();
        let _stop_when_dropped = stop.clone().drop_guard();
        WorkerSet { services, workers, tasks, changes, stop, _stop_when_dropped }
    }

    /// Restarts the worker that serves as `spec` does, with this specification. Running calls may
    /// end and instruments are released, as at a stop; then the next run begins. All other workers
    /// go on. Returns when the services count as starting; false if there is no such worker.
    pub async fn restart(&self, spec: WorkerSpec, reason: &str) -> bool {
        let mut workers = self.workers.iter();
        let Some((_, orders)) = workers.find(|(known, _)| known.serves_as(&spec)) else {
            return false;
        };
        let (begun, answer) = oneshot::channel();
        let reason = reason.to_owned();
        orders.send(WorkerRestart { spec, reason, begun }).is_ok() && answer.await.is_ok()
    }

    /// Takes up what the specification of a worker says of its services' members, for their cards
    /// and limits; its process goes on.
    pub fn take_facts(&self, spec: &WorkerSpec) {
        let is_of = |service: &&Service| spec.services.iter().any(|one| one.name == service.name());
        for service in self.services.iter().filter(is_of) {
            service.take_facts(spec);
        }
    }

    /// The services as objects, under their ids. They can be called at once: a call waits a moment
    /// for a worker that is starting.
    pub fn objects(&self) -> Vec<(String, Arc<dyn Object>)> {
        let object = |service: &Service| {
            (service.name().to_owned(), Arc::new(service.clone()) as Arc<dyn Object>)
        };
        self.services.iter().map(object).collect()
    }

    /// How it stands with a service.
    pub fn status(&self, service: &str) -> ServiceStatus {
        let known = self.services.iter().find(|known| known.name() == service);
        known.map_or_else(
            || ServiceStatus::Failed { error: format!("no worker has a service '{service}'") },
            Service::status,
        )
    }

    /// Whether a worker has the service, also where its constructor has raised.
    pub fn is_loaded(&self, service: &str) -> bool {
        self.services.iter().any(|known| known.name() == service && known.is_loaded())
    }

    /// The Python that a service runs in.
    pub fn python(&self, service: &str) -> Option<String> {
        self.services.iter().find(|known| known.name() == service).map(Service::python)
    }

    /// The files that each service's driver was imported from, that of its class first. Another
    /// import makes another list.
    pub fn sources(&self) -> Vec<(String, Arc<[SourceFile]>)> {
        let sources = |known: &Service| (known.name().to_owned(), known.sources());
        self.services.iter().map(sources).collect()
    }

    /// The ids of the workers' processes.
    pub fn processes(&self) -> Vec<u32> {
        let mut found: Vec<u32> = self.services.iter().filter_map(Service::process).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Whether a service has neighbours in its worker.
    pub fn shares(&self, service: &str) -> bool {
        self.services.iter().any(|known| known.name() == service && known.shares())
    }

    /// Settings that do not fit a service's members.
    pub fn remarks(&self, service: &str) -> Option<String> {
        let service = self.services.iter().find(|known| known.name() == service)?;
        let remarks = service.remarks();
        (!remarks.is_empty()).then(|| remarks.join("; "))
    }

    /// Changes with every change of a status.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Waits until every service is ready or has failed.
    pub async fn loaded(&self) {
        for service in &self.services {
            service.settled().await;
        }
    }

    /// Whether what this session has driven of a service was released at the stop; `None` if it has
    /// driven nothing.
    pub fn has_released(&self, service: &str, session: u64) -> Option<bool> {
        let known = self.services.iter().find(|known| known.name() == service)?;
        let run = known.inner.driven.get()?.last_run_of(session)?;
        Some(known.inner.worker.has_released(run))
    }

    /// Stops all workers: running calls may end, instruments are released.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}
