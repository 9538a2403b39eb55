//! Presence of hosts in the registry, under one lease of this nameserver.
//!
//! The lease is renewed every [`RENEWAL_INTERVAL`], before anything is written: a storm of
//! registrations must not delay it. A lease that is lost is replaced, and everything that ended
//! with it is written anew. A host that does not renew for [`HOST_TIMEOUT`] is taken out; its
//! return is one write.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{info, warn};

use super::hosts::LiveHosts;
use super::signal::Signal;
use super::value::{HOSTS, REPLICAS};
use crate::registry::{Commit, MAX_WRITES, Registry, RegistryError, RegistryLease, Write};

/// How long a registry keeps the presence of this nameserver's hosts without a renewal, in seconds.
/// It may take 1.5 s longer, and a vanished host is to be hidden within 10 s.
const LEASE_SECONDS: u64 = 7;
/// Interval between two renewals of the lease.
pub(super) const RENEWAL_INTERVAL: Duration = Duration::from_secs(2);
/// Between two tries while the registry does not answer.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// Time without a renewal after which a host is hidden; daemons renew every 2 s.
const HOST_TIMEOUT: Duration = Duration::from_secs(7);
/// Interval between two looks for silent hosts.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// Delay of a look after which the process is taken to have been stopped: it heard no renewals.
const SUSPEND_THRESHOLD: Duration = Duration::from_secs(1);

pub(super) struct Presence {
    pub(super) registry: Arc<dyn Registry>,
    pub(super) hosts: Arc<LiveHosts>,
    pub(super) signals: mpsc::Sender<Signal>,
    /// The id of this replica.
    pub(super) replica: String,
    /// Where clients reach it.
    pub(super) address: String,
    pub(super) lease: Option<RegistryLease>,
    /// Hosts that this replica announces.
    pub(super) live: HashSet<Arc<str>>,
    /// Hosts whose presence stands in the registry under the present lease.
    pub(super) written: HashSet<Arc<str>>,
    /// Hosts whose presence may stand there or not: the answer to a write was lost.
    pub(super) unsure: HashSet<Arc<str>>,
    /// Why the registry does not do its part, as was last told.
    pub(super) told: Option<String>,
}

impl Presence {
    /// Runs when the registry was found usable.
    pub(super) async fn run(mut self, mut is_checked: watch::Receiver<bool>) {
        if is_checked.wait_for(|is_checked| *is_checked).await.is_err() {
            return;
        }
        let mut beat = Instant::now();
        let mut is_well = false;
        loop {
            let next = beat.min(Instant::now() + CHECK_INTERVAL);
            tokio::select! {
                () = self.hosts.arrived.notified() => {}
                () = sleep_until(next) => {
                    if next.elapsed() > SUSPEND_THRESHOLD {
                        info!("the nameserver did not run; the time of all hosts begins anew");
                        self.hosts.renew_all();
                    }
                }
            }
            for (host, length) in self.hosts.take_new() {
                self.live.insert(Arc::clone(&host));
                if self.signals.send(Signal::HostLive(host, length)).await.is_err() {
                    return;
                }
            }
            let mut outcome = Ok(());
            let is_beat = Instant::now() >= beat;
            if is_beat {
                outcome = self.renew().await;
                is_well = outcome.is_ok();
                beat = Instant::now() + if is_well { RENEWAL_INTERVAL } else { RETRY_INTERVAL };
            }
            // Without a lease the presence would outlive this process.
            if is_well && self.lease.is_some() {
                // Hosts that went missing while the registry was away cannot be judged before.
                for host in self.hosts.take_silent(HOST_TIMEOUT) {
                    self.live.remove(&host);
                    if self.signals.send(Signal::HostSilent(host)).await.is_err() {
                        return;
                    }
                }
                outcome = outcome.and(self.write(beat).await);
            }
            // Between two beats the registry was not asked, or had nothing to do.
            if (is_beat || outcome.is_err()) && !self.tell(outcome).await {
                return;
            }
        }
    }

    /// Renews the lease, or begins one, and shows that this replica lives.
    async fn renew(&mut self) -> Result<(), RegistryError> {
        let renewed = match self.lease {
            // Half of the time for a connection that is half open, then another try.
            Some(lease) => timeout(RENEWAL_INTERVAL, self.registry.keep_alive(lease))
                .await
                .unwrap_or_else(|_| Err(RegistryError::Away("no answer to a renewal".into()))),
            None => Err(RegistryError::LeaseLost),
        };
        match renewed {
            Ok(()) => {}
            Err(RegistryError::LeaseLost) => self.begin_lease().await?,
            Err(error) => return Err(error),
        }
        let key = format!("{REPLICAS}{}", self.replica);
        self.put(vec![self.announcement(key)]).await
    }

    async fn begin_lease(&mut self) -> Result<(), RegistryError> {
        if self.lease.take().is_some() {
            warn!("the nameserver's lease in the registry has ended; it is replaced");
        }
        self.forget_written();
        self.lease = Some(self.registry.grant(LEASE_SECONDS).await?);
        Ok(())
    }

    /// With its lease everything ends that was written.
    fn forget_written(&mut self) {
        self.written.clear();
        self.unsure.clear();
    }

    /// Writes the hosts that have come, and removes those that have gone. Those that are left at
    /// `until` wait for the next call: the lease comes first.
    async fn write(&mut self, until: Instant) -> Result<(), RegistryError> {
        let key = |host: &str| format!("{HOSTS}{host}/{}", self.replica);
        let come = self.live.difference(&self.written).map(|host| (Arc::clone(host), true));
        let gone = self.written.union(&self.unsure).filter(|host| !self.live.contains(*host));
        let gone = gone.map(|host| (Arc::clone(host), false));
        let changed: Vec<(Arc<str>, bool)> = come.chain(gone).collect();
        for changed in changed.chunks(MAX_WRITES) {
            if Instant::now() >= until {
                break;
            }
            let write = |(host, is_there): &(Arc<str>, bool)| match is_there {
                true => self.announcement(key(host)),
                false => Write { key: key(host), value: None, expected: None },
            };
            let writes = changed.iter().map(write).collect();
            if let Err(error) = self.put(writes).await {
                // Each is written or removed again: the registry may have it or not.
                for (host, _) in changed {
                    self.written.remove(host);
                    self.unsure.insert(Arc::clone(host));
                }
                return Err(error);
            }
            for (host, is_there) in changed {
                self.unsure.remove(host);
                match is_there {
                    true => drop(self.written.insert(Arc::clone(host))),
                    false => drop(self.written.remove(host)),
                }
            }
        }
        Ok(())
    }

    fn announcement(&self, key: String) -> Write {
        Write { key, value: Some(self.address.clone().into_bytes()), expected: None }
    }

    async fn put(&self, writes: Vec<Write>) -> Result<(), RegistryError> {
        // A write that takes longer must not delay the next renewal of the lease.
        match timeout(RENEWAL_INTERVAL, self.registry.commit(writes, self.lease)).await {
            Ok(Ok(Commit::Kept(_) | Commit::Conflict)) => Ok(()),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(RegistryError::Away("no answer to a host's announcement".into())),
        }
    }

    /// Tells the store whether the registry does its part; false at the end.
    async fn tell(&mut self, outcome: Result<(), RegistryError>) -> bool {
        let reason = match outcome {
            Ok(()) => None,
            // The next beat finds it out, too, and begins another.
            Err(RegistryError::LeaseLost) => {
                self.lease = None;
                self.forget_written();
                return true;
            }
            Err(error) => Some(error.to_string()),
        };
        self.hosts.note_answer(reason.clone().map_or(Ok(()), Err));
        if self.told == reason {
            return true;
        }
        self.told.clone_from(&reason);
        self.signals.send(Signal::Presence(reason)).await.is_ok()
    }
}
