//! Report of a daemon or a nameserver to its supervisor: JSON, written and read by these types.
//!
//! A program of another release may be at the other end, so a field that is not there is empty.
//! The parts about services and locks are also what `ps`, `status` and `locks` show.

use std::collections::BTreeMap;
use std::time::SystemTime;

use jiff::Timestamp;
use remote::{OwnCallReason, Peer};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::authority::EXPIRY_WARNING;
use crate::host::alarms::AlarmRow;
use crate::host::drivers::DriverRow;
use crate::host::registration::UnleasedNames;

/// Bytes of a name in a report after which it is cut.
const MAX_NAME_BYTES: usize = 80;
/// Bytes of a sentence in a report after which it is cut.
const MAX_SENTENCE_BYTES: usize = 300;

/// Report of a child process. A nameserver has only the first three fields.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ChildReport {
    pub(crate) uri: Option<String>,
    /// URI at which the supervisor checks that the process still answers.
    pub(crate) address: Option<String>,
    pub(crate) warning: Option<String>,
    pub(crate) services: BTreeMap<String, ServiceReport>,
    /// Nameservers that have all names of the daemon.
    pub(crate) registered: Vec<String>,
    pub(crate) unleased: Vec<UnleasedNames>,
    /// Calls that run or wait, the longest first.
    pub(crate) calls: Vec<CallRow>,
    /// The connections, where there are as many as there may be.
    pub(crate) full: Option<FullPool>,
    /// Alarms that are not `ok`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) alarms: Vec<AlarmRow>,
    /// How many series have alarms.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) alarms_watched: usize,
    /// Python processes that run.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) workers: usize,
    /// The number of the supervisor's last message that was carried out or refused; 0 before the
    /// first. A daemon of 0.1.0, which reads no messages, does not say so.
    pub(crate) answered: Option<u64>,
    /// The last refusal, of that message or an earlier one.
    pub(crate) refused: Option<MessageRefusal>,
    /// When the certificate of its port expires, RFC 3339; `None` without TLS.
    pub(crate) certificate_expires: Option<String>,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// A message of the supervisor that a daemon has refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct MessageRefusal {
    /// Its number.
    pub(crate) number: u64,
    pub(crate) reason: String,
}

/// The connections of a daemon that refuses further ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct FullPool {
    pub(crate) connections: usize,
    /// The addresses that have most of them.
    pub(crate) by_address: Vec<AddressRow>,
}

/// The connections from one address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct AddressRow {
    /// `unix` for those of a Unix socket.
    pub(crate) address: String,
    pub(crate) connections: usize,
}

impl FullPool {
    /// `76 from 10.0.0.7, 4 from 10.0.0.9`.
    pub(crate) fn holders(&self) -> String {
        let named = self.by_address.iter().map(|row| row.connections).sum::<usize>();
        let text = |row: &AddressRow| format!("{} from {}", row.connections, row.address);
        let mut texts: Vec<String> = self.by_address.iter().map(text).collect();
        if let Some(others @ 1..) = self.connections.checked_sub(named) {
            texts.push(format!("{others} from others"));
        }
        texts.join(", ")
    }
}

/// A call that runs or waits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct CallRow {
    /// The service, or the id of another object.
    pub(crate) service: String,
    /// Empty while its request waits for memory.
    pub(crate) member: String,
    /// `call`, `oneway` or `stream item`.
    pub(crate) kind: String,
    /// The supervisor fills it in.
    pub(crate) daemon: String,
    /// The client's address.
    pub(crate) caller: String,
    /// The client's identity, where that says more than its address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) identity: Option<String>,
    /// The name under which the client holds the service's lock.
    pub(crate) user: Option<String>,
    /// RFC 3339.
    pub(crate) since: String,
    /// In words: `its turn`, `the lock of ada`. Absent while it runs.
    pub(crate) waits_for: Option<String>,
    /// Whether it takes longer than `slow_call` of its daemon, or is overdue.
    pub(crate) is_slow: bool,
    /// Whether it takes longer than `call_timeout` of its service, and its caller knows.
    pub(crate) is_overdue: bool,
    /// Whether its client is a driver of the daemon whose turn it waits for.
    pub(crate) waits_for_itself: bool,
}

impl CallRow {
    /// The call in words: `move() of lab.stage by ada at 10.0.0.3:4711`.
    pub(crate) fn title(&self) -> String {
        let member = if self.member.is_empty() { "a call" } else { &self.member };
        let by = remote::client_at(
            self.user.as_deref().unwrap_or_default(),
            self.identity.as_deref(),
            &self.caller,
        );
        format!("{member} of {} by {by}", self.service)
    }

    /// Whether it is a client's, and not one that the daemon itself makes.
    pub(crate) fn is_of_client(&self) -> bool {
        OwnCallReason::ALL.iter().all(|reason| self.caller != Peer::Daemon(*reason).to_string())
    }

    /// For how many seconds it has run or waited.
    pub(crate) fn seconds_at(&self, now: Timestamp) -> f64 {
        let since: Option<Timestamp> = self.since.parse().ok();
        since.map_or(0.0, |since| now.duration_since(since).as_secs_f64().max(0.0))
    }
}

/// Report about one service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ServiceReport {
    /// `starting`, `running`, `hangs` (its Python process does not move), `failed`, or `unwell`
    /// while its health check fails; in `ps` also the other states of its daemon.
    pub(crate) status: String,
    pub(crate) uri: Option<String>,
    pub(crate) error: Option<String>,
    /// The path of the Python interpreter that it runs in; none for a native service, or while its
    /// daemon does not run.
    pub(crate) python: Option<String>,
    /// The version of its driver; none for a native service, or while its driver is not imported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) driver: Option<DriverRow>,
    /// None if its daemon has no locks.
    pub(crate) lock: Option<LockRow>,
}

impl ChildReport {
    /// Reads a report. One that cannot be read is empty but for a warning, which `ps` shows.
    pub(crate) fn read(report: &Value) -> Self {
        let read = Option::<ChildReport>::deserialize(report);
        read.map(Option::unwrap_or_default).unwrap_or_else(|error| ChildReport {
            warning: Some(format!("its report to the supervisor cannot be read: {error}")),
            ..ChildReport::default()
        })
    }

    /// The warnings for people: its own, and one of a certificate that expires within a week.
    pub(crate) fn warning_at(&self, now: Timestamp) -> Option<String> {
        let expires = self.certificate_expires.as_ref().and_then(|text| text.parse().ok());
        let expires = expires.and_then(|expires: Timestamp| {
            let left = expires.duration_since(now);
            let day = expires.strftime("%Y-%m-%d");
            match left {
                left if left.is_negative() => {
                    Some(format!("its TLS certificate has expired on {day}"))
                }
                left if left < EXPIRY_WARNING => {
                    Some(format!("its TLS certificate expires on {day}"))
                }
                _ => None,
            }
        });
        let warnings: Vec<String> = self.warning.iter().cloned().chain(expires).collect();
        (!warnings.is_empty()).then(|| warnings.join("; "))
    }

    pub(crate) fn to_json(&self) -> Value {
        // Plain data with text keys always has a JSON form.
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// The lock of a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct LockRow {
    /// `free`, `locked`, `away` (its owner may come back), `granting` (calls of others still run),
    /// `ending` (calls of its last owner still run) or `resting` (it is brought to a safe state).
    #[serde(default)]
    pub(crate) state: String,
    /// The state in a sentence, where its word does not say all.
    #[serde(default)]
    pub(crate) note: Option<String>,
    pub(crate) owner: Option<LockOwnerRow>,
    /// Clients that wait for it, in order.
    pub(crate) waiting: Vec<LockWaiterRow>,
}

/// The owner of a lock.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct LockOwnerRow {
    /// The name that was given; may be empty.
    pub(crate) user: String,
    /// The client's identity, where that says more than its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) identity: Option<String>,
    pub(crate) address: String,
    /// RFC 3339.
    pub(crate) since: String,
    /// When its last call began or ended, RFC 3339; known a second later.
    #[serde(default)]
    pub(crate) used: String,
    /// Whether a call of it runs.
    #[serde(default)]
    pub(crate) is_in_use: bool,
    /// Seconds since its last call; `locks` fills them in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) idle: Option<f64>,
    /// Seconds that it may make no call (`lock_idle`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) idle_limit: Option<f64>,
    pub(crate) epoch: u64,
    /// Whether the connection is gone, and the lock kept for its owner's return.
    pub(crate) away: bool,
}

/// A client that waits for a lock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LockWaiterRow {
    /// The name that was given; may be empty.
    pub(crate) user: String,
    /// The client's identity, where that says more than its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) identity: Option<String>,
    pub(crate) address: String,
    /// RFC 3339.
    pub(crate) since: String,
}

impl LockOwnerRow {
    /// Seconds since its last call; zero while a call runs.
    pub(crate) fn idle_at(&self, now: Timestamp) -> Option<f64> {
        let used: Timestamp = self.used.parse().ok()?;
        let idle = now.duration_since(used).as_secs_f64().max(0.0);
        Some(if self.is_in_use { 0.0 } else { idle })
    }

    /// Its name for people.
    pub(crate) fn name(&self) -> String {
        let name = remote::client_name(&self.user, self.identity.as_deref());
        name.unwrap_or_else(|| self.address.clone())
    }
}

impl LockWaiterRow {
    /// Its name for people.
    pub(crate) fn name(&self) -> String {
        let name = remote::client_name(&self.user, self.identity.as_deref());
        name.unwrap_or_else(|| self.address.clone())
    }
}

/// A name that a client or a driver has given, as much of it as a report has room for. A report
/// has hundreds, and one of more than a megabyte is not read.
pub(super) fn shown_name(name: &str) -> String {
    cut(name, MAX_NAME_BYTES)
}

/// A sentence with such names in it.
pub(super) fn shown_sentence(sentence: &str) -> String {
    cut(sentence, MAX_SENTENCE_BYTES)
}

fn cut(text: &str, most: usize) -> String {
    let mut shown = String::new();
    for letter in text.chars() {
        if shown.len() >= most {
            shown.push('…');
            break;
        }
        // JSON writes six bytes for each of these.
        shown.push(if letter.is_control() { '�' } else { letter });
    }
    shown
}

/// RFC 3339 with milliseconds: locks change quickly.
pub(super) fn rfc3339(time: SystemTime) -> String {
    Timestamp::try_from(time)
        .and_then(|time| time.round(jiff::Unit::Millisecond))
        .map_or_else(|_| String::new(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn long_names_are_cut() {
        for (name, shown) in [
            (String::new(), String::new()),
            ("Ada 🔬".to_owned(), "Ada 🔬".to_owned()),
            ("x".repeat(80), "x".repeat(80)),
            ("x".repeat(81), "x".repeat(80) + "…"),
            ("🔬".repeat(256), "🔬".repeat(20) + "…"),
            ("\u{1}\n".to_owned(), "��".to_owned()),
        ] {
            assert_eq!(shown_name(&name), shown);
        }
    }

    #[test]
    fn a_certificate_is_warned_of_a_week_before_its_end() {
        let report = ChildReport {
            warning: Some("it is slow".to_owned()),
            certificate_expires: Some("2026-11-30T12:00:00Z".to_owned()),
            ..ChildReport::default()
        };
        for (now, expected) in [
            ("2026-11-23T11:59:00Z", "it is slow"),
            ("2026-11-23T12:01:00Z", "it is slow; its TLS certificate expires on 2026-11-30"),
            ("2026-11-30T12:00:01Z", "it is slow; its TLS certificate has expired on 2026-11-30"),
        ] {
            assert_eq!(report.warning_at(now.parse().unwrap()).as_deref(), Some(expected), "{now}");
        }
    }

    #[test]
    fn a_report_that_cannot_be_read_says_so() {
        let uri = "PYRO:a@localhost:1";
        let report = ChildReport::read(&json!({"uri": uri, "services": {"a": {}}, "new": 1}));
        assert_eq!((report.uri.as_deref(), report.warning), (Some(uri), None));
        assert_eq!(report.services["a"], ServiceReport::default());
        assert_eq!(ChildReport::read(&Value::Null), ChildReport::default());
        let warning = ChildReport::read(&json!({"services": 1})).warning.unwrap();
        assert!(warning.contains("cannot be read: invalid type: integer"), "{warning}");
    }
}
