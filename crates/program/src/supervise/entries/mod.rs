//! From the configuration to supervised children, and back to what people are shown.
//!
//! Owns which child stands for which entry of the configuration. Knows neither sockets nor files;
//! keeping a child running is the `supervisor` crate's.

mod alarms;
mod daemon_messages;
mod faults;
mod feed_addresses;
mod in_force;
mod in_use;
pub(crate) mod lab_id;
mod liveness;
mod manager;
mod memory;
mod names_back;
mod plan;
mod reload;
mod rename_state;
mod service_restart;

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use lab_config::{Configuration, Daemon, Nameserver, OtherLab, Service};
use remote::access::AccessKind;
use supervisor::{EntryPhase, EntryStatus, KeeperHandle};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::access::{AccessClient, LabAccess, UserTable};
use crate::authority::AuthorityFiles;
use crate::files::FileError;
use crate::host::feed::event::property;
use crate::host::{Acknowledgement, CallRow, ChildReport, DaemonOrder, ServiceReport};
use crate::log::host_warnings::Troubles;
use crate::notify::{Notifier, Targets};
use crate::os;
use crate::paths::Paths;
use crate::supervise::control::{
    Action, Changes, EntryKind, Host, LabRow, Listing, ProcessRow, ServiceRow,
};
use crate::supervise::incidents::Incidents;
use crate::supervise::stale_names;

use daemon_messages::Messenger;
pub(crate) use faults::{Past, watch_log};
use in_force::{InForce, autolaunch};
pub(crate) use in_use::NotDone;
use in_use::StopScope;
use manager::{Manager, Order};
use memory::Memory;
pub(crate) use plan::LaunchError;
pub(crate) use service_restart::ServiceRestart;

/// Orders that may wait for the manager.
const ORDERS: usize = 64;

/// The children of one lab host.
pub(crate) struct Fleet {
    keeper: KeeperHandle,
    messenger: Messenger,
    orders: mpsc::Sender<Order>,
    force: watch::Receiver<InForce>,
    troubles: Troubles,
    incidents: Incidents,
    /// Removals of dead daemons' names.
    removals: TaskTracker,
    authority: AuthorityFiles,
    /// The folder of the lab's users.
    users: PathBuf,
    host: Host,
}

/// As [`Fleet::renamed`], while no supervisor runs; the next one does the rest.
///
/// # Errors
/// The file of what was decided by hand cannot be written.
pub(crate) fn renamed(
    paths: &Paths,
    kind: EntryKind,
    old: &str,
    new: &str,
) -> Result<(), FileError> {
    Memory::rename_in(&paths.by_hand(), &kind.id(old), &kind.id(new))
}

/// The new name of an entry whose files still have the name `old`: the lab has not taken that up.
pub(crate) fn renamed_from(paths: &Paths, kind: EntryKind, old: &str) -> Option<String> {
    let memory = Memory::look(&paths.by_hand())?;
    let new = memory.renamed_from(&kind.id(old))?;
    new.strip_prefix(kind.word()).map(|name| name.trim_start().to_owned())
}

impl Fleet {
    /// Gives every entry of the configuration to the keeper, and starts those that start with the
    /// host or were running by hand.
    ///
    /// # Errors
    /// The keeper refuses an entry.
    pub(crate) async fn launch(
        configuration: Configuration,
        paths: &Paths,
        program: PathBuf,
        keeper: KeeperHandle,
        troubles: Troubles,
        past: Past,
    ) -> Result<Self, LaunchError> {
        let messenger = Messenger::new(keeper.clone());
        let (mut manager, force) = Manager::new(
            configuration,
            paths,
            program,
            keeper.clone(),
            messenger.clone(),
            troubles.clone(),
        );
        manager.launch().await?;
        let (orders, inbox) = mpsc::channel(ORDERS);
        tokio::spawn(manager.serve(inbox));
        let authority = AuthorityFiles::in_folder(paths.access_folder());
        let removals = stale_names::start(
            keeper.clone(),
            in_force::tls_of_nameservers(force.clone(), authority.clone()),
        );
        tokio::spawn(liveness::watch(keeper.clone(), force.clone(), authority.clone()));
        tokio::spawn(feed_addresses::watch(keeper.clone()));
        let (in_force, incidents) = (force.clone(), past.incidents.clone());
        let targets: Targets = Arc::new(move || in_force.borrow().configuration.notify.clone());
        let notifier = Notifier::start(&targets, &troubles);
        tokio::spawn(faults::watch(keeper.clone(), troubles.clone(), notifier, past));
        let host = Host {
            pid: std::process::id(),
            since: rfc3339(Timestamp::now()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            configuration: String::new(),
            manager: os::manager(),
        };
        Ok(Fleet {
            keeper,
            messenger,
            orders,
            force,
            troubles,
            incidents,
            removals,
            authority,
            users: paths.access_folder(),
            host,
        })
    }

    /// Starts, stops or restarts one entry, and remembers it; a stop is waited for. Returns a
    /// sentence that says what came of it. Without `force`, no client's lock or call is ended.
    ///
    /// # Errors
    /// Why that was not done.
    pub(crate) async fn act(
        &self,
        action: Action,
        kind: EntryKind,
        name: String,
        force: bool,
    ) -> Result<String, NotDone> {
        if action != Action::Start && kind == EntryKind::Daemon && !force {
            let mut scope = StopScope::default();
            scope.add_daemon(&name);
            self.messenger.check_free(&scope).await?;
        }
        Ok(self.order(|reply| Order::Act { action, kind, name, reply }).await?)
    }

    /// Checks that no client has a lock or a call in the whole lab.
    ///
    /// # Errors
    /// The uses.
    pub(crate) async fn check_all_free(&self) -> Result<(), NotDone> {
        let mut scope = StopScope::default();
        let configuration = Arc::clone(&self.force.borrow().configuration);
        configuration.daemons.iter().for_each(|daemon| scope.add_daemon(&daemon.name));
        self.messenger.check_free(&scope).await
    }

    /// Has all daemons look at their drivers' files, for the listing.
    pub(crate) async fn look_at_drivers(&self) {
        let configuration = Arc::clone(&self.force.borrow().configuration);
        let daemons = configuration.daemons.iter();
        let ids = daemons.map(|daemon| EntryKind::Daemon.id(&daemon.name)).collect();
        self.messenger.look_at_drivers(ids).await;
    }

    /// Takes up the configuration file; touches only entries and services whose part of it has
    /// changed. Without `force`, no client's lock or call is ended.
    ///
    /// # Errors
    /// Every problem in the file; what was in force before stays.
    pub(crate) async fn reload(&self, force: bool) -> Result<Changes, NotDone> {
        self.order(|reply| Order::Reload { force, reply }).await
    }

    /// The restart of these services, before it is done.
    ///
    /// # Errors
    /// One of them cannot be restarted.
    pub(crate) async fn plan_service_restart(
        &self,
        names: &[String],
    ) -> Result<ServiceRestart, String> {
        let states = self.keeper.snapshot().await;
        ServiceRestart::plan(names, &self.force.borrow(), &states)
    }

    /// Restarts the workers of these services; their daemons go on. Returns when the services count
    /// as starting. Without `force`, no client's lock or call is ended.
    ///
    /// # Errors
    /// Why that was not done.
    pub(crate) async fn restart_services(
        &self,
        names: &[String],
        force: bool,
    ) -> Result<(), NotDone> {
        let ServiceRestart { daemons, .. } = self.plan_service_restart(names).await?;
        let mut scope = StopScope::default();
        for (daemon, services) in &daemons {
            scope.add_services(daemon, services.clone());
        }
        if !force {
            self.messenger.check_free(&scope).await?;
        }
        for (daemon, services) in daemons {
            info!(daemon, ?services, "a restart of services is asked by hand");
            let order = DaemonOrder::RestartServices { services: services.into_iter().collect() };
            self.messenger.order(&EntryKind::Daemon.id(&daemon), order).await.map_err(|error| {
                format!("{error}; `ferrolab restart daemon {daemon}` restarts all of it")
            })?;
        }
        Ok(())
    }

    /// Has daemons note that somebody looks after alarms. Returns the series that are meant.
    ///
    /// # Errors
    /// No such alarm fires, the client may not operate its service, or its daemon does not answer.
    pub(crate) async fn acknowledge_alarms(
        &self,
        name: &str,
        client: &AccessClient,
        by: &str,
        reason: &str,
    ) -> Result<Vec<String>, String> {
        let meant = alarms::meant(name, &self.listing().await.alarms)?;
        let configuration = Arc::clone(&self.force.borrow().configuration);
        if let Some(access) = &configuration.access {
            let rules = LabAccess::new(access, UserTable::open(self.users.clone()));
            for (service, member) in meant.values().flatten() {
                rules.check(client, (service, property(member)), AccessKind::Acknowledge)?;
            }
        }
        let acknowledgement = Acknowledgement {
            by: by.to_owned(),
            time: rfc3339(Timestamp::now()),
            reason: reason.to_owned(),
        };
        let mut titles = Vec::new();
        for (daemon, series) in meant {
            titles.extend(series.iter().map(|(service, member)| format!("{service}.{member}")));
            let acknowledgement = acknowledgement.clone();
            let order = DaemonOrder::AcknowledgeAlarms { series, acknowledgement };
            self.messenger.order(&EntryKind::Daemon.id(&daemon), order).await?;
        }
        Ok(titles)
    }

    /// Lets what belongs to an entry go with it to a new name, which it gets with the next reload:
    /// its files, and what was decided of it by hand.
    ///
    /// # Errors
    /// The lab is being stopped.
    pub(crate) async fn renamed(
        &self,
        kind: EntryKind,
        old: &str,
        new: &str,
    ) -> Result<(), String> {
        let (old, new) = (kind.id(old), kind.id(new));
        self.order(|reply| Order::Renamed { old, new, reply }).await
    }

    async fn order<T, E: From<String>>(
        &self,
        order: impl FnOnce(oneshot::Sender<Result<T, E>>) -> Order,
    ) -> Result<T, E> {
        let (reply, answer) = oneshot::channel();
        // An order that nobody follows drops its reply.
        let _ = self.orders.send(order(reply)).await;
        answer.await.unwrap_or_else(|_| Err(E::from("the lab is being stopped".to_owned())))
    }

    /// Waits until the names of the daemons that run are in this nameserver of ours, which has just
    /// started; for a while at most.
    pub(crate) async fn wait_for_names(&self, nameserver: &str) {
        let configuration = std::sync::Arc::clone(&self.force.borrow().configuration);
        names_back::wait(&self.keeper, &configuration, nameserver, &self.authority).await;
    }

    /// Stops all children; none of their names is left where that can be helped.
    pub(crate) async fn shutdown(&self) {
        self.keeper.shutdown().await;
        self.removals.wait().await;
    }

    /// Tells when the listing may have changed.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.keeper.watch()
    }

    /// Everything there is, as of now.
    pub(crate) async fn listing(&self) -> Listing {
        let states = self.keeper.snapshot().await;
        let force = self.force.borrow().clone();
        let Configuration { nameservers, daemons, services, .. } = &*force.configuration;
        let processes = in_force::processes(&force.configuration);
        let row = |kind: EntryKind, name: &str| {
            let id = kind.id(name);
            let row = process_row(name, states.iter().find(|status| status.id == id));
            let autolaunch = autolaunch(&force.configuration, kind, name);
            ProcessRow { autolaunch, wanted: force.wanted.contains(&id), ..row }
        };
        let host = Host { configuration: force.fingerprint.clone(), ..self.host.clone() };
        let troubles = self.troubles.list();
        let incidents = self.incidents.list();
        let mut listing = Listing { troubles, incidents, host, ..Listing::default() };
        for Nameserver { name, .. } in nameservers {
            listing.nameservers.push(row(EntryKind::Nameserver, name));
        }
        for Daemon { name, .. } in daemons {
            listing.daemons.push(row(EntryKind::Daemon, name));
            let id = EntryKind::Daemon.id(name);
            let status = states.iter().find(|status| status.id == id);
            listing.calls.extend(calls(name, status));
            listing.alarms.extend(alarms::rows(name, status));
            listing.alarms_watched += alarms::watched(status);
        }
        let processes = processes.into_iter().map(|name| row(EntryKind::Process, name));
        listing.processes.extend(processes);
        for service in services {
            let id = EntryKind::Daemon.id(&service.daemon);
            let status = states.iter().find(|status| status.id == id);
            let is_in =
                |call: &&CallRow| call.service == service.name && call.daemon == service.daemon;
            let calls = Some(listing.calls.iter().filter(is_in).count());
            listing.services.push(ServiceRow { calls, ..service_row(service, status) });
        }
        let row = |lab: &OtherLab| LabRow { lab: lab.clone(), away: None };
        listing.labs.extend(force.configuration.labs.iter().map(row));
        listing
    }
}

fn process_row(name: &str, status: Option<&EntryStatus>) -> ProcessRow {
    let Some(status) = status else {
        return ProcessRow {
            name: name.to_owned(),
            status: EntryPhase::Stopped.to_string(),
            ..ProcessRow::default()
        };
    };
    let report = ChildReport::read(&status.detail);
    let warning = report.warning_at(Timestamp::now());
    ProcessRow {
        name: name.to_owned(),
        status: status.phase.to_string(),
        uri: report.uri,
        address: report.address.filter(|_| status.phase == EntryPhase::Running),
        error: status.error.clone().or(warning),
        pid: status.pid,
        since: status.since.and_then(|since| Timestamp::try_from(since).ok()).map(rfc3339),
        restarts: status.restarts,
        autolaunch: false,
        wanted: false,
        workers: report.workers,
        full: report.full.filter(|_| status.phase == EntryPhase::Running),
    }
}

/// The calls that a daemon has reported, if it runs.
fn calls(daemon: &str, status: Option<&EntryStatus>) -> Vec<CallRow> {
    let running = status.filter(|status| status.phase == EntryPhase::Running);
    let calls = running.map(|status| ChildReport::read(&status.detail).calls).unwrap_or_default();
    calls.into_iter().map(|call| CallRow { daemon: daemon.to_owned(), ..call }).collect()
}

fn service_row(service: &Service, status: Option<&EntryStatus>) -> ServiceRow {
    let Service { name, daemon, .. } = service;
    let phase = status.map_or(EntryPhase::Stopped, |status| status.phase);
    let reported = status
        .filter(|_| phase == EntryPhase::Running)
        .and_then(|status| ChildReport::read(&status.detail).services.remove(name));
    let report = reported.unwrap_or_else(|| ServiceReport {
        status: if phase == EntryPhase::Running { EntryPhase::Starting } else { phase }.to_string(),
        error: status.and_then(|status| status.error.clone()),
        ..ServiceReport::default()
    });
    let owner = report.lock.as_ref().and_then(|lock| lock.owner.as_ref());
    ServiceRow {
        name: name.clone(),
        daemon: daemon.clone(),
        description: service.description.clone(),
        tags: service.tags.clone(),
        address_key: service.address_key().to_owned(),
        simulated: service.simulated,
        locked_by: owner.map(|owner| owner.name()),
        locked_since: owner.map(|owner| owner.since.clone()),
        calls: None,
        report,
    }
}

/// With whole seconds: nobody needs more of a start time.
fn rfc3339(time: Timestamp) -> String {
    time.round(jiff::Unit::Second).unwrap_or(time).to_string()
}
