//! When a member is read next.
//!
//! A reading that takes longer than its period doubles the period, up to a minute; one that is
//! quick again halves it. Its wait counts: polls that together take too long all slow down. A value
//! that a client has read counts as a reading. All times are those of the monotonic clock, and come
//! in as arguments.

use std::time::Duration;

use tokio::time::Instant;

/// The longest period that a slow member gets by itself.
const SLOWEST: Duration = Duration::from_secs(60);

/// The schedule of one member.
#[derive(Debug)]
pub(super) struct Schedule {
    /// The period of the configuration.
    wanted: Duration,
    period: Duration,
    due: Instant,
    /// How long the last reading took with its wait, where that was too long.
    slow: Option<Duration>,
}

impl Schedule {
    /// A member that is read first at `first`.
    pub(super) fn new(wanted: Duration, first: Instant) -> Self {
        Schedule { wanted, period: wanted, due: first, slow: None }
    }

    /// The period of the configuration.
    pub(super) fn wanted(&self) -> Duration {
        self.wanted
    }

    /// When it is to be read.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// The time between two readings now.
    pub(super) fn period(&self) -> Duration {
        self.period
    }

    /// A reading that began at `begun` has ended.
    pub(super) fn read(&mut self, begun: Instant, ended: Instant) {
        let took = ended.saturating_duration_since(begun.min(self.due));
        let is_slow = took > self.period;
        if is_slow {
            self.period = (2 * self.period).clamp(self.wanted, SLOWEST.max(self.wanted));
            self.slow = Some(took);
        } else if took < self.period / 4 {
            self.period = (self.period / 2).max(self.wanted);
        }
        if self.period <= self.wanted {
            self.slow = None;
        }
        // The rhythm is kept; what was missed is not made up for.
        let next = self.due.max(begun) + self.period;
        self.due = if next > ended && !is_slow { next } else { ended + self.period };
    }

    /// A client has read it, and it need not be read for a period.
    pub(super) fn read_by_client(&mut self, at: Instant) {
        self.due = self.due.max(at + self.period);
    }

    /// It cannot be read now, and is tried again after a period, or after `pause` if that is
    /// longer.
    pub(super) fn skip(&mut self, now: Instant, pause: Duration) {
        self.due = now + self.period.max(pause);
    }

    /// It could not be read up to now: the service did not run, and this was no wait.
    pub(super) fn resume(&mut self, now: Instant) {
        self.due = self.due.max(now);
    }

    /// That it is read less often than it should be, in words.
    pub(super) fn trouble(&self, member: &str) -> Option<String> {
        let took = self.slow?.as_secs_f64();
        let (wanted, period) = (self.wanted.as_secs_f64(), self.period.as_secs_f64());
        Some(format!(
            "'{member}' is read each {period} s and not each {wanted} s (`poll`): reading it took \
             {took:.1} s, its wait included"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn readings_keep_their_rhythm() {
        let start = Instant::now();
        let at = |tenths: u32| start + SECOND / 10 * tenths;
        let mut schedule = Schedule::new(SECOND, start);
        // Beginning, end, and the next one, in tenths of a second.
        for (begun, ended, due) in [(0, 1, 10), (10, 12, 20), (20, 28, 30), (35, 36, 45)] {
            schedule.read(at(begun), at(ended));
            assert_eq!((schedule.due(), schedule.trouble("t")), (at(due), None));
        }
        schedule.read_by_client(at(42));
        assert_eq!(schedule.due(), at(52));
        schedule.skip(at(52), SECOND / 10);
        assert_eq!(schedule.due(), at(62));
        schedule.skip(at(62), 5 * SECOND);
        assert_eq!(schedule.due(), at(112));
    }

    #[test]
    fn a_slow_member_is_read_less_often_until_it_is_quick_again() {
        let mut now = Instant::now();
        let mut schedule = Schedule::new(SECOND, now);
        for period in [2, 4, 8, 16, 32, 60, 60] {
            let took = schedule.period() + SECOND;
            schedule.read(now, now + took);
            assert_eq!(schedule.period(), period * SECOND);
            assert_eq!(schedule.due(), now + took + period * SECOND, "it is not at once");
            assert!(schedule.trouble("t").is_some_and(|text| text.contains("and not each 1 s")));
            now = schedule.due();
        }
        // In between it stays as it is.
        schedule.read(now, now + 30 * SECOND);
        assert_eq!(schedule.period(), 60 * SECOND);
        for _ in 0..6 {
            now = schedule.due();
            schedule.read(now, now + SECOND / 10);
        }
        assert_eq!((schedule.period(), schedule.trouble("t")), (SECOND, None));
        // Others were read before it: its wait counts, unless nothing could be read.
        let due = schedule.due();
        schedule.read(due + 2 * SECOND, due + 2 * SECOND + SECOND / 10);
        assert_eq!(schedule.period(), 2 * SECOND);
        let trouble = schedule.trouble("t").unwrap();
        assert!(trouble.contains("took 2.1 s, its wait included"), "{trouble}");
        now = schedule.due() + 60 * SECOND;
        schedule.resume(now);
        schedule.read(now, now + SECOND / 10);
        assert_eq!((schedule.period(), schedule.trouble("t")), (SECOND, None));
        // A period beyond a minute is what somebody has written.
        let mut rare = Schedule::new(600 * SECOND, now);
        rare.read(now, now + 700 * SECOND);
        assert_eq!(rare.period(), 600 * SECOND);
    }
}
