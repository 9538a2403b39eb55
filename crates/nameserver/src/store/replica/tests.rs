//! Replicas of one directory, in simulated time, over a registry that can be taken away.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use remote::NAMESERVER_NAME;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::directory;
use crate::registry::{
    Changes, Commit, KeyValue, LastKnownFile, RegistryError, RegistryFuture, RegistryLease,
    Snapshot, Write,
};
use crate::store::{Entry, Store};

/// etcd as a replica sees it.
#[derive(Default)]
struct FakeRegistry {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    keys: BTreeMap<String, (Vec<u8>, i64, Option<i64>)>,
    log: Vec<KeyValue>,
    /// Changes up to this revision are forgotten.
    compacted: i64,
    revision: i64,
    leases: HashMap<i64, (Duration, Instant)>,
    granted: i64,
    /// Nothing is answered.
    is_away: bool,
    /// The watches that run show nothing more, as over a connection that is half open.
    frozen: u64,
    watches: u64,
    commits: usize,
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
    fn new() -> Arc<Self> {
        let registry = Arc::new(FakeRegistry::default());
        let ticking = Arc::downgrade(&registry);
        tokio::spawn(async move {
            while let Some(registry) = ticking.upgrade() {
                registry.end_leases();
                sleep(Duration::from_millis(100)).await;
            }
        });
        registry
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn end_leases(&self) {
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

    fn set_away(&self, is_away: bool) {
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
struct Handle(Arc<FakeRegistry>);

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
                for Write { key, value, .. } in writes {
                    state.set(key, value, lease.map(|lease| lease.0));
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

fn replica(registry: &Arc<FakeRegistry>, id: &str) -> Store {
    with_file(registry, id, None)
}

fn with_file(
    registry: &Arc<FakeRegistry>,
    id: &str,
    file: Option<Arc<dyn LastKnownFile>>,
) -> Store {
    let registry = Arc::new(Handle(Arc::clone(registry)));
    Store::shared(registry, (id.into(), format!("at {id}")), file)
}

/// A file in memory.
#[derive(Default)]
struct File {
    bytes: Mutex<Option<Vec<u8>>>,
    writes: std::sync::atomic::AtomicUsize,
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
        *self.bytes.lock().unwrap() = Some(bytes.to_vec());
        self.writes.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }
}

async fn until(what: &str, holds: impl Fn() -> bool) -> Duration {
    let begun = Instant::now();
    let waiting = async {
        while !holds() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(timeout(Duration::from_secs(60), waiting).await.is_ok(), "{what}");
    begun.elapsed()
}

async fn register(store: &Store, name: &str, safe: bool) -> Result<usize, Exception> {
    let change = directory::register(name.into(), "PYRO:o@h:1".into(), safe, BTreeSet::new());
    store.change(change.unwrap()).wait().await
}

/// Registers names of a host, as its daemons do.
async fn renew(store: &Store, host: &str, names: &[&str]) -> Result<usize, Exception> {
    let length = Duration::from_secs(12);
    let host = store.hosts().unwrap().renew(host, length)?;
    let missing: Vec<String> = names
        .iter()
        .filter(|name| store.read().get(name).is_none())
        .map(|name| (*name).to_owned())
        .collect();
    if missing.is_empty() {
        return Ok(0);
    }
    store
        .change(Box::new(move |transaction| {
            for name in &missing {
                let mut entry = Entry::new("PYRO:o@h:1".into(), BTreeSet::new()).with_lease(length);
                entry.host = Some(Arc::clone(&host));
                directory::put(transaction, name, entry)?;
            }
            Ok(missing.len())
        }))
        .wait()
        .await
}

fn shows(store: &Store, name: &str) -> bool {
    store.read().get(name).is_some()
}

fn is_well(store: &Store) -> bool {
    store.trouble().unwrap().borrow().is_none()
}

#[tokio::test(start_paused = true)]
async fn replicas_show_what_each_has_acknowledged() {
    let registry = FakeRegistry::new();
    let [one, two] = ["one", "two"].map(|id| replica(&registry, id));
    until("both are loaded", || is_well(&one) && is_well(&two)).await;
    register(&one, "lab.a", false).await.unwrap();
    assert!(shows(&one, "lab.a"), "at once where it was registered");
    until("the other has it", || shows(&two, "lab.a")).await;
    let refused = register(&two, "lab.a", true).await.unwrap_err();
    assert_eq!(refused.message(), "name already registered: lab.a");
    let removed = two.change(directory::remove("lab.a".into())).wait().await;
    assert_eq!(removed, Ok(1));
    until("it is gone", || !shows(&one, "lab.a")).await;
    // Its own name is each replica's own.
    register(&one, NAMESERVER_NAME, false).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    assert!(shows(&one, NAMESERVER_NAME) && !shows(&two, NAMESERVER_NAME));
}

#[tokio::test(start_paused = true)]
async fn of_two_that_register_a_name_at_once_one_is_refused() {
    let registry = FakeRegistry::new();
    let [one, two] = ["one", "two"].map(|id| replica(&registry, id));
    until("both are loaded", || is_well(&one) && is_well(&two)).await;
    let (first, second) =
        tokio::join!(register(&one, "lab.a", true), register(&two, "lab.a", true));
    assert_eq!(first.is_ok() as u8 + second.is_ok() as u8, 1, "{first:?} {second:?}");
}

#[tokio::test(start_paused = true)]
async fn changes_of_one_name_are_kept_in_their_order() {
    let registry = FakeRegistry::new();
    let one = replica(&registry, "one");
    until("it is loaded", || is_well(&one)).await;
    // More than one transaction takes, and some twice.
    let names: Vec<String> = (0..300).map(|number| format!("t.{number}")).collect();
    let change = |name: &String| {
        one.change(
            directory::register(name.clone(), "PYRO:o@h:1".into(), false, BTreeSet::new()).unwrap(),
        )
    };
    let mut all: Vec<_> = names.iter().map(change).collect();
    all.push(one.change(directory::remove("t.5".into())));
    all.push(change(&names[5]));
    all.push(one.change(directory::remove("t.6".into())));
    let outcomes = futures_of(all).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert!(shows(&one, "t.5") && !shows(&one, "t.6"));
    assert_eq!(one.read().len(), 299);
    // A change that is larger than a transaction.
    let removed = one.change(directory::remove_all("t.".into())).wait().await;
    assert_eq!(removed, Ok(299));
    let two = replica(&registry, "two");
    until("the other is loaded", || is_well(&two)).await;
    assert_eq!(two.read().len(), 0);
}

async fn futures_of(changes: Vec<crate::store::Changed>) -> Vec<Result<usize, Exception>> {
    let mut tasks = Vec::new();
    for change in changes {
        tasks.push(tokio::spawn(change.wait()));
        // In order into the queue.
        tokio::task::yield_now().await;
    }
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(task.await.unwrap());
    }
    outcomes
}

#[tokio::test(start_paused = true)]
async fn a_vanished_host_is_hidden_and_comes_back_by_one_write() {
    let registry = FakeRegistry::new();
    let [one, two] = ["one", "two"].map(|id| replica(&registry, id));
    until("both are loaded", || is_well(&one) && is_well(&two)).await;
    let names: Vec<String> = (0..100).map(|number| format!("h.{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    register(&one, "stock", false).await.unwrap();
    assert_eq!(renew(&one, "h1", &names).await, Ok(100));
    until("the other shows them", || shows(&two, "h.99")).await;
    for _ in 0..10 {
        sleep(Duration::from_secs(2)).await;
        renew(&one, "h1", &names).await.unwrap();
        assert!(shows(&two, "h.0"), "a host that renews stays");
    }
    let hidden = until("they are hidden", || !shows(&one, "h.0") && !shows(&two, "h.99")).await;
    assert!(hidden <= Duration::from_secs(10), "{hidden:?}");
    assert!(shows(&one, "stock") && shows(&two, "stock"), "nobody renews it");
    let before = registry.lock().commits;
    renew(&two, "h1", &[]).await.unwrap();
    let back = until("they are back", || shows(&one, "h.0") && shows(&two, "h.99")).await;
    assert!(back <= Duration::from_secs(3), "{back:?}");
    // The other's heart beats every 2 s.
    assert!(registry.lock().commits - before <= 4, "not a write for each name");
}

#[tokio::test(start_paused = true)]
async fn a_hidden_name_can_be_removed() {
    let registry = FakeRegistry::new();
    let [one, two] = ["one", "two"].map(|id| replica(&registry, id));
    until("both are loaded", || is_well(&one) && is_well(&two)).await;
    renew(&one, "h1", &["h.a", "h.b"]).await.unwrap();
    until("the other shows them", || shows(&two, "h.a")).await;
    let remove = async |name: &str| {
        two.change_hidden(name.into(), directory::remove(name.into())).await.unwrap()
    };
    assert_eq!(remove("h.a").await, 0, "its host is there");
    until("they are hidden", || !shows(&one, "h.a") && !shows(&two, "h.a")).await;
    let hidden = async |store: &Store| -> Vec<String> {
        store.hidden().await.iter().map(|(name, _)| name.to_string()).collect()
    };
    assert_eq!(hidden(&two).await, ["h.a", "h.b"]);
    let refused: Change = Box::new(|_| Err(Exception::naming_error("no")));
    assert!(two.change_hidden("h.a".into(), refused).await.is_err());
    assert!(!shows(&two, "h.a"), "it is not left in sight");
    assert_eq!(remove("h.a").await, 1);
    assert_eq!(remove("h.a").await, 0);
    assert_eq!(hidden(&two).await, ["h.b"]);
    sleep(Duration::from_secs(1)).await;
    renew(&one, "h1", &[]).await.unwrap();
    until("its host is back", || shows(&one, "h.b") && shows(&two, "h.b")).await;
    assert!(!shows(&one, "h.a") && !shows(&two, "h.a"));
    registry.set_away(true);
    until("it is told", || !is_well(&two)).await;
}

#[tokio::test(start_paused = true)]
async fn hosts_of_a_replica_that_dies_are_hidden_until_they_find_another() {
    let registry = FakeRegistry::new();
    let [one, two] = ["one", "two"].map(|id| replica(&registry, id));
    until("both are loaded", || is_well(&one) && is_well(&two)).await;
    renew(&one, "h1", &["h.a"]).await.unwrap();
    renew(&one, "h2", &["h.b"]).await.unwrap();
    until("the other shows them", || shows(&two, "h.a") && shows(&two, "h.b")).await;
    drop(one);
    // One host goes over in time.
    for _ in 0..6 {
        renew(&two, "h1", &["h.a"]).await.unwrap();
        sleep(Duration::from_secs(2)).await;
        assert!(shows(&two, "h.a"));
    }
    assert!(!shows(&two, "h.b"), "nobody announces it");
}

#[tokio::test(start_paused = true)]
async fn a_lost_lease_is_replaced() {
    let registry = FakeRegistry::new();
    let [one, two] = ["one", "two"].map(|id| replica(&registry, id));
    until("both are loaded", || is_well(&one) && is_well(&two)).await;
    renew(&one, "h1", &["h.a"]).await.unwrap();
    until("the other shows it", || shows(&two, "h.a")).await;
    // As if nobody had renewed them in time.
    registry.lock().leases.values_mut().for_each(|(_, end)| *end = Instant::now());
    registry.end_leases();
    until("the other hides it", || !shows(&two, "h.a")).await;
    assert!(shows(&one, "h.a"), "its daemon is known to live");
    let back = until("it is back", || shows(&two, "h.a")).await;
    assert!(back <= Duration::from_secs(3), "{back:?}");
}

#[tokio::test(start_paused = true)]
async fn names_stay_while_the_registry_is_away() {
    let registry = FakeRegistry::new();
    let [one, two] = ["one", "two"].map(|id| replica(&registry, id));
    until("both are loaded", || is_well(&one) && is_well(&two)).await;
    renew(&one, "h1", &["h.a"]).await.unwrap();
    renew(&one, "gone", &["g.a"]).await.unwrap();
    until("the other shows them", || shows(&two, "h.a") && shows(&two, "g.a")).await;
    registry.set_away(true);
    until("it is told", || !is_well(&one) && !is_well(&two)).await;
    for _ in 0..300 {
        sleep(Duration::from_secs(2)).await;
        // The daemons go on to try.
        let _ = renew(&one, "h1", &["h.a"]).await;
        assert!(shows(&one, "h.a") && shows(&two, "h.a") && shows(&two, "g.a"));
    }
    let refused = register(&one, "lab.new", false).await.unwrap_err().message();
    assert!(refused.contains("the nameserver cannot keep this: it is away"), "{refused}");
    assert!(!shows(&one, "lab.new"));
    registry.set_away(false);
    let converged = until("all is well", || {
        is_well(&one) && is_well(&two) && !shows(&two, "g.a") && shows(&two, "h.a")
    })
    .await;
    assert!(converged <= Duration::from_secs(5), "{converged:?}");
    register(&two, "lab.new", false).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_watch_survives_compaction_and_half_open_connections() {
    let registry = FakeRegistry::new();
    let [one, two] = ["one", "two"].map(|id| replica(&registry, id));
    until("both are loaded", || is_well(&one) && is_well(&two)).await;
    register(&one, "lab.a", false).await.unwrap();
    register(&one, "lab.b", false).await.unwrap();
    until("the other has it", || shows(&two, "lab.b")).await;
    {
        let mut state = registry.lock();
        state.frozen = state.watches;
    }
    register(&one, "lab.c", false).await.unwrap();
    one.change(directory::remove("lab.a".into())).wait().await.unwrap();
    assert!(!shows(&two, "lab.c"), "its watch shows nothing");
    {
        let mut state = registry.lock();
        state.compacted = state.revision;
        let compacted = state.compacted;
        state.log.retain(|change| change.revision > compacted);
    }
    until("it is loaded anew", || shows(&two, "lab.c") && !shows(&two, "lab.a")).await;
    assert!(shows(&two, "lab.b"));
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_starts_without_the_registry_shows_the_last_known_names() {
    let registry = FakeRegistry::new();
    let file = Arc::new(File::default());
    let start = |file: &Arc<File>| {
        with_file(&registry, "one", Some(Arc::clone(file) as Arc<dyn LastKnownFile>))
    };
    let trouble = |store: &Store| store.trouble().unwrap().borrow().clone().unwrap_or_default();
    let one = start(&file);
    until("it is loaded", || is_well(&one)).await;
    register(&one, "lab.a", false).await.unwrap();
    register(&one, "lab.b", false).await.unwrap();
    renew(&one, "h1", &["h.a"]).await.unwrap();
    until("it shows the host", || shows(&one, "h.a")).await;
    one.close().await;
    let writes = file.writes.load(std::sync::atomic::Ordering::Relaxed);
    assert!((1..=2).contains(&writes), "{writes}");
    drop(one);
    // Meanwhile one name changes, and one goes.
    let two = replica(&registry, "two");
    until("the other is loaded", || is_well(&two)).await;
    two.change(directory::remove("lab.b".into())).wait().await.unwrap();
    register(&two, "lab.c", false).await.unwrap();
    registry.set_away(true);
    let one = start(&file);
    until("the file is read", || shows(&one, "lab.a")).await;
    assert!(shows(&one, "lab.b") && shows(&one, "h.a") && !shows(&one, "lab.c"));
    assert!(trouble(&one).contains("as this host knew them at 2"), "{}", trouble(&one));
    assert!(one.is_stale());
    register(&one, "lab.d", false).await.unwrap_err();
    sleep(Duration::from_secs(60)).await;
    assert!(shows(&one, "h.a"), "it cannot be judged yet");
    registry.set_away(false);
    until("it is loaded", || is_well(&one)).await;
    assert!(shows(&one, "lab.a") && !shows(&one, "lab.b") && shows(&one, "lab.c"));
    until("the host is away", || !shows(&one, "h.a")).await;
    drop(one);
    // A damaged file is named, and without one there are no names.
    *file.bytes.lock().unwrap() = Some(b"damage".to_vec());
    registry.set_away(true);
    let one = start(&file);
    until("it is told", || trouble(&one).contains("damaged: ")).await;
    assert_eq!(one.read().len(), 0);
    registry.set_away(false);
    until("it is loaded", || is_well(&one) && shows(&one, "lab.c")).await;
}
