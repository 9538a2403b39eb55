//! Copy of the shared directory in this process: names, the hosts that are there, and which names
//! are shown.
//!
//! Knows no clock and no connection: changes go in with their revisions, and what the index has to
//! show comes out. A name of a host is shown while the host is there: a daemon of it renews at this
//! nameserver (it is live), or at another one, which has written its presence.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use super::last_known::Saved;
use super::value::{Key, read_name};
use crate::registry::{KeyValue, Snapshot};
use crate::store::index::{Entry, Named};

/// A name with what the index shall have of it.
pub(super) type Shown = (Arc<str>, Option<Arc<Entry>>);

#[derive(Default)]
pub(super) struct Records {
    /// The id of this replica.
    own: String,
    names: HashMap<Arc<str>, Record>,
    /// Names that this replica has removed, with the revision; until the watch has shown it.
    removed: HashMap<Arc<str>, i64>,
    of_host: HashMap<Arc<str>, BTreeSet<Arc<str>>>,
    /// The replicas that have written the presence of a host, without this one.
    present: HashMap<Arc<str>, BTreeSet<String>>,
    /// Hosts that renew at this replica, with the length of their names' leases.
    live: HashMap<Arc<str>, Duration>,
    /// Whether hosts that go are shown on for now: nameservers announce theirs anew.
    holds_back: bool,
    /// Those hosts.
    doubtful: HashSet<Arc<str>>,
    /// Addresses of all replicas, by their ids.
    replicas: BTreeMap<String, String>,
    /// The highest revision that the registry has shown.
    seen: i64,
}

struct Record {
    entry: Arc<Entry>,
    revision: i64,
}

impl Records {
    pub(super) fn new(own: String) -> Self {
        Records { own, ..Records::default() }
    }

    /// The revision that a name has; 0 for one that does not exist.
    pub(super) fn revision_of(&self, name: &str) -> i64 {
        self.names.get(name).map_or(0, |record| record.revision)
    }

    /// The owner of a name that is hidden with its host, if somebody owns it.
    pub(super) fn hidden_owner(&self, name: &str) -> Option<Arc<str>> {
        self.hidden_entry(name)?.owner.clone()
    }

    /// The entry of a name that is hidden with its host.
    pub(super) fn hidden_entry(&self, name: &str) -> Option<&Arc<Entry>> {
        self.names.get(name).map(|record| &record.entry).filter(|entry| !self.shows(entry))
    }

    /// The names with this prefix that are hidden with their hosts.
    pub(super) fn hidden(&self, prefix: &str) -> Vec<Named> {
        let away = self.of_host.iter().filter(|(host, _)| !self.is_there(host));
        let names = away.flat_map(|(_, names)| {
            let names = names.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
            names.take_while(|name| name.starts_with(prefix))
        });
        let named = |name: &Arc<str>| {
            self.names.get(name).map(|record| (Arc::clone(name), Arc::clone(&record.entry)))
        };
        names.filter_map(named).collect()
    }

    /// Whether a name has exactly this entry, or none.
    pub(super) fn has(&self, name: &str, entry: Option<&Arc<Entry>>) -> bool {
        match (self.names.get(name), entry) {
            (Some(record), Some(entry)) => Arc::ptr_eq(&record.entry, entry),
            (None, None) => true,
            _ => false,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// Takes in a change of this replica, which is kept with this revision.
    pub(super) fn set_own(
        &mut self,
        name: &Arc<str>,
        entry: Option<Arc<Entry>>,
        revision: i64,
    ) -> Option<Shown> {
        if self.known_revision(name) >= revision {
            return None;
        }
        if entry.is_none() {
            self.removed.insert(Arc::clone(name), revision);
        }
        Some(self.set(name, entry, revision))
    }

    /// Takes in everything, in place of what was known.
    pub(super) fn load(&mut self, snapshot: Snapshot) -> Vec<Shown> {
        let mut shown = Vec::new();
        if snapshot.revision < self.seen {
            // Restored from a backup: the known revisions mean nothing any more.
            self.names.values_mut().for_each(|record| record.revision = 0);
            self.removed.clear();
        }
        self.seen = snapshot.revision;
        self.removed.retain(|_, revision| *revision > snapshot.revision);
        let present = std::mem::take(&mut self.present);
        self.replicas.clear();
        let mut loaded = HashSet::new();
        for key in snapshot.keys {
            if let Key::Name(name) = Key::parse(&key.key) {
                loaded.insert(Arc::<str>::from(name));
            }
            shown.extend(self.change(key));
        }
        let gone: Vec<Arc<str>> = self
            .names
            .iter()
            .filter(|(name, record)| {
                record.revision <= snapshot.revision && !loaded.contains(*name)
            })
            .map(|(name, _)| Arc::clone(name))
            .collect();
        shown.extend(gone.iter().map(|name| self.set(name, None, snapshot.revision)));
        for host in present.keys() {
            if !self.present.contains_key(host) {
                self.doubt(host, true);
            }
        }
        let hosts: Vec<_> = present.into_keys().filter(|host| !self.is_there(host)).collect();
        for host in hosts {
            shown.extend(self.show_host(&host));
        }
        // Only now it is known which hosts are there.
        for (name, entry) in &mut shown {
            let known = self.names.get(name).map(|record| &record.entry);
            *entry = known.filter(|entry| self.shows(entry)).cloned();
        }
        shown
    }

    /// Takes in what was known when this host last had the registry: everything there counts more.
    pub(super) fn load_last_known(&mut self, saved: Saved) -> Vec<Shown> {
        self.doubtful.extend(saved.hosts);
        let mut shown = Vec::new();
        for (name, entry) in saved.names {
            if self.known_revision(&name) == 0 {
                shown.push(self.set(&name, Some(entry), 0));
            }
        }
        shown
    }

    /// All names, and the hosts that are there.
    pub(super) fn all(&self) -> (Vec<Named>, Vec<Arc<str>>) {
        let names = self.names.iter();
        let names = names.map(|(name, record)| (Arc::clone(name), Arc::clone(&record.entry)));
        let hosts = self.of_host.keys().filter(|host| self.is_there(host)).cloned();
        (names.collect(), hosts.collect())
    }

    /// Takes in a change that the watch has shown.
    pub(super) fn change(&mut self, changed: KeyValue) -> Vec<Shown> {
        let KeyValue { key, value, revision } = changed;
        self.seen = self.seen.max(revision);
        match Key::parse(&key) {
            Key::Name(name) => self.change_name(name, value, revision).into_iter().collect(),
            Key::Host { host, replica } if replica != self.own => {
                let host: Arc<str> = Arc::from(host);
                let was_there = self.is_there(&host);
                match value {
                    Some(_) => {
                        let replicas = self.present.entry(Arc::clone(&host)).or_default();
                        replicas.insert(replica.to_owned());
                    }
                    None => {
                        if let Some(replicas) = self.present.get_mut(&host) {
                            replicas.remove(replica);
                            if replicas.is_empty() {
                                self.present.remove(&host);
                                self.doubt(&host, was_there);
                            }
                        }
                    }
                }
                match was_there == self.is_there(&host) {
                    true => Vec::new(),
                    false => self.show_host(&host),
                }
            }
            Key::Replica(replica) => {
                match value {
                    Some(value) => {
                        let address = String::from_utf8_lossy(&value).into_owned();
                        self.replicas.insert(replica.to_owned(), address);
                    }
                    None => drop(self.replicas.remove(replica)),
                }
                Vec::new()
            }
            Key::Host { .. } | Key::Other => Vec::new(),
        }
    }

    fn change_name(&mut self, name: &str, value: Option<Vec<u8>>, revision: i64) -> Option<Shown> {
        let known = self.known_revision(name);
        if self.removed.get(name).is_some_and(|removed| *removed <= revision) {
            self.removed.remove(name);
        }
        if known >= revision {
            return None;
        }
        let name: Arc<str> = match self.names.get_key_value(name) {
            Some((known, _)) => Arc::clone(known),
            None => Arc::from(name),
        };
        // Other programs may have written something else under the prefix.
        let entry = value.and_then(|value| read_name(&value)).map(|entry| {
            let length = entry.host.as_ref().and_then(|host| self.live.get(host));
            match length {
                Some(length) => Arc::new(entry.with_lease(*length)),
                None => Arc::new(entry),
            }
        });
        Some(self.set(&name, entry, revision))
    }

    /// Begins to take a host for live: the leases of its names begin here.
    pub(super) fn host_is_live(&mut self, host: &Arc<str>, length: Duration) -> Vec<Shown> {
        self.live.insert(Arc::clone(host), length);
        self.set_leases(host, Some(length));
        self.show_host(host)
    }

    /// No daemon of the host renews here any more.
    pub(super) fn host_is_silent(&mut self, host: &Arc<str>) -> Vec<Shown> {
        let was_live = self.live.remove(host).is_some();
        // It may renew at another nameserver that has not announced it yet.
        self.doubt(host, was_live);
        self.set_leases(host, None);
        self.show_host(host)
    }

    /// Begins to show hosts on that go: the registry is away, or was until now.
    pub(super) fn hold_back(&mut self) {
        self.holds_back = true;
    }

    /// Hides the hosts that have gone and are not back.
    pub(super) fn hide_doubtful(&mut self) -> Vec<Shown> {
        self.holds_back = false;
        let doubtful = std::mem::take(&mut self.doubtful);
        let gone = doubtful.iter().filter(|host| !self.is_there(host));
        gone.flat_map(|host| self.show_host(host)).collect()
    }

    fn doubt(&mut self, host: &Arc<str>, was_there: bool) {
        if self.holds_back && was_there {
            self.doubtful.insert(Arc::clone(host));
        }
    }

    fn set_leases(&mut self, host: &Arc<str>, length: Option<Duration>) {
        for name in self.of_host.get(host).into_iter().flatten() {
            if let Some(record) = self.names.get_mut(name) {
                let entry = Entry { lease: None, ..(*record.entry).clone() };
                record.entry = Arc::new(match length {
                    Some(length) => entry.with_lease(length),
                    None => entry,
                });
            }
        }
    }

    fn known_revision(&self, name: &str) -> i64 {
        let removed = self.removed.get(name).copied().unwrap_or(0);
        self.revision_of(name).max(removed)
    }

    fn set(&mut self, name: &Arc<str>, entry: Option<Arc<Entry>>, revision: i64) -> Shown {
        let before = match &entry {
            Some(entry) => {
                let record = Record { entry: Arc::clone(entry), revision };
                self.names.insert(Arc::clone(name), record)
            }
            None => self.names.remove(name),
        };
        let host_of = |entry: &Arc<Entry>| entry.host.clone();
        if let Some(host) = before.as_ref().and_then(|record| host_of(&record.entry))
            && let Some(names) = self.of_host.get_mut(&host)
        {
            names.remove(name);
            if names.is_empty() {
                self.of_host.remove(&host);
            }
        }
        if let Some(host) = entry.as_ref().and_then(host_of) {
            self.of_host.entry(host).or_default().insert(Arc::clone(name));
        }
        (Arc::clone(name), entry.filter(|entry| self.shows(entry)))
    }

    fn shows(&self, entry: &Entry) -> bool {
        entry.host.as_ref().is_none_or(|host| self.is_there(host))
    }

    fn is_there(&self, host: &Arc<str>) -> bool {
        self.live.contains_key(host)
            || self.present.contains_key(host)
            || self.doubtful.contains(host)
    }

    fn show_host(&self, host: &Arc<str>) -> Vec<Shown> {
        let is_there = self.is_there(host);
        let names = self.of_host.get(host).into_iter().flatten();
        let shown = |name: &Arc<str>| {
            let record = self.names.get(name).filter(|_| is_there);
            (Arc::clone(name), record.map(|record| Arc::clone(&record.entry)))
        };
        names.map(shown).collect()
    }
}

#[cfg(test)]
mod tests;
