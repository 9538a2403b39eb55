//! One line of the lock log, and the names of its files.

use jiff::Timestamp;
use remote::{LockEvent, LockRecord};
use serde::{Deserialize, Serialize};

/// Beginning of the files' names,
pub(super) const PREFIX: &str = "locks-";
/// of those for broken locks,
pub(super) const BREAKS: &str = "lock-breaks-";
/// and the end of both.
pub(super) const SUFFIX: &str = ".jsonl";

/// One line.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LockLogLine {
    /// When it happened.
    pub time: Timestamp,
    /// The daemon whose lock it is.
    pub daemon: String,
    /// Its number among the daemon's; rises over restarts, whatever the clock does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Empty where the line is about the whole daemon.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub service: String,
    /// `granted`, `resumed`, `joined`, `suspended`, `released`, `expired` or `broken`; `started`
    /// for the daemon (the locks of its last process have ended, but for those that are
    /// `suspended` next); `unrecorded` for lines left out.
    pub event: String,
    /// The name that the client gave with the lock.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// The client's identity, where that says more than its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// The client's address.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub address: String,
    /// The epoch of the lock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// How long the lock was held, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<f64>,
    /// The name of the client that broke it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl LockLogLine {
    pub(super) fn now(daemon: &str) -> Self {
        LockLogLine { time: Timestamp::now(), daemon: daemon.to_owned(), ..LockLogLine::default() }
    }

    /// Whether it is one of the many by which locks come and go.
    pub(super) fn is_routine(&self) -> bool {
        matches!(self.event.as_str(), "granted" | "released" | "resumed" | "joined" | "suspended")
    }

    /// Whom it is put down to: a name at a host.
    pub(super) fn client(&self) -> String {
        let host = self.address.rsplit_once(':').map_or(self.address.as_str(), |(host, _)| host);
        remote::client_at(&self.user, self.identity.as_deref(), host)
    }

    /// The client's name for people; empty where only its address is known.
    pub fn client_name(&self) -> String {
        remote::client_name(&self.user, self.identity.as_deref()).unwrap_or_default()
    }

    pub(super) fn of(daemon: &str, service: &str, record: &LockRecord) -> Self {
        let (event, by, reason) = match &record.event {
            LockEvent::Granted => ("granted", None, None),
            LockEvent::Resumed => ("resumed", None, None),
            LockEvent::Joined => ("joined", None, Some("showed the owner's token".to_owned())),
            LockEvent::Suspended { ttl } => {
                ("suspended", None, Some(format!("connection ended; kept for {ttl:?}")))
            }
            LockEvent::Unlocked => ("released", None, Some("unlock".to_owned())),
            LockEvent::TakenOver { by } => {
                ("released", None, Some(format!("taken over with its token by {by}")))
            }
            LockEvent::GivenBack { by } => {
                ("released", None, Some(format!("given up with its token by {by}")))
            }
            LockEvent::Disconnected => ("released", None, Some("connection ended".to_owned())),
            LockEvent::Expired => ("expired", None, Some("its owner did not come back".to_owned())),
            LockEvent::Idle { limit } => {
                ("expired", None, Some(format!("its owner made no call for {limit:?} (lock_idle)")))
            }
            LockEvent::Broken(broken) => {
                ("broken", Some(broken.by.clone()), Some(broken.reason.clone()))
            }
        };
        LockLogLine {
            service: service.to_owned(),
            event: event.to_owned(),
            user: record.party.user.clone(),
            identity: record.party.identity.as_deref().map(str::to_owned),
            address: record.party.address.clone(),
            epoch: record.epoch,
            duration: record.held.map(|held| (held.as_secs_f64() * 1e6).round() / 1e6),
            by,
            reason: reason.filter(|reason| !reason.is_empty()),
            ..LockLogLine::now(daemon)
        }
    }
}
