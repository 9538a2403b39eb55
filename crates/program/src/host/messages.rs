//! Messages of the supervisor to a daemon that runs, and how the daemon obeys them.
//!
//! A change of one service restarts the worker of that service; the daemon, its port, its
//! connections and the other services' locks stay. The report has the number of the last message.

use lab_config::{Access, DaemonClass, DaemonPart};
use py_worker::WorkerSet;
use remote::Daemon;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use supervisor::Lifeline;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::daemon_keys::DaemonKeys;
use crate::host::access;
use crate::host::alarms::{Acknowledgement, Alarms};
use crate::host::child_report::MessageRefusal;
use crate::host::drivers::Drivers;
use crate::host::health::HealthChecks;
use crate::host::poll::Polls;
use crate::host::registrar::{ServiceTags, service_tags};
use crate::host::worker_specs::{
    changed_workers, services_to_restart, specs, workers_with_other_series,
};
use crate::host::{call_rules, locks};

/// Message to a daemon process; JSON, in the supervisor's message line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct DaemonMessage {
    /// Rises with each message of a supervisor.
    pub(crate) number: u64,
    pub(crate) order: DaemonOrder,
}

/// Order of the supervisor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DaemonOrder {
    /// Report at once, with `drivers` after a look at the drivers' files.
    Look { drivers: bool },
    /// Restart the workers of these services.
    RestartServices { services: Vec<String> },
    /// Somebody looks after the alarms of these series (service, member).
    AcknowledgeAlarms { series: Vec<(String, String)>, acknowledgement: Acknowledgement },
    /// Take up this part of the configuration, in which only services differ.
    ChangeServices { part: Box<DaemonPart> },
    /// For a nameserver: apply these rules of access, and call daemons with these keys.
    ChangeAccess {
        access: Option<Box<Access>>,
        /// A supervisor of an earlier release sends none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        keys: Option<Box<DaemonKeys>>,
    },
}

/// The last message that was carried out or refused, and the last refusal: another message may
/// follow at once, before the report of the first has been sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answered {
    pub(super) number: u64,
    pub(super) refused: Option<MessageRefusal>,
}

/// Reader of the supervisor's messages.
pub(super) struct Orders<'a> {
    pub(super) daemon: Daemon,
    pub(super) workers: &'a WorkerSet,
    pub(super) drivers: &'a Drivers,
    /// None in a daemon without alarms.
    pub(super) alarms: Option<&'a Alarms>,
    pub(super) polls: &'a Polls,
    pub(super) health: &'a HealthChecks,
    /// The tags of services in nameservers.
    pub(super) tags: watch::Sender<ServiceTags>,
    pub(super) answered: watch::Sender<Answered>,
}

impl Orders<'_> {
    /// Obeys message after message, for ever. `part` is what the daemon runs with.
    pub(super) async fn follow(&self, lifeline: &Lifeline, mut part: DaemonPart) {
        let Some(mut messages) = lifeline.take_messages() else { return };
        while let Some(message) = messages.recv().await {
            let number = message.get("number").and_then(Value::as_u64).unwrap_or_default();
            let refused = match serde_json::from_value(message) {
                Ok(DaemonMessage { order, .. }) => self.obey(order, &mut part).await.err(),
                Err(error) => Some(format!("its program does not understand the order: {error}")),
            };
            if let Some(reason) = &refused {
                warn!(reason, "an order of the supervisor is refused");
            }
            self.answered.send_modify(|answered| {
                answered.number = number;
                let refused = refused.map(|reason| MessageRefusal { number, reason });
                answered.refused = refused.or(answered.refused.take());
            });
        }
    }

    async fn obey(&self, order: DaemonOrder, part: &mut DaemonPart) -> Result<(), String> {
        match order {
            DaemonOrder::Look { drivers } => {
                if drivers {
                    self.drivers.look().await;
                }
                Ok(())
            }
            DaemonOrder::RestartServices { services } => {
                let is_meant = |name: &str| services.iter().any(|service| service == name);
                let mut workers = specs(&part.daemon, &part.services);
                workers.retain(|spec| spec.services.iter().any(|known| is_meant(&known.name)));
                for spec in workers {
                    self.restart(spec, "was restarted by hand").await?;
                }
                Ok(())
            }
            DaemonOrder::AcknowledgeAlarms { series, acknowledgement } => match self.alarms {
                Some(alarms) => alarms.acknowledge(series, acknowledgement).await,
                None => Err("it has no alarms".to_owned()),
            },
            DaemonOrder::ChangeAccess { .. } => Err("the order is for nameservers".to_owned()),
            DaemonOrder::ChangeServices { part: next } => {
                if services_to_restart(part, &next).is_none() {
                    return Err("a running daemon cannot take up this change".to_owned());
                }
                self.change_settings(part, &next);
                // Known to be some, as asked above.
                let workers = changed_workers(part, &next).unwrap_or_default();
                for spec in workers_with_other_series(part, &next) {
                    self.workers.take_facts(&spec);
                }
                *part = *next;
                self.polls.change(&part.services);
                self.health.change(&part.services);
                self.tags.send_replace(service_tags(&part.services));
                if let Some(alarms) = self.alarms {
                    alarms.change(&part.services).await;
                }
                let mut failed = Vec::new();
                for spec in workers {
                    let done = self.restart(spec, "was restarted with its new configuration").await;
                    failed.extend(done.err());
                }
                if failed.is_empty() { Ok(()) } else { Err(failed.join("; ")) }
            }
        }
    }

    async fn restart(&self, spec: py_worker::WorkerSpec, reason: &str) -> Result<(), String> {
        let worker = spec.name.clone();
        match self.workers.restart(spec, reason).await {
            true => Ok(()),
            false => Err(format!("worker {worker} has ended, or is not as it should be")),
        }
    }

    /// Changes what the daemon itself keeps of its services: rules of calls and of access, locks.
    fn change_settings(&self, old: &DaemonPart, new: &DaemonPart) {
        access::apply(&self.daemon, new);
        let has_locks = new.daemon.class == DaemonClass::Lockable;
        let part = new;
        let pairs = old.services.iter().zip(&part.services);
        for (_, new) in pairs.filter(|(old, new)| old != new) {
            info!(service = new.name, "has another configuration");
            call_rules::set_of(&self.daemon, &part.daemon, new);
            if has_locks {
                self.daemon.set_lock_settings(&new.name, locks::settings(new));
            }
        }
    }
}
