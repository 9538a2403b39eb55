//! State machine of one alarm: `ok`, `pending`, `firing`, `acknowledged`, `no data`.
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
pub(super) enum State {
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
    state: State,
    /// When the last value came; at first, when the alarm began to look.
    last_value: Duration,
    /// Whether the last sample had a value: a condition that nobody has seen lately does not come
    /// to hold by waiting.
    is_fresh: bool,
}

impl State {
    /// Its name for people and programs.
    pub(super) fn word(self) -> &'static str {
        match self {
            State::Ok => "ok",
            State::Pending { .. } => "pending",
            State::Firing { .. } => "firing",
            State::Acknowledged => "acknowledged",
            State::NoData { .. } => "no data",
        }
    }
}

impl Machine {
    /// An alarm that begins to look `now`, in a state that it had earlier.
    pub(super) fn new(rule: Alarm, state: State, now: Duration) -> Self {
        Machine { rule, state, last_value: now, is_fresh: false }
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    pub(super) fn rule(&self) -> &Alarm {
        &self.rule
    }

    /// A sample: its value, or none where there was no good one.
    pub(super) fn observe(&mut self, now: Duration, reading: Option<Reading<'_>>) {
        let holds = reading.and_then(|reading| self.holds(reading));
        self.is_fresh = holds.is_some();
        let Some(holds) = holds else { return self.pass(now) };
        self.last_value = now;
        let before = match self.state {
            State::NoData { before, .. } => before,
            State::Ok | State::Pending { .. } => Before::Ok,
            State::Firing { .. } => Before::Firing,
            State::Acknowledged => Before::Acknowledged,
        };
        self.state = match (before, holds) {
            (Before::Ok, true) => match self.state {
                State::Pending { since } => State::Pending { since },
                _ => State::Pending { since: now },
            },
            (Before::Firing, true) => State::Firing { is_over: false },
            (Before::Firing, false) if self.rule.latch => State::Firing { is_over: true },
            (Before::Acknowledged, true) => State::Acknowledged,
            (_, false) => State::Ok,
        };
        self.pass(now);
    }

    /// Time that has passed.
    pub(super) fn pass(&mut self, now: Duration) {
        match self.state {
            State::Pending { since } if self.is_fresh && now >= since + self.hold() => {
                self.state = State::Firing { is_over: false };
            }
            State::NoData { .. } => {}
            _ => {
                if self.rule.no_data.is_some_and(|limit| now >= self.last_value + limit) {
                    let before = match self.state {
                        State::Firing { .. } => Before::Firing,
                        State::Acknowledged => Before::Acknowledged,
                        _ => Before::Ok,
                    };
                    self.state = State::NoData { before, is_acknowledged: false };
                }
            }
        }
    }

    /// Somebody looks after it; false where there is nothing to look after.
    pub(super) fn acknowledge(&mut self) -> bool {
        self.state = match self.state {
            State::Firing { is_over: true } => State::Ok,
            State::Firing { is_over: false } => State::Acknowledged,
            State::NoData { before, is_acknowledged: false } => {
                let before = if before == Before::Firing { Before::Acknowledged } else { before };
                State::NoData { before, is_acknowledged: true }
            }
            _ => return false,
        };
        true
    }

    /// When the next change may come without a sample.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let fires = match self.state {
            State::Pending { since } if self.is_fresh => Some(since + self.hold()),
            State::NoData { .. } => return None,
            _ => None,
        };
        let silent = self.rule.no_data.map(|limit| self.last_value + limit);
        fires.into_iter().chain(silent).min()
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
            State::Firing { is_over: false }
                | State::Acknowledged
                | State::NoData { before: Before::Firing | Before::Acknowledged, .. }
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

    const fn number(value: f64) -> Step {
        Step::Value(Some(Reading::Number(value)))
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Value(Option<Reading<'static>>),
        Wait,
        Acknowledge,
    }
    use Step::{Acknowledge, Value, Wait};

    fn rule(yaml: &str) -> Alarm {
        let service = "services: {s: {native: x, members: {m: {alarm: ";
        let text = format!("daemons: {{default: {{}}}}\n{service}{yaml}}}}}}}}}");
        let surroundings = lab_config::Surroundings::default();
        let parsed = lab_config::Configuration::parse("lab", text.as_bytes(), &surroundings);
        parsed.unwrap().0.services.remove(0).members.remove(0).alarms.remove(0)
    }

    #[test]
    fn every_way_through_the_states() {
        const SILENT: Step = Value(None);
        const TRUE: Step = Value(Some(Reading::Bool(true)));
        const fn text(value: &'static str) -> Step {
            Value(Some(Reading::Text(value)))
        }
        // Each step at its second, and the state after it.
        type Case<'a> = (&'a str, &'a [(u64, Step, &'a str)]);
        let cases: &[Case<'_>] = &[
            (
                "{above: 10}",
                &[(0, number(10.0), "ok"), (1, number(10.5), "firing"), (2, number(10.0), "ok")],
            ),
            (
                "{below: 2}",
                &[
                    (0, number(2.0), "ok"),
                    (1, number(1.9), "firing"),
                    (2, number(f64::INFINITY), "ok"),
                ],
            ),
            (
                "{above: 9, below: 1}",
                &[(0, number(5.0), "ok"), (1, number(0.0), "firing"), (2, number(10.0), "firing")],
            ),
            // `for`: a value that comes back in between begins anew; time alone is enough.
            (
                "{above: 10, for: 5}",
                &[
                    (0, number(11.0), "pending"),
                    (4, number(9.0), "ok"),
                    (5, number(11.0), "pending"),
                    (9, number(12.0), "pending"),
                    (10, Wait, "firing"),
                    (11, number(9.0), "ok"),
                ],
            ),
            // A condition that nobody sees any longer does not come to hold.
            (
                "{above: 10, for: 5}",
                &[
                    (0, number(11.0), "pending"),
                    (1, SILENT, "pending"),
                    (60, Wait, "pending"),
                    (61, number(11.0), "firing"),
                ],
            ),
            (
                "{above: 10, hysteresis: 2}",
                &[
                    (0, number(9.0), "ok"),
                    (1, number(11.0), "firing"),
                    (2, number(9.0), "firing"),
                    (3, Acknowledge, "acknowledged"),
                    (4, number(8.5), "acknowledged"),
                    (5, number(8.0), "ok"),
                    (6, number(9.0), "ok"),
                ],
            ),
            (
                "{above: 10, latch: true}",
                &[
                    (0, number(11.0), "firing"),
                    (1, number(9.0), "firing"),
                    (2, number(11.0), "firing"),
                    (3, number(9.0), "firing"),
                    (4, Acknowledge, "ok"),
                    (5, number(11.0), "firing"),
                    (6, Acknowledge, "acknowledged"),
                    (7, number(9.0), "ok"),
                ],
            ),
            // With a latch, hysteresis is over with the condition.
            (
                "{above: 10, hysteresis: 2, latch: true}",
                &[
                    (0, number(11.0), "firing"),
                    (1, number(7.0), "firing"),
                    (2, number(9.0), "firing"),
                    (3, Acknowledge, "ok"),
                ],
            ),
            (
                "{above: 10, no_data: 5}",
                &[
                    (0, Wait, "ok"),
                    (5, Wait, "no data"),
                    (6, number(9.0), "ok"),
                    (7, SILENT, "ok"),
                    (11, Wait, "no data"),
                    (12, Acknowledge, "no data"),
                    (13, number(11.0), "firing"),
                ],
            ),
            // What has fired is not forgotten while there is no data.
            (
                "{above: 10, no_data: 5, latch: true}",
                &[
                    (0, number(11.0), "firing"),
                    (5, Wait, "no data"),
                    (6, number(9.0), "firing"),
                    (11, Wait, "no data"),
                    (12, Acknowledge, "no data"),
                    (13, number(11.0), "acknowledged"),
                    (18, SILENT, "no data"),
                    (19, number(9.0), "ok"),
                ],
            ),
            (
                "{above: 10, for: 20, no_data: 5}",
                &[
                    (0, number(11.0), "pending"),
                    (5, Wait, "no data"),
                    (6, number(11.0), "pending"),
                    (10, number(11.0), "pending"),
                    (14, number(11.0), "pending"),
                    (18, number(11.0), "pending"),
                    (22, number(11.0), "pending"),
                    (26, number(11.0), "firing"),
                ],
            ),
            (
                "{no_data: 5}",
                &[
                    (0, number(1.0), "ok"),
                    (4, text("x"), "ok"),
                    (9, SILENT, "no data"),
                    (10, number(1.0), "ok"),
                ],
            ),
            (
                "{equals: [fault, 3, true]}",
                &[
                    (0, text("ready"), "ok"),
                    (1, text("fault"), "firing"),
                    (2, number(3.0), "firing"),
                    (3, number(2.0), "ok"),
                    (4, TRUE, "firing"),
                ],
            ),
            (
                "{not: ready}",
                &[(0, text("ready"), "ok"), (1, text("busy"), "firing"), (2, text("ready"), "ok")],
            ),
            ("{above: 0.5}", &[(0, TRUE, "firing"), (1, Value(Some(Reading::Bool(false))), "ok")]),
            // No number, no answer: that is no data.
            ("{above: 10, no_data: 5}", &[(0, text("?"), "ok"), (5, number(f64::NAN), "no data")]),
            (
                "{above: 10}",
                &[(0, Acknowledge, "ok"), (1, number(11.0), "firing"), (2, text("?"), "firing")],
            ),
        ];
        for (yaml, steps) in cases {
            let mut machine = Machine::new(rule(yaml), State::Ok, Duration::ZERO);
            for (seconds, step, expected) in *steps {
                let now = Duration::from_secs(*seconds);
                match step {
                    Value(reading) => machine.observe(now, *reading),
                    Wait => machine.pass(now),
                    Acknowledge => _ = machine.acknowledge(),
                }
                assert_eq!(machine.state().word(), *expected, "{yaml} at {seconds} s: {step:?}");
            }
        }
    }

    #[test]
    fn a_deadline_is_when_time_alone_changes_something() {
        let mut machine =
            Machine::new(rule("{above: 1, for: 3, no_data: 5}"), State::Ok, Duration::ZERO);
        let seconds = Duration::from_secs;
        assert_eq!(machine.deadline(), Some(seconds(5)));
        machine.observe(seconds(1), Some(Reading::Number(2.0)));
        assert_eq!(machine.deadline(), Some(seconds(4)));
        machine.observe(seconds(2), None);
        assert_eq!(machine.deadline(), Some(seconds(6)));
        machine.pass(seconds(6));
        assert_eq!((machine.state().word(), machine.deadline()), ("no data", None));
    }
}
