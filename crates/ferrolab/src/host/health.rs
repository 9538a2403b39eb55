//! Health checks of a daemon's services: when each is made, and what comes of it.
//!
//! A service whose check fails is `unwell`, with the reason, until a check succeeds. The checks
//! themselves are calls of the crate `remote`. A service with `start: eager` whose constructor has
//! raised is tried again here, too.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lab_config::{Health, Service, Start, Target};
use py_worker::{ServiceStatus, WorkerSet};
use remote::{Daemon, Exception, HealthCheck, OwnCall, OwnCallReason, OwnCaller};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::host::child_report::shown_sentence;

/// Time between two checks where the configuration gives none.
const INTERVAL: Duration = Duration::from_secs(30);
/// A check that takes longer has failed, and nothing waits for it any longer.
const LIMIT: Duration = Duration::from_secs(10);

/// Services that are unwell, with the reasons.
pub(super) type Unwell = BTreeMap<String, String>;

/// Starts the checks that the services ask for; `unwell` has their outcomes.
pub(super) fn start(
    daemon: &Daemon,
    services: &[Service],
    workers: &Arc<WorkerSet>,
    unwell: &watch::Sender<Unwell>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    for service in services {
        let is_eager = service.start == Start::Eager;
        let health = match &service.health {
            Some(health) => health.clone(),
            None if is_eager => Health { method: None, every: None, replace: false },
            None => continue,
        };
        let patient = Patient {
            name: service.name.clone(),
            is_native: matches!(service.target, Target::Native(_)),
            every: health.every.unwrap_or(INTERVAL),
            health,
            checker: daemon.own_caller(&service.name, OwnCallReason::HealthCheck),
            workers: Arc::clone(workers),
            unwell: unwell.clone(),
        };
        let stop = stop.clone();
        tasks.spawn(async move { stop.run_until_cancelled(patient.follow()).await });
    }
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
    /// Checks for ever; at once when a worker has loaded the service.
    async fn follow(self) {
        let mut changes = self.workers.changes();
        loop {
            while !self.is_loaded() {
                if changes.changed().await.is_err() {
                    return;
                }
            }
            if self.health.method.is_some() || self.is_broken() {
                self.check().await;
            }
            let next = Instant::now() + self.every;
            loop {
                tokio::select! {
                    () = sleep_until(next) => break,
                    // The next worker has another instance.
                    changed = changes.changed() => if changed.is_err() { return },
                }
                if !self.is_loaded() {
                    break;
                }
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
        let limit = LIMIT.min(self.every);
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
