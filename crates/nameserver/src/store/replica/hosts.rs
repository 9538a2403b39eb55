//! Hosts whose daemons renew their names at this nameserver, with the time of the last renewal.
//!
//! Written by the calls, read by the task that announces hosts in the registry (`presence`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use remote::Exception;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Hosts that one nameserver announces, at most.
const MAX_HOSTS: usize = 20_000;
/// Bytes of a host's id, at most.
const MAX_HOST_ID: usize = 64;
/// Time without an answer of the registry after which a nameserver sends its daemons to another
/// one: the hosts that it has announced are about to be hidden.
const REGISTRY_TIMEOUT: Duration = Duration::from_secs(6);

#[derive(Default)]
pub(crate) struct LiveHosts {
    state: Mutex<HostTable>,
    /// Wakes the task that announces hosts.
    pub(super) arrived: Notify,
}

#[derive(Default)]
struct HostTable {
    hosts: HashMap<Arc<str>, Live>,
    /// The last answer of the registry.
    answered: Option<Instant>,
    /// Why it does not answer.
    reason: String,
}

struct Live {
    renewed: Instant,
    length: Duration,
    /// Whether the task has taken notice.
    is_known: bool,
}

impl LiveHosts {
    /// Notes that a daemon of a host renews its names.
    ///
    /// # Errors
    /// The id is not one, there are too many hosts, or the registry has not answered for too long.
    pub(crate) fn renew(&self, host: &str, length: Duration) -> Result<Arc<str>, Exception> {
        let is_id = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if host.is_empty() || host.len() > MAX_HOST_ID || !host.bytes().all(is_id) {
            return Err(Exception::value_error(format!(
                "the id of a host has 1 to {MAX_HOST_ID} letters, digits and hyphens"
            )));
        }
        let now = Instant::now();
        let mut state = self.lock();
        let id = match state.hosts.get_key_value(host) {
            Some((id, _)) => Arc::clone(id),
            None if state.hosts.len() >= MAX_HOSTS => {
                return Err(Exception::naming_error(format!(
                    "this nameserver has {MAX_HOSTS} hosts, which is as many as it takes"
                )));
            }
            None => Arc::from(host),
        };
        let live = state.hosts.entry(Arc::clone(&id)).or_insert_with(|| {
            self.arrived.notify_one();
            Live { renewed: now, length, is_known: false }
        });
        live.renewed = now;
        if state.answered.is_some_and(|answered| now.duration_since(answered) < REGISTRY_TIMEOUT) {
            return Ok(id);
        }
        // Not a `NamingError`: it says nothing of the names, and another replica may do better.
        Err(Exception::communication_error(format!(
            "the nameserver does not reach its registry: {}",
            state.reason
        )))
    }

    /// The hosts that have come since the last call, with the length of their names' leases.
    pub(super) fn take_new(&self) -> Vec<(Arc<str>, Duration)> {
        let mut state = self.lock();
        let new = state.hosts.iter_mut().filter(|(_, live)| !live.is_known);
        new.map(|(host, live)| {
            live.is_known = true;
            (Arc::clone(host), live.length)
        })
        .collect()
    }

    /// Removes the hosts that have not renewed for so long.
    pub(super) fn take_silent(&self, patience: Duration) -> Vec<Arc<str>> {
        let now = Instant::now();
        let is_silent = |live: &Live| now.saturating_duration_since(live.renewed) >= patience;
        let mut state = self.lock();
        let silent = state.hosts.extract_if(|_, live| live.is_known && is_silent(live));
        silent.map(|(host, _)| host).collect()
    }

    /// Begins the time of all hosts anew: after a pause of this process, which heard nobody.
    pub(super) fn renew_all(&self) {
        let now = Instant::now();
        self.lock().hosts.values_mut().for_each(|live| live.renewed = now);
    }

    /// Notes an answer of the registry, or the reason for its absence.
    pub(super) fn note_answer(&self, answer: Result<(), String>) {
        let mut state = self.lock();
        match answer {
            Ok(()) => state.answered = Some(Instant::now()),
            Err(reason) => state.reason = reason,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HostTable> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
