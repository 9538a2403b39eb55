//! Check of Python drivers before a lab runs: each class is imported and described, none is made.
//!
//! The workers are those of the daemons, with the same interpreters, folders and environment; they
//! belong to no daemon, and end with the check.

use std::sync::Arc;

use lab_config::Configuration;
use py_worker::{DaemonLocation, LOADING, Registry, ServiceStatus, WorkerSet};
use remote::Object;
use serde::Serialize;
use supervisor::Spawner;
use tracing::warn;

use crate::host::worker_specs;
use crate::os;

/// How it stands with the driver of one service.
#[derive(Debug, Serialize)]
pub(crate) struct CheckedDriver {
    pub(crate) service: String,
    /// Whether it is the driver of the service's `simulate` section.
    pub(crate) simulated: bool,
    /// The interpreter, and its version if it could be started.
    pub(crate) python: String,
    /// Why it cannot be imported or described.
    pub(crate) error: Option<String>,
    /// Settings of the service that do not fit its members.
    pub(crate) remarks: Option<String>,
}

/// Imports and describes the drivers of all services.
///
/// # Errors
/// No process can be started.
pub(crate) async fn check_drivers(
    configuration: &Configuration,
) -> Result<Vec<CheckedDriver>, String> {
    if let Some(folder) = &configuration.folder
        && let Err(error) = os::enter(folder)
    {
        warn!(folder = %folder.display(), %error, "cannot enter the configuration's folder");
    }
    let spawner = Spawner::permanent()
        .map_err(|error| format!("cannot start the thread that starts workers: {error}"))?;
    let mut specs = Vec::new();
    for daemon in &configuration.daemons {
        let Some(part) = configuration.part_of(&daemon.name) else { continue };
        specs.extend(worker_specs::specs(daemon, &part.services));
    }
    for spec in &mut specs {
        spec.imports_only = true;
        spec.standby = 0;
    }
    let services: Vec<String> = specs
        .iter()
        .flat_map(|spec| spec.services.iter().map(|service| service.name.clone()))
        .collect();
    let registry: Arc<dyn Registry> = Arc::new(NoDaemon);
    let workers = WorkerSet::start(&spawner, specs, &registry);
    // A driver that ends its process is starting again now and then, while others still load.
    let all_settled = async {
        let starts = |service: &String| workers.status(service) == ServiceStatus::Starting;
        while services.iter().any(starts) {
            workers.loaded().await;
        }
    };
    // The ones that are not loaded then are reported as such.
    let _ = tokio::time::timeout(LOADING, all_settled).await;
    let checked = services.into_iter().map(|service| {
        let error = match workers.status(&service) {
            ServiceStatus::Ready | ServiceStatus::Hangs { .. } => None,
            ServiceStatus::Failed { error } => Some(error),
            ServiceStatus::Starting => {
                Some(format!("its import has not returned within {} s", LOADING.as_secs()))
            }
        };
        let python = workers.python(&service).unwrap_or_default();
        let simulated = configuration.services.iter().any(|it| it.name == service && it.simulated);
        CheckedDriver { python, error, remarks: workers.remarks(&service), service, simulated }
    });
    let checked = checked.collect();
    workers.stop().await;
    Ok(checked)
}

/// The registry of workers without a daemon: a driver that registers objects at its import is told
/// that it cannot.
struct NoDaemon;

impl Registry for NoDaemon {
    fn location(&self) -> DaemonLocation {
        let location = "localhost:0".to_owned();
        DaemonLocation { location, nat_location: None, port_everywhere: None }
    }

    fn register(&self, id: &str, _: Arc<dyn Object>, _: Option<&str>) -> Result<(), String> {
        Err(format!("'{id}' cannot be registered: the driver is only looked at"))
    }

    fn added(&self, _: &str) -> Vec<String> {
        Vec::new()
    }

    fn unregister(&self, _: &str) {}

    fn set_parts(&self, _: &str, _: Vec<String>) {}
}
