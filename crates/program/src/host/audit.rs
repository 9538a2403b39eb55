//! Audit of a daemon's calls: which become lines, and what a line has of them.

use std::sync::Arc;

use remote::{AccessEvent, AuditReason, CallAction, CallKind, CallRecord, Daemon};
use tracing::warn;

use crate::audit::{Audit, AuditLine, AuditPlace, CONNECT, cut_arguments};
use crate::log::drop_queue::Flush;

/// Begins the audit, where the supervisor has named a place for it.
pub(super) fn begin(
    daemon: &Daemon,
    name: &str,
    place: Option<&AuditPlace>,
) -> Option<(Audit, Flush<AuditLine>)> {
    let place = place?;
    let (audit, flush) = match Audit::open(place, name, None) {
        Ok(opened) => opened,
        Err(error) => {
            // Better instruments without an audit than no instruments; with `audit: required` its
            // thread is what every other thread needs too.
            warn!(folder = %place.folder.display(), %error, "there will be no audit");
            return None;
        }
    };
    let failing = place.is_required.then(|| audit.failing());
    let records = audit.clone();
    let log = move |reason, record: &CallRecord| records.record(line(reason, record));
    daemon.audit_calls(Arc::new(log), failing);
    log_refused_clients(daemon, &audit);
    Some((audit, flush))
}

/// Begins the audit of a nameserver: refusals by the rules of access, and changes of others' names.
pub(crate) fn begin_name_audit(
    daemon: &Daemon,
    place: Option<&AuditPlace>,
) -> Option<(Audit, Flush<AuditLine>)> {
    let opened = Audit::open(place?, "", None);
    let opened = opened.inspect_err(|error| warn!(%error, "there will be no audit"));
    let (audit, flush) = opened.ok()?;
    let records = audit.clone();
    daemon.log_access(Arc::new(move |event| records.record(name_line(event))));
    log_refused_clients(daemon, &audit);
    Some((audit, flush))
}

/// Has clients recorded that are refused in their handshakes: wrong tokens, certificates, TLS.
fn log_refused_clients(daemon: &Daemon, audit: &Audit) {
    let audit = audit.clone();
    daemon.log_refused_clients(Arc::new(move |refused| {
        audit.record(AuditLine {
            who: refused.peer.anonymous().name.to_string(),
            from: refused.peer.to_string(),
            outcome: format!("refused: {}", refused.reason),
            ..AuditLine::now(CONNECT)
        });
    }));
}

fn name_line(event: &AccessEvent) -> AuditLine {
    let action = if event.refused.is_some() { "refused" } else { "administer" };
    let line = AuditLine {
        who: event.who.to_string(),
        from: event.from.clone(),
        service: event.object.clone(),
        member: format!("{:?}", event.kind).to_lowercase(),
        ..AuditLine::now(action)
    };
    match &event.refused {
        Some(reason) => AuditLine { outcome: reason.clone(), ..line },
        None => line,
    }
}

fn line(reason: AuditReason, record: &CallRecord) -> AuditLine {
    let action = match (reason, record.kind, record.action) {
        (AuditReason::Administer, ..) if record.member == "abort" => "abort",
        (AuditReason::Administer, ..) => "break",
        (AuditReason::Refused, ..) => "refused",
        (_, CallKind::Oneway, _) => "oneway",
        (.., CallAction::Set) => "set",
        (.., CallAction::Batch) => "batch",
        (.., CallAction::Method | CallAction::Get) => "call",
    };
    let outcome = match &record.exception {
        None => "done".to_owned(),
        Some(exception) if exception.message.is_empty() => exception.class.clone(),
        Some(exception) => format!("{}: {}", exception.class, exception.message),
    };
    // Everybody can call lock() with any name, so that it says nothing about who it was.
    let who = match &record.identity {
        Some(identity) => identity.to_string(),
        None => record.peer.anonymous().name.to_string(),
    };
    AuditLine {
        who,
        user: record.user.clone(),
        from: record.peer.to_string(),
        service: record.object.clone(),
        member: record.member.clone(),
        arguments: record.arguments.clone().map(cut_arguments),
        outcome,
        epoch: record.epoch,
        ..AuditLine::now(action)
    }
}
