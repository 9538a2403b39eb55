//! Searches: names compared with a pattern.
//!
//! Owns where and for how long that is done: apart from everything else, a few searches at a time, each
//! with a deadline, and nobody kept waiting for the names.
//!
//! A search finds the names as they were at one moment. It looks through them a little at a time,
//! and lets go of them in between; where somebody has changed them meanwhile, it begins again with
//! all of them taken out, which takes about twice as long.

use std::num::NonZero;
use std::ops::Bound;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use remote::Exception;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tracing::error;

use crate::nameserver::directory;
use crate::nameserver::limits::Budget;
use crate::nameserver::pattern::Pattern;
use crate::nameserver::store::{Named, Store};

/// Names between two looks at the clock.
const STRIDE: usize = 16;
/// Whoever wants to change names waits for so long at most.
const HELD: Duration = Duration::from_millis(1);

/// The way to search. Cheap to clone; clones share their places.
#[derive(Clone)]
pub(super) struct Searches {
    store: Arc<Store>,
    places: Arc<Semaphore>,
}

impl Searches {
    pub(super) fn new(store: Arc<Store>) -> Self {
        // More at a time would only take each other's time.
        let places = available_parallelism().map_or(1, NonZero::get);
        Searches { store, places: Arc::new(Semaphore::new(places)) }
    }

    /// The names that match `pattern` at their beginning, as they were at one moment; takes the
    /// time from `budget`. Waiting for a place costs none.
    pub(super) async fn matching(
        &self,
        pattern: String,
        budget: &mut Budget,
    ) -> Result<Vec<Named>, Exception> {
        let store = Arc::clone(&self.store);
        // The semaphore is never closed.
        let place = Arc::clone(&self.places).acquire_owned().await;
        let limit = budget.searching;
        let searching = spawn_blocking(move || {
            let _place = place;
            let started = Instant::now();
            let pattern = Pattern::new(&pattern)?;
            let found = match look_through(&store, &pattern, started, limit)? {
                Some(found) => found,
                None => {
                    let names = directory::list(&store.read(), pattern.prefix());
                    search(names, &pattern, started, limit)?
                }
            };
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
}

/// Compares names where they are; `None` when somebody has changed them meanwhile.
fn look_through(
    store: &Store,
    pattern: &Pattern,
    started: Instant,
    limit: Duration,
) -> Result<Option<Vec<Named>>, Exception> {
    let mut matcher = pattern.matcher();
    let mut found = Vec::new();
    let mut last: Option<Arc<str>> = None;
    let mut revision = None;
    let mut compared = 0;
    loop {
        check_time(started, limit, compared)?;
        let names = store.read();
        if *revision.get_or_insert(names.revision()) != names.revision() {
            return Ok(None);
        }
        let held = Instant::now();
        let first = last.as_deref().map_or(Bound::Included(pattern.prefix()), Bound::Excluded);
        let mut stopped_at = None;
        for (name, entry) in names.with_prefix_from(pattern.prefix(), first) {
            if matcher.matches(name) {
                found.push((Arc::clone(name), Arc::clone(entry)));
            }
            compared += 1;
            if compared % STRIDE == 0 && held.elapsed() >= HELD {
                stopped_at = Some(Arc::clone(name));
                break;
            }
        }
        drop(names);
        if stopped_at.is_none() {
            return Ok(Some(found));
        }
        last = stopped_at;
    }
}

/// Compares names that were taken out.
fn search(
    names: Vec<Named>,
    pattern: &Pattern,
    started: Instant,
    limit: Duration,
) -> Result<Vec<Named>, Exception> {
    let mut matcher = pattern.matcher();
    let mut found = Vec::new();
    for (compared, named) in names.into_iter().enumerate() {
        if compared % STRIDE == 0 {
            check_time(started, limit, compared)?;
        }
        if matcher.matches(&named.0) {
            found.push(named);
        }
    }
    Ok(found)
}

fn check_time(started: Instant, limit: Duration, compared: usize) -> Result<(), Exception> {
    if started.elapsed() < limit {
        return Ok(());
    }
    Err(Exception::naming_error(format!(
        "the search took too long: {compared} names were compared with the pattern when its time \
         was up; ask with a prefix, or with a simpler pattern"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
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
        let pattern = Pattern::new("a").unwrap();
        let now = Instant::now();
        for limit in [Duration::MAX, Duration::ZERO] {
            let named = directory::list(&store.read(), "");
            let outcomes = [
                look_through(&store, &pattern, now, limit).map(|found| found.unwrap()),
                search(named, &pattern, now, limit),
            ];
            for outcome in outcomes {
                match outcome {
                    Ok(found) => assert_eq!((texts(&found), limit), (vec!["a"], Duration::MAX)),
                    Err(refused) => {
                        assert_eq!(refused.class, "Pyro5.errors.NamingError");
                        assert!(refused.message().contains("took too long"), "{refused}");
                        assert_eq!(limit, Duration::ZERO);
                    }
                }
            }
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
