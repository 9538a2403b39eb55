//! Audit of what people have the supervisor do: one line for each request that changes what runs.

use std::os::fd::AsFd;

use crate::audit::{Audit, AuditLine};
use crate::os;
use crate::supervise::control::{Answer, Request};

/// An act of a person, recorded when this is dropped.
pub(super) struct AdminAct {
    audit: Audit,
    line: AuditLine,
}

impl AdminAct {
    /// The act that a request is, if it is one; `who` asks for it.
    pub(super) fn of(audit: Option<&Audit>, who: &str, request: &Request) -> Option<Self> {
        let (action, service) = match request {
            Request::Ps { .. } | Request::Watch | Request::Settle { .. } => return None,
            Request::Down { .. } => ("down", String::new()),
            Request::Act { action, kind, name, .. } => (action.verb(), kind.id(name)),
            Request::RestartServices { names, .. } => ("restart", names.join(", ")),
            Request::Renamed { kind, old, new } => ("rename", format!("{} to {new}", kind.id(old))),
            Request::Reload { .. } => ("reload", String::new()),
            Request::AcknowledgeAlarms { name, .. } => ("acknowledge", name.clone()),
        };
        let (mut who, mut from) = (who.to_owned(), "the command line".to_owned());
        if let Request::AcknowledgeAlarms { client: Some(client), .. } = request {
            (who, from) = (client.identity(), format!("the page at {}", client.address));
        }
        let line = AuditLine {
            who,
            from,
            service,
            outcome: "begun, and the command line did not wait for its end".to_owned(),
            ..AuditLine::now(action)
        };
        Some(AdminAct { audit: audit?.clone(), line })
    }

    /// Notes what the person is told.
    pub(super) fn note(&mut self, answer: &Answer) {
        let outcome = match answer {
            Answer::Refused { reason } => format!("refused: {reason}"),
            Answer::InUse { uses } => format!("refused: in use: {}", uses.join("; ")),
            Answer::Ending => "refused: the lab is being stopped".to_owned(),
            Answer::Changes(changes) => changes.summary(),
            Answer::Done(_) if self.line.action == "reload" => return,
            Answer::Done(_) => "done".to_owned(),
            _ => return,
        };
        self.line.outcome = outcome;
    }
}

impl Drop for AdminAct {
    fn drop(&mut self) {
        self.audit.record(std::mem::take(&mut self.line));
    }
}

/// The user whose program is at the other end of a socket.
pub(super) fn peer_user(socket: &impl AsFd) -> String {
    match rustix::net::sockopt::socket_peercred(socket) {
        Ok(peer) => {
            let id = peer.uid.as_raw();
            os::name_of_user(id).unwrap_or_else(|| format!("uid {id}"))
        }
        Err(_) => String::new(),
    }
}
