//! Deaths of a worker, and when it is started again: a pure policy.
//!
//! A worker that dies is started again at once, and after the second death in a row a little later
//! each time. A worker that somebody else has killed is back within a second, however often that
//! happens: the pauses are for workers that die by themselves.

use std::time::Duration;

use supervisor::{RestartDecision, RestartPolicy, Restarts};

/// A worker that has lived this long starts a new row of deaths.
pub(crate) const STABLE: Duration = Duration::from_secs(30);

/// The death of a worker that nobody has ordered.
pub(crate) struct Died {
    /// In words: `was killed by SIGKILL`.
    pub(crate) fate: String,
    /// How long it lived, or counts as having lived.
    pub(crate) uptime: Duration,
    /// A signal of another process has ended it, and not this daemon's.
    pub(crate) is_killed: bool,
}

/// The deaths in a row of one worker.
pub(crate) struct WorkerDeaths {
    crashes: Restarts,
    kills: Restarts,
}

impl WorkerDeaths {
    pub(crate) fn new() -> Self {
        // A worker never stays down.
        let crashes = RestartPolicy {
            backoff: [250, 500, 1000, 2000, 5000, 15_000].map(Duration::from_millis).to_vec(),
            give_up_after: None,
            stable_after: STABLE,
        };
        // The pause is for the memory of a host whose kernel has killed it for that.
        let kills = RestartPolicy {
            backoff: [250, 500, 1000].map(Duration::from_millis).to_vec(),
            ..crashes.clone()
        };
        WorkerDeaths { crashes: Restarts::new(crashes), kills: Restarts::new(kills) }
    }

    /// When the worker is started again after this death.
    pub(crate) fn on_death(&mut self, died: &Died) -> RestartDecision {
        let restarts = if died.is_killed { &mut self.kills } else { &mut self.crashes };
        restarts.on_exit(died.uptime)
    }

    /// A restart by an order begins a new row.
    pub(crate) fn reset(&mut self) {
        self.crashes.reset();
        self.kills.reset();
    }
}
