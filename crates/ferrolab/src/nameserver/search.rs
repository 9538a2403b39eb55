//! Searches: names compared with a pattern, or with tags that many have.
//!
//! Owns where and for how long that is done: apart from everything else, a few searches at a time, each
//! with a deadline, and nobody kept waiting for the names.
//!
//! A search finds the names as they were at one moment. It takes out those that it may be about, a
//! little at a time, and lets go of the names in between; where somebody has changed them meanwhile,
//! all at once. They are compared when nobody waits for them any more, since a single comparison may
//! take long. Where all were taken out, that serves the next search too, if nothing has changed:
//! see [`Snapshot`].

use std::num::NonZero;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use remote::Exception;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tracing::error;

use crate::nameserver::directory::Which;
use crate::nameserver::limits::Budget;
use crate::nameserver::pattern::Pattern;
use crate::nameserver::store::{Entry, Named, Store};

/// Names between two looks at the clock.
const STRIDE: usize = 16;
/// Bytes of names between two looks at the clock: a costly pattern takes its time for each.
const STRIDE_BYTES: usize = 1024;
/// Whoever wants to change names waits for so long at most.
const HELD: Duration = Duration::from_millis(1);

/// The way to search. Cheap to clone; clones share their places.
#[derive(Clone)]
pub(super) struct Searches {
    store: Arc<Store>,
    places: Arc<Semaphore>,
    /// The last one that was made.
    snapshot: Arc<Mutex<Option<Arc<Snapshot>>>>,
}

/// What is looked for.
pub(super) enum Sought {
    /// Names that match this at their beginning.
    Pattern(String),
    Names(Which),
}

/// The same, ready to be compared with.
enum Test {
    Pattern(Pattern),
    Names(Which),
}

/// The names at one moment, or those with some prefix, their texts one behind the other: to go through a hundred thousand of
/// them where they are is to wait for the memory a hundred thousand times, which takes longer than
/// to compare them.
#[derive(Default)]
struct Snapshot {
    revision: u64,
    text: String,
    /// Where each name ends in the text, in the order of names.
    ends: Vec<usize>,
    named: Vec<Named>,
}

impl Searches {
    pub(super) fn new(store: Arc<Store>) -> Self {
        // More at a time would only take each other's time.
        let places = available_parallelism().map_or(1, NonZero::get);
        Searches { store, places: Arc::new(Semaphore::new(places)), snapshot: Arc::default() }
    }

    /// The names that are sought, as they were at one moment, handed to `then`; takes the time from
    /// `budget`. Waiting for a place costs none.
    pub(super) async fn find<T: Send + 'static>(
        &self,
        sought: Sought,
        budget: &mut Budget,
        then: impl FnOnce(Vec<Named>, &mut Budget) -> Result<T, Exception> + Send + 'static,
    ) -> Result<T, Exception> {
        let searches = self.clone();
        // The semaphore is never closed.
        let place = Arc::clone(&self.places).acquire_owned().await;
        let mut left = std::mem::take(budget);
        let searching = spawn_blocking(move || {
            let _place = place;
            let started = Instant::now();
            let test = Test::new(sought)?;
            let found = searches.compare(&test, Clock { started, limit: left.searching })?;
            left.searching = left.searching.saturating_sub(started.elapsed());
            let made = then(found, &mut left)?;
            Ok::<_, Exception>((made, left))
        });
        let (made, left) = match searching.await {
            Ok(outcome) => outcome?,
            Err(error) => {
                error!(%error, "a search has panicked, or the nameserver is stopping");
                return Err(Exception::naming_error("the search was broken off"));
            }
        };
        *budget = left;
        Ok(made)
    }

    fn compare(&self, test: &Test, clock: Clock) -> Result<Vec<Named>, Exception> {
        let revision = self.store.read().revision();
        let last = self.last().clone().filter(|snapshot| snapshot.revision == revision);
        if let Some(snapshot) = last {
            return snapshot.search(test, clock);
        }
        let snapshot = Arc::new(Snapshot::take(&self.store, test.prefix(), clock)?);
        if test.prefix().is_empty() {
            *self.last() = Some(Arc::clone(&snapshot));
        }
        snapshot.search(test, clock)
    }

    fn last(&self) -> MutexGuard<'_, Option<Arc<Snapshot>>> {
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Test {
    fn new(sought: Sought) -> Result<Test, Exception> {
        Ok(match sought {
            Sought::Pattern(pattern) => Test::Pattern(Pattern::new(&pattern)?),
            Sought::Names(which) => Test::Names(which),
        })
    }

    fn prefix(&self) -> &str {
        match self {
            Test::Pattern(pattern) => pattern.prefix(),
            Test::Names(which) => which.prefix(),
        }
    }
}

impl Snapshot {
    /// Takes the names with a prefix out, a little at a time if they stay as they are for so long;
    /// otherwise at once.
    fn take(store: &Store, prefix: &str, clock: Clock) -> Result<Snapshot, Exception> {
        let mut snapshot = Snapshot::default();
        let whole = go_through(store, prefix, clock, |named| snapshot.add(named))?;
        if let Some(revision) = whole {
            snapshot.revision = revision;
            return Ok(snapshot);
        }
        let names = store.read();
        let mut snapshot = Snapshot { revision: names.revision(), ..Snapshot::default() };
        names.with_prefix(prefix).for_each(|named| snapshot.add(named));
        Ok(snapshot)
    }

    fn add(&mut self, (name, entry): (&Arc<str>, &Arc<Entry>)) {
        self.text.push_str(name);
        self.ends.push(self.text.len());
        self.named.push((Arc::clone(name), Arc::clone(entry)));
    }

    fn search(&self, test: &Test, clock: Clock) -> Result<Vec<Named>, Exception> {
        match test {
            Test::Names(which) => self.choose(which.prefix(), clock, |_, entry| which.is(entry)),
            Test::Pattern(pattern) => {
                let mut matcher = pattern.matcher();
                self.choose(pattern.prefix(), clock, |name, _| matcher.matches(name))
            }
        }
    }

    /// Those of the names with a prefix that are wanted.
    fn choose(
        &self,
        prefix: &str,
        clock: Clock,
        mut is_wanted: impl FnMut(&str, &Entry) -> bool,
    ) -> Result<Vec<Named>, Exception> {
        let first = self.named.partition_point(|(name, _)| **name < *prefix);
        let begins = first.checked_sub(1).and_then(|before| self.ends.get(before));
        let mut begin = begins.copied().unwrap_or(0);
        let mut looked_at = begin;
        let mut found = Vec::new();
        let rest = self.ends.iter().zip(&self.named).skip(first);
        for (compared, (&end, named)) in rest.enumerate() {
            if compared % STRIDE == 0 || end - looked_at >= STRIDE_BYTES {
                clock.check(compared)?;
                looked_at = end;
            }
            let name = self.text.get(begin..end).unwrap_or_default();
            begin = end;
            if !name.starts_with(prefix) {
                break;
            }
            if is_wanted(name, &named.1) {
                found.push(named.clone());
            }
        }
        Ok(found)
    }
}

/// Shows `visit` the names that begin with `prefix`, as they were at one moment; nobody waits long
/// for them. Returns their revision, or `None` when somebody has changed them before the end.
fn go_through(
    store: &Store,
    prefix: &str,
    clock: Clock,
    mut visit: impl FnMut((&Arc<str>, &Arc<Entry>)),
) -> Result<Option<u64>, Exception> {
    let mut last: Option<Arc<str>> = None;
    let mut revision = None;
    let mut seen = 0;
    loop {
        clock.check(seen)?;
        let names = store.read();
        let revision = *revision.get_or_insert(names.revision());
        if revision != names.revision() {
            return Ok(None);
        }
        let held = Instant::now();
        let first = last.as_deref().map_or(Bound::Included(prefix), Bound::Excluded);
        let mut stopped_at = None;
        for named in names.with_prefix_from(prefix, first) {
            visit(named);
            seen += 1;
            if seen % STRIDE == 0 && held.elapsed() >= HELD {
                stopped_at = Some(Arc::clone(named.0));
                break;
            }
        }
        drop(names);
        if stopped_at.is_none() {
            return Ok(Some(revision));
        }
        last = stopped_at;
    }
}

/// The time that a search has.
#[derive(Clone, Copy)]
struct Clock {
    started: Instant,
    limit: Duration,
}

impl Clock {
    fn check(self, seen: usize) -> Result<(), Exception> {
        if self.started.elapsed() < self.limit {
            return Ok(());
        }
        Err(Exception::naming_error(format!(
            "the search took too long: {seen} names were looked at when its time was up; ask with a \
             prefix, or with a simpler pattern"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nameserver::directory;
    use crate::nameserver::store::Changed;

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

    fn pattern(pattern: &str) -> Test {
        Test::Pattern(Pattern::new(pattern).unwrap())
    }

    #[test]
    fn a_search_has_a_deadline() {
        let store = Store::memory();
        register(&store, "a");
        let searches = Searches::new(Arc::new(store));
        // With a prefix, without one, and with what is kept of that.
        let all = || Test::Names(Which::Prefix(String::new()));
        for test in [pattern("a"), pattern("."), pattern("."), all()] {
            let with = |limit| searches.compare(&test, Clock { started: Instant::now(), limit });
            let refused = with(Duration::ZERO).unwrap_err();
            assert_eq!(refused.class, "Pyro5.errors.NamingError");
            assert!(refused.message().contains("took too long"), "{refused}");
            assert_eq!(texts(&with(Duration::MAX).unwrap()), ["a"]);
        }
    }

    /// Each comparison may take long: they are made when nobody waits for the names, and the clock
    /// is looked at between any two long names.
    #[test]
    fn names_are_let_go_before_they_are_compared() {
        let store = Arc::new(Store::memory());
        for number in 0..64 {
            register(&store, &format!("L{number:01000}"));
        }
        let clock = Clock { started: Instant::now(), limit: Duration::MAX };
        let snapshot = Snapshot::take(&store, "L", clock).unwrap();
        let mut compared = 0;
        let whole = snapshot.choose("L", clock, |_, _| {
            // This would wait for ever where the names were held.
            register(&store, "another");
            compared += 1;
            true
        });
        assert_eq!((whole.unwrap().len(), compared), (64, 64));

        let limit = Duration::from_millis(10);
        let clock = Clock { started: Instant::now(), limit };
        let mut compared = 0;
        let refused = snapshot.choose("L", clock, |_, _| {
            while clock.started.elapsed() < limit {}
            compared += 1;
            true
        });
        assert!(refused.is_err() && compared <= 2, "{compared} names were compared in vain");
    }

    #[test]
    fn tags_are_found_in_the_same_way_wherever_they_are_looked_for() {
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
            let clock = Clock { started: Instant::now(), limit: Duration::MAX };
            let found = searches.compare(&Test::Names(which.clone()), clock).unwrap();
            assert_eq!(texts(&found).join(" "), expected, "{which:?} in a snapshot");
        }
    }

    #[test]
    fn what_was_kept_of_the_names_is_not_used_when_they_have_changed() {
        let searches = Searches::new(Arc::new(Store::memory()));
        let find = |text| {
            let clock = Clock { started: Instant::now(), limit: Duration::MAX };
            searches.compare(&pattern(text), clock).unwrap()
        };
        for (name, all, part) in [("b", "b", "b"), ("a", "a b", "b"), ("bc", "a b bc", "b bc")] {
            register(&searches.store, name);
            assert_eq!(texts(&find("b.*")).join(" "), part, "a part, taken out");
            assert_eq!(texts(&find(".*")).join(" "), all, "taken out");
            assert_eq!(texts(&find("\\w*$")).join(" "), all, "kept");
            assert_eq!(texts(&find("b.*")).join(" "), part, "a part of what was kept");
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
        let moving = {
            let store = Arc::clone(&store);
            tokio::task::spawn_blocking(move || {
                for number in 0..3000 {
                    let from = format!("b.{number}");
                    let to = format!("b.{}", number + 1);
                    let change: crate::nameserver::store::Change = Box::new(move |names| {
                        names.remove(&from);
                        let uri = "PYRO:o@h:1".to_owned();
                        names.set(&to, crate::nameserver::store::Entry::new(uri, [].into()));
                        Ok(1)
                    });
                    store.change(change);
                    std::thread::yield_now();
                }
            })
        };
        let searches = Searches::new(Arc::clone(&store));
        let mut rounds = 0;
        while !moving.is_finished() || rounds == 0 {
            let sought = Sought::Pattern(r".*\.\d+$".into());
            let found = searches.find(sought, &mut Budget::default(), |found, _| Ok(found)).await;
            let found = found.unwrap();
            let moved = texts(&found).into_iter().filter(|name| name.starts_with("b.")).count();
            assert_eq!((found.len(), moved), (20_001, 1));
            rounds += 1;
        }
        moving.await.unwrap();
    }
}
