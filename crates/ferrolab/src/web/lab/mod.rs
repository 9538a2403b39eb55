//! The lab as it is now: one copy in this process, which follows the supervisor, and the events of
//! its changes.
//!
//! Tabs read this copy. However many there are, the lab is asked once.

mod changes;
mod ring;
mod rows;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value as Json, json};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::supervise::control::client::{Client, ControlError, News};
use crate::supervise::control::{Listing, Request};

use ring::Ring;
pub(super) use ring::RingEvent;
use rows::LabRows;
pub(super) use rows::unix_seconds;

/// Between two attempts to reach the supervisor.
const RETRY: Duration = Duration::from_millis(300);
/// A supervisor that says nothing for so long hangs or is stopped: it speaks once a second.
const SILENCE: Duration = Duration::from_secs(2);
/// Longest wait of a request for the first listing.
const FIRST_LISTING: Duration = Duration::from_secs(3);

/// The lab now, and its events.
pub(super) struct LiveLab {
    ring: Ring,
    state: Mutex<LabState>,
    /// Whether the supervisor has ever answered.
    is_known: watch::Sender<bool>,
}

#[derive(Default)]
struct LabState {
    listing: Arc<Listing>,
    rows: LabRows,
    supervisor: SupervisorState,
}

/// Whether the supervisor answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
struct SupervisorState {
    up: bool,
    error: Option<String>,
}

impl LiveLab {
    /// Follows the supervisor at `socket` until `stopping`.
    pub(super) fn follow(socket: PathBuf, stopping: &CancellationToken) -> Arc<Self> {
        let lab = Arc::new(LiveLab {
            ring: Ring::new(),
            state: Mutex::default(),
            is_known: watch::Sender::new(false),
        });
        let (news, listings) = watch::channel(Err("it has not answered yet".to_owned()));
        let ask = async move {
            loop {
                let error = watch_supervisor(&socket, &news).await;
                let _ = news.send_replace(Err(error.to_string()));
                sleep(RETRY).await;
            }
        };
        tokio::spawn(stopping.clone().run_until_cancelled_owned(ask));
        let take_up = Arc::clone(&lab).take_up(listings);
        tokio::spawn(stopping.clone().run_until_cancelled_owned(take_up));
        lab
    }

    /// Takes up each listing; a silence counts as an error.
    async fn take_up(self: Arc<Self>, mut listings: watch::Receiver<Result<Arc<Listing>, String>>) {
        loop {
            let changed = timeout(SILENCE, listings.changed()).await;
            let news = match changed {
                Ok(Ok(())) => listings.borrow_and_update().clone(),
                Ok(Err(_)) => return,
                Err(_) => {
                    let silent = "it says nothing: it is stopped, or it hangs".to_owned();
                    Err(listings.borrow().clone().err().unwrap_or(silent))
                }
            };
            match news {
                Ok(listing) => self.show(listing),
                Err(error) => {
                    self.show_supervisor(SupervisorState { up: false, error: Some(error) })
                }
            }
        }
    }

    fn show(&self, listing: Arc<Listing>) {
        let rows = LabRows::of(&listing);
        let mut state = self.lock();
        for (kind, event) in changes::events(&state.rows, &rows) {
            self.ring.push(kind, event.to_string());
        }
        (state.listing, state.rows) = (listing, rows);
        drop(state);
        self.show_supervisor(SupervisorState { up: true, error: None });
        self.is_known.send_replace(true);
    }

    fn show_supervisor(&self, supervisor: SupervisorState) {
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
    pub(super) async fn is_known(&self) -> bool {
        let mut known = self.is_known.subscribe();
        matches!(timeout(FIRST_LISTING, known.wait_for(|known| *known)).await, Ok(Ok(_)))
    }

    /// The last listing.
    pub(super) fn listing(&self) -> Arc<Listing> {
        Arc::clone(&self.lock().listing)
    }

    /// The lab as `GET /api/lab` shows it.
    pub(super) fn to_json(&self) -> Map<String, Json> {
        let state = self.lock();
        let rows = &state.rows;
        let mut json = Map::new();
        // The events after this one are not in it.
        json.insert("event".to_owned(), self.ring.id(self.ring.last()).into());
        json.insert("now".to_owned(), unix_seconds(Timestamp::now()).into());
        json.insert("host".to_owned(), host_name().into());
        json.insert("version".to_owned(), state.listing.host.version.clone().into());
        json.insert("since".to_owned(), state.listing.host.since.clone().into());
        json.insert("supervisor".to_owned(), json!(state.supervisor));
        json.insert("nameservers".to_owned(), rows.nameservers.values().map(to_json).collect());
        json.insert("daemons".to_owned(), rows.daemons.values().map(to_json).collect());
        json.insert("processes".to_owned(), rows.processes.values().map(to_json).collect());
        json.insert("services".to_owned(), rows.services.values().map(to_json).collect());
        json.insert("calls".to_owned(), json!(rows.calls));
        json.insert("problems".to_owned(), json!(rows.problems));
        json.insert("alarms".to_owned(), Json::Array(Vec::new()));
        json
    }

    /// The row of a service.
    pub(super) fn service_json(&self, name: &str) -> Option<Json> {
        self.lock().rows.services.get(name).map(to_json)
    }

    /// The calls that run or wait.
    pub(super) fn calls_json(&self) -> Json {
        json!(self.lock().rows.calls)
    }

    /// The locks, by their services.
    pub(super) fn locks_json(&self) -> Json {
        let state = self.lock();
        let row = |(name, row): (&String, &rows::ServiceJson)| {
            row.lock_json().map(|lock| (name.clone(), lock))
        };
        Json::Object(state.rows.services.iter().filter_map(row).collect())
    }

    pub(super) fn ring(&self) -> &Ring {
        &self.ring
    }

    fn lock(&self) -> MutexGuard<'_, LabState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn to_json(row: &impl Serialize) -> Json {
    // Plain data with text keys always has a JSON form.
    serde_json::to_value(row).unwrap_or_default()
}

/// This host's name.
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Sends on each listing of the supervisor, until it ends or is lost.
async fn watch_supervisor(
    socket: &std::path::Path,
    news: &watch::Sender<Result<Arc<Listing>, String>>,
) -> ControlError {
    let client = match Client::connect(socket).await {
        Ok(client) => client,
        Err(error) => return error,
    };
    let hear = |part: News<'_>| {
        if let News::Progress(listing) = part {
            let _ = news.send_replace(Ok(Arc::new(listing.clone())));
        }
    };
    match client.ask_for_news(&Request::Watch, hear).await {
        Ok(_) => ControlError::Ending,
        Err(error) => error,
    }
}
