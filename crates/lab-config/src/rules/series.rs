//! Members whose values are read again and again (`poll`) or kept (`keep`): they belong to one
//! instance, and are numbers or short texts.
//!
//! Whether a Python class has the member is known when a worker loads it; the daemon then reports
//! the others.

use std::time::Duration;

use super::{Rules, shown};
use crate::model::{InstanceMode, Member, Service, Target};
use crate::problem::quoted;

/// Shortest time between two readings: more often is a measurement and no live value.
const SHORTEST_POLL: Duration = Duration::from_millis(50);
/// Types that make no series.
const NO_VALUES: [&str; 3] = ["array", "bytes", "complex"];

impl Rules<'_> {
    pub(super) fn series(&mut self) {
        for service in &self.configuration.services {
            for member in &service.members {
                self.series_of(service, member);
            }
        }
    }

    fn series_of(&mut self, service: &Service, member: &Member) {
        let path = ["services", service.name.as_str(), "members", member.name.as_str()];
        let at = |key| path.iter().copied().chain([key]).collect::<Vec<&str>>();
        let key = if member.poll.is_some() { "poll" } else { "keep" };
        let word = member.value.type_word.as_deref().unwrap_or("any");
        if member.deadband.is_some()
            && !member.has_series()
            && let Some(mark) = self.sound(&at("deadband"))
        {
            let message = "it has no effect without `poll` or `keep`";
            self.findings.warn(mark.key, &shown(&at("deadband")), message, "add `poll: 1s`");
        }
        let Some(mark) = self.sound(&at(key)).filter(|_| member.has_series()) else { return };
        let shown = shown(&at(key));
        // A module is one for all, and so is a built-in service.
        let is_class = matches!(service.target, Target::Python { classname: Some(_), .. });
        let whose = match service.instancemode {
            InstanceMode::Percall => "each call",
            _ => "each client",
        };
        if is_class && !matches!(service.instancemode, InstanceMode::Single | InstanceMode::Class) {
            let message = format!("{whose} has an instance of its own, and there is none to read");
            let help = format!("write `instancemode: single`, or remove `{key}`");
            self.findings.error(mark.key, &shown, message, help);
        }
        if NO_VALUES.contains(&word) {
            let message = format!(
                "a live value is a number, a boolean or a short text, and `type` is {}",
                quoted(word)
            );
            let help = "choose a member that returns one number, or a tuple or dict of some";
            self.findings.error(mark.key, &shown, message, help);
        }
        if member.poll.is_some_and(|period| period < SHORTEST_POLL) {
            let message = format!(
                "a value cannot be read more often than each {} ms",
                SHORTEST_POLL.as_millis()
            );
            self.findings.error(mark.value, &shown, message, "write `50ms` or more");
        }
    }
}
