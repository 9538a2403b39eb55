//! Whether a worker is still alive.
//!
//! Owns the rule: a worker is asked four times within its limit, and counts as dead when it has not
//! answered for the whole of it. A worker whose driver blocks in C while it holds the interpreter lock
//! does not answer; one that is merely busy does, on a thread of its own.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// The watch over one run.
#[derive(Debug)]
pub(super) struct Watchdog {
    limit: Option<Duration>,
    heard: Instant,
    next: Instant,
}

impl Watchdog {
    /// A watch that counts a worker as dead after `limit`; `None`: never.
    pub(super) fn new(limit: Option<Duration>) -> Self {
        let now = Instant::now();
        Watchdog { limit, heard: now, next: now }
    }

    /// The worker has said something.
    pub(super) fn sign_of_life(&mut self) {
        self.heard = Instant::now();
    }

    /// Waits until the worker is to be asked (true) or counts as dead (false).
    pub(super) async fn tick(&mut self) -> bool {
        let Some(limit) = self.limit else { return std::future::pending().await };
        sleep_until(self.next).await;
        self.next = Instant::now() + limit / 4;
        self.heard.elapsed() < limit
    }

    /// What is said of a worker that counts as dead.
    pub(super) fn verdict(&self) -> String {
        format!(
            "gave no sign of life for {:?} and was killed by its watchdog",
            self.limit.unwrap_or_default()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn four_questions_and_then_death() {
        let mut watchdog = Watchdog::new(Some(Duration::from_secs(8)));
        let start = Instant::now();
        for _ in 0..3 {
            assert!(watchdog.tick().await);
        }
        watchdog.sign_of_life();
        while watchdog.tick().await {}
        assert_eq!(start.elapsed(), Duration::from_secs(12));
    }
}
