//! Watch of the registry: a snapshot of all keys, then each change.
//!
//! A watch that ends is begun again after the last revision that it has shown; where the registry
//! has compacted that away, everything is loaded anew. Each replica writes a key every 2 s
//! (`presence`), so a watch that shows nothing for [`MAX_SILENCE`] is a connection that is half
//! open.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tracing::{debug, info};

use super::hosts::LiveHosts;
use super::signal::Signal;
use crate::registry::{Registry, RegistryError};

/// A watch that shows nothing for so long is begun again.
const MAX_SILENCE: Duration = Duration::from_secs(5);
/// Between two tries.
const FEED_RETRY_INTERVAL: Duration = Duration::from_millis(300);

pub(super) struct Feed {
    pub(super) registry: Arc<dyn Registry>,
    pub(super) signals: mpsc::Sender<Signal>,
    pub(super) hosts: Arc<LiveHosts>,
    /// Set when the registry was found usable: nothing is written before.
    pub(super) is_checked: watch::Sender<bool>,
}

/// The store is closed.
struct Closed;

impl Feed {
    pub(super) async fn run(self) {
        let mut shown = None;
        loop {
            match self.follow(&mut shown).await {
                Err(Closed) => return,
                Ok(RegistryError::Compacted) => {
                    info!("the registry has compacted its changes; everything is loaded anew");
                    shown = None;
                    continue;
                }
                Ok(error) => {
                    debug!(%error, "the watch has ended; it is begun again");
                    if self.send(Signal::Feed(Some(error.to_string()))).await.is_err() {
                        return;
                    }
                }
            }
            sleep(FEED_RETRY_INTERVAL).await;
        }
    }

    /// Follows the changes after the revision that was `shown` last, until an error ends it.
    async fn follow(&self, shown: &mut Option<i64>) -> Result<RegistryError, Closed> {
        let known = match *shown {
            Some(known) => known,
            None => {
                if let Err(error) = self.registry.check().await {
                    if !*self.is_checked.borrow() {
                        self.hosts.note_answer(Err(error.to_string()));
                    }
                    return Ok(error);
                }
                self.is_checked.send_replace(true);
                let snapshot = match self.registry.load().await {
                    Ok(snapshot) => snapshot,
                    Err(error) => return Ok(error),
                };
                let revision = snapshot.revision;
                self.send(Signal::Snapshot(snapshot)).await?;
                *shown = Some(revision);
                revision
            }
        };
        let mut changes = match self.registry.watch(known.saturating_add(1)).await {
            Ok(changes) => changes,
            Err(error) => return Ok(error),
        };
        self.send(Signal::Feed(None)).await?;
        loop {
            let next = match timeout(MAX_SILENCE, changes.next()).await {
                Ok(next) => next,
                Err(_) => {
                    // A registry that was restored from a backup counts from an earlier revision.
                    *shown = None;
                    Err(RegistryError::Away("its watch has fallen silent".into()))
                }
            };
            let changed = match next {
                Ok(changed) => changed,
                Err(error) => return Ok(error),
            };
            if let Some(latest) = changed.iter().map(|change| change.revision).max() {
                self.send(Signal::Changed(changed)).await?;
                *shown = (*shown).max(Some(latest));
            }
        }
    }

    async fn send(&self, signal: Signal) -> Result<(), Closed> {
        self.signals.send(signal).await.map_err(|_| Closed)
    }
}
