//! Calls of a daemon that run or wait, for its report; and calls that wait for themselves.
//!
//! A driver of a `multiplex` daemon that calls a service of the same daemon waits for the turn that
//! its call has: nothing happens until its client gives up.

use std::cell::LazyCell;
use std::net::SocketAddr;
use std::time::Duration;

use remote::{CallKind, CallStatus, Peer, WaitsFor};
use tracing::warn;

use crate::host::child_report::{CallRow, rfc3339};
use crate::os;

/// A call that is younger than this is not reported: most calls of a busy daemon end before.
const SHOWN_AFTER: Duration = Duration::from_millis(250);
/// A call that has waited for its turn for less is not looked at more closely.
const SUSPICIOUS_AFTER: Duration = Duration::from_secs(1);
/// Calls that are reported, at most.
const MAX_SHOWN: usize = 500;

/// The rows of a report.
///
/// `slow` is the age from which a call is slow; `workers` are the daemon's own Python processes.
pub(super) fn rows(calls: &[CallStatus], slow: Option<Duration>, workers: &[u32]) -> Vec<CallRow> {
    // Looked at once in a report, and only where a call has waited for long.
    let connections = LazyCell::new(|| os::connections_of(workers));
    let is_own = |address| connections.contains(address);
    let shown = calls.iter().filter(|call| call.age >= SHOWN_AFTER).take(MAX_SHOWN);
    shown.map(|call| row(call, slow, &is_own)).collect()
}

fn row(call: &CallStatus, slow: Option<Duration>, is_own: &impl Fn(SocketAddr) -> bool) -> CallRow {
    CallRow {
        service: call.object.clone(),
        member: call.member.clone(),
        kind: match call.kind {
            CallKind::Call => "call",
            CallKind::Oneway => "oneway",
            CallKind::StreamItem => "stream item",
        }
        .to_owned(),
        daemon: String::new(),
        caller: call.peer.to_string(),
        user: call.user.clone(),
        since: rfc3339(call.since),
        waits_for: call.waits_for.as_ref().map(waits_for),
        is_slow: call.is_overdue || slow.is_some_and(|slow| call.age >= slow),
        is_overdue: call.is_overdue,
        waits_for_itself: waits_for_itself(call, is_own),
    }
}

fn waits_for(waits: &WaitsFor) -> String {
    match waits {
        WaitsFor::Turn => "its turn".to_owned(),
        WaitsFor::Lock { owner: None } => "the lock".to_owned(),
        WaitsFor::Lock { owner: Some(owner) } => format!("the lock of {owner}"),
        WaitsFor::Worker => "its worker".to_owned(),
        WaitsFor::Memory => "memory".to_owned(),
    }
}

/// Whether a call waits for its turn while its client is a driver of the same daemon.
fn waits_for_itself(call: &CallStatus, is_own: &impl Fn(SocketAddr) -> bool) -> bool {
    let Peer::Tcp(address) = call.peer else { return false };
    call.waits_for == Some(WaitsFor::Turn) && call.age >= SUSPICIOUS_AFTER && is_own(address)
}

/// Logs the calls of a report that wait for themselves, and did not in the one before it.
pub(super) fn log_waits_for_itself(before: &[CallRow], now: &[CallRow]) {
    let is_new = |call: &&CallRow| call.waits_for_itself && !before.contains(call);
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
