//! Autoclean: removes the names of servers that no longer answer.
//!
//! Each address is pinged once for all its names (`liveness`). Time is the monotonic clock's.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use remote::{DAEMON_NAME, Location, NAMESERVER_NAME, Uri};
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

use crate::directory::{drop_if_still, list};
use crate::liveness::{Verdict, ask_all, on_this_host};
use crate::store::{Entry, Store};

/// Longest time between two pings of an address that has failed.
const RECHECK: Duration = Duration::from_secs(5);

/// Time for which a name may fail before it is removed.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// No server listens, or one that does not speak Pyro's protocol (as in Pyro5).
    pub absent: Duration,
    /// A server accepts connections and does not answer. A `multiplex` daemon of Pyro5 does so
    /// during each of its calls, which may take a while.
    pub silent: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience { absent: Duration::from_secs(20), silent: Duration::from_secs(60) }
    }
}

/// A registration. A name that is registered again, also with the same URI, has another one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Key {
    name: Arc<str>,
    uri: String,
    registration: u64,
}

/// Registrations that fail, with the time since when.
#[derive(Debug, Default)]
struct Failing(HashMap<Key, Failure>);

#[derive(Clone, Copy, Debug)]
struct Failure {
    /// The time of the first failure after the last answer.
    since: Instant,
    kind: FailureKind,
}

/// The kind of the latest failure.
#[derive(Clone, Copy, Debug)]
enum FailureKind {
    Silent,
    /// Counted anew for a daemon that was silent until it ended: it has as much time to come back
    /// as any other.
    Absent {
        since: Instant,
    },
}

/// Cleans `store` every `period`, until it is dropped.
pub async fn run(store: Arc<Store>, period: Duration, patience: Patience) {
    let mut failing = Failing::default();
    loop {
        sleep(if failing.0.is_empty() { period } else { period.min(RECHECK) }).await;
        let names = names(&store);
        let verdicts = ask_all(names.values()).await;
        let lost = failing.judge(&names, &verdicts, Instant::now(), patience);
        // The pings take a while: an address that answers again by now keeps its names.
        let last_words = ask_all(lost.iter().filter_map(|(key, _)| names.get(key))).await;
        for (key, reason) in lost {
            match names.get(&key).and_then(|location| last_words.get(location)) {
                Some(Verdict::Alive) => {
                    debug!(name = %key.name, key.uri, "autoclean: it answers at the last moment")
                }
                _ => drop_name(&store, key, &reason).await,
            }
        }
        debug!(names = names.len(), failing = failing.0.len(), "autoclean has asked everybody");
    }
}

impl Failing {
    /// Records the verdicts; the names that have failed for long enough, each with the reason.
    fn judge(
        &mut self,
        names: &BTreeMap<Key, Location>,
        verdicts: &HashMap<Location, Verdict>,
        now: Instant,
        patience: Patience,
    ) -> Vec<(Key, String)> {
        // Names that are gone, or point elsewhere by now, are forgotten.
        self.0.retain(|key, _| names.contains_key(key));
        let mut lost = Vec::new();
        for (key, location) in names {
            let Some(verdict) = verdicts.get(location) else { continue };
            let before = self.0.get(key).copied();
            let (is_silent, reason) = match verdict {
                Verdict::Alive => {
                    self.0.remove(key);
                    continue;
                }
                Verdict::Silent => (true, "it takes connections and does not answer"),
                Verdict::Unreachable(reason) => {
                    let was_silent = before.is_some_and(|failure| failure.is_silent());
                    (was_silent, reason.as_str())
                }
                Verdict::Absent(reason) => (false, reason.as_str()),
            };
            if before.is_none() {
                info!(name = %key.name, key.uri, reason, "autoclean: no answer");
            }
            let failure = Failure::next(before, is_silent, now);
            self.0.insert(key.clone(), failure);
            if failure.is_enough(now, patience) {
                self.0.remove(key);
                let failed_for = now.saturating_duration_since(failure.since).as_secs();
                lost.push((key.clone(), format!("no answer for {failed_for} s: {reason}")));
            }
        }
        lost
    }
}

impl Failure {
    fn next(before: Option<Failure>, is_silent: bool, now: Instant) -> Self {
        let since = before.map_or(now, |before| before.since);
        let kind = match before.map(|before| before.kind) {
            _ if is_silent => FailureKind::Silent,
            Some(absent @ FailureKind::Absent { .. }) => absent,
            None | Some(FailureKind::Silent) => FailureKind::Absent { since: now },
        };
        Failure { since, kind }
    }

    fn is_silent(&self) -> bool {
        matches!(self.kind, FailureKind::Silent)
    }

    fn is_enough(&self, now: Instant, patience: Patience) -> bool {
        let lasts = |since| now.saturating_duration_since(since);
        let is_absent_for_long = match self.kind {
            FailureKind::Silent => false,
            FailureKind::Absent { since } => lasts(since) >= patience.absent,
        };
        is_absent_for_long || lasts(self.since) >= patience.silent
    }
}

/// The names to check, with their addresses. A name for another name has no address; those of a
/// host have leases (`leases`).
fn names(store: &Store) -> BTreeMap<Key, Location> {
    let listed = list(&store.read(), "").into_iter();
    let located = listed.filter_map(|(name, entry)| match entry.uri.parse().map(on_this_host) {
        Ok(Uri::Pyro { location, .. })
            if entry.host.is_none() && !matches!(&*name, NAMESERVER_NAME | DAEMON_NAME) =>
        {
            let Entry { uri, registration, .. } = &*entry;
            Some((Key { name, uri: uri.to_string(), registration: *registration }, location))
        }
        _ => None,
    });
    located.collect()
}

async fn drop_name(store: &Store, key: Key, reason: &str) {
    let Key { name, uri, registration } = key;
    let change = drop_if_still(Arc::clone(&name), registration);
    let outcome = store.change(change).wait().await;
    match outcome {
        Ok(0) => debug!(%name, uri, "autoclean: the name has changed in the meantime"),
        Ok(_) => warn!(%name, uri, reason, "autoclean: removed the name"),
        Err(error) => warn!(%name, uri, %error, "autoclean: cannot remove the name"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience =
        Patience { absent: Duration::from_secs(20), silent: Duration::from_secs(60) };

    fn location(port: u16) -> Location {
        Location::Tcp { host: "h".into(), port }
    }

    fn keys(keys: &[(&str, u16)]) -> BTreeMap<Key, Location> {
        let key = |name: &str, port: u16| Key {
            name: Arc::from(name),
            uri: format!("PYRO:o@h:{port}"),
            registration: 1,
        };
        keys.iter().map(|(name, port)| (key(name, *port), location(*port))).collect()
    }

    #[test]
    fn a_name_goes_only_after_failing_for_the_whole_period() {
        let absent = || Verdict::Absent("refused".into());
        let unreachable = || Verdict::Unreachable("timed out".into());
        // For each ping: its second, its verdict, and whether the name is removed.
        let cases: &[(&str, &[(u64, Verdict, bool)])] = &[
            ("absent", &[(0, absent(), false), (19, absent(), false), (20, absent(), true)]),
            (
                "back in between",
                &[(0, absent(), false), (10, Verdict::Alive, false), (21, absent(), false)],
            ),
            ("silent", &[(0, Verdict::Silent, false), (59, Verdict::Silent, false)]),
            ("silent too long", &[(0, Verdict::Silent, false), (60, Verdict::Silent, true)]),
            (
                "silent, then gone",
                &[
                    (0, Verdict::Silent, false),
                    (30, absent(), false),
                    (49, absent(), false),
                    (50, absent(), true),
                ],
            ),
            (
                "silent, gone, and silent again",
                &[
                    (0, Verdict::Silent, false),
                    (10, absent(), false),
                    (29, Verdict::Silent, false),
                    (35, absent(), false),
                    (54, absent(), false),
                    (60, absent(), true),
                ],
            ),
            (
                "silent, and its queue is full",
                &[
                    (0, Verdict::Silent, false),
                    (20, unreachable(), false),
                    (59, unreachable(), false),
                    (60, unreachable(), true),
                ],
            ),
            ("unreachable", &[(0, unreachable(), false), (20, unreachable(), true)]),
            ("alive", &[(0, Verdict::Alive, false), (100, Verdict::Alive, false)]),
            ("seldom asked", &[(0, absent(), false), (100, absent(), true)]),
        ];
        let start = Instant::now();
        for (title, looks) in cases {
            let mut failing = Failing::default();
            for (second, verdict, goes) in *looks {
                let verdicts = HashMap::from([(location(1), verdict.clone())]);
                let now = start + Duration::from_secs(*second);
                let lost = failing.judge(&keys(&[("a", 1)]), &verdicts, now, PATIENCE);
                assert_eq!(!lost.is_empty(), *goes, "{title} at {second} s");
            }
        }
    }

    #[test]
    fn a_name_that_comes_later_has_its_own_period() {
        let mut failing = Failing::default();
        let verdicts = HashMap::from([(location(1), Verdict::Absent("refused".into()))]);
        let start = Instant::now();
        failing.judge(&keys(&[("a", 1)]), &verdicts, start, PATIENCE);
        let later = start + Duration::from_secs(20);
        let lost = failing.judge(&keys(&[("a", 1), ("b", 1)]), &verdicts, later, PATIENCE);
        let lost: Vec<&str> = lost.iter().map(|(key, _)| &*key.name).collect();
        assert_eq!(lost, ["a"]);
        let again = failing.judge(&keys(&[("a", 1)]), &verdicts, later, PATIENCE);
        assert!(again.is_empty(), "registered anew, it begins anew");
    }

    /// Many silent servers delay neither each other nor those that answer, also at the last ping.
    #[tokio::test]
    async fn the_silent_are_asked_all_at_once() {
        let store = Arc::new(Store::memory());
        let mut silent = Vec::new();
        for number in 0..10 {
            let stranger = tokio::net::TcpListener::bind("localhost:0").await.unwrap();
            let port = stranger.local_addr().unwrap().port();
            for name in ["a", "b", "c"] {
                let (name, uri) = (format!("{name}{number}"), format!("PYRO:o@localhost:{port}"));
                let change = crate::directory::register(name, uri, false, [].into()).unwrap();
                store.change(change).wait().await.unwrap();
            }
            silent.push(stranger);
        }
        let patience = Patience { absent: Duration::ZERO, silent: Duration::ZERO };
        let started = Instant::now();
        let cleaning = tokio::spawn(run(Arc::clone(&store), Duration::from_millis(1), patience));
        while store.read().len() > 0 {
            assert!(
                started.elapsed() < 24 * crate::liveness::LIVENESS_DEADLINE,
                "{} are left",
                store.read().len()
            );
            sleep(Duration::from_millis(10)).await;
        }
        cleaning.abort();
    }

    /// A daemon that is being restarted keeps its name.
    #[tokio::test]
    async fn a_name_that_is_registered_again_during_a_pass_stays() {
        let store = Store::memory();
        let register = |store: &Store| {
            let uri = "PYRO:o@localhost:1".to_owned();
            let change = crate::directory::register("a".into(), uri, false, [].into());
            store.change(change.unwrap())
        };
        register(&store).wait().await.unwrap();
        let key = names(&store).into_keys().next().unwrap();
        register(&store).wait().await.unwrap();
        drop_name(&store, key, "no answer").await;
        assert_eq!(store.read().len(), 1);
        let key = names(&store).into_keys().next().unwrap();
        drop_name(&store, key, "no answer").await;
        assert_eq!(store.read().len(), 0);
    }
}
