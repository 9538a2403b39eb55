//! Owners of names: the client that has registered a name changes it, and others may not.
//!
//! Without rules of access names have no owners, and every client changes every name, as with
//! Pyro5's nameserver. With rules a client needs the role `operate` to register a name that nobody
//! has or to change its own, and `admin` for those of others. The lab's own daemons prove by the
//! lab's id, which nobody else knows and no login hands out, that they belong to it; their names
//! are the lab's. In a directory that several labs share, each lab is another owner.

use std::sync::Arc;

use remote::access::AccessKind;
use remote::{AccessGate, Exception, Peer, Session};

use crate::store::{Entry, LAB, NameRights, lab_owner};

/// The client that makes a change.
#[derive(Clone)]
pub(crate) struct NameClient {
    pub(crate) peer: Peer,
    rights: Option<Arc<ClientRights>>,
}

/// The rights of a client, where there are rules of access.
struct ClientRights {
    session: Arc<Session>,
    gate: Arc<AccessGate>,
    /// Of one of the lab's own daemons: the lab, as an owner.
    lab: Option<Arc<str>>,
}

impl NameClient {
    /// The client of a session, under the rules of `gate`.
    pub(crate) fn new(session: &Arc<Session>, gate: Option<&Arc<AccessGate>>) -> Self {
        NameClient::of(session, gate, None)
    }

    /// One of the lab's own daemons; in a shared directory, of the lab with this host.
    pub(crate) fn of_lab(
        session: &Arc<Session>,
        gate: Option<&Arc<AccessGate>>,
        host: Option<&str>,
    ) -> Self {
        NameClient::of(session, gate, Some(lab_owner(host)))
    }

    fn of(session: &Arc<Session>, gate: Option<&Arc<AccessGate>>, lab: Option<Arc<str>>) -> Self {
        let gate = gate.filter(|gate| gate.is_on());
        let rights = gate.map(|gate| {
            let (session, gate) = (Arc::clone(session), Arc::clone(gate));
            Arc::new(ClientRights { session, gate, lab })
        });
        NameClient { peer: session.peer.clone(), rights }
    }

    /// Its rights, for a transaction; `None` without rules of access.
    pub(crate) fn rights(&self) -> Option<Arc<dyn NameRights>> {
        self.rights.clone().map(|rights| rights as Arc<dyn NameRights>)
    }

    /// Whether it may register this name where nobody has it.
    pub(crate) fn may_register(&self, name: &str) -> bool {
        self.rights.as_ref().is_none_or(|rights| {
            rights.lab.is_some() || rights.gate.may(&rights.session, name, "", AccessKind::Register)
        })
    }

    /// As [`NameRights::check`].
    ///
    /// # Errors
    /// It may not.
    pub(crate) fn check(
        &self,
        name: &str,
        known: Option<&Entry>,
        uri: Option<&str>,
    ) -> Result<(), Exception> {
        self.rights.as_ref().map_or(Ok(()), |rights| rights.check(name, known, uri))
    }
}

impl NameRights for ClientRights {
    fn owner(&self, known: Option<&Entry>, uri: &str) -> Option<Arc<str>> {
        if self.lab.is_some() {
            return self.lab.clone();
        }
        match known {
            // To repeat a registration is no claim: everybody can look its URI up.
            Some(known) if known.owner.is_none() && *known.uri == *uri => None,
            _ => Some(Arc::clone(&self.session.identity().name)),
        }
    }

    fn check(&self, name: &str, known: Option<&Entry>, uri: Option<&str>) -> Result<(), Exception> {
        if let Some(lab) = &self.lab {
            let owner = known.and_then(|known| known.owner.as_deref());
            let is_other = |owner: &&str| owner.starts_with(LAB) && **owner != **lab;
            return match owner.filter(is_other) {
                None => Ok(()),
                Some(owner) => Err(Exception::new(
                    "builtins.PermissionError",
                    format!("the name {name} belongs to another lab ({owner}), and not to {lab}"),
                )),
            };
        }
        let kind = match known {
            None => AccessKind::Register,
            Some(known) => match &known.owner {
                Some(owner) if **owner == *self.session.identity().name => AccessKind::Register,
                // From before there were rules: the service itself is still there.
                None if uri == Some(&*known.uri) => AccessKind::Register,
                _ => AccessKind::Administer,
            },
        };
        self.gate.check_name(&self.session, name, kind)
    }
}

/// A client without rules.
impl From<Peer> for NameClient {
    fn from(peer: Peer) -> Self {
        NameClient { peer, rights: None }
    }
}

#[cfg(test)]
mod tests;
