//! Calls of a daemon that run or wait, for its report; and calls that wait for themselves.
//!
//! A driver of a `multiplex` daemon that calls a service of the same daemon waits for the turn that
//! its call has: nothing happens until its client gives up. A Pyro5 proxy sends the correlation id
//! of the call that it is used in, through whatever lies between. Other clients of a driver, and
//! those on its own threads, are known by their sockets.

use std::cell::LazyCell;
use std::time::Duration;

use remote::{CallKind, CallStatus, WaitsFor};
use tracing::warn;

use crate::host::child_report::{CallRow, rfc3339, shown_name};
use crate::host::feed::FEED;
use crate::host::own_clients::OwnClients;

/// A call that is younger than this is not reported: most calls of a busy daemon end before.
const SHOWN_AFTER: Duration = Duration::from_millis(250);
/// A call that has waited for its turn for less is not looked up among the workers' sockets.
const SUSPICIOUS_AFTER: Duration = Duration::from_secs(1);
/// Calls that are reported, at most.
const MAX_SHOWN: usize = 500;

/// The rows of a report.
///
/// `slow` is the age from which a call is slow; `workers` are the daemon's own Python processes;
/// `before` are the rows of the last report.
pub(super) fn rows(
    calls: &[CallStatus],
    slow: Option<Duration>,
    workers: &[u32],
    before: &[CallRow],
) -> Vec<CallRow> {
    // Looked at once in a report, and only where a call has waited for long.
    let own_clients = LazyCell::new(|| OwnClients::of(workers));
    let is_own = |call: &CallStatus| own_clients.contains(&call.peer);
    // A reader of the feed waits in its call for the next event.
    let is_shown = |call: &&CallStatus| call.age >= SHOWN_AFTER && call.object != FEED;
    let shown = calls.iter().filter(is_shown).take(MAX_SHOWN);
    shown
        .map(|call| {
            let mut row = row(call, slow);
            // A table of the kernel may lack a row for a moment: other sockets come and go.
            row.waits_for_itself = call.waits_for == Some(WaitsFor::Turn)
                && (is_within_running(call)
                    || before.iter().any(|last| last.waits_for_itself && is_same(last, &row))
                    || call.age >= SUSPICIOUS_AFTER && is_own(call));
            row
        })
        .collect()
}

/// Whether a call keeps the one waiting that it was made in.
fn is_within_running(call: &CallStatus) -> bool {
    call.is_within_running && call.kind != CallKind::Oneway
}

/// Whether two rows are about one call.
fn is_same(one: &CallRow, other: &CallRow) -> bool {
    (&one.since, &one.caller, &one.service) == (&other.since, &other.caller, &other.service)
}

fn row(call: &CallStatus, slow: Option<Duration>) -> CallRow {
    CallRow {
        service: shown_name(&call.object),
        member: call.member.clone(),
        kind: match call.kind {
            CallKind::Call => "call",
            CallKind::Oneway => "oneway",
            CallKind::StreamItem => "stream item",
        }
        .to_owned(),
        daemon: String::new(),
        caller: call.peer.to_string(),
        identity: call.identity.as_deref().map(shown_name),
        user: call.user.as_deref().map(shown_name),
        since: rfc3339(call.since),
        waits_for: call.waits_for.as_ref().map(waits_for),
        is_slow: call.is_overdue || slow.is_some_and(|slow| call.age >= slow),
        is_overdue: call.is_overdue,
        waits_for_itself: false,
    }
}

fn waits_for(waits: &WaitsFor) -> String {
    match waits {
        WaitsFor::Turn => "its turn".to_owned(),
        WaitsFor::Lock { owner: None } => "the lock".to_owned(),
        WaitsFor::Lock { owner: Some(owner) } => format!("the lock of {}", shown_name(owner)),
        WaitsFor::Worker => "its worker".to_owned(),
        WaitsFor::Memory => "memory".to_owned(),
    }
}

/// Logs the calls of a report that wait for themselves, and did not in the one before it.
pub(super) fn log_waits_for_itself(before: &[CallRow], now: &[CallRow]) {
    let is_new = |call: &&CallRow| {
        let is_known = |last: &CallRow| last.waits_for_itself && is_same(last, call);
        call.waits_for_itself && !before.iter().any(is_known)
    };
    for call in now.iter().filter(is_new) {
        warn!(
            service = call.service,
            method = call.member,
            caller = call.caller,
            "a driver calls a service of its own multiplex daemon, and waits for the turn that its \
             own call has"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::time::SystemTime;

    use remote::Peer;

    use super::*;
    use crate::host::child_report::ChildReport;

    fn call(port: u16) -> CallStatus {
        CallStatus {
            object: "lab.stage".to_owned(),
            member: "move".to_owned(),
            kind: CallKind::Call,
            peer: Peer::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
            identity: None,
            user: None,
            since: SystemTime::UNIX_EPOCH,
            age: SHOWN_AFTER,
            waits_for: Some(WaitsFor::Turn),
            is_within_running: false,
            is_overdue: false,
        }
    }

    #[test]
    fn a_call_within_a_running_one_waits_for_itself_until_it_ends() {
        let within = CallStatus { is_within_running: true, ..call(1) };
        let runs = CallStatus { waits_for: None, ..call(1) };
        let oneway = CallStatus { kind: CallKind::Oneway, ..within.clone() };
        for (now, is_named) in [
            (within.clone(), true),
            (call(1), false),
            (CallStatus { waits_for: None, ..within.clone() }, false),
            (oneway, false),
        ] {
            assert_eq!(rows(&[now], None, &[], &[])[0].waits_for_itself, is_named);
        }
        let before = rows(&[within], None, &[], &[]);
        for (now, is_named) in [(call(1), true), (call(2), false), (runs, false)] {
            assert_eq!(rows(&[now], None, &[], &before)[0].waits_for_itself, is_named);
        }
    }

    #[test]
    fn a_report_of_many_calls_with_long_names_is_read() {
        let long = "\u{1}".repeat(256);
        let lock = Some(WaitsFor::Lock { owner: Some(long.clone()) });
        let long =
            CallStatus { object: long.clone(), user: Some(long), waits_for: lock, ..call(1) };
        let report = ChildReport {
            calls: rows(&vec![long; MAX_SHOWN + 1], None, &[], &[]),
            ..ChildReport::default()
        };
        assert_eq!(report.calls.len(), MAX_SHOWN);
        assert!(report.to_json().to_string().len() < 512 * 1024);
    }
}
