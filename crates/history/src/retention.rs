//! How long samples are kept: rules for members, and a clock that no jump of the wall clock fools.

use std::time::Duration;

use crate::sample::{Moment, SeriesKey};

/// A jump of the wall clock ahead is believed after so long: a wrong one would remove everything.
const BELIEVED_AFTER: Duration = Duration::from_secs(24 * 3600);
/// Difference of the two clocks that is no jump, in microseconds.
const DRIFT: i64 = 3600 * 1_000_000;

/// Retention of the series of one member.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesRetention {
    /// The service.
    pub service: String,
    /// The member; its parts count as it.
    pub member: String,
    /// How long its samples are kept; no limit if absent.
    pub keep: Option<Duration>,
    /// Longest time between two samples of a series that has no gap.
    pub hold: Duration,
}

/// The rules of all members.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// Rules of single members.
    pub members: Vec<SeriesRetention>,
    /// How long samples of other members are kept; no limit if absent.
    pub keep: Option<Duration>,
    /// `hold` of other members.
    pub hold: Duration,
}

impl Rules {
    fn rule(&self, key: &SeriesKey) -> Option<&SeriesRetention> {
        let is_below = |name: &str, rule: &str| {
            name.strip_prefix(rule).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let rules = self.members.iter().filter(|rule| {
            let service = is_below(&key.service, &rule.service);
            service && is_below(&key.member, &rule.member)
        });
        rules.max_by_key(|rule| (rule.service.len(), rule.member.len()))
    }

    /// How long the samples of a series are kept.
    pub(crate) fn keep(&self, key: &SeriesKey) -> Option<Duration> {
        self.rule(key).map_or(self.keep, |rule| rule.keep)
    }

    /// Longest time between two of its samples without a gap, in microseconds.
    pub(crate) fn hold(&self, key: &SeriesKey) -> i64 {
        let hold = self.rule(key).map_or(self.hold, |rule| rule.hold);
        i64::try_from(hold.as_micros()).unwrap_or(i64::MAX)
    }
}

/// Clock by which samples grow old.
///
/// It starts as the wall clock, but not far ahead of the newest sample, and then follows the other
/// clock, so that a wall clock that jumps ahead removes nothing; a jump back only makes samples
/// older later.
#[derive(Clone, Debug)]
pub(crate) struct RetentionClock {
    start: Moment,
    /// Since when the wall clock has been ahead.
    ahead_since: Option<Duration>,
}

impl RetentionClock {
    pub(crate) fn new(start: Moment) -> Self {
        RetentionClock { start, ahead_since: None }
    }

    /// A clock that goes on after the newest sample: a wall clock that is ahead of it when the
    /// process starts is a jump, too.
    pub(crate) fn after(newest: Option<i64>, now: Moment) -> Self {
        let latest = newest.map_or(i64::MAX, |newest| newest.saturating_add(DRIFT));
        RetentionClock::new(Moment { wall: now.wall.min(latest), ..now })
    }

    /// The time by which age counts, in microseconds since 1970.
    pub(crate) fn time(&mut self, now: Moment) -> i64 {
        let elapsed = now.steady.saturating_sub(self.start.steady).as_micros();
        let expected = self.start.wall.saturating_add(i64::try_from(elapsed).unwrap_or(i64::MAX));
        if now.wall.saturating_sub(expected) <= DRIFT {
            self.ahead_since = None;
            return now.wall.min(expected.saturating_add(DRIFT));
        }
        let since = *self.ahead_since.get_or_insert(now.steady);
        if now.steady.saturating_sub(since) < BELIEVED_AFTER {
            return expected;
        }
        *self = RetentionClock::new(now);
        now.wall
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_precise_rule_counts() {
        let rule = |service: &str, member: &str, keep| SeriesRetention {
            service: service.to_owned(),
            member: member.to_owned(),
            keep: Some(Duration::from_secs(keep)),
            hold: Duration::from_secs(keep),
        };
        let rules = Rules {
            members: vec![rule("lab", "position", 1), rule("lab.x", "position", 2)],
            keep: None,
            hold: Duration::from_secs(9),
        };
        for (service, member, seconds) in [
            ("lab", "position", Some(1)),
            ("lab", "position.x", Some(1)),
            ("lab.y", "position", Some(1)),
            ("lab.x", "position.0", Some(2)),
            ("lab", "positions", None),
            ("lap", "position", None),
        ] {
            let key = SeriesKey::new(service, member);
            assert_eq!(rules.keep(&key).map(|keep| keep.as_secs()), seconds, "{service}.{member}");
            assert_eq!(rules.hold(&key), seconds.map_or(9, |s| s as i64) * 1_000_000);
        }
    }

    #[test]
    fn a_jump_ahead_makes_nothing_older_for_a_day() {
        const HOUR: u64 = 3600;
        let at = |steady: u64, wall_hours: i64| Moment {
            wall: wall_hours * HOUR as i64 * 1_000_000,
            steady: Duration::from_secs(steady),
        };
        let mut clock = RetentionClock::new(at(0, 100));
        let hours = |time: i64| time / (HOUR as i64 * 1_000_000);
        for (steady, wall, expected) in [
            (HOUR, 101, 101),
            // A jump ahead, and back again.
            (2 * HOUR, 9000, 102),
            (3 * HOUR, 103, 103),
            // A jump back.
            (4 * HOUR, 7, 7),
            (5 * HOUR, 105, 105),
            // A jump ahead that stays.
            (6 * HOUR, 9006, 106),
            (29 * HOUR, 9029, 129),
            (30 * HOUR, 9030, 9030),
            (31 * HOUR, 9031, 9031),
        ] {
            assert_eq!(hours(clock.time(at(steady, wall))), expected, "{steady}");
        }
        // The wall clock is ahead when the process starts.
        let newest = at(0, 100).wall;
        let mut clock = RetentionClock::after(Some(newest), at(0, 9000));
        for (steady, wall, expected) in
            [(0, 9000, 101), (HOUR, 103, 103), (2 * HOUR, 9002, 103), (26 * HOUR, 9026, 9026)]
        {
            assert_eq!(hours(clock.time(at(steady, wall))), expected, "{steady}");
        }
        assert_eq!(hours(RetentionClock::after(None, at(0, 9000)).time(at(0, 9000))), 9000);
    }
}
