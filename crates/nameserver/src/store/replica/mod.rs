//! Store of a nameserver that is one of several equal replicas of a shared directory.
//!
//! Every question is answered from the index in memory, also while the registry is away. A change
//! is tried on the index, taken back, and written to the registry; it is shown and acknowledged
//! when the registry has it. One task owns the copy of the directory ([`Records`]); others follow
//! the registry's changes ([`Feed`]) and announce hosts ([`Presence`]).

mod feed;
mod group;
mod hosts;
mod keeper;
mod last_known;
mod ownership;
mod presence;
mod records;
mod signal;
#[cfg(test)]
mod tests;
mod value;

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use remote::{BoxFuture, Exception};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::task::AbortOnDropHandle;
use tracing::error;

use self::feed::Feed;
pub(crate) use self::hosts::LiveHosts;
use self::keeper::{Grace, Keeper, NOT_LOADED, NameOrder};
use self::last_known::LastKnown;
pub use self::ownership::taken_by_others;
use self::presence::Presence;
use self::records::Records;
use self::signal::Signal;
#[cfg(test)]
pub(crate) use self::tests::FakeRegistry;
use super::index::Named;
use super::transaction::{Change, SharedIndex};
use crate::registry::{LastKnownFile, Registry};

/// Changes in the queue; a caller waits for room in it.
const QUEUE_LENGTH: usize = 1024;
/// Transactions that are written at the same time.
const PARALLEL_COMMITS: usize = 8;

/// Handle of the tasks.
pub(super) struct Replica {
    orders: Mutex<Option<mpsc::Sender<NameOrder>>>,
    signals: mpsc::Sender<Signal>,
    hosts: Arc<LiveHosts>,
    trouble: watch::Receiver<Option<String>>,
    keeper: Mutex<Option<JoinHandle<()>>>,
    _feed: AbortOnDropHandle<()>,
    _presence: AbortOnDropHandle<()>,
}

impl Replica {
    /// Starts the replica with this id, which clients reach at this address, and which keeps the
    /// last known names in a file.
    pub(super) fn start(
        registry: Arc<dyn Registry>,
        index: SharedIndex,
        (id, address): (String, String),
        file: Option<Arc<dyn LastKnownFile>>,
    ) -> Self {
        let (orders, queue) = mpsc::channel(QUEUE_LENGTH);
        let (signals, signalled) = mpsc::channel(QUEUE_LENGTH);
        let (trouble, told) = watch::channel(Some(NOT_LOADED.to_owned()));
        let hosts = Arc::new(LiveHosts::default());
        let (is_checked, checked) = watch::channel(false);
        let feed = Feed {
            registry: Arc::clone(&registry),
            signals: signals.clone(),
            hosts: Arc::clone(&hosts),
            is_checked,
        };
        let presence = Presence {
            registry: Arc::clone(&registry),
            hosts: Arc::clone(&hosts),
            signals: signals.clone(),
            replica: id.clone(),
            address,
            lease: None,
            live: HashSet::new(),
            written: HashSet::new(),
            unsure: HashSet::new(),
            told: None,
        };
        let keeper = Keeper {
            registry,
            index,
            records: Records::new(id),
            stages: VecDeque::new(),
            writing: JoinSet::new(),
            permits: Arc::new(Semaphore::new(PARALLEL_COMMITS)),
            is_loaded: false,
            feed: None,
            presence: None,
            trouble,
            grace: Grace::Over,
            last_known: LastKnown::new(file),
            used_file: None,
            told: None,
        };
        Replica {
            orders: Mutex::new(Some(orders)),
            signals,
            hosts,
            trouble: told,
            keeper: Mutex::new(Some(tokio::spawn(keeper.run(queue, signalled)))),
            _feed: AbortOnDropHandle::new(tokio::spawn(feed.run())),
            _presence: AbortOnDropHandle::new(tokio::spawn(presence.run(checked))),
        }
    }

    /// Makes a change; one with a hidden name `revealed` finds that among the others.
    pub(super) fn change(
        &self,
        change: Change,
        revealed: Option<String>,
    ) -> BoxFuture<Result<usize, Exception>> {
        let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let closed = || Exception::naming_error("the nameserver is stopping");
            orders
                .ok_or_else(closed)?
                .send(NameOrder { change, revealed, reply })
                .await
                .map_err(|_| closed())?;
            answer.await.unwrap_or_else(|_| Err(closed()))
        })
    }

    /// The names with this prefix that are hidden with their hosts, sorted.
    pub(super) async fn hidden(&self, prefix: &str) -> Vec<Named> {
        let (reply, answer) = oneshot::channel();
        // Without the keeper the nameserver is stopping.
        let _ = self.signals.send(Signal::Hidden { prefix: prefix.to_owned(), reply }).await;
        let mut hidden = answer.await.unwrap_or_default();
        hidden.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        hidden
    }

    pub(super) fn hosts(&self) -> &LiveHosts {
        &self.hosts
    }

    pub(super) fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.trouble.clone()
    }

    pub(super) async fn close(&self) {
        drop(self.orders.lock().unwrap_or_else(PoisonError::into_inner).take());
        let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(keeper) = keeper
            && keeper.await.is_err()
        {
            error!("the task that owns the names has panicked");
        }
    }
}
