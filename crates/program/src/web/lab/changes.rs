//! Differences between two sets of rows, as events of the stream.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value as Json, json};

use super::rows::LabRows;

/// The events that lead from one set of rows to the next: whole rows, and names of those gone.
pub(super) fn events(before: &LabRows, now: &LabRows) -> Vec<(&'static str, Json)> {
    let mut lab = Map::new();
    let mut removed = Map::new();
    let mut compare = |key: &str, (changed, gone): (Vec<Json>, Vec<String>)| {
        if !changed.is_empty() {
            lab.insert(key.to_owned(), changed.into());
        }
        if !gone.is_empty() {
            removed.insert(key.to_owned(), gone.into());
        }
    };
    compare("nameservers", difference(&before.nameservers, &now.nameservers));
    compare("daemons", difference(&before.daemons, &now.daemons));
    compare("processes", difference(&before.processes, &now.processes));
    compare("services", difference(&before.services, &now.services));
    if !removed.is_empty() {
        lab.insert("removed".to_owned(), removed.into());
    }
    if before.problems != now.problems {
        lab.insert("problems".to_owned(), json!(now.problems));
    }
    let mut events = Vec::new();
    if !lab.is_empty() {
        events.push(("lab", Json::Object(lab)));
    }
    if before.calls != now.calls {
        events.push(("calls", json!({ "calls": now.calls })));
    }
    if before.alarms != now.alarms {
        events.push(("alarm", json!({ "alarms": now.alarms })));
    }
    events
}

/// The rows that are new or other than before, and the names of those that are gone.
pub(super) fn difference<R: PartialEq + Serialize>(
    before: &BTreeMap<String, R>,
    now: &BTreeMap<String, R>,
) -> (Vec<Json>, Vec<String>) {
    let changed = now.iter().filter(|(name, row)| before.get(*name) != Some(row));
    let gone = before.keys().filter(|name| !now.contains_key(*name));
    (changed.map(|(_, row)| json!(row)).collect(), gone.cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::ServiceReport;
    use crate::supervise::control::{Listing, ProcessRow, ServiceRow};

    #[test]
    fn only_changed_rows_are_sent() {
        let service = |name: &str, status: &str| ServiceRow {
            name: name.to_owned(),
            daemon: "bench".to_owned(),
            report: ServiceReport { status: status.to_owned(), ..ServiceReport::default() },
            ..ServiceRow::default()
        };
        let rows = |services: Vec<ServiceRow>| {
            let row = ProcessRow { name: "bench".to_owned(), ..ProcessRow::default() };
            LabRows::of(&Listing { daemons: vec![row], services, ..Listing::default() })
        };
        let before = rows(vec![service("a", "running"), service("b", "running")]);
        assert_eq!(events(&before, &before), []);
        let now = rows(vec![service("a", "failed"), service("c", "running")]);
        let [(kind, event)] = &events(&before, &now)[..] else { panic!("one event") };
        assert_eq!(*kind, "lab");
        let names: Vec<&str> = event["services"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["a", "c"]);
        assert_eq!(event["removed"], json!({ "services": ["b"] }));
        assert_eq!(event.get("daemons"), None);
    }
}
