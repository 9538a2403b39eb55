//! Searches: names compared with a pattern, or with tags that many have.
//!
//! Owns where and for how long that is done: apart from everything else, a few searches at a time, each
//! with a deadline, and nobody kept waiting for the names. They take turns: who has a costly pattern
//! keeps nobody waiting for the whole of its time.
//!
//! A search goes through a [`Snapshot`] of the names that it may be about. Where that has all of them,
//! it serves the next search too, if nothing has changed.

use std::num::NonZero;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;
use std::time::Duration;

use remote::Exception;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tracing::error;

use crate::directory::Which;
use crate::limits::Budget;
use crate::pattern::Pattern;
use crate::snapshot::{Chosen, Clock, Selection, Snapshot};
use crate::store::Store;

/// How long a search has its place, while others may wait for one.
const TURN: Duration = Duration::from_millis(50);
/// Searches that wait for their next turn, with the names that they are about.
const UNFINISHED: usize = 16;

/// The way to search. Cheap to clone; clones share their places.
#[derive(Clone)]
pub(crate) struct Searches {
    store: Arc<Store>,
    places: Arc<Semaphore>,
    /// For searches that have not come to their end in one turn: what they have found so far, and the
    /// names that it is from, take room.
    unfinished: Arc<Semaphore>,
    /// The last one that was made.
    snapshot: Arc<Mutex<Option<Arc<Snapshot>>>>,
}

/// What is looked for.
#[derive(Clone)]
pub(crate) enum Sought {
    /// Names that match this at their beginning.
    Pattern(String),
    Names(Which),
}

/// A search that has had a turn.
struct Begun {
    test: Test,
    snapshot: Arc<Snapshot>,
    chosen: Chosen,
}

/// What came of a turn.
enum Turn<T, F> {
    Done(T, Budget),
    More(Begun, Budget, F),
}

/// The same, ready to be compared with.
enum Test {
    Pattern(Pattern),
    Names(Which),
}

impl Searches {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        // More at a time would only take each other's time.
        let places = available_parallelism().map_or(1, NonZero::get);
        let semaphore = |count| Arc::new(Semaphore::new(count));
        let (places, unfinished) = (semaphore(places), semaphore(UNFINISHED));
        Searches { store, places, unfinished, snapshot: Arc::default() }
    }

    /// The names that are sought, as they were at one moment, handed to `then`; takes the time from
    /// `budget`. Waiting for a place costs none.
    pub(crate) async fn find<T: Send + 'static>(
        &self,
        sought: Sought,
        budget: &mut Budget,
        then: impl FnOnce(Selection, &mut Budget) -> Result<T, Exception> + Send + 'static,
    ) -> Result<T, Exception> {
        let mut left = std::mem::take(budget);
        let mut then = then;
        let mut begun: Option<Begun> = None;
        let mut room: Option<OwnedSemaphorePermit> = None;
        loop {
            let sought = sought.clone();
            let turn = move |searches: &Searches| {
                let clock = Clock::new(left.searching, TURN);
                let mut begun = match begun {
                    Some(begun) => begun,
                    None => searches.begin(Test::new(sought)?, clock)?,
                };
                let is_done = begun.go_on(clock)?;
                left.searching = left.searching.saturating_sub(clock.started.elapsed());
                if !is_done {
                    return Ok(Turn::More(begun, left, then));
                }
                let made = then(begun.into_selection(), &mut left)?;
                Ok(Turn::Done(made, left))
            };
            match self.apart(turn).await? {
                Turn::Done(made, left) => {
                    *budget = left;
                    return Ok(made);
                }
                Turn::More(unfinished, rest, next) => {
                    (left, then) = (rest, next);
                    begun = Some(unfinished);
                }
            }
            if room.is_none() {
                room = Arc::clone(&self.unfinished).try_acquire_owned().ok();
            }
            if room.is_none() {
                // It begins anew when there is room for what it has to keep between its turns.
                let kept = begun.take();
                let _ = spawn_blocking(move || drop(kept)).await;
                // The semaphore is never closed.
                room = Arc::clone(&self.unfinished).acquire_owned().await.ok();
            }
        }
    }

    /// Does something when there is a place, where it keeps nobody waiting.
    pub(crate) async fn apart<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Searches) -> Result<T, Exception> + Send + 'static,
    ) -> Result<T, Exception> {
        let searches = self.clone();
        // The semaphore is never closed.
        let place = Arc::clone(&self.places).acquire_owned().await;
        let working = spawn_blocking(move || {
            let _place = place;
            work(&searches)
        });
        working.await.unwrap_or_else(|error| {
            error!(%error, "a search has panicked, or the nameserver is stopping");
            Err(Exception::naming_error("the search was broken off"))
        })
    }

    fn begin(&self, test: Test, clock: Clock) -> Result<Begun, Exception> {
        let snapshot = self.snapshot(&test, clock)?;
        Ok(Begun { test, snapshot, chosen: Chosen::default() })
    }

    /// The names as they are now, or those with the prefix of all that are sought.
    fn snapshot(&self, test: &Test, clock: Clock) -> Result<Arc<Snapshot>, Exception> {
        let revision = self.store.read().revision();
        let last = {
            let mut last = self.last();
            // One that is out of date only keeps names that may be gone.
            *last = last.take().filter(|snapshot| snapshot.revision == revision);
            last.clone()
        };
        if let Some(snapshot) = last {
            return Ok(snapshot);
        }
        let snapshot = Arc::new(Snapshot::take(&self.store, test.prefix(), clock)?);
        if test.prefix().is_empty() {
            *self.last() = Some(Arc::clone(&snapshot));
        }
        Ok(snapshot)
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

impl Begun {
    /// Goes on for a turn; whether it has come to the end.
    fn go_on(&mut self, clock: Clock) -> Result<bool, Exception> {
        let Begun { test, snapshot, chosen } = self;
        match test {
            Test::Names(which) => {
                snapshot.choose(which.prefix(), clock, chosen, |_, entry| which.is(entry))
            }
            Test::Pattern(pattern) => {
                snapshot.choose(pattern.prefix(), clock, chosen, |name, _| pattern.matches(name))
            }
        }
    }

    fn into_selection(self) -> Selection {
        Selection { snapshot: self.snapshot, chosen: self.chosen.numbers }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory;
    use crate::store::Changed;

    fn register(store: &Store, name: &str) {
        let uri = "PYRO:o@h:1".to_owned();
        let change = directory::register(name.into(), uri, false, [].into()).unwrap();
        match store.change(change) {
            Changed::Now(outcome) => assert_eq!(outcome, Ok(1)),
            Changed::Later(_) => panic!("names in memory are changed at once"),
        }
    }

    fn texts(found: &Selection) -> Vec<&str> {
        found.iter().map(|(name, ..)| name).collect()
    }

    fn pattern(text: &str) -> Sought {
        Sought::Pattern(text.into())
    }

    fn compare(
        searches: &Searches,
        sought: &Sought,
        limit: Duration,
    ) -> Result<Selection, Exception> {
        let clock = Clock::new(limit, Duration::MAX);
        let mut begun = searches.begin(Test::new(sought.clone())?, clock)?;
        assert!(begun.go_on(clock)?);
        Ok(begun.into_selection())
    }

    /// Costly patterns have turns, and others have theirs in between.
    #[tokio::test(flavor = "multi_thread")]
    async fn costly_searches_keep_nobody_from_a_list() {
        // So many that a search takes far more than one turn, on any machine.
        const NAMES: usize = 40_000;
        let store = Arc::new(Store::memory());
        for number in 0..NAMES {
            register(&store, &format!("{}{number:05}", "a".repeat(900)));
        }
        let searches = Searches::new(store);
        // More than there is room for between two turns.
        let costly: Vec<_> = (0..UNFINISHED + 4)
            .map(|_| {
                let searches = searches.clone();
                tokio::spawn(async move {
                    let sought = pattern("(.*a.*){40}b");
                    let mut budget = Budget::default();
                    budget.searching = LONG;
                    searches.find(sought, &mut budget, |found, _| Ok(found.len())).await
                })
            })
            .collect();
        let all_have_begun = async {
            while searches.unfinished.available_permits() > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(120), all_have_begun).await.unwrap();
        let sought = Sought::Names(Which::Prefix(String::new()));
        let mut budget = Budget::default();
        let all = searches.find(sought, &mut budget, |found, _| Ok(found.len())).await;
        assert_eq!(all, Ok(NAMES));
        assert!(!costly.iter().any(tokio::task::JoinHandle::is_finished), "they are still at it");
        costly.iter().for_each(tokio::task::JoinHandle::abort);
    }

    /// Longer than any test runs.
    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn a_search_has_a_deadline() {
        let store = Store::memory();
        register(&store, "a");
        let searches = Searches::new(Arc::new(store));
        // With a prefix, without one, and with what is kept of that.
        let all = || Sought::Names(Which::Prefix(String::new()));
        for sought in [pattern("a"), pattern("."), pattern("."), all()] {
            let with = |limit| compare(&searches, &sought, limit);
            let refused = with(Duration::ZERO).unwrap_err();
            assert_eq!(refused.class, "Pyro5.errors.NamingError");
            assert!(refused.message().contains("took too long"), "{refused}");
            assert_eq!(texts(&with(Duration::MAX).unwrap()), ["a"]);
        }
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
            let quick: Vec<&str> = quick.iter().map(|(name, _)| &**name).collect();
            assert_eq!(quick.join(" "), expected, "{which:?}");
            let found = compare(&searches, &Sought::Names(which.clone()), Duration::MAX).unwrap();
            assert_eq!(texts(&found).join(" "), expected, "{which:?} in a snapshot");
        }
    }

    #[test]
    fn what_was_kept_of_the_names_is_not_used_when_they_have_changed() {
        let searches = Searches::new(Arc::new(Store::memory()));
        let find = |text| compare(&searches, &pattern(text), Duration::MAX).unwrap();
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
                    let change: crate::store::Change = Box::new(move |names| {
                        names.remove(&from);
                        let uri = "PYRO:o@h:1".to_owned();
                        names.set(&to, crate::store::Entry::new(uri, [].into()));
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
