//! Leases: names of Ferrolab's own daemons lapse when nobody renews them.
//!
//! A daemon that dies cannot remove its names, and a host that is cut off cannot tell anybody. So
//! our daemons renew theirs with `method`, and [`run`] removes what was not renewed in time.
//! Names that are registered in Pyro5's way have no lease and stay until they are removed.
//!
//! In a directory that several nameservers share, a daemon may have gone over to another one: it is
//! asked before its names are removed. No lease ends while the directory's registry is away.

mod method;
#[cfg(test)]
mod tests;

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use remote::Uri;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use crate::directory::drop_if_still;
use crate::liveness::{Verdict, ask_all, on_this_host};
use crate::store::{Entry, Named, Store};

pub(crate) use method::{HOST_METHOD, METHOD, renew};

/// The least time between two passes.
const SHORTEST_PAUSE: Duration = Duration::from_millis(250);
/// The most: of a process that was stopped, only the time beyond the pause is noticed.
const MAX_COUNTED_PAUSE: Duration = Duration::from_secs(1);

/// A pass that is later than this finds a process that was stopped or starved, and took no renewals
/// meanwhile.
const LATE: Duration = Duration::from_secs(1);

/// Names that a pass looks at while the index is locked: some hundred microseconds.
const LOOKED_AT_ONCE: usize = 1000;

/// Names in a line of the log, at most.
const MAX_NAMES_LOGGED: usize = 5;

/// Removes names whose lease has ended, for ever.
pub async fn run(store: Arc<Store>) {
    let mut next = Instant::now() + MAX_COUNTED_PAUSE;
    let mut was_stale = false;
    loop {
        sleep_until(next).await;
        let now = Instant::now();
        if store.is_stale() {
            // Renewals are refused, and names cannot be removed, until the registry is back.
            was_stale = true;
            next = now + SHORTEST_PAUSE;
            continue;
        }
        let delay = now.saturating_duration_since(next);
        if delay > LATE {
            info!(seconds = delay.as_secs(), "the nameserver did not run; all leases begin anew");
        }
        if std::mem::take(&mut was_stale) || delay > LATE {
            renew_all(&store);
        }
        let (ended, first_deadline) = find_ended(&store, now).await;
        if !ended.is_empty() {
            remove(&store, keep_answering(ended).await).await;
        }
        let now = Instant::now();
        let latest = now + MAX_COUNTED_PAUSE;
        next = first_deadline.unwrap_or(latest).clamp(now + SHORTEST_PAUSE, latest);
    }
}

fn renew_all(store: &Store) {
    for (_, entry) in store.read().leased() {
        if let Some(lease) = &entry.lease {
            lease.renew();
        }
    }
}

/// The names whose lease has ended, and when the next one does. Looks at a few at a time: lookups
/// come between.
async fn find_ended(store: &Store, now: Instant) -> (Vec<Named>, Option<Instant>) {
    let mut ended = Vec::new();
    let mut first: Option<Instant> = None;
    let mut seen: Option<Arc<str>> = None;
    loop {
        let last = {
            let names = store.read();
            let from = seen.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let mut last = None;
            for (name, entry) in names.leased_from(from).take(LOOKED_AT_ONCE) {
                last = Some(name);
                let Some(lease) = &entry.lease else { continue };
                match lease.deadline() {
                    deadline if deadline <= now => {
                        ended.push((Arc::clone(name), Arc::clone(entry)));
                    }
                    deadline => first = Some(first.map_or(deadline, |first| first.min(deadline))),
                }
            }
            last.cloned()
        };
        if last.is_none() {
            return (ended, first);
        }
        seen = last;
        tokio::task::yield_now().await;
    }
}

/// The names without those of hosts whose daemons answer: these renew at another nameserver.
async fn keep_answering(mut ended: Vec<Named>) -> Vec<Named> {
    let location = |entry: &Entry| match entry.uri.parse().map(on_this_host) {
        Ok(Uri::Pyro { location, .. }) if entry.host.is_some() => Some(location),
        _ => None,
    };
    let locations: Vec<_> = ended.iter().filter_map(|(_, entry)| location(entry)).collect();
    if locations.is_empty() {
        return ended;
    }
    let verdicts = ask_all(locations.iter()).await;
    ended.retain(|(_, entry)| {
        let answers = location(entry)
            .is_some_and(|location| verdicts.get(&location) == Some(&Verdict::Alive));
        if let Some(lease) = entry.lease.as_ref().filter(|_| answers) {
            lease.renew();
        }
        !answers
    });
    ended
}

async fn remove(store: &Store, ended: Vec<Named>) {
    if ended.is_empty() {
        return;
    }
    let shown: Vec<&str> = ended.iter().take(MAX_NAMES_LOGGED).map(|(name, _)| &**name).collect();
    let (shown, ended_count) = (shown.join(", "), ended.len());
    let change = Box::new(move |names: &mut crate::store::Transaction<'_>| {
        let mut removed = 0;
        for (name, entry) in ended {
            // It may have been renewed, or registered anew, since it was found.
            let is_ended = entry.lease.as_ref().is_some_and(|l| l.deadline() <= Instant::now());
            if is_ended {
                removed += drop_if_still(name, entry.registration)(names)?;
            }
        }
        Ok(removed)
    });
    match store.change(change).wait().await {
        Ok(0) => {}
        Ok(removed) => info!(
            names = shown,
            removed, "names have lapsed: their daemons did not renew the lease"
        ),
        Err(error) => warn!(names = shown, ended = ended_count, %error,
            "names whose lease has ended cannot be removed"),
    }
}
