use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, mpsc};

use super::*;
use crate::directory;
use crate::registry::LastKnownFile;
use crate::store::{Changed, FakeRegistry};

/// Longer than any test runs.
const LONG: Duration = Duration::from_secs(3600);

fn register(store: &Store, name: &str) {
    let uri = "PYRO:o@h:1".to_owned();
    let change = directory::register(name.into(), uri, false, [].into()).unwrap();
    match store.change(change) {
        Changed::Now(outcome) => assert_eq!(outcome, Ok(1)),
        Changed::Later(_) => panic!("names in memory are changed at once"),
    }
}

fn texts(found: &[Named]) -> Vec<&str> {
    found.iter().map(|(name, _)| &**name).collect()
}

fn pattern(text: &str) -> Sought {
    Sought::Pattern(text.into())
}

fn all() -> Sought {
    Sought::Names(Which::Prefix(String::new()))
}

async fn find(
    searches: &Searches,
    sought: Sought,
    limit: Duration,
) -> Result<Vec<Named>, Exception> {
    let mut budget = Budget::default();
    budget.searching = limit;
    searches.find(Among::Shown, sought, &mut budget, |found, _| Ok(found)).await
}

async fn wait_for_permits(permits: &Semaphore, free: usize) {
    let all_are_there = async {
        while permits.available_permits() != free {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), all_are_there).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn costly_patterns_delay_no_list_and_end_with_their_callers() {
    // So many that a search takes far longer than a list, on any machine.
    const NAMES: usize = 40_000;
    let store = Arc::new(Store::memory());
    for number in 0..NAMES {
        register(&store, &format!("{}{number:05}", "a".repeat(900)));
    }
    let searches = Searches::new(store);
    let costly: Vec<_> = (0..PATTERN_PERMITS + 4)
        .map(|_| {
            let searches = searches.clone();
            tokio::spawn(async move { find(&searches, pattern("(.*a.*){40}b"), LONG).await })
        })
        .collect();
    wait_for_permits(&searches.patterns, 0).await;
    assert_eq!(find(&searches, all(), LONG).await.unwrap().len(), NAMES);
    assert!(!costly.iter().any(tokio::task::JoinHandle::is_finished), "they are still at it");
    costly.iter().for_each(tokio::task::JoinHandle::abort);
    wait_for_permits(&searches.patterns, PATTERN_PERMITS).await;
}

#[tokio::test]
async fn a_search_has_a_deadline() {
    let store = Store::memory();
    register(&store, "a");
    let searches = Searches::new(Arc::new(store));
    for sought in [pattern("a"), pattern("."), all()] {
        let refused = find(&searches, sought.clone(), Duration::ZERO).await.unwrap_err();
        assert_eq!(refused.class, "Pyro5.errors.NamingError");
        assert!(refused.message().contains("took too long"), "{refused}");
        assert_eq!(texts(&find(&searches, sought, LONG).await.unwrap()), ["a"]);
    }
}

/// A file of last known names on a disk that hangs: until its sender is dropped.
struct HangingFile {
    begun: AtomicBool,
    end: Mutex<mpsc::Receiver<()>>,
}

impl LastKnownFile for HangingFile {
    fn directory(&self) -> String {
        String::new()
    }

    fn read(&self, _: &mut dyn FnMut(&[u8]) -> Result<(), String>) -> Result<(), String> {
        self.begun.store(true, Ordering::Relaxed);
        self.end.lock().unwrap().recv().map_err(|error| error.to_string())
    }

    fn replace(&self, _: &[u8]) -> Result<(), String> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_among_hidden_names_has_a_deadline() {
    let registry = FakeRegistry::new();
    registry.set_away(true);
    let (end, ended) = mpsc::channel();
    let file = Arc::new(HangingFile { begun: AtomicBool::new(false), end: Mutex::new(ended) });
    let store = Arc::new(registry.store("one", Some(file.clone())));
    // The task that knows the names waits for the disk.
    while !file.begun.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let searches = Searches::new(store);
    let find = async |limit| {
        let mut budget = Budget::default();
        budget.searching = limit;
        searches.find(Among::Hidden, all(), &mut budget, |found, _| Ok(found.len())).await
    };
    let refused = find(Duration::from_millis(50)).await.unwrap_err();
    assert!(refused.message().contains("took too long"), "{refused}");
    drop(end);
    assert_eq!(find(LONG).await, Ok(0));
}

/// A single comparison may take long: the index is not locked meanwhile, and the clock is read
/// between any two names.
#[test]
fn names_are_compared_while_the_index_is_unlocked() {
    let store = Store::memory();
    for number in 0..64 {
        register(&store, &format!("L{number:01000}"));
    }
    let caller = Arc::new(());
    let deadline =
        |limit| Deadline { started: Instant::now(), limit, caller: Arc::downgrade(&caller) };
    let selected = select(copy_names(&store, "L"), &deadline(LONG), |_, _| {
        // This would wait for ever for a locked index.
        register(&store, "another");
        true
    });
    assert_eq!(selected.unwrap().len(), 64);

    let limit = Duration::from_millis(10);
    let deadline = deadline(limit);
    let mut compared = 0;
    let refused = select(copy_names(&store, "L"), &deadline, |_, _| {
        while deadline.started.elapsed() < limit {}
        compared += 1;
        true
    });
    assert!(refused.is_err() && compared <= 1, "{compared} names were compared in vain");
}

#[tokio::test]
async fn tags_are_found_in_the_same_way_wherever_they_are_looked_for() {
    let store = Arc::new(Store::memory());
    for (name, tags) in [("a", &["x", "y"][..]), ("b", &["y"]), ("c", &[]), ("d", &["z"])] {
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        let uri = "PYRO:o@h:1".to_owned();
        store.change(directory::register(name.into(), uri, false, tags).unwrap());
    }
    let tags = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect();
    let cases = [
        (Which::All(tags(&["x", "y"])), "a"),
        (Which::All(tags(&["y"])), "a b"),
        (Which::All(tags(&["y", "w"])), ""),
        (Which::All(tags(&[])), ""),
        (Which::Any(tags(&["x", "z"])), "a d"),
        (Which::Any(tags(&["w"])), ""),
        (Which::Any(tags(&[])), ""),
        (Which::Prefix("c".into()), "c"),
        (Which::Prefix(String::new()), "a b c d"),
    ];
    let searches = Searches::new(Arc::clone(&store));
    for (which, expected) in cases {
        let quick = which.find(&store.read(), 10).unwrap();
        assert_eq!(texts(&quick).join(" "), expected, "{which:?}");
        let found = find(&searches, Sought::Names(which.clone()), LONG).await.unwrap();
        assert_eq!(texts(&found).join(" "), expected, "{which:?} in a search");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_search_finds_was_there_at_one_moment() {
    // One name moves on and on: exactly one of its places is found each time.
    let store = Arc::new(Store::memory());
    for number in 0..20_000 {
        register(&store, &format!("a.{number:05}"));
    }
    register(&store, "b.0");
    let enough = Arc::new(AtomicBool::new(false));
    let moving = {
        let (store, enough) = (Arc::clone(&store), Arc::clone(&enough));
        spawn_blocking(move || {
            let mut moves = 0;
            while !enough.load(Ordering::Relaxed) {
                let from = format!("b.{moves}");
                let to = format!("b.{}", moves + 1);
                let change: crate::store::Change = Box::new(move |names| {
                    names.remove(&from);
                    let uri = "PYRO:o@h:1".to_owned();
                    names.set(&to, Entry::new(uri, [].into()));
                    Ok(1)
                });
                store.change(change);
                moves += 1;
            }
            moves
        })
    };
    let searches = Searches::new(Arc::clone(&store));
    for _ in 0..20 {
        let found = find(&searches, pattern(r".*\.\d+$"), LONG).await.unwrap();
        let moved = texts(&found).into_iter().filter(|name| name.starts_with("b.")).count();
        assert_eq!((found.len(), moved), (20_001, 1));
    }
    enough.store(true, Ordering::Relaxed);
    assert!(moving.await.unwrap() > 20, "it moved meanwhile");
}
