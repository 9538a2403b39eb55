//! The daemon process: services behind one address, in Rust or in Python.
//!
//! Owns the start and the end of a daemon, and its report to the supervisor. Serving is the
//! `remote` crate's; Python drivers live in workers ([`py_worker`]), built-in services are
//! the crate [`native_services`]'s.

mod access;
pub(crate) mod address;
mod alarms;
mod audit;
mod call_rules;
mod calls;
mod child_report;
mod daemon_object;
mod driver_check;
mod drivers;
pub(crate) mod feed;
mod health;
mod lock_state;
mod locks;
mod member_facts;
mod messages;
mod nameserver_turns;
mod native_members;
mod own_clients;
mod packages;
mod parameters;
mod poll;
mod registered_name;
mod registrar;
mod registration;
mod report;
mod settings;
pub(crate) mod simulated_hosts;
pub(crate) use settings::{limits_page, named_host};
mod worker_specs;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lab_config::{DaemonClass, DaemonPart, Nameserver, Service, Target};
use native_services::Benches;
use py_worker::{DaemonObjects, LOADING, Registry, WorkerSet};
use remote::{Daemon, DaemonConfig, Listener, Location, Uri};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use supervisor::Lifeline;
use supervisor::Spawner;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::warn;

use crate::access::UserTable;
use crate::audit::AuditPlace;
use crate::authority::AuthorityFiles;
use crate::host::address::address_from_here;
use crate::host::alarms::Alarms;
use crate::host::drivers::Drivers;
use crate::host::feed::{FEED, Feed, FeedObject};
use crate::host::health::HealthChecks;
use crate::host::messages::{Answered, Orders};
use crate::host::poll::Polls;
use crate::host::registered_name::Name;
use crate::host::registrar::{LoadTls, service_tags};
use crate::host::report::Reporter;
use crate::host::settings::settings;
use crate::os::{self, Connections};
use crate::paths::LockFiles;
use crate::tls;

pub(crate) use alarms::{Acknowledgement, AlarmRow};
pub(crate) use audit::begin_name_audit;
pub(crate) use child_report::{
    CallRow, ChildReport, FullPool, LockOwnerRow, LockRow, ServiceReport,
};
pub(crate) use driver_check::{CheckedDriver, check_drivers};
pub(crate) use locks::LOCK_BROKEN;
pub(crate) use messages::{DaemonMessage, DaemonOrder};
pub(crate) use native_members::describe_natives;
pub(crate) use packages::{DriverPackages, driver_packages};
pub(crate) use registration::UnleasedNames;
pub(crate) use report::local_address;
pub(crate) use worker_specs::{services_beside, services_to_restart};

/// A nameserver that takes longer than this does not either.
const REGISTERING: Duration = Duration::from_secs(2);

/// Assignment of a daemon process: one line of JSON on its standard input. The process reads no
/// configuration file; the supervisor has checked this part of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct DaemonAssignment {
    pub(crate) part: DaemonPart,
    /// Where Python drivers are: the relative paths in them mean the same however the lab was
    /// started. None where there are no drivers.
    pub(crate) folder: Option<PathBuf>,
    /// Where it remembers its port.
    pub(crate) state_file: PathBuf,
    /// For a daemon of 0.1.0 only, which a supervisor of today starts where that program has been
    /// put back: it waits while this file is locked, and nobody locks it any longer.
    #[serde(default)]
    pub(crate) names_gate: PathBuf,
    /// Where the traces of its locks are kept.
    pub(crate) locks: LockFiles,
    /// Where its call log is kept; a supervisor of 0.1.0 does not say.
    #[serde(default)]
    pub(crate) call_log: Option<PathBuf>,
    /// Where the states of its alarms are kept; a supervisor of 0.1.0 does not say.
    #[serde(default)]
    pub(crate) alarms: Option<PathBuf>,
    /// The lab's certificate authority.
    #[serde(default)]
    pub(crate) authority: AuthorityFiles,
    /// Where its audit is kept; a supervisor of 0.1.0 does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) audit: Option<AuditPlace>,
    /// Where the lab's users are; a supervisor of an earlier release does not say.
    #[serde(default)]
    pub(crate) users: Option<PathBuf>,
    /// The id of the lab.
    #[serde(default)]
    pub(crate) lab: Option<String>,
    /// Nameservers that start with the lab: only its own get names.
    #[serde(default)]
    pub(crate) own_nameservers: Vec<String>,
}

/// Runs a daemon until its supervisor says stop.
///
/// # Errors
/// What keeps it from serving, in words for a person.
pub(crate) async fn run(assignment: DaemonAssignment, lifeline: &Lifeline) -> Result<(), String> {
    let DaemonAssignment {
        part,
        folder,
        state_file,
        locks: lock_files,
        call_log,
        alarms: alarms_file,
        authority,
        audit,
        users,
        lab,
        own_nameservers,
        ..
    } = assignment;
    if let Some(folder) = &folder
        && let Err(error) = os::enter(folder)
    {
        // A driver that needs none of its files serves all the same.
        warn!(folder = %folder.display(), %error,
            "the configuration's folder cannot be entered: relative paths in drivers begin at /");
    }
    let DaemonPart { daemon: config, services, nameservers, .. } = &part;
    let (settings, port_tls) = settings(config, &authority)?;
    let (listener, changed_uris) = address::listen(config, &state_file).await?;
    let lock_state = lock_state::begin_life(config, &lock_files);
    let first_epoch = lock_state.first_epoch;
    let allowed = connections(services);
    let daemon = Daemon::new(DaemonConfig {
        first_epoch,
        connections: Some(allowed.served),
        handshakes: allowed.handshakes,
        handshakes_per_address: allowed.handshakes_per_address,
        ..settings
    });
    let lock_log = locks::begin_log(&daemon, config, &lock_files, first_epoch);
    let spawner = Spawner::permanent()
        .map_err(|error| format!("cannot start the thread that starts workers: {error}"))?;
    access::apply(&daemon, &part);
    call_rules::set(&daemon, config, services);
    let feed = Feed::new();
    if services.iter().any(|service| !service.members.is_empty()) {
        // The first samples are taken before the history process is connected.
        feed.expect_reader();
    }
    let feed_object = FeedObject::new(feed.clone(), daemon.call_counter(), daemon.access_gate());
    if daemon.register(FEED, Arc::new(feed_object)).is_err() {
        warn!(object = FEED, "a service has the name of the feed of events");
    }
    let polls = Arc::new(Polls::new(services, &feed));
    let call_log =
        call_rules::begin_log(&daemon, &config.name, config.slow_call, call_log.as_deref(), &feed);
    let (audit, audit_end) = audit::begin(&daemon, &config.name, audit.as_ref()).unzip();
    let observer = Arc::clone(&polls);
    let observe = Box::new(move |id: &str, object| observer.observe(id, object));
    let objects = DaemonObjects::new(&daemon, &listener, observe);
    let parts = objects.parts();
    let registry: Arc<dyn Registry> = objects;
    let specs = worker_specs::specs(config, services);
    let workers = Arc::new(WorkerSet::start(&spawner, specs, &registry));
    let (health, unwell) = watch::channel(health::Unwell::new());
    let (alarms, lost_alarms) = Alarms::start(services, alarms_file, &feed);
    let notes = changed_uris.into_iter().chain(lock_state.lost).chain(lost_alarms).collect();
    let mut reporter = Reporter::new(&daemon, &listener, config, services, unwell, notes, &feed)
        .with_certificate(tls::follow(port_tls))
        .with_call_log(call_log.clone())
        .with_alarms(alarms.as_ref().map(|alarms| alarms.report.clone()))
        .with_audit(audit.clone())
        .with_polls(&polls);
    register_natives(&daemon, config.class, services, &polls, &mut reporter);
    for (id, object) in workers.objects() {
        let service = services.iter().find(|service| service.name == id);
        let object = polls.observe(&id, object);
        locks::register(&daemon, config.class, service, &id, object)?;
    }
    let has_locks = config.class == DaemonClass::Lockable;
    let face = daemon_object::Face { locks: has_locks.then(|| daemon.lock_breaker()) };
    let has_face = daemon.register(&config.name, Arc::new(face)).is_ok();
    if !has_face {
        warn!(daemon = config.name, "a service has the daemon's name; the daemon itself has none");
    }
    let names = names(&daemon, &listener, &part, has_face);
    let is_own = |name: &String| own_nameservers.contains(name);
    let lab_of = |name: &String| lab.clone().filter(|_| is_own(name));
    let tls_of = |nameserver: &Nameserver| -> LoadTls {
        let (nameserver, config) = (nameserver.clone(), config.clone());
        let authority = authority.clone();
        Arc::new(move || tls::to_nameserver(&nameserver, Some(config.tls()), &authority))
    };
    let shared = lab.as_deref().map(shared_id);
    let targets = targets(nameservers, names, shared, lab_of, tls_of);

    let (answered, answers) = watch::channel(Answered::default());
    let drivers = Drivers::new();
    let tasks = TaskTracker::new();
    let (serving_stop, names_stop) = (CancellationToken::new(), CancellationToken::new());
    let stopping = lifeline.stopping();
    let health = HealthChecks::start(&daemon, services, &workers, &health, &tasks, &stopping);
    let (tags, tag_changes) = watch::channel(service_tags(services));
    let orders = Orders {
        daemon: daemon.clone(),
        workers: &workers,
        drivers: &drivers,
        alarms: alarms.as_ref(),
        polls: &polls,
        health: &health,
        tags,
        answered,
    };
    polls.start(&daemon, &workers, &tasks, &stopping);
    let unmade = lock_state::restore(&daemon, &lock_state.kept, services);
    let kept_locks_end = CancellationToken::new();
    let writing = lock_state
        .writer
        .map(|writer| writer.with_unmade(unmade).follow(daemon.clone(), kept_locks_end.clone()))
        .map(tokio::spawn);
    let users = users.map(|folder| UserTable::open(folder).serve(&daemon));
    let _users = users.map(|users| AbortOnDropHandle::new(tokio::spawn(users)));
    tasks.spawn(daemon.serve(listener, serving_stop.clone()));
    let started = async {
        // A client that finds a name should find its service ready.
        if tokio::time::timeout(LOADING, workers.loaded()).await.is_err() {
            warn!("some drivers are still loading; going on without them");
        }
        let mut registrations = registrar::start(
            targets,
            &parts,
            &tag_changes,
            config.reclaim_names,
            &tasks,
            &names_stop,
        );
        let answered = registrations
            .wait_for(|report| report.values().all(|standing| standing.state.is_registered()));
        // A nameserver that does not answer is in the report, and is tried again for ever.
        let _ = tokio::time::timeout(REGISTERING, answered).await;
        tokio::join!(
            reporter.follow(lifeline, &workers, registrations, drivers.rows(), answers),
            drivers.follow(&workers),
            orders.follow(lifeline, part.clone()),
        );
    };
    stopping.run_until_cancelled(started).await;

    // First the names, so that nobody is sent here any more; then the calls; then the drivers.
    names_stop.cancel();
    feed.close();
    serving_stop.cancel();
    tasks.close();
    tasks.wait().await;
    kept_locks_end.cancel();
    // It has ended in any case then.
    let written = match writing {
        Some(writing) => writing.await.ok(),
        None => None,
    };
    workers.stop().await;
    if let Some(written) = written {
        let has_released = |service: &str, session| workers.has_released(service, session);
        written.mark_rested(has_released).await;
    }
    drop(lock_log);
    drop(reporter);
    drop(call_log);
    drop(audit_end);
    Ok(())
}

/// Open files of a connection to a Python service: the client's socket, and the two sockets of a
/// channel to the worker.
const FILES_PER_PYTHON_CONNECTION: u64 = 3;

/// How many connections there may be.
fn connections(services: &[Service]) -> Connections {
    let is_python = |service: &Service| matches!(service.target, Target::Python { .. });
    let each = if services.iter().any(is_python) { FILES_PER_PYTHON_CONNECTION } else { 1 };
    Connections::allowed(each)
}

/// Serves the built-in services; one that cannot be made is reported, and the others serve.
fn register_natives(
    daemon: &Daemon,
    class: DaemonClass,
    services: &[Service],
    polls: &Polls,
    reporter: &mut Reporter,
) {
    let mut benches = Benches::default();
    for service in services {
        let Target::Native(native) = &service.target else { continue };
        let built =
            native_services::build(native, &parameters::dict(&service.parameters), &mut benches)
                .and_then(|object| {
                    let facts = member_facts::of(service);
                    let object = remote::with_facts(&service.name, object, &facts);
                    let object = polls.observe(&service.name, object);
                    locks::register(daemon, class, Some(service), &service.name, object)
                });
        if let Err(error) = built {
            warn!(service = service.name, error, "a native service cannot be made");
            reporter.native_failed(&service.name, error);
        }
    }
}

/// The names to keep in each nameserver.
fn names(
    daemon: &Daemon,
    listener: &Listener,
    part: &DaemonPart,
    has_face: bool,
) -> BTreeMap<String, Vec<Name>> {
    let mut names: BTreeMap<String, Vec<Name>> = BTreeMap::new();
    let tags = service_tags(&part.services);
    for service in &part.services {
        let metadata = tags.get(&service.name).cloned().unwrap_or_default();
        for nameserver in &service.nameservers {
            names.entry(nameserver.clone()).or_default().push(Name {
                name: service.name.clone(),
                uri: daemon.uri_for(&service.name, listener),
                metadata: metadata.clone(),
            });
        }
    }
    for nameserver in part.daemon.nameservers.iter().filter(|_| has_face) {
        let services: Vec<&str> =
            part.services.iter().map(|service| service.name.as_str()).collect();
        names.entry(nameserver.clone()).or_default().push(Name {
            name: part.daemon.name.clone(),
            uri: daemon.uri_for(&part.daemon.name, listener),
            metadata: vec![format!("Daemon for {}", services.join(", "))],
        });
    }
    names
}

/// The location of a nameserver that is written as `HOST` or `HOST:PORT`.
fn location_of(text: &str) -> Option<Location> {
    match format!("PYRONAME:x@{text}").parse() {
        Ok(Uri::PyroName { location, .. }) => location,
        _ => None,
    }
}

/// The id that a lab has in directories that it shares with others. Made of the lab's id, which
/// proves to its own nameservers whose daemon one is, and is nobody else's to see.
pub(crate) fn shared_id(lab: &str) -> String {
    let digest = Sha256::digest(format!("ferrolab host {lab}"));
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Each nameserver with the names to keep there; `lab_of` is the id of the lab whose it must be,
/// `tls_of` its TLS.
fn targets(
    nameservers: &[Nameserver],
    mut names: BTreeMap<String, Vec<Name>>,
    shared: Option<String>,
    lab_of: impl Fn(&String) -> Option<String>,
    tls_of: impl Fn(&Nameserver) -> LoadTls,
) -> BTreeMap<String, (registrar::Target, Vec<Name>)> {
    nameservers
        .iter()
        .filter_map(|nameserver| {
            let Nameserver { name, host, port, .. } = nameserver;
            let location = Location::Tcp { host: address_from_here(host), port: *port };
            let replicas =
                nameserver.replicas.iter().filter_map(|text| location_of(text)).collect();
            let (lab, tls) = (lab_of(name), tls_of(nameserver));
            let (name, host) = (name.clone(), shared.clone());
            let target = registrar::Target { name, location, replicas, tls, lab, host };
            let names = names.remove(&target.name)?;
            Some((target.name.clone(), (target, names)))
        })
        .collect()
}
