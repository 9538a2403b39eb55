//! Searches: names compared with a pattern.
//!
//! Owns where and for how long that is done: apart from everything else, a few searches at a time, each
//! with a deadline, and nobody kept waiting for the names.
//!
//! A search finds the names as they were at one moment. It goes through the names where they are a
//! little at a time, and lets go of them in between; where somebody has changed them meanwhile, all
//! of them are taken out at once. What was taken out serves the next search too, if nothing has
//! changed: see [`Snapshot`].

use std::num::NonZero;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use remote::Exception;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tracing::error;

use crate::nameserver::limits::Budget;
use crate::nameserver::pattern::Pattern;
use crate::nameserver::store::{Entry, Named, Store};

/// Names between two looks at the clock.
const STRIDE: usize = 16;
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

/// The names at one moment, their texts one behind the other: to go through a hundred thousand of
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

    /// The names that match `pattern` at their beginning, as they were at one moment; takes the
    /// time from `budget`. Waiting for a place costs none.
    pub(super) async fn matching(
        &self,
        pattern: String,
        budget: &mut Budget,
    ) -> Result<Vec<Named>, Exception> {
        let searches = self.clone();
        // The semaphore is never closed.
        let place = Arc::clone(&self.places).acquire_owned().await;
        let limit = budget.searching;
        let searching = spawn_blocking(move || {
            let _place = place;
            let started = Instant::now();
            let pattern = Pattern::new(&pattern)?;
            let found = searches.find(&pattern, Clock { started, limit })?;
            Ok::<_, Exception>((found, started.elapsed()))
        });
        let (found, taken) = match searching.await {
            Ok(outcome) => outcome?,
            Err(error) => {
                error!(%error, "a search has panicked, or the nameserver is stopping");
                return Err(Exception::naming_error("the search was broken off"));
            }
        };
        budget.searching = limit.saturating_sub(taken);
        Ok(found)
    }

    fn find(&self, pattern: &Pattern, clock: Clock) -> Result<Vec<Named>, Exception> {
        let revision = self.store.read().revision();
        let last = self.last().clone().filter(|snapshot| snapshot.revision == revision);
        if let Some(snapshot) = last {
            return snapshot.search(pattern, clock);
        }
        // A part of the names is found quickly where they are, and not worth taking all out.
        if !pattern.prefix().is_empty() {
            let mut matcher = pattern.matcher();
            let mut found = Vec::new();
            let compare = |named: (&Arc<str>, &Arc<Entry>)| {
                if matcher.matches(named.0) {
                    found.push((Arc::clone(named.0), Arc::clone(named.1)));
                }
            };
            if go_through(&self.store, pattern.prefix(), clock, compare)?.is_some() {
                return Ok(found);
            }
        }
        let snapshot = Arc::new(Snapshot::take(&self.store, clock)?);
        *self.last() = Some(Arc::clone(&snapshot));
        snapshot.search(pattern, clock)
    }

    fn last(&self) -> MutexGuard<'_, Option<Arc<Snapshot>>> {
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Snapshot {
    /// Takes all names out, if they stay as they are for so long; otherwise at once.
    fn take(store: &Store, clock: Clock) -> Result<Snapshot, Exception> {
        let mut snapshot = Snapshot::default();
        let whole = go_through(store, "", clock, |named| snapshot.add(named))?;
        if let Some(revision) = whole {
            snapshot.revision = revision;
            return Ok(snapshot);
        }
        let names = store.read();
        let mut snapshot = Snapshot { revision: names.revision(), ..Snapshot::default() };
        names.with_prefix("").for_each(|named| snapshot.add(named));
        Ok(snapshot)
    }

    fn add(&mut self, (name, entry): (&Arc<str>, &Arc<Entry>)) {
        self.text.push_str(name);
        self.ends.push(self.text.len());
        self.named.push((Arc::clone(name), Arc::clone(entry)));
    }

    fn search(&self, pattern: &Pattern, clock: Clock) -> Result<Vec<Named>, Exception> {
        let prefix = pattern.prefix();
        let first = self.named.partition_point(|(name, _)| **name < *prefix);
        let begins = first.checked_sub(1).and_then(|before| self.ends.get(before));
        let mut begin = begins.copied().unwrap_or(0);
        let mut matcher = pattern.matcher();
        let mut found = Vec::new();
        let rest = self.ends.iter().zip(&self.named).skip(first);
        for (compared, (&end, named)) in rest.enumerate() {
            if compared % STRIDE == 0 {
                clock.check(compared)?;
            }
            let name = self.text.get(begin..end).unwrap_or_default();
            begin = end;
            if !name.starts_with(prefix) {
                break;
            }
            if matcher.matches(name) {
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

    #[test]
    fn a_search_has_a_deadline() {
        let store = Store::memory();
        register(&store, "a");
        let searches = Searches::new(Arc::new(store));
        // With a prefix, without one, and with what is kept of that.
        for pattern in ["a", ".", "."] {
            let pattern = Pattern::new(pattern).unwrap();
            let with = |limit| searches.find(&pattern, Clock { started: Instant::now(), limit });
            let refused = with(Duration::ZERO).unwrap_err();
            assert_eq!(refused.class, "Pyro5.errors.NamingError");
            assert!(refused.message().contains("took too long"), "{refused}");
            assert_eq!(texts(&with(Duration::MAX).unwrap()), ["a"]);
        }
    }

    #[test]
    fn what_was_kept_of_the_names_is_not_used_when_they_have_changed() {
        let searches = Searches::new(Arc::new(Store::memory()));
        let find = |pattern| {
            let pattern = Pattern::new(pattern).unwrap();
            let clock = Clock { started: Instant::now(), limit: Duration::MAX };
            searches.find(&pattern, clock).unwrap()
        };
        for (name, all, part) in [("b", "b", "b"), ("a", "a b", "b"), ("bc", "a b bc", "b bc")] {
            register(&searches.store, name);
            assert_eq!(texts(&find("b.*")).join(" "), part, "where they are");
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
            let found =
                searches.matching(r".*\.\d+$".into(), &mut Budget::default()).await.unwrap();
            let moved = texts(&found).into_iter().filter(|name| name.starts_with("b.")).count();
            assert_eq!((found.len(), moved), (20_001, 1));
            rounds += 1;
        }
        moving.await.unwrap();
    }
}
