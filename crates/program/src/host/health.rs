//! Health checks of a daemon's services: when each is made, and what comes of it.
//!
//! A service whose check fails is `unwell`, with the reason, until a check succeeds. The checks
//! themselves are calls of the crate `remote`. A service with `start: eager` whose constructor has
//! raised is tried again here, too.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lab_config::{Health, Service, Start, Target};
use py_worker::{ServiceStatus, WorkerSet};
use remote::{Daemon, Exception, HealthCheck, OwnCall, OwnCallReason, OwnCaller};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::host::child_report::shown_sentence;

/// Time between two checks where the configuration gives none.
const DEFAULT_CHECK_INTERVAL: Duration = Duration::from_secs(30);
/// A check that takes longer has failed, and nothing waits for it any longer.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);

/// Services that are unwell, with the reasons.
pub(super) type Unwell = BTreeMap<String, String>;

/// The checks of a daemon's services. A reload may change them.
pub(super) struct HealthChecks {
    daemon: Daemon,
    workers: Arc<WorkerSet>,
    unwell: watch::Sender<Unwell>,
    tasks: TaskTracker,
    stop: CancellationToken,
    patients: Mutex<BTreeMap<String, RunningChecks>>,
}

/// The checks of one service.
struct RunningChecks {
    health: Health,
    end: CancellationToken,
    task: JoinHandle<()>,
}

impl HealthChecks {
    /// Starts the checks that the services ask for; `unwell` has their outcomes.
    pub(super) fn start(
        daemon: &Daemon,
        services: &[Service],
        workers: &Arc<WorkerSet>,
        unwell: &watch::Sender<Unwell>,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Self {
        let checks = HealthChecks {
            daemon: daemon.clone(),
            workers: Arc::clone(workers),
            unwell: unwell.clone(),
            tasks: tasks.clone(),
            stop: stop.clone(),
            patients: Mutex::default(),
        };
        checks.change(services);
        checks
    }

    /// Takes up another configuration of the services. A check that runs comes to its end first.
    pub(super) fn change(&self, services: &[Service]) {
        let mut patients = self.patients.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = services.iter().filter_map(|service| Some((service, checks_of(service)?)));
        let wanted: Vec<(&Service, Health)> = wanted.collect();
        let mut ended = BTreeMap::new();
        for (name, running) in std::mem::take(&mut *patients) {
            let is_same = |(service, health): &(&Service, Health)| {
                service.name == name && *health == running.health
            };
            if wanted.iter().any(is_same) {
                patients.insert(name, running);
            } else {
                running.end.cancel();
                ended.insert(name, running);
            }
        }
        for (service, health) in wanted {
            if patients.contains_key(&service.name) {
                continue;
            }
            let end = self.stop.child_token();
            let before = ended.remove(&service.name).map(|running| running.task);
            let patient = self.patient(service, health.clone());
            let task = self.tasks.spawn(patient.follow(end.clone(), self.stop.clone(), before));
            patients.insert(service.name.clone(), RunningChecks { health, end, task });
        }
    }

    fn patient(&self, service: &Service, health: Health) -> Patient {
        Patient {
            name: service.name.clone(),
            is_native: matches!(service.target, Target::Native(_)),
            every: health.every.unwrap_or(DEFAULT_CHECK_INTERVAL),
            health,
            checker: self.daemon.own_caller(&service.name, OwnCallReason::HealthCheck),
            workers: Arc::clone(&self.workers),
            unwell: self.unwell.clone(),
        }
    }
}

/// The checks that a service asks for.
fn checks_of(service: &Service) -> Option<Health> {
    let is_eager = service.start == Start::Eager;
    let tries_constructor = Health { method: None, every: None, replace: false };
    service.health.clone().or(is_eager.then_some(tries_constructor))
}

/// A service that is looked after.
struct Patient {
    name: String,
    is_native: bool,
    health: Health,
    every: Duration,
    checker: OwnCaller,
    workers: Arc<WorkerSet>,
    unwell: watch::Sender<Unwell>,
}

impl Patient {
    /// Checks after the checks `before`, until they are to end; at once when a worker has loaded
    /// the service. A check is broken off only by the daemon's stop.
    async fn follow(
        self,
        end: CancellationToken,
        stop: CancellationToken,
        before: Option<JoinHandle<()>>,
    ) {
        let checks = async {
            if let Some(before) = before {
                let _ = before.await;
            }
            let mut changes = self.workers.changes();
            while end.run_until_cancelled(self.loaded(&mut changes)).await == Some(true) {
                if self.health.method.is_some() || self.is_broken() {
                    self.check().await;
                }
                if end.run_until_cancelled(self.next(&mut changes)).await != Some(true) {
                    break;
                }
            }
            self.unwell.send_if_modified(|unwell| unwell.remove(&self.name).is_some());
        };
        stop.run_until_cancelled(checks).await;
    }

    /// Waits until a worker has loaded the service; false if none will.
    async fn loaded(&self, changes: &mut watch::Receiver<u64>) -> bool {
        while !self.is_loaded() {
            if changes.changed().await.is_err() {
                return false;
            }
        }
        true
    }

    /// Waits until the next check is due, or the worker has ended: the next one has another
    /// instance. False if there are no workers any longer.
    async fn next(&self, changes: &mut watch::Receiver<u64>) -> bool {
        let next = Instant::now() + self.every;
        loop {
            tokio::select! {
                () = sleep_until(next) => return true,
                changed = changes.changed() => if changed.is_err() { return false },
            }
            if !self.is_loaded() {
                return true;
            }
        }
    }

    fn is_loaded(&self) -> bool {
        self.is_native || self.workers.is_loaded(&self.name)
    }

    /// Whether the service is loaded, and its constructor has raised.
    fn is_broken(&self) -> bool {
        matches!(self.workers.status(&self.name), ServiceStatus::Failed { .. })
    }

    async fn check(&self) {
        let failure = match self.check_once(false).await {
            None => return,
            Some(outcome) => self.failure(outcome),
        };
        // A call that runs would lose its instance in the middle.
        if failure.is_some() && self.health.replace && !self.checker.is_in_use() {
            match self.check_once(true).await {
                None => self.set(failure),
                Some(outcome) => {
                    let again = self.failure(outcome);
                    if let (Some(reason), None) = (&failure, &again) {
                        warn!(
                            service = self.name,
                            reason, "its instance was replaced by a new one"
                        );
                    }
                    self.set(again);
                }
            }
            return;
        }
        self.set(failure);
    }

    async fn check_once(&self, replaces_instance: bool) -> Option<Result<bool, Exception>> {
        let check = HealthCheck { member: self.health.method.clone(), replaces_instance };
        let limit = CHECK_TIMEOUT.min(self.every);
        let overdue = || {
            let seconds = limit.as_secs_f64();
            self.set(Some(format!(
                "its health check {} has not returned within {seconds} s",
                self.what()
            )));
        };
        match self.checker.check(check, limit, overdue).await {
            OwnCall::Done(outcome) => Some(outcome),
            OwnCall::Refused(_) | OwnCall::Gone => None,
        }
    }

    /// The reason why the service is unwell; `None` if it is well.
    fn failure(&self, outcome: Result<bool, Exception>) -> Option<String> {
        match outcome {
            Ok(true) => None,
            Ok(false) => Some(format!("its health check {} returned False", self.what())),
            // A driver may raise megabytes of text, and a reason is in each of the reports.
            Err(exception) => Some(format!(
                "its health check {} raised {}",
                self.what(),
                shown_sentence(&exception.to_string())
            )),
        }
    }

    fn what(&self) -> &str {
        self.health.method.as_deref().unwrap_or("of the constructor")
    }

    /// Notes the outcome of a check, and logs it where it is news.
    fn set(&self, failure: Option<String>) {
        self.unwell.send_if_modified(|unwell| {
            let known = unwell.get(&self.name);
            if known == failure.as_ref() {
                return false;
            }
            match &failure {
                Some(reason) => warn!(service = self.name, reason, "the service is unwell"),
                None => info!(service = self.name, "the service is well again"),
            }
            match failure {
                Some(reason) => unwell.insert(self.name.clone(), reason),
                None => unwell.remove(&self.name),
            };
            true
        });
    }
}
