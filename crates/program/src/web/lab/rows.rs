//! The rows of a lab in the API's form, from the supervisor's listing. Times are Unix seconds.
//!
//! Only what changes by itself is left out: a row that is equal is not sent again.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::host::{AlarmRow, CallRow, FullPool, LockRow};
use crate::supervise::control::{Listing, ProcessRow, ServiceRow};
use crate::supervise::diagnosis::{Finding, diagnose};

/// The name of the page's process in `ps`, and the command that it runs.
pub(crate) const PROCESS_NAME: &str = "web";

/// A nameserver, a daemon or another process.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::web) struct ProcessJson {
    name: String,
    /// `starting`, `running`, `restarting`, `failed`, `stopping` or `stopped`.
    state: String,
    error: Option<String>,
    uri: Option<String>,
    pid: Option<u32>,
    since: Option<f64>,
    restarts: u32,
    /// Whether it is to run.
    wanted: bool,
    /// The connections of a daemon that has as many as it may.
    full: Option<FullPool>,
}

/// A service.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::web) struct ServiceJson {
    name: String,
    /// The other lab that it is in; absent for this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    lab: Option<String>,
    daemon: String,
    /// `starting`, `running`, `hangs`, `failed`, `unwell`, or the state of its daemon.
    state: String,
    error: Option<String>,
    /// `unwell` where its health check fails.
    health: Option<String>,
    description: String,
    uri: Option<String>,
    simulated: bool,
    /// None where it has no lock.
    lock: Option<LockJson>,
    calls: Vec<CallJson>,
    /// Restarts of its daemon after crashes.
    restarts: u32,
    /// The version of its driver, for people.
    driver: Option<serde_json::Value>,
    tags: Vec<String>,
}

/// The lock of a service.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::web) struct LockJson {
    /// `free`, `locked`, `away`, `granting`, `ending` or `resting`.
    state: String,
    note: Option<String>,
    owner: Option<OwnerJson>,
    waiting: Vec<WaiterJson>,
}

/// The owner of a lock.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::web) struct OwnerJson {
    user: String,
    address: String,
    since: Option<f64>,
    epoch: u64,
    /// Whether its connection is gone, and the lock kept for its return.
    away: bool,
    /// Whether a call of it runs.
    in_use: bool,
}

/// A client that waits for a lock.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::web) struct WaiterJson {
    user: String,
    address: String,
    since: Option<f64>,
}

/// A call that runs or waits.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::web) struct CallJson {
    service: String,
    member: String,
    /// `call`, `oneway` or `stream item`.
    kind: String,
    daemon: String,
    caller: String,
    user: Option<String>,
    since: Option<f64>,
    /// In words; absent while it runs.
    waits_for: Option<String>,
    slow: bool,
    overdue: bool,
}

/// An alarm that is not ok.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::web) struct AlarmJson {
    service: String,
    member: String,
    /// `above 320`.
    condition: String,
    message: Option<String>,
    /// `pending`, `firing`, `acknowledged` or `no data`.
    state: String,
    since: Option<f64>,
    /// The value that brought it into its state.
    value: serde_json::Value,
    unit: Option<String>,
    /// Whether its condition is over, and it waits to be acknowledged.
    over: bool,
    acknowledged: Option<AcknowledgedJson>,
    daemon: String,
    /// The state in a sentence.
    text: String,
}

/// The person who looks after an alarm.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::web) struct AcknowledgedJson {
    by: String,
    t: Option<f64>,
    reason: String,
}

/// All rows of a listing.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::web) struct LabRows {
    pub(in crate::web) nameservers: BTreeMap<String, ProcessJson>,
    pub(in crate::web) daemons: BTreeMap<String, ProcessJson>,
    pub(in crate::web) processes: BTreeMap<String, ProcessJson>,
    pub(in crate::web) services: BTreeMap<String, ServiceJson>,
    pub(in crate::web) calls: Vec<CallJson>,
    pub(in crate::web) alarms: Vec<AlarmJson>,
    pub(in crate::web) problems: Vec<Finding>,
}

impl LabRows {
    pub(super) fn of(listing: &Listing) -> Self {
        let processes =
            |rows: &[ProcessRow]| rows.iter().map(|row| (row.name.clone(), process(row))).collect();
        LabRows {
            nameservers: processes(&listing.nameservers),
            daemons: processes(&listing.daemons),
            processes: processes(&listing.processes),
            services: services(listing),
            calls: listing.calls.iter().map(call).collect(),
            alarms: listing.alarms.iter().map(alarm).collect(),
            problems: diagnose(listing),
        }
    }
}

/// The services of a listing, by their names.
pub(super) fn services(listing: &Listing) -> BTreeMap<String, ServiceJson> {
    let restarts = |daemon: &str| {
        let row = listing.daemons.iter().find(|row| row.name == daemon);
        row.map_or(0, |row| row.restarts)
    };
    let services = listing.services.iter().map(|row| {
        let is_of = |call: &&CallRow| call.service == row.name && call.daemon == row.daemon;
        let calls = listing.calls.iter().filter(is_of).map(call).collect();
        (row.name.clone(), service(row, restarts(&row.daemon), calls))
    });
    services.collect()
}

impl ServiceJson {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn daemon(&self) -> &str {
        &self.daemon
    }

    /// Marks it as a service of another lab.
    pub(super) fn belong_to(&mut self, lab: &str) {
        self.lab = Some(lab.to_owned());
    }

    /// Marks it as one of which nothing is known any longer.
    pub(super) fn lose(&mut self, state: &str, error: &str) {
        (self.state, self.error) = (state.to_owned(), Some(error.to_owned()));
        (self.health, self.lock) = (None, None);
        self.calls.clear();
    }

    /// Its lock, if it has one.
    pub(super) fn lock_json(&self) -> Option<serde_json::Value> {
        self.lock.as_ref().and_then(|lock| serde_json::to_value(lock).ok())
    }
}

/// A time in Unix seconds.
pub(in crate::web) fn unix_seconds(time: Timestamp) -> f64 {
    time.as_millisecond() as f64 / 1000.0
}

fn seconds_of(text: &str) -> Option<f64> {
    text.parse().ok().map(unix_seconds)
}

fn process(row: &ProcessRow) -> ProcessJson {
    ProcessJson {
        name: row.name.clone(),
        state: row.status.clone(),
        error: row.error.clone(),
        uri: row.uri.clone(),
        pid: row.pid,
        since: row.since.as_deref().and_then(seconds_of),
        restarts: row.restarts,
        wanted: row.wanted,
        full: row.full.clone(),
    }
}

fn service(row: &ServiceRow, restarts: u32, calls: Vec<CallJson>) -> ServiceJson {
    let report = &row.report;
    ServiceJson {
        name: row.name.clone(),
        lab: None,
        daemon: row.daemon.clone(),
        state: report.status.clone(),
        error: report.error.clone(),
        health: (report.status == "unwell").then(|| report.status.clone()),
        description: row.description.clone(),
        uri: report.uri.clone(),
        simulated: row.simulated,
        lock: report.lock.as_ref().map(lock),
        calls,
        restarts,
        driver: report.driver.as_ref().and_then(|driver| serde_json::to_value(driver).ok()),
        tags: row.tags.clone(),
    }
}

fn lock(row: &LockRow) -> LockJson {
    let owner = row.owner.as_ref().map(|owner| OwnerJson {
        user: owner.user.clone(),
        address: owner.address.clone(),
        since: seconds_of(&owner.since),
        epoch: owner.epoch,
        away: owner.away,
        in_use: owner.is_in_use,
    });
    let waiting = row.waiting.iter().map(|waiter| WaiterJson {
        user: waiter.user.clone(),
        address: waiter.address.clone(),
        since: seconds_of(&waiter.since),
    });
    LockJson { state: row.state.clone(), note: row.note.clone(), owner, waiting: waiting.collect() }
}

fn alarm(row: &AlarmRow) -> AlarmJson {
    let acknowledged = row.acknowledged.as_ref().map(|acknowledged| AcknowledgedJson {
        by: acknowledged.by.clone(),
        t: seconds_of(&acknowledged.time),
        reason: acknowledged.reason.clone(),
    });
    AlarmJson {
        service: row.service.clone(),
        member: row.member.clone(),
        condition: row.condition.clone(),
        message: row.message.clone(),
        state: row.state.clone(),
        since: seconds_of(&row.since),
        value: row.value.clone(),
        unit: row.unit.clone(),
        over: row.is_over,
        acknowledged,
        daemon: row.daemon.clone(),
        text: row.sentence(),
    }
}

fn call(row: &CallRow) -> CallJson {
    CallJson {
        service: row.service.clone(),
        member: row.member.clone(),
        kind: row.kind.clone(),
        daemon: row.daemon.clone(),
        caller: row.caller.clone(),
        user: row.user.clone(),
        since: seconds_of(&row.since),
        waits_for: row.waits_for.clone(),
        slow: row.is_slow,
        overdue: row.is_overdue,
    }
}
