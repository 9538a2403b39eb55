//! etcd and the file of last known names, as replicas see them: in memory, and easily broken.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, interval};

use crate::registry::{
    Changes, Commit, KeyValue, LastKnownFile, Registry, RegistryError, RegistryFuture,
    RegistryLease, Snapshot, Write,
};
use crate::store::Store;

/// etcd as a replica sees it.
#[derive(Default)]
pub(crate) struct FakeRegistry {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) keys: BTreeMap<String, (Vec<u8>, i64, Option<i64>)>,
    pub(super) log: Vec<KeyValue>,
    /// Changes up to this revision are forgotten.
    pub(super) compacted: i64,
    pub(super) revision: i64,
    pub(super) leases: HashMap<i64, (Duration, Instant)>,
    granted: i64,
    /// Nothing is answered.
    is_away: bool,
    /// The watches that run show nothing more, as over a connection that is half open.
    pub(super) frozen: u64,
    pub(super) watches: u64,
    pub(super) commits: usize,
    /// Answers to announcements of hosts are lost.
    pub(super) loses_answers: bool,
}

impl State {
    fn set(&mut self, key: String, value: Option<Vec<u8>>, lease: Option<i64>) {
        match &value {
            Some(value) => {
                self.keys.insert(key.clone(), (value.clone(), self.revision, lease));
            }
            None => drop(self.keys.remove(&key)),
        }
        self.log.push(KeyValue { key, value, revision: self.revision });
    }
}

impl FakeRegistry {
    pub(crate) fn new() -> Arc<Self> {
        let registry = Arc::new(FakeRegistry::default());
        let ticking = Arc::downgrade(&registry);
        tokio::spawn(async move {
            let mut ticks = interval(Duration::from_millis(100));
            while let Some(registry) = ticking.upgrade() {
                registry.end_leases();
                ticks.tick().await;
            }
        });
        registry
    }

    /// The store of a replica with this id.
    pub(crate) fn store(self: &Arc<Self>, id: &str, file: Option<Arc<dyn LastKnownFile>>) -> Store {
        let registry = Arc::new(Handle(Arc::clone(self)));
        Store::shared(registry, (id.into(), format!("at {id}")), file)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn end_leases(&self) {
        let mut state = self.lock();
        // Without a majority no lease ends.
        if state.is_away {
            return;
        }
        let now = Instant::now();
        let ended: Vec<i64> =
            state.leases.iter().filter(|(_, (_, end))| *end <= now).map(|(id, _)| *id).collect();
        for lease in ended {
            state.leases.remove(&lease);
            state.revision += 1;
            let of_lease = |(key, (_, _, own)): (&String, &(_, _, Option<i64>))| {
                (*own == Some(lease)).then(|| key.clone())
            };
            let keys: Vec<String> = state.keys.iter().filter_map(of_lease).collect();
            keys.into_iter().for_each(|key| state.set(key, None, None));
        }
        self.changed.notify_waiters();
    }

    pub(crate) fn set_away(&self, is_away: bool) {
        let mut state = self.lock();
        state.is_away = is_away;
        // A new leader begins all leases anew.
        for (length, end) in state.leases.values_mut() {
            *end = Instant::now() + *length;
        }
        drop(state);
        self.changed.notify_waiters();
    }

    fn answer<T>(
        &self,
        make: impl FnOnce(&mut State) -> Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        let mut state = self.lock();
        if state.is_away {
            return Err(RegistryError::Away("it is away".into()));
        }
        let made = make(&mut state);
        drop(state);
        self.changed.notify_waiters();
        made
    }
}

/// A handle for one replica.
pub(super) struct Handle(pub(super) Arc<FakeRegistry>);

struct FakeChanges {
    registry: Arc<FakeRegistry>,
    next: i64,
    number: u64,
}

impl Changes for FakeChanges {
    fn next(&mut self) -> RegistryFuture<'_, Vec<KeyValue>> {
        Box::pin(async {
            loop {
                let registry = Arc::clone(&self.registry);
                let changed = registry.changed.notified();
                {
                    let state = registry.lock();
                    let is_frozen = self.number <= state.frozen;
                    if state.is_away && !is_frozen {
                        return Err(RegistryError::Away("the watch broke off".into()));
                    }
                    let new: Vec<KeyValue> = state
                        .log
                        .iter()
                        .filter(|change| change.revision >= self.next && !is_frozen)
                        .cloned()
                        .collect();
                    if let Some(last) = new.last() {
                        self.next = last.revision + 1;
                        return Ok(new);
                    }
                }
                changed.await;
            }
        })
    }
}

impl Registry for Handle {
    fn check(&self) -> RegistryFuture<'_, ()> {
        Box::pin(async { self.0.answer(|_| Ok(())) })
    }

    fn load(&self) -> RegistryFuture<'_, Snapshot> {
        Box::pin(async {
            self.0.answer(|state| {
                let key = |(key, (value, revision, _)): (&String, &(Vec<u8>, i64, _))| KeyValue {
                    key: key.clone(),
                    value: Some(value.clone()),
                    revision: *revision,
                };
                Ok(Snapshot {
                    revision: state.revision,
                    keys: state.keys.iter().map(key).collect(),
                })
            })
        })
    }

    fn first<'a>(&'a self, prefix: &'a str) -> RegistryFuture<'a, Option<KeyValue>> {
        Box::pin(async move {
            let Snapshot { keys, .. } = self.load().await?;
            Ok(keys.into_iter().find(|found| found.key.starts_with(prefix)))
        })
    }

    fn watch(&self, first: i64) -> RegistryFuture<'_, Box<dyn Changes>> {
        Box::pin(async move {
            self.0.answer(|state| {
                if first <= state.compacted {
                    return Err(RegistryError::Compacted);
                }
                state.watches += 1;
                let number = state.watches;
                let registry = Arc::clone(&self.0);
                Ok(Box::new(FakeChanges { registry, next: first, number }) as Box<dyn Changes>)
            })
        })
    }

    fn commit(
        &self,
        writes: Vec<Write>,
        lease: Option<RegistryLease>,
    ) -> RegistryFuture<'_, Commit> {
        Box::pin(async move {
            self.0.answer(|state| {
                assert!(writes.len() <= crate::registry::MAX_WRITES, "more than etcd takes");
                let keys: BTreeSet<&String> = writes.iter().map(|write| &write.key).collect();
                assert_eq!(keys.len(), writes.len(), "etcd takes each key once");
                let revision_of =
                    |key: &String| state.keys.get(key).map_or(0, |(_, revision, _)| *revision);
                let fits = |write: &Write| {
                    write.expected.is_none_or(|expected| expected == revision_of(&write.key))
                };
                if !writes.iter().all(fits) {
                    return Ok(Commit::Conflict);
                }
                if lease.is_some_and(|lease| !state.leases.contains_key(&lease.0)) {
                    return Err(RegistryError::LeaseLost);
                }
                state.revision += 1;
                state.commits += 1;
                let is_of_host = writes.iter().any(|write| write.key.starts_with("hosts/"));
                for Write { key, value, .. } in writes {
                    state.set(key, value, lease.map(|lease| lease.0));
                }
                if state.loses_answers && is_of_host {
                    return Err(RegistryError::Away("no answer".into()));
                }
                Ok(Commit::Kept(state.revision))
            })
        })
    }

    fn grant(&self, seconds: u64) -> RegistryFuture<'_, RegistryLease> {
        Box::pin(async move {
            self.0.answer(|state| {
                state.granted += 1;
                let length = Duration::from_secs(seconds);
                let id = state.granted;
                state.leases.insert(id, (length, Instant::now() + length));
                Ok(RegistryLease(id))
            })
        })
    }

    fn keep_alive(&self, lease: RegistryLease) -> RegistryFuture<'_, ()> {
        Box::pin(async move {
            self.0.answer(|state| match state.leases.get_mut(&lease.0) {
                Some((length, end)) => {
                    *end = Instant::now() + *length;
                    Ok(())
                }
                None => Err(RegistryError::LeaseLost),
            })
        })
    }
}

/// A file in memory.
#[derive(Default)]
pub(super) struct File {
    pub(super) bytes: Mutex<Option<Vec<u8>>>,
    pub(super) writes: AtomicUsize,
    /// The disk is full.
    pub(super) is_full: AtomicBool,
}

impl LastKnownFile for File {
    fn directory(&self) -> String {
        "here".into()
    }

    fn read(&self, parse: &mut dyn FnMut(&[u8]) -> Result<(), String>) -> Result<(), String> {
        let bytes = self.bytes.lock().unwrap().clone();
        bytes.map_or(Ok(()), |bytes| parse(&bytes).map_err(|error| format!("damaged: {error}")))
    }

    fn replace(&self, bytes: &[u8]) -> Result<(), String> {
        if self.is_full.load(Ordering::Relaxed) {
            return Err("the disk is full".into());
        }
        *self.bytes.lock().unwrap() = Some(bytes.to_vec());
        self.writes.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}
