//! Model of many hosts: their registrars with made-up names, and no daemons (`cargo xtask simulate
//! hosts`).
//!
//! The registrars are those of real daemons: they renew, go over to other nameservers and take back
//! what is theirs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use py_worker::PartIds;
use remote::Uri;
use serde::{Deserialize, Serialize};
use serde_json::json;
use supervisor::Lifeline;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::location_of;
use super::registered_name::Name;
use super::registrar::{self, ServiceTags, Target};
use super::registration::RegistrationReport;

/// Between two looks at what is registered.
const SIMULATED_CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// Assignment of the process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SimulatedHosts {
    /// The number of the first host.
    first: usize,
    hosts: usize,
    /// Names of each host.
    names: usize,
    /// Nameservers of one directory; each host begins with another one.
    nameservers: Vec<String>,
}

/// Runs the registrars until the process is told to stop, and reports how many hosts are
/// registered.
///
/// # Errors
/// A nameserver's address cannot be read.
pub(crate) async fn run(assignment: SimulatedHosts, lifeline: &Lifeline) -> Result<(), String> {
    let SimulatedHosts { first, hosts, names, nameservers } = assignment;
    let locations = nameservers.iter().map(|text| {
        location_of(text).ok_or_else(|| format!("{text} is no address of a nameserver"))
    });
    let locations = locations.collect::<Result<Vec<_>, _>>()?;
    if locations.is_empty() {
        return Err("there is no nameserver".to_owned());
    }
    let (_parts, parts) = watch::channel(PartIds::default());
    let (_tags, tags) = watch::channel(ServiceTags::default());
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let mut reports = Vec::new();
    for host in first..first + hosts {
        let mut replicas = locations.clone();
        replicas.rotate_left(host % locations.len());
        let target = Target {
            name: "shared".to_owned(),
            location: replicas.remove(0),
            replicas,
            tls: Arc::new(|| Ok(None)),
            lab: None,
            host: Some(format!("simulated-{host}")),
        };
        let name = |number: usize| {
            let name = format!("host{host}.service{number}");
            let uri = Uri::tcp(&name, "192.0.2.1", 9100);
            Name { name, uri, metadata: vec!["A simulated service".to_owned()] }
        };
        let names = (0..names).map(name).collect();
        let targets = BTreeMap::from([("shared".to_owned(), (target, names))]);
        reports.push(registrar::start(targets, &parts, &tags, true, &tasks, &stop));
    }
    let mut told = None;
    let stopping = lifeline.stopping();
    loop {
        let is_registered = |report: &&watch::Receiver<RegistrationReport>| {
            report.borrow().values().all(|standing| standing.state.is_registered())
        };
        let registered = reports.iter().filter(is_registered).count();
        if told != Some(registered) {
            lifeline.status(json!({ "registered": registered }));
            told = Some(registered);
        }
        if stopping
            .run_until_cancelled(tokio::time::sleep(SIMULATED_CHECK_INTERVAL))
            .await
            .is_none()
        {
            // As hosts that lose their power: the names stay.
            return Ok(());
        }
    }
}
