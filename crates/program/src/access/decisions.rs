//! Decisions of the rules of access for clients that reach no daemon: those of the page, and of the
//! supervisor's control socket.

use std::sync::Arc;

use lab_config::Access;
use remote::UserDirectory;
use remote::access::{
    AccessCaller, AccessKind, AccessObject, AccessRefusal, AccessRules, Decision, Rights,
};
use serde::{Deserialize, Serialize};

use super::rules::rules;
use super::table::UserTable;

/// A client, as the process that it has reached knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AccessClient {
    /// The user, where one has logged in.
    pub(crate) user: Option<String>,
    /// Its address, without a port; `localhost` on this host.
    pub(crate) address: String,
    /// Whether it is on this host.
    pub(crate) is_local: bool,
}

/// The rules of a lab, with the groups of its users. They have no roles of single members: no call
/// of a member is decided here.
#[derive(Debug)]
pub(crate) struct LabAccess {
    rules: AccessRules,
    users: Arc<UserTable>,
}

impl AccessClient {
    /// A user of this host.
    pub(crate) fn of_this_host(user: String) -> Self {
        AccessClient { user: Some(user), address: "localhost".to_owned(), is_local: true }
    }

    /// Its name in logs and refusals.
    pub(crate) fn identity(&self) -> String {
        self.user.clone().unwrap_or_else(|| format!("anonymous@{}", self.address))
    }
}

impl LabAccess {
    pub(crate) fn new(access: &Access, users: Arc<UserTable>) -> Self {
        LabAccess { rules: rules(access, []), users }
    }

    /// Whether a client may look at everything, by the role of its host alone.
    pub(crate) fn shows_all(&self, client: &AccessClient) -> bool {
        let role = if client.is_local { self.rules.local } else { self.rules.network };
        role.is_some()
    }

    /// The rights of a client on a service, with the users as they are now.
    pub(crate) fn rights(&self, client: &AccessClient, service: &str) -> Rights {
        let name = client.user.as_deref();
        let groups = name.map(|name| {
            self.users.refresh();
            self.users.groups_of(name)
        });
        let groups = groups.unwrap_or_default();
        let caller = AccessCaller { name, groups: &groups, is_local: client.is_local };
        self.rules.rights(caller, AccessObject::service(service))
    }

    /// Checks whether a client may do something that needs no lock.
    ///
    /// # Errors
    /// It may not, in words for the person.
    pub(crate) fn check(
        &self,
        client: &AccessClient,
        (object, member): (&str, &str),
        kind: AccessKind,
    ) -> Result<(), String> {
        let decision = self.rights(client, object).decide(member, kind);
        if decision == Decision::Allowed {
            return Ok(());
        }
        let (who, is_anonymous) = (&*client.identity(), client.user.is_none());
        Err(AccessRefusal { who, is_anonymous, object, member, kind, decision }.to_string())
    }
}
