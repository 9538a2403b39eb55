//! Faults and their ends, as notifications: found by comparing the states of entries, services and
//! the host with those before, and in the log of a daemon for what is over before it can be seen.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use supervisor::{EntryPhase, EntryStatus, KeeperHandle, LogSink};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::EntryKind;
use super::alarms::KnownAlarms;
use crate::audit::AUDIT_FAILS;
use crate::history_process::PROCESS_NAME as HISTORY;
use crate::host::{ChildReport, LOCK_BROKEN};
use crate::log::host_warnings::Troubles;
use crate::notify::{Notification, Notifier, RateLimit};
use crate::supervise::incidents::{Incidents, SUPERVISOR};

/// Between two looks at what no change of an entry announces: troubles of the host.
const FAULT_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Notifications from the log that may wait; further ones are dropped.
const FROM_LOG: usize = 100;
/// Beginning of the log line about a dead worker, as the crate `py-worker` writes it.
const WORKER: &str = "the Python worker ";

/// Notifications from the children's logs.
pub(crate) type FromLog = mpsc::Receiver<Notification>;

/// Incidents before the entries were launched, and notifications from their logs.
pub(crate) struct Past {
    pub(crate) incidents: Incidents,
    /// The death of the supervisor before this one.
    pub(crate) death: Option<String>,
    pub(crate) from_log: FromLog,
}

/// The same sink for the children's logs, which also notices dead workers and broken locks.
pub(crate) fn watch_log(sink: LogSink) -> (LogSink, FromLog) {
    let (sender, receiver) = mpsc::channel(FROM_LOG);
    let watching = move |entry: &str, line: &str| {
        if let Some(notification) = in_line(entry, line) {
            let _ = sender.try_send(notification);
        }
        sink(entry, line);
    };
    (Arc::new(watching), receiver)
}

fn in_line(entry: &str, line: &str) -> Option<Notification> {
    // Almost every line ends here.
    if ![WORKER, LOCK_BROKEN, AUDIT_FAILS].iter().any(|text| line.contains(text)) {
        return None;
    }
    let fields: Value = serde_json::from_str(line).ok()?;
    let text = |key: &str| fields.get(key).and_then(Value::as_str);
    let (message, target) = (text("message")?, text("target")?);
    if message == LOCK_BROKEN && target.starts_with("ferrolab::host") {
        let (service, by) = (text("service")?, text("by")?);
        let reason = text("reason").unwrap_or_default();
        let subject = format!("service {service}");
        let text = format!("its lock was broken by {by}: {reason}");
        return Some(Notification { event: "lock_broken", subject, text });
    }
    if message == AUDIT_FAILS && target.starts_with("lab_files::audit") {
        let text = format!("{message}: {}", text("error").unwrap_or_default());
        let event = event_of_disk(&text);
        return Some(Notification { event, subject: entry.to_owned(), text });
    }
    let is_death = message.starts_with(WORKER) && text("level") == Some("ERROR");
    (is_death && target.starts_with("py_worker")).then(|| Notification {
        event: "worker_died",
        subject: entry.to_owned(),
        text: message.to_owned(),
    })
}

/// The event of a fault of the host.
fn event_of_disk(text: &str) -> &'static str {
    let full = ["No space left", "os error 28", "Disk quota"];
    let is_full = full.iter().any(|part| text.contains(part));
    if is_full { "disk_full" } else { "host_trouble" }
}

/// The state of something that can fail.
#[derive(Clone, Debug, PartialEq, Eq)]
enum FaultState {
    Well,
    /// The event, and the fault in a sentence.
    Faulty(&'static str, String),
}

/// The known states, by subject and what is at fault.
#[derive(Debug, Default)]
struct KnownFaults {
    states: BTreeMap<(String, String), FaultState>,
    restarts: BTreeMap<String, u32>,
}

/// Follows everything for ever, and notifies.
pub(super) async fn watch(
    keeper: KeeperHandle,
    troubles: Troubles,
    notifier: Notifier,
    Past { incidents, death, mut from_log }: Past,
) {
    let (mut known, mut limit) = (KnownFaults::default(), RateLimit::default());
    let mut alarms = KnownAlarms::default();
    let mut changes = keeper.watch();
    if let Some(text) = death {
        let subject = SUPERVISOR.to_owned();
        notifier.send(&Notification { event: "supervisor_died", subject, text });
    }
    let mut logged = Vec::new();
    loop {
        changes.borrow_and_update();
        let entries = keeper.snapshot().await;
        let (mut found, over) = known.update(&entries, &troubles.list());
        found.extend(alarms.update(&entries));
        for notification in &over {
            incidents.add(&notification.subject, notification.text.clone());
        }
        for notification in logged.drain(..).chain(found) {
            if let Some(notification) = limit.admit(Instant::now(), notification) {
                notifier.send(&notification);
            }
        }
        limit.due(Instant::now()).iter().for_each(|notification| notifier.send(notification));
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            Some(notification) = from_log.recv() => {
                if notification.event == "worker_died" {
                    incidents.add(&notification.subject, notification.text.clone());
                }
                logged.push(notification);
            }
            () = sleep(FAULT_CHECK_INTERVAL) => {}
        }
    }
}

impl KnownFaults {
    /// The faults and ends of faults since the last look; and crashes that are over.
    fn update(
        &mut self,
        entries: &[EntryStatus],
        troubles: &[String],
    ) -> (Vec<Notification>, Vec<Notification>) {
        let (mut found, mut over) = (Vec::new(), Vec::new());
        let mut now = BTreeMap::new();
        for entry in entries {
            let key = (entry.id.clone(), String::new());
            let was_faulty = matches!(self.states.get(&key), Some(FaultState::Faulty(..)));
            if entry.phase == EntryPhase::Running {
                let before = self.restarts.insert(entry.id.clone(), entry.restarts).unwrap_or(0);
                let healed = Notification {
                    event: "daemon_died",
                    subject: entry.id.clone(),
                    text: "its process died and was started again".to_owned(),
                };
                if entry.restarts > before {
                    over.push(healed.clone());
                    // The death of one that was seen dead is sent already.
                    found.extend(Some(healed).filter(|_| !was_faulty));
                }
            }
            now.extend(state_of(entry).map(|state| (key, state)));
            if entry.phase == EntryPhase::Running {
                let ChildReport { services, warning, .. } = ChildReport::read(&entry.detail);
                // Its warnings are about its disk and its files.
                if let Some(text) = warning.filter(|_| entry.id == EntryKind::Process.id(HISTORY)) {
                    let fault = FaultState::Faulty(event_of_disk(&text), text.clone());
                    now.insert((entry.id.clone(), text), fault);
                }
                now.extend(services.into_iter().filter_map(|(name, report)| {
                    let subject = format!("service {name}");
                    let state = service_state(&report.status, report.error)?;
                    Some(((subject, String::new()), state))
                }));
            }
        }
        // Its own failures are for `status`: what would tell of them is away.
        let told = troubles.iter().filter(|text| !text.starts_with("notifications to "));
        now.extend(told.map(|text| {
            let event = event_of_disk(text);
            (("this host".to_owned(), text.clone()), FaultState::Faulty(event, text.clone()))
        }));
        for (key, state) in &now {
            let before = self.states.get(key);
            let notification = match (before, state) {
                (Some(FaultState::Faulty(..)), FaultState::Well) => {
                    let text = "it is well again".to_owned();
                    Some(Notification { event: "recovered", subject: key.0.clone(), text })
                }
                // The words of a fault may change with each attempt.
                (Some(FaultState::Faulty(known, _)), FaultState::Faulty(event, _))
                    if known == event =>
                {
                    None
                }
                (_, FaultState::Faulty(event, text)) => {
                    Some(Notification { event, subject: key.0.clone(), text: text.clone() })
                }
                (_, FaultState::Well) => None,
            };
            found.extend(notification);
        }
        let ended = |((subject, what), state): (&(String, String), &FaultState)| {
            let is_over = matches!(state, FaultState::Faulty(..)) && !what.is_empty();
            (is_over && !now.contains_key(&(subject.clone(), what.clone()))).then(|| Notification {
                event: "recovered",
                subject: subject.clone(),
                text: format!("over: {what}"),
            })
        };
        found.extend(self.states.iter().filter_map(ended));
        // An entry that starts keeps its state; a stopped one has none.
        for entry in entries {
            let is_stopped = matches!(entry.phase, EntryPhase::Stopped | EntryPhase::Stopping);
            if is_stopped {
                self.states.remove(&(entry.id.clone(), String::new()));
            }
        }
        self.states.retain(|(_, what), _| what.is_empty());
        self.states.extend(now);
        (found, over)
    }
}

fn state_of(entry: &EntryStatus) -> Option<FaultState> {
    let error = || entry.error.clone().unwrap_or_else(|| "it does not say why".to_owned());
    match entry.phase {
        EntryPhase::Running => Some(FaultState::Well),
        EntryPhase::Failed => Some(FaultState::Faulty(
            "given_up",
            format!("it crashed too often and was given up: {}", error()),
        )),
        EntryPhase::Restarting => Some(FaultState::Faulty(
            "daemon_died",
            format!("it died and will be started again: {}", error()),
        )),
        _ => None,
    }
}

fn service_state(status: &str, error: Option<String>) -> Option<FaultState> {
    let fault = |event| {
        let error = error.unwrap_or_else(|| "it does not say why".to_owned());
        Some(FaultState::Faulty(event, format!("it is {status}: {error}")))
    };
    match status {
        "running" => Some(FaultState::Well),
        "failed" => fault("service_failed"),
        "unwell" => fault("service_unwell"),
        "hangs" => fault("service_hangs"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(phase: EntryPhase, restarts: u32, service: &str) -> EntryStatus {
        EntryStatus {
            id: "daemon a".to_owned(),
            phase,
            pid: None,
            since: None,
            restarts,
            error: None,
            detail: json!({"services": {"x": {"status": service, "error": "off"}}}),
            retry_in: None,
        }
    }

    #[test]
    fn changes_are_told_once() {
        let full = "the log cannot be written: No space left on device".to_owned();
        let steps = [
            (entry(EntryPhase::Running, 0, "running"), vec![], vec![]),
            (entry(EntryPhase::Running, 0, "unwell"), vec![], vec!["service_unwell service x"]),
            (entry(EntryPhase::Running, 0, "unwell"), vec![], vec![]),
            (entry(EntryPhase::Running, 0, "running"), vec![], vec!["recovered service x"]),
            (entry(EntryPhase::Running, 1, "starting"), vec![], vec!["daemon_died daemon a"]),
            (entry(EntryPhase::Restarting, 1, ""), vec![], vec!["daemon_died daemon a"]),
            (entry(EntryPhase::Starting, 2, ""), vec![], vec![]),
            (entry(EntryPhase::Running, 2, "running"), vec![], vec!["recovered daemon a"]),
            (entry(EntryPhase::Failed, 2, ""), vec![], vec!["given_up daemon a"]),
            (entry(EntryPhase::Stopped, 0, ""), vec![], vec![]),
            (entry(EntryPhase::Running, 0, "running"), vec![full], vec!["disk_full this host"]),
            (entry(EntryPhase::Running, 0, "running"), vec![], vec!["recovered this host"]),
        ];
        let mut known = KnownFaults::default();
        for (number, (entry, troubles, expected)) in steps.into_iter().enumerate() {
            let (found, _) = known.update(&[entry], &troubles);
            let told = found.iter();
            let told: Vec<String> = told.map(|it| format!("{} {}", it.event, it.subject)).collect();
            assert_eq!(told, expected, "step {number}");
        }
    }
}
