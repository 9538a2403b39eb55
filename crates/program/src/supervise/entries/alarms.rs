//! Alarms of all daemons: who acknowledges them, and notifications of their changes.

use std::collections::BTreeMap;

use lab_config::did_you_mean;
use supervisor::{EntryPhase, EntryStatus};

use super::EntryKind;
use crate::host::{AlarmRow, ChildReport};
use crate::notify::Notification;

/// The alarms that a running daemon reports.
pub(super) fn rows(daemon: &str, status: Option<&EntryStatus>) -> Vec<AlarmRow> {
    let running = status.filter(|status| status.phase == EntryPhase::Running);
    let rows = running.map(|status| ChildReport::read(&status.detail).alarms).unwrap_or_default();
    rows.into_iter().map(|row| AlarmRow { daemon: daemon.to_owned(), ..row }).collect()
}

/// How many series of a running daemon have alarms.
pub(super) fn watched(status: Option<&EntryStatus>) -> usize {
    let running = status.filter(|status| status.phase == EntryPhase::Running);
    running.map_or(0, |status| ChildReport::read(&status.detail).alarms_watched)
}

/// The series (service, member) that `name` means among these alarms, by daemon: one series, all
/// parts of a member, or all of a service.
///
/// # Errors
/// None of them waits for somebody.
pub(super) fn meant(
    name: &str,
    rows: &[AlarmRow],
) -> Result<BTreeMap<String, Vec<(String, String)>>, String> {
    let is_meant = |row: &&AlarmRow| {
        let title = row.title();
        let rest = title.strip_prefix(name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let waiting: Vec<&AlarmRow> = rows.iter().filter(|row| row.needs_somebody()).collect();
    let mut series: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for row in waiting.iter().copied().filter(is_meant) {
        let one = (row.service.clone(), row.member.clone());
        let of_daemon = series.entry(row.daemon.clone()).or_default();
        if !of_daemon.contains(&one) {
            of_daemon.push(one);
        }
    }
    if !series.is_empty() {
        return Ok(series);
    }
    if let Some(row) = rows.iter().find(is_meant) {
        return Err(format!("`{name}` needs nobody: {}", row.sentence()));
    }
    let titles: Vec<String> = waiting.iter().map(|row| row.title()).collect();
    Err(match did_you_mean(name, titles.iter().map(String::as_str)) {
        Some(help) => format!("no alarm of `{name}` fires; {help}"),
        None if titles.is_empty() => format!("no alarm of `{name}` fires, and no other does"),
        None => format!("no alarm of `{name}` fires; these do: {}", titles.join(", ")),
    })
}

/// The alarms that people were notified of, by daemon.
#[derive(Debug, Default)]
pub(super) struct KnownAlarms(BTreeMap<String, BTreeMap<(String, String), &'static str>>);

impl KnownAlarms {
    /// The changes since the last look. A daemon that does not run changes nothing: its alarms go
    /// on where they were.
    pub(super) fn update(&mut self, entries: &[EntryStatus]) -> Vec<Notification> {
        let mut found = Vec::new();
        let is_listed = |id: &String| entries.iter().any(|entry| entry.id == *id);
        self.0.retain(|id, _| is_listed(id));
        for entry in entries.iter().filter(|entry| entry.phase == EntryPhase::Running) {
            if !entry.id.starts_with(EntryKind::Daemon.word()) {
                continue;
            }
            let rows = ChildReport::read(&entry.detail).alarms;
            let known = self.0.entry(entry.id.clone()).or_default();
            let mut now = BTreeMap::new();
            for row in rows {
                let key = (row.title(), row.condition.clone());
                let event = match row.state.as_str() {
                    "firing" => "alarm_fires",
                    "acknowledged" => "alarm_acknowledged",
                    "no data" => "alarm_no_data",
                    _ => continue,
                };
                let before = known.get(&key).copied();
                // The person who acknowledges it knows; the others are told.
                let is_news =
                    before != Some(event) && (event != "alarm_acknowledged" || before.is_some());
                if is_news {
                    found.push(notification(event, &key, text(&row)));
                }
                now.insert(key, event);
            }
            for (key, _) in known.iter().filter(|(key, _)| !now.contains_key(*key)) {
                let text = format!("it has cleared ({})", key.1);
                found.push(notification("alarm_clears", key, text));
            }
            *known = now;
        }
        found
    }
}

/// The subject names the condition: of one subject, only the last change within a minute is sent.
fn notification(
    event: &'static str,
    (title, condition): &(String, String),
    text: String,
) -> Notification {
    Notification { event, subject: format!("alarm {title} ({condition})"), text }
}

fn text(row: &AlarmRow) -> String {
    match &row.acknowledged {
        Some(by) if row.state == "acknowledged" => {
            let reason = match by.reason.as_str() {
                "" => String::new(),
                reason => format!(": {reason}"),
            };
            format!("{} has acknowledged it ({}){reason}", by.by, row.condition)
        }
        _ => row.sentence(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn alarm(member: &str, state: &str) -> AlarmRow {
        AlarmRow {
            service: "lab.cryo".to_owned(),
            member: member.to_owned(),
            condition: "above 320".to_owned(),
            state: state.to_owned(),
            daemon: "bench".to_owned(),
            ..AlarmRow::default()
        }
    }

    #[test]
    fn a_name_means_a_series_a_member_or_a_service() {
        let rows = [
            alarm("read.0", "firing"),
            alarm("read.1", "no data"),
            alarm("reads", "firing"),
            alarm("t", "pending"),
        ];
        for (name, expected) in [
            ("lab.cryo.read.0", "read.0"),
            ("lab.cryo.read", "read.0 read.1"),
            ("lab.cryo", "read.0 read.1 reads"),
        ] {
            let found = meant(name, &rows).unwrap();
            let members: Vec<&str> = found["bench"].iter().map(|(_, member)| &**member).collect();
            assert_eq!(members.join(" "), expected);
        }
        for (name, expected) in [
            ("lab.cryo.t", "needs nobody: it is pending (above 320)"),
            ("lab.cryo.raed.0", "did you mean"),
            ("x", "these do: lab.cryo.read.0"),
        ] {
            let error = meant(name, &rows).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        assert!(meant("x", &[]).unwrap_err().contains("no other does"));
    }

    #[test]
    fn changes_are_told_once_and_outlive_a_restart_of_the_daemon() {
        let entry = |phase, alarms: Vec<AlarmRow>| EntryStatus {
            id: "daemon bench".to_owned(),
            phase,
            pid: None,
            since: None,
            restarts: 0,
            error: None,
            detail: json!({ "alarms": alarms }),
            retry_in: None,
        };
        let running = |state: &str| entry(EntryPhase::Running, vec![alarm("t", state)]);
        let steps = [
            (running("pending"), ""),
            (running("firing"), "alarm_fires"),
            (running("firing"), ""),
            (entry(EntryPhase::Restarting, vec![]), ""),
            (running("firing"), ""),
            (running("acknowledged"), "alarm_acknowledged"),
            (running("no data"), "alarm_no_data"),
            (entry(EntryPhase::Running, vec![]), "alarm_clears"),
            (entry(EntryPhase::Running, vec![]), ""),
        ];
        let mut known = KnownAlarms::default();
        for (number, (entry, expected)) in steps.into_iter().enumerate() {
            let found = known.update(&[entry]);
            let events: Vec<&str> = found.iter().map(|notification| notification.event).collect();
            assert_eq!(events.join(" "), expected, "step {number}");
            assert!(found.iter().all(|told| told.subject == "alarm lab.cryo.t (above 320)"));
        }
    }
}
