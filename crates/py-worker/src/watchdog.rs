//! Heartbeat of a worker: whether its interpreter moves.
//!
//! Every worker is asked every few seconds. One that has not answered two questions is shown as
//! hanging: it is stopped, or C code of its driver holds the interpreter lock. One that is merely
//! busy answers, on a separate thread. An answered call counts from the next look, since a question
//! can wait behind other messages. Where the configuration has a `watchdog`, it is asked four
//! times within that limit. It counts as dead when it has said nothing for all that time and has
//! not answered three questions. A daemon that was late itself (stopped, or without a processor)
//! knows nothing of its workers, and begins anew. Knows no clock.

use std::time::Duration;

use tokio::time::Instant;

/// Time between two questions. Each wakes one thread of the worker, which idle labs pay for.
const QUESTION_INTERVAL: Duration = Duration::from_secs(3);
/// Questions without an answer after which a worker is shown as hanging: after 6 to 9 s.
const SHOWN_AFTER: u32 = 2;
/// A worker that has spoken within this time does not hang, however often it was asked.
const SHOWN_SILENCE: Duration = Duration::from_secs(5);
/// As many questions must have been without an answer before a worker counts as dead.
const DEAD_AFTER: u32 = 3;
/// Questions that may be without an answer: further ones would only fill the socket.
const MAX_QUESTIONS: u32 = 4;

/// The watch over one run.
#[derive(Debug)]
pub(crate) struct Watchdog {
    /// The worker is killed after this time.
    limit: Option<Duration>,
    heard: Instant,
    next: Instant,
    /// Questions since the last sign of life.
    asked: u32,
}

/// The consequence of a look at a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Ask it.
    Ask,
    /// Wait: it has been asked often enough.
    Wait,
    /// Kill it: it counts as dead.
    Kill,
}

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
    pub(crate) fn next(&self) -> Instant {
        self.next
    }

    fn interval(&self) -> Duration {
        self.limit.map_or(QUESTION_INTERVAL, |limit| (limit / 4).min(QUESTION_INTERVAL))
    }

    /// Looks at the worker, when it is time.
    pub(crate) fn look(&mut self, now: Instant) -> Look {
        let late = now.saturating_duration_since(self.next) > self.interval();
        self.next = now + self.interval();
        let silent = now.saturating_duration_since(self.heard);
        if late {
            // Its answers may lie unread: however long this look was due, it is one question.
            self.asked = 0;
        } else if self.asked >= DEAD_AFTER && self.limit.is_some_and(|limit| silent >= limit) {
            return Look::Kill;
        }
        if self.asked >= MAX_QUESTIONS {
            return Look::Wait;
        }
        self.asked += 1;
        Look::Ask
    }

    /// For how long a worker has been silent that hangs, at the time of a look.
    pub(crate) fn hangs_for(&self, now: Instant) -> Option<Duration> {
        let silent = now.saturating_duration_since(self.heard);
        // The question of this look is not answered yet.
        (self.asked > SHOWN_AFTER && silent >= SHOWN_SILENCE).then_some(silent)
    }

    /// The reason why a worker counts as dead, for reports.
    pub(crate) fn verdict(&self) -> String {
        format!(
            "gave no sign of life for {:?} and was killed by its watchdog",
            self.limit.unwrap_or_default()
        )
    }
}

/// Whether a signal has stopped a process (Linux; elsewhere nobody knows).
pub(crate) fn is_stopped(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The program's name stands in brackets, and may have any characters.
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    matches!(state, Some('T' | 't'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks at these seconds, none of which is answered.
    fn looks(watchdog: &mut Watchdog, start: Instant, seconds: &[u64]) -> Vec<Look> {
        let at = |seconds: &u64| start + Duration::from_secs(*seconds);
        seconds.iter().map(|seconds| watchdog.look(at(seconds))).collect()
    }

    #[test]
    fn four_questions_and_then_death() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut watchdog = Watchdog::new(Some(Duration::from_secs(8)), start);
        assert_eq!(watchdog.next(), start);
        assert_eq!(looks(&mut watchdog, start, &[0, 2, 4]), [Look::Ask; 3]);
        watchdog.sign_of_life(at(4));
        assert_eq!(watchdog.next(), at(6));
        assert_eq!(looks(&mut watchdog, start, &[6, 8, 10]), [Look::Ask; 3]);
        assert_eq!(watchdog.look(at(12)), Look::Kill);
    }

    #[test]
    fn a_late_look_is_one_question() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut watchdog = Watchdog::new(Some(Duration::from_secs(8)), start);
        let asked = looks(&mut watchdog, start, &[0, 2, 4, 6, 60, 62, 64]);
        assert_eq!(asked, [Look::Ask; 7]);
        assert_eq!(watchdog.look(at(66)), Look::Kill);
    }

    #[test]
    fn a_worker_without_a_watchdog_is_shown_and_lives() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut watchdog = Watchdog::new(None, start);
        let silent = |seconds| Some(Duration::from_secs(seconds));
        for (now, look, hangs) in [
            (0, Look::Ask, None),
            (3, Look::Ask, None),
            (6, Look::Ask, silent(6)),
            (9, Look::Ask, silent(9)),
            (12, Look::Wait, silent(12)),
            // Stopped together with its daemon: it is given time to answer.
            (600, Look::Ask, None),
            (603, Look::Ask, None),
            (606, Look::Ask, silent(606)),
        ] {
            assert_eq!(
                (watchdog.look(at(now)), watchdog.hangs_for(at(now))),
                (look, hangs),
                "{now}"
            );
        }
        watchdog.sign_of_life(at(607));
        assert_eq!(watchdog.hangs_for(at(607)), None);
    }

    #[test]
    fn this_process_is_not_stopped() {
        assert!(!is_stopped(std::process::id()));
    }
}
