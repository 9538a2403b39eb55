//! All alarms of a daemon: which alarm looks at which series, and what people are shown.
//!
//! Pure, like the machine of one alarm: times are passed in. A member that returns a tuple or a
//! dict has a series for each part (`position.x`), known when the first sample comes.

use std::collections::BTreeMap;
use std::time::Duration;

use lab_config::{Alarm, Service};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::host::alarms::machine::{AlarmState, Before, Machine, Reading};
use crate::host::alarms::row::{Acknowledgement, AlarmRow};
use crate::host::child_report::shown_name;

/// Alarms that are reported, at most.
const MAX_SHOWN: usize = 200;

/// A moment on both clocks.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    /// On the monotonic clock, since any fixed moment.
    pub(super) passed: Duration,
    /// For people, RFC 3339.
    pub(super) time: String,
}

/// A sample as alarms look at it.
#[derive(Clone, Debug)]
pub(super) struct Observation<'a> {
    pub(super) service: &'a str,
    /// The series: a member, with its part after a dot.
    pub(super) member: &'a str,
    /// None where the quality is not good.
    pub(super) reading: Option<Reading<'a>>,
}

/// An alarm of one series.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    service: String,
    /// The series.
    member: String,
    condition: String,
}

/// An alarm that looks at a series.
#[derive(Debug)]
struct Watched {
    machine: Machine,
    /// Since when it has its state, RFC 3339.
    since: String,
    /// The value that brought it into its state.
    value: Value,
    unit: Option<String>,
    acknowledged: Option<Acknowledgement>,
    /// Whether the series has had a value.
    is_known: bool,
}

/// An alarm of the configuration.
#[derive(Clone, Debug, PartialEq)]
struct Rule {
    service: String,
    /// The member, with the part that the alarm is about.
    member: String,
    /// Whether it is about each part.
    has_parts: bool,
    unit: Option<String>,
    alarm: Alarm,
}

/// A change of an alarm's state.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Change {
    pub(super) before: &'static str,
    pub(super) row: AlarmRow,
}

/// An alarm as the state file keeps it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct KeptAlarm {
    #[serde(flatten)]
    row: AlarmRow,
    /// The state that it had before there was no data.
    before: Option<String>,
    /// Seconds for which the condition has held.
    pending: f64,
}

/// The alarms of a daemon.
#[derive(Debug, Default)]
pub(super) struct Board {
    rules: Vec<Rule>,
    watched: BTreeMap<Key, Watched>,
}

impl Board {
    /// The alarms that these services have, in the states in which they were `kept`.
    pub(super) fn new(services: &[Service], kept: Vec<KeptAlarm>, now: &Moment) -> Self {
        let mut board = Board { rules: rules(services), ..Board::default() };
        for kept in kept {
            let AlarmRow { service, member, condition, .. } = &kept.row;
            let fits = |rule: &&Rule| {
                rule.alarm.condition() == *condition && rule.looks_at(service, member)
            };
            let Some(rule) = board.rules.iter().find(fits) else { continue };
            let machine = Machine::new(rule.alarm.clone(), kept.state(now), now.passed);
            let key = kept.row.key();
            board.watched.insert(
                key,
                Watched {
                    machine,
                    since: kept.row.since,
                    value: kept.row.value,
                    unit: kept.row.unit,
                    acknowledged: kept.row.acknowledged,
                    is_known: true,
                },
            );
        }
        board.watch_rules(now);
        board
    }

    /// Takes up another configuration. Alarms that are the same in it keep their states.
    pub(super) fn change(&mut self, services: &[Service], now: &Moment) {
        self.rules = rules(services);
        let rules = &self.rules;
        self.watched.retain(|key, watched| {
            rules.iter().any(|rule| {
                rule.alarm == *watched.machine.rule() && rule.looks_at(&key.service, &key.member)
            })
        });
        self.watch_rules(now);
    }

    /// How many series are looked at.
    pub(super) fn count(&self) -> usize {
        self.watched.len()
    }

    /// Looks at a sample.
    pub(super) fn observe(&mut self, sample: &Observation<'_>, now: &Moment) -> Vec<Change> {
        let mut changes = Vec::new();
        for rule in &self.rules {
            if !rule.looks_at(sample.service, sample.member) {
                continue;
            }
            let key = rule.key(sample.member);
            let watched = self.watched.entry(key.clone()).or_insert_with(|| rule.watch(now));
            watched.is_known |= sample.reading.is_some();
            let before = watched.machine.state();
            watched.machine.observe(now.passed, sample.reading);
            changes.extend(watched.note(&key, before, sample.reading, now));
            // The member has parts: nothing comes for itself.
            if rule.has_parts && sample.member != rule.member {
                let whole = rule.key(&rule.member);
                if self.watched.get(&whole).is_some_and(|whole| !whole.is_known) {
                    self.watched.remove(&whole);
                }
            }
        }
        changes
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, now: &Moment) -> Vec<Change> {
        let pass = |(key, watched): (&Key, &mut Watched)| {
            let before = watched.machine.state();
            watched.machine.pass(now.passed);
            watched.note(key, before, None, now)
        };
        self.watched.iter_mut().filter_map(pass).collect()
    }

    /// When time alone may change something next.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.watched.values().filter_map(|watched| watched.machine.deadline()).min()
    }

    /// Somebody looks after the alarms of one series.
    pub(super) fn acknowledge(
        &mut self,
        service: &str,
        member: &str,
        acknowledgement: &Acknowledgement,
        now: &Moment,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        for (key, watched) in &mut self.watched {
            if key.service != service || key.member != member {
                continue;
            }
            let before = watched.machine.state();
            if watched.machine.acknowledge() {
                watched.acknowledged = Some(acknowledgement.clone());
                if before.word() != watched.machine.state().word() {
                    watched.since.clone_from(&now.time);
                }
                changes.push(Change { before: before.word(), row: watched.row(key) });
            }
        }
        changes
    }

    /// Those that are not `ok`, what needs somebody first.
    pub(super) fn rows(&self) -> Vec<AlarmRow> {
        let is_shown = |watched: &Watched| watched.machine.state() != AlarmState::Ok;
        let shown = self.watched.iter().filter(|(_, watched)| is_shown(watched));
        let mut rows: Vec<AlarmRow> = shown.map(|(key, watched)| watched.row(key)).collect();
        rows.sort_by_key(|row| (!row.needs_somebody(), row.state == "pending"));
        rows.truncate(MAX_SHOWN);
        rows
    }

    /// The alarms for the state file.
    pub(super) fn kept(&self, now: &Moment) -> Vec<KeptAlarm> {
        let kept =
            self.watched.iter().filter(|(_, watched)| watched.machine.state() != AlarmState::Ok);
        let kept = kept.map(|(key, watched)| {
            let (before, pending) = match watched.machine.state() {
                AlarmState::NoData { before: Before::Firing, .. } => (Some("firing"), 0.0),
                AlarmState::NoData { before: Before::Acknowledged, .. } => {
                    (Some("acknowledged"), 0.0)
                }
                AlarmState::Pending { since } => {
                    (None, now.passed.saturating_sub(since).as_secs_f64())
                }
                _ => (None, 0.0),
            };
            let before = before.map(str::to_owned);
            KeptAlarm { row: watched.row(key), before, pending }
        });
        kept.collect()
    }

    /// Looks at the series that are known from the configuration, so that one without any sample
    /// is noticed.
    fn watch_rules(&mut self, now: &Moment) {
        for rule in &self.rules {
            let is_watched = self.watched.iter().any(|(key, watched)| {
                *watched.machine.rule() == rule.alarm && rule.looks_at(&key.service, &key.member)
            });
            if !is_watched {
                self.watched.insert(rule.key(&rule.member), rule.watch(now));
            }
        }
    }
}

impl Rule {
    fn looks_at(&self, service: &str, member: &str) -> bool {
        let rest = member.strip_prefix(self.member.as_str()).filter(|_| service == self.service);
        rest.is_some_and(|rest| rest.is_empty() || self.has_parts && rest.starts_with('.'))
    }

    fn key(&self, member: &str) -> Key {
        let (service, member) = (self.service.clone(), member.to_owned());
        Key { service, member, condition: self.alarm.condition() }
    }

    fn watch(&self, now: &Moment) -> Watched {
        Watched {
            machine: Machine::new(self.alarm.clone(), AlarmState::Ok, now.passed),
            since: now.time.clone(),
            value: Value::Null,
            unit: self.unit.clone(),
            acknowledged: None,
            is_known: false,
        }
    }
}

impl Watched {
    /// Notes a change of the state, if there was one.
    fn note(
        &mut self,
        key: &Key,
        before: AlarmState,
        reading: Option<Reading<'_>>,
        now: &Moment,
    ) -> Option<Change> {
        let state = self.machine.state();
        if state == before {
            return None;
        }
        if let Some(reading) = reading {
            self.value = json(reading);
        }
        if state.word() != before.word() {
            self.since.clone_from(&now.time);
            if !matches!(state, AlarmState::Acknowledged | AlarmState::NoData { .. }) {
                self.acknowledged = None;
            }
        }
        Some(Change { before: before.word(), row: self.row(key) })
    }

    fn row(&self, key: &Key) -> AlarmRow {
        let state = self.machine.state();
        AlarmRow {
            service: key.service.clone(),
            member: key.member.clone(),
            condition: key.condition.clone(),
            message: self.machine.rule().message.clone(),
            state: state.word().to_owned(),
            since: self.since.clone(),
            value: self.value.clone(),
            unit: self.unit.clone(),
            is_over: state == AlarmState::Firing { is_over: true },
            acknowledged: self.acknowledged.clone(),
            daemon: String::new(),
        }
    }
}

impl KeptAlarm {
    fn state(&self, now: &Moment) -> AlarmState {
        let before = match self.before.as_deref() {
            Some("firing") => Before::Firing,
            Some("acknowledged") => Before::Acknowledged,
            _ => Before::Ok,
        };
        match self.row.state.as_str() {
            "pending" => {
                let held = Duration::try_from_secs_f64(self.pending).unwrap_or_default();
                AlarmState::Pending { since: now.passed.saturating_sub(held) }
            }
            "firing" => AlarmState::Firing { is_over: self.row.is_over },
            "acknowledged" => AlarmState::Acknowledged,
            "no data" => {
                let is_acknowledged = self.row.acknowledged.is_some();
                AlarmState::NoData { before, is_acknowledged }
            }
            _ => AlarmState::Ok,
        }
    }
}

impl AlarmRow {
    fn key(&self) -> Key {
        let AlarmRow { service, member, condition, .. } = self.clone();
        Key { service, member, condition }
    }
}

fn rules(services: &[Service]) -> Vec<Rule> {
    let of_member = |service: &Service, member: &lab_config::Member| {
        let rule = |alarm: &Alarm| Rule {
            service: service.name.clone(),
            member: match &alarm.part {
                Some(part) => format!("{}.{part}", member.name),
                None => member.name.clone(),
            },
            has_parts: alarm.part.is_none(),
            unit: member.value.unit.clone(),
            alarm: alarm.clone(),
        };
        member.alarms.iter().map(rule).collect::<Vec<_>>()
    };
    services
        .iter()
        .flat_map(|service| {
            service.members.iter().flat_map(move |member| of_member(service, member))
        })
        .collect()
}

fn json(reading: Reading<'_>) -> Value {
    match reading {
        Reading::Number(number) => number.into(),
        Reading::Bool(flag) => flag.into(),
        Reading::Text(text) => shown_name(text).into(),
    }
}

#[cfg(test)]
mod tests {
    use lab_config::{Configuration, Surroundings};

    use super::*;

    fn services(members: &str) -> Vec<Service> {
        let text = format!(
            "daemons: {{default: {{}}}}\nservices: {{s: {{native: x, members: {{{members}}}}}}}"
        );
        let parsed = Configuration::parse("lab", text.as_bytes(), &Surroundings::default());
        parsed.unwrap().0.services
    }

    fn at(seconds: u64) -> Moment {
        Moment { passed: Duration::from_secs(seconds), time: format!("t{seconds}") }
    }

    fn sample(member: &str, value: f64) -> Observation<'_> {
        let reading = Some(Reading::Number(value));
        Observation { service: "s", member, reading }
    }

    fn by_ada() -> Acknowledgement {
        Acknowledgement { by: "ada".into(), time: "now".into(), reason: "on my way".into() }
    }

    fn words(board: &Board) -> Vec<String> {
        let word = |row: AlarmRow| format!("{} {} {}", row.member, row.condition, row.state);
        board.rows().into_iter().map(word).collect()
    }

    #[test]
    fn each_part_has_its_alarm_and_one_without_samples_is_noticed() {
        let services = services(
            "pos: {alarm: [{above: 10, no_data: 5}, {below: 0, part: y}]}, p: {alarm: {above: 1}}",
        );
        let mut board = Board::new(&services, Vec::new(), &at(0));
        assert_eq!(board.deadline(), Some(Duration::from_secs(5)));
        board.observe(&sample("pos.x", 11.0), &at(1));
        board.observe(&sample("pos.y", -1.0), &at(2));
        assert_eq!(words(&board), ["pos.x above 10 firing", "pos.y below 0 firing"]);
        board.observe(&sample("pos.x", 1.0), &at(2));
        let silent = Observation { reading: None, ..sample("pos.y", 0.0) };
        board.observe(&silent, &at(2));
        assert_eq!(board.pass(&at(7)).len(), 1, "only pos.y is silent");
        assert_eq!(words(&board), ["pos.y above 10 no data", "pos.y below 0 firing"]);
        let mut silent = Board::new(&services, Vec::new(), &at(0));
        silent.pass(&at(5));
        assert_eq!(words(&silent), ["pos above 10 no data"]);
    }

    #[test]
    fn states_are_kept_over_restarts_and_changes_of_other_alarms() {
        let before = services(
            "a: {alarm: {above: 1, latch: true}}, b: {alarm: {above: 1}}, c: {alarm: {above: 1, for: 9}}, \
             d: {alarm: {above: 1, no_data: 3}}, e: {alarm: {above: 1}}",
        );
        let mut board = Board::new(&before, Vec::new(), &at(0));
        for member in ["a", "b", "c", "d", "e"] {
            board.observe(&sample(member, 2.0), &at(1));
        }
        assert_eq!(board.acknowledge("s", "b", &by_ada(), &at(2)).len(), 1);
        assert_eq!(board.acknowledge("s", "b", &by_ada(), &at(2)), []);
        board.observe(&sample("a", 0.0), &at(3));
        board.observe(&Observation { reading: None, ..sample("d", 0.0) }, &at(3));
        board.pass(&at(6));
        let kept: Vec<KeptAlarm> =
            serde_json::from_str(&serde_json::to_string(&board.kept(&at(6))).unwrap()).unwrap();
        let rows = board.rows();
        let mut next = Board::new(&before, kept, &at(100));
        assert_eq!(next.rows(), rows);
        assert!(rows.iter().any(|row| row.member == "a" && row.is_over && row.value == 0.0));
        assert_eq!(rows.iter().find(|row| row.member == "b").unwrap().acknowledged, Some(by_ada()));
        // It has held for 5 s before.
        assert_eq!(next.pass(&at(200)), [], "nothing fires without a value");
        let changes = next.observe(&sample("c", 2.0), &at(104));
        assert_eq!((changes[0].before, changes[0].row.state.as_str()), ("pending", "firing"));
        let changes = next.observe(&sample("d", 2.0), &at(105));
        assert_eq!((changes[0].before, changes[0].row.state.as_str()), ("no data", "firing"));
        // Another limit is another alarm.
        next.change(
            &services("a: {alarm: {above: 1, latch: true}}, b: {alarm: {above: 7}}"),
            &at(106),
        );
        assert_eq!(words(&next), ["a above 1 firing"]);
        assert_eq!(next.count(), 2);
    }
}
