//! Replicas of one directory, in simulated time, over a registry that can be taken away.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod fake_registry;

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use remote::NAMESERVER_NAME;
use tokio::time::{Instant, sleep, timeout};

pub(crate) use self::fake_registry::FakeRegistry;
use self::fake_registry::{File, Handle};
use super::*;
use crate::directory;
use crate::registry::Write;
use crate::store::{Entry, Store};

fn replica(registry: &Arc<FakeRegistry>, id: &str) -> Store {
    registry.store(id, None)
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
        store.hidden("").await.iter().map(|(name, _)| name.to_string()).collect()
    };
    assert_eq!(hidden(&two).await, ["h.a", "h.b"]);
    let refused: Change = Box::new(|_| Err(Exception::naming_error("no")));
    assert!(two.change_hidden("h.a".into(), refused).await.is_err());
    assert!(!shows(&two, "h.a"), "it is not left in sight");
    // Both are in the queue before the first is tried.
    assert_eq!(tokio::join!(remove("h.a"), remove("h.a")), (1, 0));
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
async fn names_do_not_lapse_because_the_registry_was_away() {
    let registry = FakeRegistry::new();
    let store = Arc::new(replica(&registry, "one"));
    until("it is loaded", || is_well(&store)).await;
    let lapsing = tokio::spawn(crate::leases::run(Arc::clone(&store)));
    renew(&store, "h1", &["h.a"]).await.unwrap();
    registry.set_away(true);
    until("it is told", || !is_well(&store)).await;
    for _ in 0..60 {
        sleep(Duration::from_secs(1)).await;
        let _ = renew(&store, "h1", &["h.a"]).await;
    }
    registry.set_away(false);
    until("all is well", || is_well(&store)).await;
    // Its daemon may take as long as ever for the next renewal.
    for _ in 0..40 {
        sleep(Duration::from_millis(100)).await;
        assert!(shows(&store, "h.a"));
    }
    lapsing.abort();
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
    let start = |file: &Arc<File>| registry.store("one", Some(file.clone()));
    let trouble = |store: &Store| store.trouble().unwrap().borrow().clone().unwrap_or_default();
    let one = start(&file);
    until("it is loaded", || is_well(&one)).await;
    register(&one, "lab.a", false).await.unwrap();
    register(&one, "lab.b", false).await.unwrap();
    renew(&one, "h1", &["h.a"]).await.unwrap();
    until("it shows the host", || shows(&one, "h.a")).await;
    one.close().await;
    let writes = file.writes.load(Ordering::Relaxed);
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
    one.close().await;
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

#[tokio::test(start_paused = true)]
async fn a_last_known_name_that_has_moved_to_an_absent_host_is_hidden() {
    let registry = FakeRegistry::new();
    let file = Arc::new(File::default());
    let start = || registry.store("one", Some(file.clone()));
    let one = start();
    until("it is loaded", || is_well(&one)).await;
    renew(&one, "h1", &["h.a"]).await.unwrap();
    until("it shows the name", || shows(&one, "h.a")).await;
    one.close().await;
    drop(one);
    let two = replica(&registry, "two");
    until("the host is away", || is_well(&two) && !shows(&two, "h.a")).await;
    renew(&two, "h2", &["h.a"]).await.unwrap();
    until("the other host has it", || shows(&two, "h.a")).await;
    until("that is away, too", || !shows(&two, "h.a")).await;
    registry.set_away(true);
    let one = start();
    until("the file is read", || shows(&one, "h.a")).await;
    registry.set_away(false);
    until("it is as the other shows it", || is_well(&one) && !shows(&one, "h.a")).await;
    renew(&two, "h2", &[]).await.unwrap();
    until("its host is back", || shows(&one, "h.a")).await;
}

#[tokio::test(start_paused = true)]
async fn a_host_whose_announcement_had_no_answer_is_taken_out_when_it_is_silent() {
    let registry = FakeRegistry::new();
    let one = replica(&registry, "one");
    until("it is loaded", || is_well(&one)).await;
    let hosts = || registry.lock().keys.keys().any(|key| key.starts_with("hosts/h1/"));
    registry.lock().loses_answers = true;
    renew(&one, "h1", &[]).await.unwrap();
    until("it stands in the registry", hosts).await;
    sleep(Duration::from_secs(20)).await;
    registry.lock().loses_answers = false;
    until("it is taken out", || !hosts()).await;
}

#[tokio::test(start_paused = true)]
async fn a_host_whose_removal_had_no_answer_is_announced_when_it_is_back() {
    let registry = FakeRegistry::new();
    let [one, two] = ["one", "two"].map(|id| replica(&registry, id));
    until("both are loaded", || is_well(&one) && is_well(&two)).await;
    let is_announced = || registry.lock().keys.keys().any(|key| key.starts_with("hosts/h1/"));
    renew(&one, "h1", &["h.a"]).await.unwrap();
    until("the other shows it", || shows(&two, "h.a")).await;
    // The answer is lost only after the announcement was acknowledged.
    sleep(Duration::from_secs(1)).await;
    registry.lock().loses_answers = true;
    until("it is removed", || !is_announced()).await;
    // It is back while the removal is tried again.
    let _ = renew(&one, "h1", &[]).await;
    registry.lock().loses_answers = false;
    until("it is announced again", is_announced).await;
    until("both show it", || shows(&one, "h.a") && shows(&two, "h.a")).await;
}

#[tokio::test(start_paused = true)]
async fn names_that_a_lab_cannot_have_are_found_beforehand() {
    let registry = FakeRegistry::new();
    let handle = Handle(Arc::clone(&registry));
    let host = |name: &str, host: &str, owner: Option<&str>| {
        let mut entry = Entry::new(format!("PYRO:{name}@h:1"), BTreeSet::new());
        (entry.host, entry.owner) = (Some(host.into()), owner.map(Arc::from));
        let value = Some(value::write_name(&entry));
        Write { key: format!("names/{name}"), value, expected: None }
    };
    let presence = Write { key: "hosts/there/r".into(), value: Some(vec![1]), expected: None };
    let writes = vec![
        host("a.there", "there", None),
        host("a.there.more", "away", Some("the lab away")),
        host("of_nobody", "away", None),
        host("of_lab", "away", Some("the lab away")),
        host("of_user", "away", Some("ada")),
        host("own", "own", Some("the lab own")),
        presence,
    ];
    handle.commit(writes, None).await.unwrap();
    let names = ["a", "a.there", "of_nobody", "of_lab", "of_user", "own", "new"];
    let of_lab = "of_lab (PYRO:of_lab@h:1, of the lab away, away)".to_owned();
    for (has_access, more) in
        [(true, None), (false, Some("of_user (PYRO:of_user@h:1, of ada, away)"))]
    {
        let taken = taken_by_others(&handle, &names, Some("own"), has_access).await.unwrap();
        let expected = ["a.there (PYRO:a.there@h:1)".to_owned(), of_lab.clone()];
        assert_eq!(taken, Vec::from_iter(expected.into_iter().chain(more.map(str::to_owned))));
    }
    registry.set_away(true);
    taken_by_others(&handle, &names, Some("own"), true).await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_file_that_could_not_be_written_is_written_later() {
    let registry = FakeRegistry::new();
    let file = Arc::new(File::default());
    file.is_full.store(true, Ordering::Relaxed);
    let one = registry.store("one", Some(file.clone()));
    until("it is loaded", || is_well(&one)).await;
    sleep(Duration::from_secs(90)).await;
    file.is_full.store(false, Ordering::Relaxed);
    sleep(Duration::from_secs(90)).await;
    assert_eq!(file.writes.load(Ordering::Relaxed), 1);
}
