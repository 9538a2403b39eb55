//! Alarms that could never fire, never clear, or have nothing to look at.

use super::{Rules, shown};
use crate::model::Alarm;
use crate::walk::Mark;

/// The place of an alarm: the keys that lead to it, and its number in the list.
struct At<'a> {
    keys: [&'a str; 5],
    number: usize,
}

impl Rules<'_> {
    pub(super) fn alarms(&mut self) {
        for service in &self.configuration.services {
            for member in &service.members {
                let path = ["services", &service.name, "members", &member.name, "alarm"];
                if let Some(mark) = self.sound(&path)
                    && !member.alarms.is_empty()
                    && !member.has_series()
                {
                    let message = "nobody reads its value for it";
                    let help = "add `poll: 1s`, or `keep: 30d` for the values that clients read";
                    self.findings.warn(mark.key, &shown(&path), message, help);
                }
                for (number, alarm) in member.alarms.iter().enumerate() {
                    let keys = ["services", &service.name, "members", &member.name, "alarm"];
                    let at = At { keys, number };
                    self.alarm(alarm, &at);
                    let is_same = |other: &Alarm| {
                        other.condition() == alarm.condition() && other.part == alarm.part
                    };
                    if member.alarms.iter().take(number).any(is_same) {
                        let message = format!("there is another alarm `{}`", alarm.condition());
                        self.refuse(&at, None, message, "remove one of the two");
                    }
                }
            }
        }
    }

    fn alarm(&mut self, alarm: &Alarm, at: &At<'_>) {
        if !alarm.has_condition() && alarm.no_data.is_none() && !self.has_wrong_condition(at) {
            let help = "write `above`, `below`, `equals`, `not` or `no_data`";
            self.refuse(at, None, "the alarm has no condition", help);
        }
        if alarm.hysteresis < 0.0 {
            let help = "write how far the value must come back, as `0.5`";
            self.refuse(at, Some("hysteresis"), "it is less than 0", help);
        } else if alarm.hysteresis > 0.0 && alarm.above.is_none() && alarm.below.is_none() {
            let help = "add one, or remove it";
            let message = "`hysteresis` belongs to `above` or `below`";
            self.refuse(at, Some("hysteresis"), message, help);
        }
        if let (Some(above), Some(below)) = (alarm.above, alarm.below) {
            if below > above {
                let message = format!("every value is below {below} or above {above}");
                self.refuse(at, Some("below"), message, "exchange the two, or correct one");
            } else if alarm.hysteresis > 0.0 && below + alarm.hysteresis > above - alarm.hysteresis
            {
                let message = "no value is that far within `above` and `below`: it never clears";
                self.refuse(at, Some("hysteresis"), message, "write a smaller one");
            }
        }
        if !alarm.equals.is_empty() && !alarm.not.is_empty() {
            let message = "`equals` and `not` are in one alarm";
            self.refuse(at, Some("not"), message, "write a list of two alarms");
        }
        if alarm.latch && !alarm.has_condition() {
            let message = "`latch` belongs to a condition on values";
            self.refuse(at, Some("latch"), message, "add `above`, `below`, `equals` or `not`");
        }
    }

    /// Whether a condition was written, and its problem reported.
    fn has_wrong_condition(&self, At { keys, number }: &At<'_>) -> bool {
        const CONDITIONS: [&str; 5] = ["above", "below", "equals", "not", "no_data"];
        let index = format!("[{number}]");
        let listed: Vec<&str> = keys.iter().copied().chain([index.as_str()]).collect();
        self.is_wrong(keys, &CONDITIONS) || self.is_wrong(&listed, &CONDITIONS)
    }

    fn refuse(&mut self, at: &At<'_>, key: Option<&str>, message: impl Into<String>, help: &str) {
        let Some((mark, path)) = self.place_of(at, key) else { return };
        self.findings.error(mark.key, &path, message.into(), help);
    }

    /// Where an alarm or one of its keys is written: in a list, or alone.
    fn place_of(&self, At { keys, number }: &At<'_>, key: Option<&str>) -> Option<(Mark, String)> {
        let index = format!("[{number}]");
        let alone: Vec<&str> = keys.iter().copied().chain(key).collect();
        let listed: Vec<&str> = keys.iter().copied().chain([index.as_str()]).chain(key).collect();
        let text = number.to_string();
        let path: Vec<&str> = keys.iter().copied().chain([text.as_str()]).chain(key).collect();
        match self.sound(&listed) {
            Some(mark) => Some((mark, shown(&path))),
            None => Some((self.sound(&alone)?, shown(&alone))),
        }
    }
}
