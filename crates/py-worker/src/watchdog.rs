//! Whether a worker is still alive.
//!
//! Owns the rule: a worker is asked four times within its limit, and counts as dead when it has not
//! answered for the whole of it, nor any of several questions asked in time. A daemon that was late
//! itself (stopped, or without a processor) knows nothing of its workers, and begins anew. A worker
//! whose driver blocks in C with the interpreter lock does not answer; one that is merely busy
//! does, on a separate thread. Knows no clock.

use std::time::Duration;

use tokio::time::Instant;

/// The watch over one run.
#[derive(Debug)]
pub(crate) struct Watchdog {
    limit: Option<Duration>,
    heard: Instant,
    next: Instant,
    /// Questions since the last sign of life.
    asked: u32,
}

/// As many questions must have been without an answer before a worker counts as dead.
const SILENCES: u32 = 3;

impl Watchdog {
    /// A watch that counts a worker as dead after `limit`; `None`: never.
    pub(crate) fn new(limit: Option<Duration>, now: Instant) -> Self {
        Watchdog { limit, heard: now, next: now, asked: 0 }
    }

    /// The worker has said something.
    pub(crate) fn sign_of_life(&mut self, now: Instant) {
        self.heard = now;
        self.asked = 0;
    }

    /// When to look at it next.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.limit.map(|_| self.next)
    }

    /// Whether the worker is to be asked now (true) or counts as dead (false).
    pub(crate) fn look(&mut self, now: Instant) -> bool {
        let Some(limit) = self.limit else { return true };
        let late = now.saturating_duration_since(self.next) > limit / 4;
        self.next = now + limit / 4;
        if late {
            // Its answers may lie unread: however long this look was due, it is one question.
            self.asked = 0;
        } else if self.asked >= SILENCES && now.saturating_duration_since(self.heard) >= limit {
            return false;
        }
        self.asked += 1;
        true
    }

    /// The reason why a worker counts as dead, for reports.
    pub(crate) fn verdict(&self) -> String {
        format!(
            "gave no sign of life for {:?} and was killed by its watchdog",
            self.limit.unwrap_or_default()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_questions_and_then_death() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut watchdog = Watchdog::new(Some(Duration::from_secs(8)), start);
        for now in [0, 2, 4] {
            assert_eq!(watchdog.next(), Some(at(now)));
            assert!(watchdog.look(at(now)));
        }
        watchdog.sign_of_life(at(4));
        for now in [6, 8, 10] {
            assert!(watchdog.look(at(now)));
        }
        assert!(!watchdog.look(at(12)));
        assert_eq!(Watchdog::new(None, start).next(), None);
    }

    #[test]
    fn a_late_look_is_one_question() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut watchdog = Watchdog::new(Some(Duration::from_secs(8)), start);
        for now in [0, 2, 4, 6, 60, 62, 64] {
            assert!(watchdog.look(at(now)), "at {now} s");
        }
        assert!(!watchdog.look(at(66)));
    }
}
