//! When a service that cannot be imported is tried again.
//!
//! Owns the rule; a table of services and times. Knows nothing of clocks or workers.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// The seconds between attempts; the last one repeats.
const DELAYS: [u64; 5] = [2, 5, 10, 30, 60];
/// The least time between two attempts, however often clients ask.
const MIN_ATTEMPT_INTERVAL: Duration = Duration::from_secs(1);

/// The services that failed.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    failed: HashMap<String, Attempt>,
}

#[derive(Debug)]
struct Attempt {
    count: usize,
    last: Instant,
    /// None while an attempt is under way.
    next: Option<Instant>,
}

impl Attempts {
    /// A service has been loaded.
    pub(crate) fn succeeded(&mut self, service: &str) {
        self.failed.remove(service);
    }

    /// A service could not be loaded.
    pub(crate) fn failed(&mut self, service: &str, now: Instant) {
        let attempt = self.failed.entry(service.to_owned()).or_insert(Attempt {
            count: 0,
            last: now,
            next: None,
        });
        let delay = DELAYS.get(attempt.count).or(DELAYS.last()).copied().unwrap_or_default();
        attempt.count += 1;
        attempt.last = now;
        attempt.next = Some(now + Duration::from_secs(delay));
    }

    /// When the next attempt is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.failed.values().filter_map(|attempt| attempt.next).min()
    }

    /// The services to be tried again now; their attempts are under way from here on.
    pub(crate) fn take_overdue(&mut self, now: Instant) -> Vec<String> {
        self.take(|_, attempt| attempt.next.is_some_and(|next| next <= now))
    }

    /// A client asks for a service: the service, if that is reason enough to try it now.
    pub(crate) fn take_asked_for(&mut self, service: &str, now: Instant) -> Vec<String> {
        self.take(|name, attempt| {
            name == service
                && attempt.next.is_some()
                && now.duration_since(attempt.last) >= MIN_ATTEMPT_INTERVAL
        })
    }

    fn take(&mut self, wanted: impl Fn(&str, &Attempt) -> bool) -> Vec<String> {
        let chosen = self.failed.iter_mut().filter(|(name, attempt)| wanted(name, attempt));
        chosen
            .map(|(name, attempt)| {
                attempt.next = None;
                name.clone()
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_each_time_and_sooner_when_asked() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut attempts = Attempts::default();
        assert_eq!(attempts.next(), None);
        let mut now = 0;
        for delay in [2, 5, 10, 30, 60, 60] {
            attempts.failed("a", at(now));
            assert_eq!(attempts.next(), Some(at(now + delay)));
            assert!(attempts.take_overdue(at(now + delay - 1)).is_empty());
            now += delay;
            assert_eq!(attempts.take_overdue(at(now)), ["a"]);
            assert!(attempts.take_overdue(at(now)).is_empty(), "it is under way");
            assert!(attempts.take_asked_for("a", at(now)).is_empty(), "it is under way");
        }
        attempts.failed("a", at(now));
        assert!(attempts.take_asked_for("a", at(now)).is_empty(), "that was just now");
        assert!(attempts.take_asked_for("b", at(now + 1)).is_empty(), "that has not failed");
        assert_eq!(attempts.take_asked_for("a", at(now + 1)), ["a"]);
        attempts.succeeded("a");
        assert_eq!(attempts.next(), None);
    }
}
