//! The copy of the lab, and what requests read of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value as Json, json};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{info, warn};

use super::changes;
use super::others::OtherLabs;
use super::ring::Ring;
use super::rows::{LabRows, ServiceJson, unix_seconds};
use super::series::SeriesTable;
use crate::daemon_keys::DaemonKeys;
use crate::supervise::control::Listing;

/// Longest wait of a request for the first listing.
const FIRST_LISTING: Duration = Duration::from_secs(3);

/// The lab now, and its events.
pub(in crate::web) struct LiveLab {
    pub(super) ring: Arc<Ring>,
    pub(in crate::web) others: OtherLabs,
    pub(super) keys: Arc<DaemonKeys>,
    state: Mutex<LabState>,
    /// The number of listings that the supervisor has sent.
    listings: watch::Sender<u64>,
}

#[derive(Default)]
pub(super) struct LabState {
    listing: Arc<Listing>,
    rows: LabRows,
    pub(super) series: SeriesTable,
    supervisor: SupervisorState,
}

/// Whether the supervisor answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct SupervisorState {
    pub(super) up: bool,
    pub(super) error: Option<String>,
}

impl LiveLab {
    pub(super) fn new(keys: Arc<DaemonKeys>, others: OtherLabs) -> Self {
        LiveLab {
            ring: Arc::new(Ring::new()),
            others,
            keys,
            state: Mutex::default(),
            listings: watch::Sender::new(0),
        }
    }

    pub(super) fn show(&self, listing: Arc<Listing>) {
        let rows = LabRows::of(&listing);
        let mut state = self.lock();
        for (kind, event) in changes::events(&state.rows, &rows) {
            self.ring.push(kind, event.to_string());
        }
        state.series.retain(|service| rows.services.contains_key(service));
        (state.listing, state.rows) = (listing, rows);
        drop(state);
        self.show_supervisor(SupervisorState { up: true, error: None });
        self.listings.send_modify(|count| *count += 1);
    }

    pub(super) fn show_supervisor(&self, supervisor: SupervisorState) {
        let mut state = self.lock();
        if state.supervisor == supervisor {
            return;
        }
        match &supervisor.error {
            Some(error) => warn!(error, "the supervisor does not answer"),
            None => info!("the supervisor answers"),
        }
        self.ring.push("lab", json!({ "supervisor": supervisor }).to_string());
        state.supervisor = supervisor;
    }

    /// Waits for the first listing, for a while at most.
    pub(in crate::web) async fn is_known(&self) -> bool {
        let mut listings = self.listings();
        matches!(timeout(FIRST_LISTING, listings.wait_for(|count| *count > 0)).await, Ok(Ok(_)))
    }

    /// Tells when there is another listing.
    pub(in crate::web) fn listings(&self) -> watch::Receiver<u64> {
        self.listings.subscribe()
    }

    /// The last listing.
    pub(in crate::web) fn listing(&self) -> Arc<Listing> {
        Arc::clone(&self.lock().listing)
    }

    /// The lab as `GET /api/lab` shows it.
    pub(in crate::web) fn to_json(&self) -> Map<String, Json> {
        let state = self.lock();
        let rows = &state.rows;
        let mut json = Map::new();
        // The events after this one are not in it.
        json.insert("event".to_owned(), self.ring.id(self.ring.last()).into());
        json.insert("now".to_owned(), unix_seconds(Timestamp::now()).into());
        json.insert("host".to_owned(), crate::os::host_name().into());
        json.insert("version".to_owned(), state.listing.host.version.clone().into());
        json.insert("since".to_owned(), state.listing.host.since.clone().into());
        json.insert("supervisor".to_owned(), json!(state.supervisor));
        json.insert("nameservers".to_owned(), rows.nameservers.values().map(to_json).collect());
        json.insert("daemons".to_owned(), rows.daemons.values().map(to_json).collect());
        json.insert("processes".to_owned(), rows.processes.values().map(to_json).collect());
        let services = rows.services.values().map(|row| state.service_json(row));
        json.insert("services".to_owned(), services.collect());
        json.insert("calls".to_owned(), json!(rows.calls));
        json.insert("problems".to_owned(), json!(rows.problems));
        json.insert("alarms".to_owned(), json!(rows.alarms));
        json.insert("labs".to_owned(), self.others.to_json(None).into());
        json
    }

    /// The row of a service.
    pub(in crate::web) fn service_json(&self, name: &str) -> Option<Json> {
        let state = self.lock();
        state.rows.services.get(name).map(|row| state.service_json(row))
    }

    /// The calls that run or wait.
    pub(in crate::web) fn calls_json(&self) -> Json {
        json!(self.lock().rows.calls)
    }

    /// The alarms that are not ok.
    pub(in crate::web) fn alarms_json(&self) -> Json {
        json!(self.lock().rows.alarms)
    }

    /// The latest values, each with its service.
    pub(in crate::web) fn values_json(&self) -> Json {
        self.lock().series.all_json().into()
    }

    /// The locks, by their services.
    pub(in crate::web) fn locks_json(&self) -> Json {
        let state = self.lock();
        let row =
            |(name, row): (&String, &ServiceJson)| row.lock_json().map(|lock| (name.clone(), lock));
        Json::Object(state.rows.services.iter().filter_map(row).collect())
    }

    pub(in crate::web) fn ring(&self) -> &Ring {
        &self.ring
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, LabState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LabState {
    /// A service's row with its latest values.
    fn service_json(&self, row: &ServiceJson) -> Json {
        let mut json = to_json(row);
        json["series"] = json!(self.series.of(row.name()));
        json
    }

    /// The services of a daemon.
    pub(super) fn services_of(&self, daemon: &str) -> Vec<String> {
        let rows = self.listing.services.iter().filter(|row| row.daemon == daemon);
        rows.map(|row| row.name.clone()).collect()
    }
}

fn to_json(row: &impl Serialize) -> Json {
    // Plain data with text keys always has a JSON form.
    serde_json::to_value(row).unwrap_or_default()
}
