//! The lab of this process, read from its supervisor and its daemons when a client asks.
//!
//! Nothing runs while nobody asks. An answer serves every client for a moment, so that many
//! clients cost the supervisor no more than one.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use remote::Uri;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::daemon_keys::DaemonKeys;
use crate::host::feed::event::SeriesRow;
use crate::host::feed::scrape::scrape;
use crate::supervise::control::client::Client;
use crate::supervise::control::{Listing, Request};

/// Age in which a listing or a look at the values serves further clients.
const MAX_AGE: Duration = Duration::from_millis(300);
/// Longest wait for the supervisor, and for a daemon: readers give up half a second later.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// Where a lab is read; a part of a nameserver's assignment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LabSource {
    /// The supervisor's control socket.
    pub(crate) socket: PathBuf,
    /// TLS of daemons that take nothing else.
    pub(crate) keys: DaemonKeys,
}

/// The latest values of a lab.
#[derive(Clone, Debug, Default)]
pub(super) struct LabValues {
    pub(super) series: Vec<SeriesRow>,
    /// Daemons that do not answer, each with the reason.
    pub(super) away: Vec<(String, String)>,
}

/// The lab, with its last answers.
#[derive(Debug)]
pub(super) struct LabCopy {
    source: Mutex<LabSource>,
    listing: Recent<Result<Arc<Listing>, String>>,
    values: Recent<Result<Arc<LabValues>, String>>,
}

impl LabCopy {
    pub(super) fn new(source: LabSource) -> Self {
        LabCopy {
            source: Mutex::new(source),
            listing: Recent::default(),
            values: Recent::default(),
        }
    }

    /// Calls daemons with these keys from now on.
    pub(super) fn set_keys(&self, keys: DaemonKeys) {
        self.source.lock().unwrap_or_else(PoisonError::into_inner).keys = keys;
    }

    fn source(&self) -> LabSource {
        self.source.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The supervisor's listing.
    ///
    /// # Errors
    /// The supervisor does not answer, in words.
    pub(super) async fn listing(&self) -> Result<Arc<Listing>, String> {
        self.listing.get(|| read_listing(self.source())).await
    }

    /// The latest values of the daemons that run.
    ///
    /// # Errors
    /// As [`listing`](Self::listing).
    pub(super) async fn values(&self) -> Result<Arc<LabValues>, String> {
        self.values
            .get(|| async {
                let listing = self.listing().await?;
                Ok(Arc::new(read_values(&self.source(), &listing).await))
            })
            .await
    }
}

async fn read_listing(source: LabSource) -> Result<Arc<Listing>, String> {
    let ask = async {
        let client = Client::connect(&source.socket).await?;
        client.ask(&Request::Ps { looks: false }, |_| {}).await
    };
    match timeout(ANSWER_TIMEOUT, ask).await {
        Ok(Ok(listing)) => Ok(Arc::new(listing)),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("its supervisor does not answer: it is stopped, or it hangs".to_owned()),
    }
}

/// Looks at all daemons side by side.
async fn read_values(source: &LabSource, listing: &Listing) -> LabValues {
    let mut looks = JoinSet::new();
    for row in &listing.daemons {
        let address = row.address.as_deref().and_then(|address| address.parse::<Uri>().ok());
        let Some(address) = address else { continue };
        let (daemon, tls) = (row.name.clone(), source.keys.of(&row.name));
        looks.spawn(async move {
            let looked = timeout(ANSWER_TIMEOUT, scrape(&address, tls)).await;
            (daemon, looked.unwrap_or_else(|_| Err("it does not answer".to_owned())))
        });
    }
    let mut values = LabValues::default();
    for (daemon, looked) in looks.join_all().await {
        match looked {
            Ok(scraped) => values.series.extend(scraped.series),
            Err(reason) => values.away.push((daemon, reason)),
        }
    }
    let key = |row: &SeriesRow| (row.service.clone(), row.sample.member.clone());
    values.series.sort_by_key(key);
    values.away.sort();
    values
}

/// An answer that serves every client for a moment. Clients that come while it is made wait for it.
#[derive(Debug)]
struct Recent<T>(tokio::sync::Mutex<Option<(Instant, T)>>);

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Recent(tokio::sync::Mutex::new(None))
    }
}

impl<T: Clone> Recent<T> {
    async fn get<F: Future<Output = T>>(&self, make: impl FnOnce() -> F) -> T {
        let mut last = self.0.lock().await;
        if let Some((time, answer)) = &*last
            && time.elapsed() < MAX_AGE
        {
            return answer.clone();
        }
        let answer = make().await;
        *last = Some((Instant::now(), answer.clone()));
        answer
    }
}
