//! AlarmState machine of one alarm: `ok`, `pending`, `firing`, `acknowledged`, `no data`.
//!
//! Pure: values and times go in, the state comes out. Times are durations on the monotonic clock
//! since any fixed moment, so that a clock that jumps neither fires nor delays an alarm.

use std::time::Duration;

use lab_config::{Alarm, Data};

/// A value as an alarm looks at it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Reading<'a> {
    Number(f64),
    Bool(bool),
    Text(&'a str),
}

/// The state of an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AlarmState {
    Ok,
    /// The condition holds since that time, not yet for as long as it must.
    Pending {
        since: Duration,
    },
    /// `is_over`: the condition no longer holds, and the alarm waits for somebody (`latch`).
    Firing {
        is_over: bool,
    },
    Acknowledged,
    /// No value has come for the time of `no_data`; `before` is what the alarm goes on with.
    NoData {
        before: Before,
        is_acknowledged: bool,
    },
}

/// The state that an alarm without data had before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    Ok,
    Firing,
    Acknowledged,
}

/// One alarm of one series.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    rule: Alarm,
    state: AlarmState,
    /// Since when there has been no value; `None` while the last sample has one, which holds until
    /// the next sample. A condition that nobody sees any longer does not come to hold by waiting.
    silent_since: Option<Duration>,
}

impl AlarmState {
    /// Its name for people and programs.
    pub(super) fn word(self) -> &'static str {
        match self {
            AlarmState::Ok => "ok",
            AlarmState::Pending { .. } => "pending",
            AlarmState::Firing { .. } => "firing",
            AlarmState::Acknowledged => "acknowledged",
            AlarmState::NoData { .. } => "no data",
        }
    }
}

impl Machine {
    /// An alarm that begins to look `now`, in a state that it had earlier.
    pub(super) fn new(rule: Alarm, state: AlarmState, now: Duration) -> Self {
        Machine { rule, state, silent_since: Some(now) }
    }

    pub(super) fn state(&self) -> AlarmState {
        self.state
    }

    pub(super) fn rule(&self) -> &Alarm {
        &self.rule
    }

    /// A sample: its value, or none where there was no good one.
    pub(super) fn observe(&mut self, now: Duration, reading: Option<Reading<'_>>) {
        let holds = reading.and_then(|reading| self.holds(reading));
        let Some(holds) = holds else {
            self.silent_since.get_or_insert(now);
            return self.pass(now);
        };
        self.silent_since = None;
        let before = match self.state {
            AlarmState::NoData { before, .. } => before,
            AlarmState::Ok | AlarmState::Pending { .. } => Before::Ok,
            AlarmState::Firing { .. } => Before::Firing,
            AlarmState::Acknowledged => Before::Acknowledged,
        };
        self.state = match (before, holds) {
            (Before::Ok, true) => match self.state {
                AlarmState::Pending { since } => AlarmState::Pending { since },
                _ => AlarmState::Pending { since: now },
            },
            (Before::Firing, true) => AlarmState::Firing { is_over: false },
            (Before::Firing, false) if self.rule.latch => AlarmState::Firing { is_over: true },
            (Before::Acknowledged, true) => AlarmState::Acknowledged,
            (_, false) => AlarmState::Ok,
        };
        self.pass(now);
    }

    /// Time that has passed.
    pub(super) fn pass(&mut self, now: Duration) {
        match self.state {
            AlarmState::Pending { since }
                if self.silent_since.is_none() && now >= since + self.hold() =>
            {
                self.state = AlarmState::Firing { is_over: false };
            }
            AlarmState::NoData { .. } => {}
            _ => {
                if self.silent_from().is_some_and(|silent| now >= silent) {
                    let before = match self.state {
                        AlarmState::Firing { .. } => Before::Firing,
                        AlarmState::Acknowledged => Before::Acknowledged,
                        _ => Before::Ok,
                    };
                    self.state = AlarmState::NoData { before, is_acknowledged: false };
                }
            }
        }
    }

    /// Somebody looks after it; false where there is nothing to look after.
    pub(super) fn acknowledge(&mut self) -> bool {
        self.state = match self.state {
            AlarmState::Firing { is_over: true } => AlarmState::Ok,
            AlarmState::Firing { is_over: false } => AlarmState::Acknowledged,
            AlarmState::NoData { before, is_acknowledged: false } => {
                let before = if before == Before::Firing { Before::Acknowledged } else { before };
                AlarmState::NoData { before, is_acknowledged: true }
            }
            _ => return false,
        };
        true
    }

    /// When the next change may come without a sample.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let fires = match self.state {
            AlarmState::Pending { since } if self.silent_since.is_none() => {
                Some(since + self.hold())
            }
            AlarmState::NoData { .. } => return None,
            _ => None,
        };
        fires.into_iter().chain(self.silent_from()).min()
    }

    /// When the silence becomes `no data`.
    fn silent_from(&self) -> Option<Duration> {
        Some(self.silent_since? + self.rule.no_data?)
    }

    fn hold(&self) -> Duration {
        self.rule.hold.unwrap_or_default()
    }

    /// Whether the condition holds; `None` for a value that it cannot be asked of. A condition that
    /// has fired holds until the value is back by the hysteresis.
    fn holds(&self, reading: Reading<'_>) -> Option<bool> {
        let Alarm { above, below, equals, not, hysteresis, .. } = &self.rule;
        let has_fired = matches!(
            self.state,
            AlarmState::Firing { is_over: false }
                | AlarmState::Acknowledged
                | AlarmState::NoData { before: Before::Firing | Before::Acknowledged, .. }
        );
        let back = if has_fired { *hysteresis } else { 0.0 };
        let mut holds = false;
        if above.is_some() || below.is_some() {
            let number = reading.number()?;
            holds |= above.is_some_and(|above| number > above - back);
            holds |= below.is_some_and(|below| number < below + back);
        }
        holds |= equals.iter().any(|value| reading.is(value));
        holds |= !not.is_empty() && !not.iter().any(|value| reading.is(value));
        Some(holds)
    }
}

impl Reading<'_> {
    /// A boolean counts as 0 or 1, as in Python.
    fn number(self) -> Option<f64> {
        match self {
            Reading::Number(number) if number.is_nan() => None,
            Reading::Number(number) => Some(number),
            Reading::Bool(flag) => Some(f64::from(u8::from(flag))),
            Reading::Text(_) => None,
        }
    }

    fn is(self, value: &Data) -> bool {
        match value {
            Data::Text(text) => matches!(self, Reading::Text(own) if own == text),
            Data::Bool(flag) => self.number() == Some(f64::from(u8::from(*flag))),
            Data::Int(int) => self.number() == Some(*int as f64),
            Data::Float(float) => self.number() == Some(*float),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(yaml: &str) -> Alarm {
        let service = "services: {s: {native: x, members: {m: {alarm: ";
        let text = format!("daemons: {{default: {{}}}}\n{service}{yaml}}}}}}}}}");
        let surroundings = lab_config::Surroundings::default();
        let parsed = lab_config::Configuration::parse("lab", text.as_bytes(), &surroundings);
        parsed.unwrap().0.services.remove(0).members.remove(0).alarms.remove(0)
    }

    /// The way of an alarm: steps of a second, a value (or `silent`, `wait`, `ack`), and the state
    /// after it.
    #[test]
    fn every_way_through_the_states() {
        let cases = [
            ("{above: 10}", "0 10 ok, 1 10.5 firing, 2 10 ok"),
            ("{below: 2}", "0 2 ok, 1 1.9 firing, 2 inf ok"),
            ("{above: 9, below: 1}", "0 5 ok, 1 0 firing, 2 10 firing, 3 5 ok"),
            // `for`: a value that comes back in between begins anew; time alone is enough.
            (
                "{above: 10, for: 5}",
                "0 11 pending, 4 9 ok, 5 11 pending, 9 12 pending, 10 wait firing, 11 9 ok",
            ),
            // A condition that nobody sees any longer does not come to hold.
            (
                "{above: 10, for: 5}",
                "0 11 pending, 1 silent pending, 60 wait pending, 61 11 firing",
            ),
            (
                "{above: 10, hysteresis: 2}",
                "0 9 ok, 1 11 firing, 2 9 firing, 3 ack acknowledged, 4 8.5 acknowledged, 5 8 ok, \
                 6 9 ok",
            ),
            (
                "{above: 10, latch: true}",
                "0 11 firing, 1 9 firing, 2 11 firing, 3 9 firing, 4 ack ok, 5 11 firing, \
                 6 ack acknowledged, 7 9 ok",
            ),
            // With a latch, hysteresis is over with the condition.
            (
                "{above: 10, hysteresis: 2, latch: true}",
                "0 11 firing, 1 7 firing, 2 9 firing, 3 ack ok",
            ),
            // A value holds until the next sample: a flat line makes few of them.
            (
                "{above: 10, no_data: 5}",
                "0 wait ok, 5 wait no data, 6 9 ok, 60 wait ok, 61 silent ok, 65 silent ok, \
                 66 wait no data, 67 ack no data, 68 11 firing",
            ),
            // An alarm that has fired is not forgotten while there is no data.
            (
                "{above: 10, no_data: 5, latch: true}",
                "0 11 firing, 1 silent firing, 6 wait no data, 7 9 firing, 8 silent firing, \
                 13 wait no data, 14 ack no data, 15 11 acknowledged, 16 silent acknowledged, \
                 21 wait no data, 22 9 ok",
            ),
            (
                "{above: 10, for: 20, no_data: 5}",
                "0 11 pending, 1 silent pending, 6 wait no data, 7 11 pending, 26 wait pending, \
                 27 wait firing",
            ),
            ("{no_data: 5}", "0 1 ok, 4 x ok, 9 silent ok, 14 wait no data, 15 1 ok"),
            (
                "{equals: [fault, 3, true]}",
                "0 ready ok, 1 fault firing, 2 3 firing, 3 2 ok, 4 true firing",
            ),
            ("{not: ready}", "0 ready ok, 1 busy firing, 2 ready ok"),
            ("{above: 0.5}", "0 true firing, 1 false ok"),
            // A value that is no number is no data.
            ("{above: 10, no_data: 5}", "0 x ok, 5 NaN no data"),
            ("{above: 10}", "0 ack ok, 1 11 firing, 2 x firing"),
        ];
        for (yaml, steps) in cases {
            let mut machine = Machine::new(rule(yaml), AlarmState::Ok, Duration::ZERO);
            for step in steps.split(", ") {
                let mut words = step.splitn(3, ' ');
                let mut next = || words.next().unwrap();
                let now = Duration::from_secs(next().parse().unwrap());
                match next() {
                    "wait" => machine.pass(now),
                    "ack" => _ = machine.acknowledge(),
                    "silent" => machine.observe(now, None),
                    "true" => machine.observe(now, Some(Reading::Bool(true))),
                    "false" => machine.observe(now, Some(Reading::Bool(false))),
                    value => {
                        let number = value.parse().map(Reading::Number);
                        machine.observe(now, Some(number.unwrap_or(Reading::Text(value))));
                    }
                }
                assert_eq!(machine.state().word(), next(), "{yaml} at {step}");
            }
        }
    }

    #[test]
    fn a_deadline_is_when_time_alone_changes_something() {
        let alarm = rule("{above: 1, for: 3, no_data: 5}");
        let mut machine = Machine::new(alarm, AlarmState::Ok, Duration::ZERO);
        let seconds = Duration::from_secs;
        assert_eq!(machine.deadline(), Some(seconds(5)));
        machine.observe(seconds(1), Some(Reading::Number(2.0)));
        assert_eq!(machine.deadline(), Some(seconds(4)));
        machine.observe(seconds(2), None);
        assert_eq!(machine.deadline(), Some(seconds(7)));
        machine.pass(seconds(7));
        assert_eq!((machine.state().word(), machine.deadline()), ("no data", None));
    }
}
