//! Sender of a daemon's report to its supervisor: once when the daemon is ready, and again whenever
//! something in the report has changed.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::SystemTime;

use lab_config::{Service, Target};
use py_worker::{ServiceStatus, WorkerSet};
use remote::{
    ConnectionsStatus, DAEMON_NAME, Daemon, Listener, LockOwner, LockState, LockStatus, LockWaiter,
    Uri,
};
use supervisor::Lifeline;
use tokio::sync::watch;
use tokio::time::{Duration, Instant, MissedTickBehavior};

use crate::audit::Audit;
use crate::host::address::{
    ADDRESS_INTERVAL, public_address_for, unreachable_warning, uri_for_people,
};
use crate::host::alarms::AlarmReport;
use crate::host::calls;
use crate::host::child_report::{
    AddressRow, CallRow, ChildReport, FullPool, LockOwnerRow, LockRow, LockWaiterRow,
    ServiceReport, rfc3339, shown_name, shown_sentence,
};
use crate::host::drivers::DriverRow;
use crate::host::feed::{self, Feed};
use crate::host::health::Unwell;
use crate::host::messages::Answered;
use crate::host::poll::Polls;
use crate::host::registration::{RegistrationReport, RegistrationState};
use crate::log::call_log::CallLogFile;
use crate::tls::CertificateStanding;

/// Least time between two reports about locks.
const BETWEEN_LOCKS: Duration = Duration::from_millis(100);
/// Time between two looks at calls and at the owners' last calls, which no event announces.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
/// Calls that are named in the report of a hang, at most.
const CALLS_NAMED: usize = 5;
/// Waiters of one lock that are reported, at most.
const WAITING_SHOWN: usize = 100;
/// Waiters of all locks that are reported, at most.
const WAITING_SHOWN_IN_ALL: usize = 1000;
/// Addresses of a full pool that are reported, at most.
const ADDRESSES_SHOWN: usize = 10;

/// Maker and sender of the reports.
pub(super) struct Reporter {
    daemon: Daemon,
    slow_call: Option<Duration>,
    call_log: Option<Arc<CallLogFile>>,
    audit: Option<Audit>,
    certificate: watch::Receiver<CertificateStanding>,
    uri: Uri,
    /// The daemon object at the address where the listener really is.
    address: String,
    services: BTreeMap<String, KnownService>,
    /// Warnings that hold for as long as the daemon runs.
    notes: Vec<String>,
    unwell: watch::Receiver<Unwell>,
    /// None in a daemon without alarms.
    alarms: Option<watch::Receiver<AlarmReport>>,
    feed: Feed,
    /// The polls, for their troubles.
    polls: Option<Arc<Polls>>,
}

/// A service, as far as it is known without its worker.
struct KnownService {
    uri: Uri,
    is_native: bool,
    /// Why the native service could not be made.
    error: Option<String>,
}

impl Reporter {
    pub(super) fn new(
        daemon: &Daemon,
        listener: &Listener,
        config: &lab_config::Daemon,
        services: &[Service],
        unwell: watch::Receiver<Unwell>,
        notes: Vec<String>,
        feed: &Feed,
    ) -> Self {
        let known = |service: &Service| KnownService {
            uri: daemon.uri_for(&service.name, listener),
            is_native: matches!(service.target, Target::Native(_)),
            error: None,
        };
        Reporter {
            notes,
            daemon: daemon.clone(),
            slow_call: config.slow_call,
            call_log: None,
            audit: None,
            certificate: watch::channel(CertificateStanding::default()).1,
            uri: daemon.uri_for(&config.name, listener),
            address: local_address(listener),
            services: services
                .iter()
                .map(|service| (service.name.clone(), known(service)))
                .collect(),
            unwell,
            alarms: None,
            feed: feed.clone(),
            polls: None,
        }
    }

    /// The same for a port with a certificate.
    pub(super) fn with_certificate(
        self,
        certificate: watch::Receiver<CertificateStanding>,
    ) -> Self {
        Reporter { certificate, ..self }
    }

    /// The same, which reports the troubles of polls too.
    pub(super) fn with_polls(self, polls: &Arc<Polls>) -> Self {
        Reporter { polls: Some(Arc::clone(polls)), ..self }
    }

    /// The same, which reports the troubles of a call log too.
    pub(super) fn with_call_log(self, call_log: Option<Arc<CallLogFile>>) -> Self {
        Reporter { call_log, ..self }
    }

    /// The same, which reports alarms too.
    pub(super) fn with_alarms(self, alarms: Option<watch::Receiver<AlarmReport>>) -> Self {
        Reporter { alarms, ..self }
    }

    /// The same, which reports the troubles of an audit too.
    pub(super) fn with_audit(self, audit: Option<Audit>) -> Self {
        Reporter { audit, ..self }
    }

    pub(super) fn native_failed(&mut self, service: &str, error: String) {
        if let Some(known) = self.services.get_mut(service) {
            known.error = Some(error);
        }
    }

    /// Reports that the daemon is ready, then every change, for ever.
    pub(super) async fn follow(
        &self,
        lifeline: &Lifeline,
        workers: &WorkerSet,
        mut registrations: watch::Receiver<RegistrationReport>,
        mut drivers: watch::Receiver<BTreeMap<String, DriverRow>>,
        mut answers: watch::Receiver<Answered>,
    ) {
        let mut changes = workers.changes();
        let mut lock_changes = self.daemon.lock_changes();
        let mut health = self.unwell.clone();
        let mut alarms = self.alarms.clone();
        let mut next_locks = Instant::now();
        let mut look = tokio::time::interval(BETWEEN_LOOKS);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut address_look = tokio::time::interval(ADDRESS_INTERVAL);
        address_look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = self.report(
            workers,
            &registrations.borrow_and_update(),
            &drivers.borrow_and_update(),
            &answers.borrow_and_update(),
            &[],
        );
        lifeline.ready(last.to_json());
        loop {
            tokio::select! {
                () = news(&mut changes) => {}
                () = news(&mut registrations) => {}
                () = news(&mut drivers) => {}
                () = news(&mut answers) => {}
                () = news(&mut health) => {}
                () = alarm_news(&mut alarms) => {}
                () = lock_news(&mut lock_changes, next_locks) => {
                    next_locks = Instant::now() + BETWEEN_LOCKS;
                }
                _ = look.tick() => {}
                _ = address_look.tick(), if self.uri.is_everywhere() => {}
            }
            let report = self.report(
                workers,
                &registrations.borrow_and_update(),
                &drivers.borrow_and_update(),
                &answers.borrow_and_update(),
                &last.calls,
            );
            if report != last {
                calls::log_waits_for_itself(&last.calls, &report.calls);
                feed::publish_changes(&self.feed, &last, &report);
                lifeline.status(report.to_json());
                last = report;
            }
        }
    }

    /// The report now; `calls` are the rows of the last one.
    fn report(
        &self,
        workers: &WorkerSet,
        registrations: &RegistrationReport,
        drivers: &BTreeMap<String, DriverRow>,
        answered: &Answered,
        calls: &[CallRow],
    ) -> ChildReport {
        let public = public_address_for(&self.uri);
        let locks = self.daemon.locks();
        let waiting_shown = (WAITING_SHOWN_IN_ALL / locks.len().max(1)).clamp(1, WAITING_SHOWN);
        let processes = workers.processes();
        let calls = calls::rows(&self.daemon.calls(), self.slow_call, &processes, calls);
        let services = self
            .services
            .iter()
            .map(|(name, known)| {
                let (status, mut error) = known.status(name, workers, &self.unwell.borrow());
                if let Some(during) = self.calls_during_hang(name, workers, &calls) {
                    error = error.map(|error| format!("{error}; {during}"));
                }
                let lock = locks.iter().find(|lock| lock.id == *name);
                let lock_trouble = lock.and_then(|lock| lock.trouble.clone());
                let troubles: Vec<String> =
                    self.daemon.abort_trouble(name).into_iter().chain(lock_trouble).collect();
                let error = error
                    .or_else(|| (!troubles.is_empty()).then(|| troubles.join("; ")))
                    .or_else(|| self.remarks(name, workers));
                let report = ServiceReport {
                    status: status.to_owned(),
                    uri: Some(uri_for_people(&known.uri, public)),
                    error,
                    python: workers.python(name),
                    driver: drivers.get(name).cloned(),
                    lock: lock.map(|lock| lock_row(lock, waiting_shown)),
                };
                (name.clone(), report)
            })
            .collect();
        let unregistered =
            registrations.iter().filter_map(|(nameserver, outcome)| match &outcome.state {
                RegistrationState::Registered => None,
                RegistrationState::Contested(text) => Some(text.clone()),
                RegistrationState::Pending => {
                    Some(format!("nameserver {nameserver} has not answered yet"))
                }
                RegistrationState::Failed(error) => {
                    Some(format!("not registered with nameserver {nameserver}: {error}"))
                }
            });
        let alarms = self.alarms.as_ref().map(|alarms| alarms.borrow().clone());
        let alarms = alarms.unwrap_or_default();
        let call_log = self.call_log.as_ref().and_then(|call_log| call_log.trouble());
        let certificate = self.certificate.borrow().clone();
        let warnings: Vec<String> = unreachable_warning(&self.uri, public)
            .into_iter()
            .chain(self.notes.iter().cloned())
            .chain(unregistered)
            .chain(certificate.trouble)
            .chain(call_log)
            .chain(alarms.trouble)
            .chain(self.audit.as_ref().and_then(Audit::trouble))
            .collect();
        let registered =
            registrations.iter().filter(|(_, standing)| standing.state.is_registered());
        ChildReport {
            uri: Some(uri_for_people(&self.uri, public)),
            address: Some(self.address.clone()),
            services,
            full: full_pool(&self.daemon.connections()),
            calls,
            alarms: alarms.rows,
            alarms_watched: alarms.watched,
            workers: processes.len(),
            warning: (!warnings.is_empty()).then(|| warnings.join("; ")),
            registered: registered.map(|(nameserver, _)| nameserver.clone()).collect(),
            answered: Some(answered.number),
            refused: answered.refused.clone(),
            certificate_expires: certificate.expires,
            unleased: registrations
                .values()
                .filter_map(|standing| standing.unleased.clone())
                .collect(),
        }
    }
}

/// The report of connections that are as many as there may be.
fn full_pool(status: &ConnectionsStatus) -> Option<FullPool> {
    let row = |(address, connections): &(Option<IpAddr>, usize)| AddressRow {
        address: address.map_or_else(|| "unix".to_owned(), |address| address.to_string()),
        connections: *connections,
    };
    status.is_full().then(|| FullPool {
        connections: status.served,
        by_address: status.by_address.iter().take(ADDRESSES_SHOWN).map(row).collect(),
    })
}

impl Reporter {
    /// Settings that do not fit a service, and members that cannot be read as they should be.
    fn remarks(&self, name: &str, workers: &WorkerSet) -> Option<String> {
        let polls = self.polls.as_ref().and_then(|polls| polls.trouble(name));
        let remarks: Vec<String> = workers.remarks(name).into_iter().chain(polls).collect();
        (!remarks.is_empty()).then(|| remarks.join("; "))
    }

    /// The calls that run in the process of a service that hangs, in words.
    fn calls_during_hang(
        &self,
        name: &str,
        workers: &WorkerSet,
        calls: &[CallRow],
    ) -> Option<String> {
        let hanging = |name: &str| match workers.status(name) {
            ServiceStatus::Hangs { pid, .. } => Some(pid),
            _ => None,
        };
        let pid = hanging(name)?;
        let neighbours: Vec<&String> =
            self.services.keys().filter(|other| hanging(other) == Some(pid)).collect();
        // A part of a service has a name below it.
        let is_of = |call: &str, service: &str| {
            let rest = call.strip_prefix(service);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let runs = |call: &&CallRow| {
            call.waits_for.is_none() && neighbours.iter().any(|name| is_of(&call.service, name))
        };
        let running: Vec<String> = calls
            .iter()
            .filter(runs)
            .take(CALLS_NAMED)
            .map(|call| format!("{} since {}", call.title(), call.since))
            .collect();
        (!running.is_empty()).then(|| format!("in it runs {}", running.join(", ")))
    }
}

/// The words for a process whose interpreter does not move.
fn hang(since: SystemTime, pid: u32, is_stopped: bool) -> String {
    let why = match is_stopped {
        true => "a signal has stopped it",
        false => "C code holds its interpreter, or it gets no processor",
    };
    format!("its Python process {pid} does not move since {}: {why}", rfc3339(since))
}

/// The report of one lock.
fn lock_row(lock: &LockStatus, waiting_shown: usize) -> LockRow {
    let owner = |owner: &LockOwner| LockOwnerRow {
        user: shown_name(&owner.user),
        identity: owner.identity.as_deref().map(shown_name),
        address: owner.address.clone(),
        since: rfc3339(owner.since),
        used: rfc3339(owner.used),
        is_in_use: owner.is_in_use,
        idle: None,
        idle_limit: owner.idle_limit.map(|limit| limit.as_secs_f64()),
        epoch: owner.epoch,
        away: owner.away.is_some(),
    };
    let waiter = |waiter: &LockWaiter| LockWaiterRow {
        user: shown_name(&waiter.user),
        identity: waiter.identity.as_deref().map(shown_name),
        address: waiter.address.clone(),
        since: rfc3339(waiter.since),
    };
    let tells = !matches!(lock.state, LockState::Free | LockState::Locked | LockState::Away);
    LockRow {
        state: lock.state.word().to_owned(),
        note: tells.then(|| shown_sentence(&lock.state.to_string())),
        owner: lock.owner.as_ref().map(owner),
        waiting: lock.waiting.iter().take(waiting_shown).map(waiter).collect(),
    }
}

/// URI of the daemon object at a listener's own address, for a supervisor on the same host.
pub(crate) fn local_address(listener: &Listener) -> String {
    let (object, location) = (DAEMON_NAME.to_owned(), listener.location().clone());
    Uri::Pyro { object, location }.reached_at(Ipv4Addr::LOCALHOST.into()).to_string()
}

/// Waits for a change; for ever if the sender is gone (a daemon without nameservers).
async fn news<T>(receiver: &mut watch::Receiver<T>) {
    if receiver.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Waits for a change of locks, at `earliest` then: locks can change hands thousands of times a
/// second. A change after a pause is reported at once, so that a client that has locked finds its
/// lock shown; other news wait for no pause.
async fn lock_news(receiver: &mut watch::Receiver<u64>, earliest: Instant) {
    tokio::time::sleep_until(earliest).await;
    news(receiver).await;
}

/// Waits for a change of the alarms; for ever in a daemon without any.
async fn alarm_news(receiver: &mut Option<watch::Receiver<AlarmReport>>) {
    match receiver {
        Some(receiver) => news(receiver).await,
        None => std::future::pending().await,
    }
}

impl KnownService {
    fn status(
        &self,
        name: &str,
        workers: &WorkerSet,
        unwell: &Unwell,
    ) -> (&'static str, Option<String>) {
        let well = || match unwell.get(name) {
            None => ("running", None),
            Some(reason) => ("unwell", Some(reason.clone())),
        };
        match (&self.error, self.is_native) {
            (Some(error), _) => ("failed", Some(error.clone())),
            (None, true) => well(),
            (None, false) => match workers.status(name) {
                ServiceStatus::Ready => well(),
                ServiceStatus::Hangs { since, pid, is_stopped } => {
                    ("hangs", Some(hang(since, pid, is_stopped)))
                }
                ServiceStatus::Starting => ("starting", None),
                ServiceStatus::Failed { error } => ("failed", Some(error)),
            },
        }
    }
}
