//! Searches and large answers on blocking threads.
//!
//! A search copies the names that it may be about and compares the copies: lookups and changes
//! never wait for a comparison. Each search has a deadline, and ends when its caller is gone.
//! Patterns may be costly, so they have other permits than lists: a list never waits for a pattern.

use std::num::NonZero;
use std::ops::Bound;
use std::sync::{Arc, Weak};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use remote::Exception;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::error;

use crate::directory::Which;
use crate::limits::Budget;
use crate::pattern::Pattern;
use crate::store::{Entry, Named, Store};

/// Searches by pattern at the same time. More than there are cores, so that the operating system
/// divides their time between costly ones and cheap ones.
const PATTERN_PERMITS: usize = 16;
/// Names that are copied while the index is locked once: some hundred microseconds.
const COPIED_AT_ONCE: usize = 4096;

/// Permits and threads for searches. Clones share the permits.
#[derive(Clone)]
pub(crate) struct Searches {
    store: Arc<Store>,
    patterns: Arc<Semaphore>,
    lists: Arc<Semaphore>,
}

/// Names among which a search looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Among {
    /// Names that every client is shown.
    Shown,
    /// Names of a shared directory that are hidden because their hosts are away.
    Hidden,
}

/// Names that a search looks for.
#[derive(Clone)]
pub(crate) enum Sought {
    /// Names that match a pattern at their beginning.
    Pattern(String),
    Names(Which),
}

impl Searches {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        let cores = available_parallelism().map_or(1, NonZero::get);
        Searches {
            store,
            patterns: Arc::new(Semaphore::new(PATTERN_PERMITS)),
            lists: Arc::new(Semaphore::new(cores)),
        }
    }

    /// Finds names as they were at one moment, and hands them to `then` on the same thread. The
    /// search takes its time from `budget`; waiting for a permit takes none.
    pub(crate) async fn find<T: Send + 'static>(
        &self,
        among: Among,
        sought: Sought,
        budget: &mut Budget,
        then: impl FnOnce(Vec<Named>, &mut Budget) -> Result<T, Exception> + Send + 'static,
    ) -> Result<T, Exception> {
        let store = Arc::clone(&self.store);
        let permits = match sought {
            Sought::Pattern(_) => &self.patterns,
            Sought::Names(_) => &self.lists,
        };
        // Dropped with this future.
        let waiting = Arc::new(());
        let caller = Arc::downgrade(&waiting);
        let mut left = std::mem::take(budget);
        let search = move || {
            let deadline = Deadline { started: Instant::now(), limit: left.searching, caller };
            let found = sought.find(among, &store, &deadline)?;
            left.searching = left.searching.saturating_sub(deadline.started.elapsed());
            let made = then(found, &mut left)?;
            Ok((made, left))
        };
        let (made, left) = run_blocking(permits, search).await?;
        *budget = left;
        Ok(made)
    }

    /// Runs work for a list or a large answer on a blocking thread.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Exception> + Send + 'static,
    ) -> Result<T, Exception> {
        run_blocking(&self.lists, work).await
    }
}

async fn run_blocking<T: Send + 'static>(
    permits: &Arc<Semaphore>,
    work: impl FnOnce() -> Result<T, Exception> + Send + 'static,
) -> Result<T, Exception> {
    // The semaphore is never closed.
    let permit = Arc::clone(permits).acquire_owned().await;
    let working = spawn_blocking(move || {
        let _permit = permit;
        work()
    });
    working.await.unwrap_or_else(|error| {
        error!(%error, "a search has panicked, or the nameserver is stopping");
        Err(Exception::naming_error("the search was broken off"))
    })
}

impl Sought {
    fn find(
        self,
        among: Among,
        store: &Store,
        deadline: &Deadline,
    ) -> Result<Vec<Named>, Exception> {
        match self {
            Sought::Pattern(pattern) => {
                let pattern = Pattern::new(&pattern)?;
                let names = among.copy_names(store, pattern.prefix(), deadline)?;
                select(names, deadline, |name, _| pattern.matches(name))
            }
            Sought::Names(which) => {
                let names = among.copy_names(store, which.prefix(), deadline)?;
                select(names, deadline, |_, entry| which.is(entry))
            }
        }
    }
}

impl Among {
    /// Those of the names that have a prefix.
    fn copy_names(
        self,
        store: &Store,
        prefix: &str,
        deadline: &Deadline,
    ) -> Result<Vec<Named>, Exception> {
        match self {
            Among::Shown => Ok(copy_names(store, prefix)),
            // The caller has a permit, and a thread that may wait for the task with those names.
            Among::Hidden => Handle::current()
                .block_on(async { timeout(deadline.left(), store.hidden(prefix)).await })
                .map_err(|_| deadline.passed(0)),
        }
    }
}

/// The names with a prefix, as they were at one moment. The index is locked for a few names at a
/// time; names that change meanwhile are copied anew, all at once.
fn copy_names(store: &Store, prefix: &str) -> Vec<Named> {
    let mut copied: Vec<Named> = Vec::new();
    let mut revision = None;
    loop {
        let last = copied.last().map(|(name, _)| Arc::clone(name));
        let names = store.read();
        let (first, most) = match (last.as_deref(), revision) {
            (Some(last), Some(revision)) if revision == names.revision() => {
                (Bound::Excluded(last), COPIED_AT_ONCE)
            }
            (None, _) => (Bound::Included(prefix), COPIED_AT_ONCE),
            _ => {
                copied.clear();
                (Bound::Included(prefix), usize::MAX)
            }
        };
        revision = Some(names.revision());
        let before = copied.len();
        let named = names.with_prefix_from(prefix, first).take(most);
        copied.extend(named.map(|(name, entry)| (Arc::clone(name), Arc::clone(entry))));
        if copied.len() - before < most {
            return copied;
        }
    }
}

/// The names that are wanted.
fn select(
    names: Vec<Named>,
    deadline: &Deadline,
    mut is_wanted: impl FnMut(&str, &Entry) -> bool,
) -> Result<Vec<Named>, Exception> {
    let mut selected = Vec::new();
    for (number, named) in names.into_iter().enumerate() {
        deadline.check(number)?;
        if is_wanted(&named.0, &named.1) {
            selected.push(named);
        }
    }
    Ok(selected)
}

/// The time that a search has.
struct Deadline {
    started: Instant,
    limit: Duration,
    /// Alive while the caller waits.
    caller: Weak<()>,
}

impl Deadline {
    fn check(&self, compared: usize) -> Result<(), Exception> {
        if self.started.elapsed() < self.limit && self.caller.strong_count() > 0 {
            return Ok(());
        }
        Err(self.passed(compared))
    }

    fn left(&self) -> Duration {
        self.limit.saturating_sub(self.started.elapsed())
    }

    /// The error of a search that has compared so many names.
    fn passed(&self, compared: usize) -> Exception {
        Exception::naming_error(format!(
            "the search took too long: {compared} names were looked at when its time was up; ask \
             with a prefix, or with a simpler pattern"
        ))
    }
}

#[cfg(test)]
mod tests;
