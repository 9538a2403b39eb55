//! Searches: names compared with a pattern.
//!
//! Owns where and for how long that is done: apart from everything else, with nobody kept waiting
//! for the names, a few searches at a time, each with a deadline.

use std::num::NonZero;
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
            let names = directory::list(&store.read(), pattern.prefix());
            let found = search(names, &pattern, started, limit)?;
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

fn search(
    names: Vec<Named>,
    pattern: &Pattern,
    started: Instant,
    limit: Duration,
) -> Result<Vec<Named>, Exception> {
    let mut matcher = pattern.matcher();
    let mut found = Vec::new();
    let all = names.len();
    for (number, named) in names.into_iter().enumerate() {
        if number % STRIDE == 0 && started.elapsed() >= limit {
            return Err(Exception::naming_error(format!(
                "the search took too long: {number} of {all} names were compared with the pattern \
                 when its time was up; ask with a prefix, or with a simpler pattern"
            )));
        }
        if matcher.matches(&named.0) {
            found.push(named);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_has_a_deadline() {
        let names = || {
            let entry = crate::nameserver::store::Entry::new("PYRO:o@h:1".into(), [].into());
            vec![(Arc::from("a"), Arc::new(entry))]
        };
        let pattern = Pattern::new("a").unwrap();
        let now = Instant::now();
        assert_eq!(search(names(), &pattern, now, Duration::MAX).unwrap().len(), 1);
        let refused = search(names(), &pattern, now, Duration::ZERO).unwrap_err();
        assert_eq!(refused.class, "Pyro5.errors.NamingError");
        assert!(refused.message().contains("took too long: 0 of 1 names"), "{refused}");
    }
}
