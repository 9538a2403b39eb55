//! Restart policy: when a crashed child is started again.
//!
//! A pure function of how long each run lasted; it knows no clock and no process.

use std::time::Duration;

/// Backoff and limits for restarts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestartPolicy {
    /// Delays before the second, third, ... restart in a row; the last one repeats. The first
    /// restart is immediate: most crashes happen once.
    pub backoff: Vec<Duration>,
    /// Crashes in a row after which the child stays down; `None` means never. With 1 a child is not
    /// restarted at all.
    pub give_up_after: Option<u32>,
    /// Uptime that resets the count: the crash that ends such a run is the first in its row.
    pub stable_after: Duration,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            backoff: [5, 15, 60, 300].map(Duration::from_secs).to_vec(),
            give_up_after: Some(5),
            stable_after: Duration::from_secs(600),
        }
    }
}

/// Decision after a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartDecision {
    /// Start the child again at once.
    RestartNow,
    /// Start the child again after a delay.
    RestartIn(Duration),
    /// Leave the child down until it is started by hand.
    GiveUp,
}

/// Crash counter of one child, with its policy.
#[derive(Debug, Clone)]
pub struct Restarts {
    policy: RestartPolicy,
    crashes: u32,
}

impl Restarts {
    /// A counter for a child that has not crashed yet.
    pub fn new(policy: RestartPolicy) -> Self {
        Self { policy, crashes: 0 }
    }

    /// Counts a crash: the child has ended unasked, `uptime` after it became ready (zero if it
    /// never did).
    pub fn on_exit(&mut self, uptime: Duration) -> RestartDecision {
        if uptime >= self.policy.stable_after {
            self.crashes = 0;
        }
        self.crashes = self.crashes.saturating_add(1);
        if self.policy.give_up_after.is_some_and(|limit| self.crashes >= limit) {
            return RestartDecision::GiveUp;
        }
        let Some(step) = self.crashes.checked_sub(2) else { return RestartDecision::RestartNow };
        let step = usize::try_from(step).unwrap_or(usize::MAX);
        match self.policy.backoff.get(step).or(self.policy.backoff.last()) {
            Some(delay) if !delay.is_zero() => RestartDecision::RestartIn(*delay),
            _ => RestartDecision::RestartNow,
        }
    }

    /// Resets the count: the child has been started by hand.
    pub fn reset(&mut self) {
        self.crashes = 0;
    }

    /// The number of crashes in a row.
    pub fn crashes(&self) -> u32 {
        self.crashes
    }
}

#[cfg(test)]
mod tests {
    use super::RestartDecision::{GiveUp, RestartNow};
    use super::*;

    /// A name, a policy, and for each exit the uptime in seconds and the expected decision.
    type Case<'a> = (&'a str, RestartPolicy, &'a [(u64, RestartDecision)]);

    fn after(seconds: u64) -> RestartDecision {
        RestartDecision::RestartIn(Duration::from_secs(seconds))
    }

    #[test]
    fn decisions() {
        let default = RestartPolicy::default();
        let with = |backoff: &[u64], give_up_after| RestartPolicy {
            backoff: backoff.iter().copied().map(Duration::from_secs).collect(),
            give_up_after,
            ..RestartPolicy::default()
        };
        let cases: &[Case<'_>] = &[
            (
                "the first at once, then the backoff, then no more",
                default.clone(),
                &[(0, RestartNow), (3, after(5)), (0, after(15)), (599, after(60)), (0, GiveUp)],
            ),
            (
                "a long run resets the count, and gives up no less after that",
                default.clone(),
                &[
                    (0, RestartNow),
                    (0, after(5)),
                    (0, after(15)),
                    (0, after(60)),
                    (600, RestartNow),
                    (0, after(5)),
                    (0, after(15)),
                    (0, after(60)),
                    (0, GiveUp),
                ],
            ),
            (
                "the last delay repeats",
                with(&[1, 2], None),
                &[(0, RestartNow), (0, after(1)), (0, after(2)), (0, after(2)), (0, after(2))],
            ),
            ("never restarted", with(&[1], Some(1)), &[(0, GiveUp), (9999, GiveUp)]),
            ("no backoff", with(&[], Some(3)), &[(0, RestartNow), (0, RestartNow), (0, GiveUp)]),
        ];
        for (name, policy, exits) in cases {
            let mut restarts = Restarts::new(policy.clone());
            for (n, (uptime, decision)) in exits.iter().enumerate() {
                let got = restarts.on_exit(Duration::from_secs(*uptime));
                assert_eq!(got, *decision, "{name}: exit {}", n + 1);
            }
        }
    }

    #[test]
    fn a_start_by_hand_forgets_the_crashes() {
        let mut restarts = Restarts::new(RestartPolicy::default());
        while restarts.on_exit(Duration::ZERO) != GiveUp {}
        assert_eq!(restarts.crashes(), 5);
        restarts.reset();
        assert_eq!(restarts.on_exit(Duration::ZERO), RestartNow);
    }
}
