//! Uses that a restart or a stop would break off: held locks, and calls that run.
//!
//! Pure functions of the daemons' reports.

use std::collections::{BTreeMap, BTreeSet};

use supervisor::{EntryPhase, EntryStatus};

use super::EntryKind;
use crate::host::{CallRow, ChildReport, LockRow};

/// Daemons to be stopped, by name: each whole, or some of its services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StopScope(BTreeMap<String, Stopped>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stopped {
    Whole,
    Services(BTreeSet<String>),
}

/// Why an action on entries was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotDone {
    /// Clients use what it would stop; a sentence for each use.
    InUse(Vec<String>),
    /// For a person.
    Refused(String),
}

impl From<String> for NotDone {
    fn from(reason: String) -> Self {
        NotDone::Refused(reason)
    }
}

impl StopScope {
    pub(super) fn add_daemon(&mut self, name: &str) {
        self.0.insert(name.to_owned(), Stopped::Whole);
    }

    pub(super) fn add_services(&mut self, daemon: &str, services: BTreeSet<String>) {
        match self.0.get_mut(daemon) {
            Some(Stopped::Whole) => {}
            Some(Stopped::Services(known)) => known.extend(services),
            None => drop(self.0.insert(daemon.to_owned(), Stopped::Services(services))),
        }
    }

    /// The entries of its daemons.
    pub(super) fn ids(&self) -> Vec<String> {
        self.0.keys().map(|name| EntryKind::Daemon.id(name)).collect()
    }

    /// The uses of what is in it, a sentence for each.
    pub(super) fn uses(&self, states: &[EntryStatus]) -> Vec<String> {
        let mut uses = Vec::new();
        for (daemon, stopped) in &self.0 {
            let id = EntryKind::Daemon.id(daemon);
            let running =
                |status: &&EntryStatus| status.id == id && status.phase == EntryPhase::Running;
            let Some(status) = states.iter().find(running) else { continue };
            let report = ChildReport::read(&status.detail);
            let is_meant = |service: &str| match stopped {
                Stopped::Whole => true,
                Stopped::Services(services) => services.contains(service),
            };
            let services = report.services.iter().filter(|(name, _)| is_meant(name));
            uses.extend(services.filter_map(|(name, row)| lock_use(name, row.lock.as_ref()?)));
            // A health check or a poll that hangs must not keep anybody from a restart.
            let runs = |call: &&CallRow| call.waits_for.is_none() && call.is_of_client();
            let calls = report.calls.iter().filter(runs);
            let calls = calls.filter(|call| service_of(call, &report).is_some_and(is_meant));
            uses.extend(calls.map(|call| format!("{} runs since {}", call.title(), call.since)));
        }
        uses
    }
}

fn lock_use(service: &str, lock: &LockRow) -> Option<String> {
    if let Some(owner) = &lock.owner {
        let (name, since) = (owner.name(), &owner.since);
        let at = match name == owner.address {
            true => String::new(),
            false => format!(" at {}", owner.address),
        };
        let away = if owner.away { ", whose connection is gone and who may come back" } else { "" };
        return Some(format!("{service} is locked by {name}{at}{away} (since {since})"));
    }
    // The end of a lock: calls of its last owner, or the safe state.
    lock.note.as_ref().map(|note| format!("{service}: {note}"))
}

/// The service that a call is of, or of a part of which.
fn service_of<'a>(call: &CallRow, report: &'a ChildReport) -> Option<&'a str> {
    let is_below = |name: &str| {
        call.service.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let names = report.services.keys().filter(|name| is_below(name));
    names.max_by_key(|name| name.len()).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn daemon(phase: EntryPhase) -> EntryStatus {
        let owner = json!({"user": "ada", "address": "10.0.0.3:47", "since": "T1", "epoch": 1,
            "away": false});
        let call = |service: &str, waits: Option<&str>| {
            json!({"service": service, "member": "move", "kind": "call", "caller": "10.0.0.4:9",
                "since": "T2", "waits_for": waits})
        };
        let calls = [
            call("stage.axis", None),
            call("cam", Some("its turn")),
            call("Pyro.Daemon", None),
            call("stage.far", None),
            json!({"service": "cam", "member": "identify", "caller": "a health check"}),
        ];
        EntryStatus {
            id: "daemon bench".to_owned(),
            phase,
            pid: Some(7),
            since: None,
            restarts: 0,
            error: None,
            detail: json!({
                "services": {
                    "cam": {"lock": {"state": "locked", "owner": owner, "waiting": []}},
                    "stage": {"lock": {"state": "free", "owner": null, "waiting": []}},
                    "stage.far": {},
                },
                "calls": calls,
            }),
            retry_in: None,
        }
    }

    #[test]
    fn locks_and_running_calls_of_what_is_stopped_count() {
        let lock = "cam is locked by ada at 10.0.0.3:47 (since T1)";
        let axis = "move of stage.axis by 10.0.0.4:9 runs since T2";
        let far = "move of stage.far by 10.0.0.4:9 runs since T2";
        let services = |names: &[&str]| {
            let mut scope = StopScope::default();
            scope.add_services("bench", names.iter().map(|name| (*name).to_owned()).collect());
            scope
        };
        let mut whole = services(&["cam"]);
        whole.add_daemon("bench");
        let mut other = StopScope::default();
        other.add_daemon("other");
        let cases: [(StopScope, &[&str]); 5] = [
            (services(&["cam"]), &[lock]),
            (services(&["stage"]), &[axis]),
            (services(&["stage.far"]), &[far]),
            (whole.clone(), &[lock, axis, far]),
            (other, &[]),
        ];
        for (scope, expected) in cases {
            assert_eq!(scope.uses(&[daemon(EntryPhase::Running)]), expected, "{scope:?}");
        }
        assert_eq!(whole.uses(&[daemon(EntryPhase::Restarting)]), [""; 0]);
    }
}
