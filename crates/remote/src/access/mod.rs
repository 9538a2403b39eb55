//! Roles of clients for objects and their members.
//!
//! Pure rules: no I/O, no clock, no connection. [`AccessRules`] come from the configuration;
//! [`Rights`] are what they give one caller on one object, precomputed so that the check of a call
//! is a comparison. The greatest role of all lines that apply counts; nothing takes a role away.

mod cache;
mod rules;

#[cfg(test)]
mod tests;

use std::fmt;

use wire::exception::Exception;

pub(crate) use cache::AccessCache;
pub use rules::{AccessGrant, AccessObject, AccessRules, Basis, Explanation, Rights, Who};

/// A role: each may do what the one before may, and more. No role is `Option::None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Reads properties and descriptions.
    View,
    /// Calls methods, sets properties, locks.
    Operate,
    /// Breaks others' locks, aborts their calls, changes their names.
    Admin,
}

impl Role {
    /// Its word in the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Role::View => "view",
            Role::Operate => "operate",
            Role::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Use of an object that a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessKind {
    /// The description of an object, its lock's owner included.
    Describe,
    /// Read a property.
    Read,
    /// Call a method.
    Call,
    /// Set a property.
    Set,
    /// Take or give back the lock.
    Lock,
    /// Register a name that nobody has, or change one's own.
    Register,
    /// Abort the calls of an object that no other client has locked.
    Abort,
    /// Say that somebody looks after an alarm on a value.
    Acknowledge,
    /// Take another client's lock away, or abort the calls that it makes with it.
    Break,
    /// Change another client's name.
    Administer,
}

impl AccessKind {
    /// The role that is needed, unless the service says another one for the member.
    fn usual_role(self) -> Role {
        match self {
            AccessKind::Describe | AccessKind::Read => Role::View,
            AccessKind::Call
            | AccessKind::Set
            | AccessKind::Lock
            | AccessKind::Register
            | AccessKind::Abort
            | AccessKind::Acknowledge => Role::Operate,
            AccessKind::Break | AccessKind::Administer => Role::Admin,
        }
    }

    /// Whether it is about a member of the service, so that grants for single members count.
    fn is_about_member(self) -> bool {
        use AccessKind::{Acknowledge, Call, Read, Set};
        matches!(self, Read | Call | Set | Acknowledge)
    }

    /// Its verb, for a sentence about the client.
    pub fn verb(self) -> &'static str {
        match self {
            AccessKind::Describe => "look at",
            AccessKind::Read => "read",
            AccessKind::Call => "call",
            AccessKind::Set => "set",
            AccessKind::Lock => "lock",
            AccessKind::Register => "register",
            AccessKind::Abort => "abort the calls of",
            AccessKind::Acknowledge => "acknowledge the alarms of",
            AccessKind::Break => "break the lock of",
            AccessKind::Administer => "change the name",
        }
    }
}

/// A client as the rules know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessCaller<'a> {
    /// Its name, where it has proved one.
    pub name: Option<&'a str>,
    /// Groups that it belongs to besides those of the rules.
    pub groups: &'a [String],
    /// Whether it is on this host.
    pub is_local: bool,
}

/// The answer of the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may.
    Allowed,
    /// It may while it holds the lock of the service.
    WithLock,
    /// It may not.
    Refused {
        /// The role that it would need.
        wanted: Role,
    },
}

/// A refusal, for the exception that the client gets and for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRefusal<'a> {
    /// The client, as locks and logs name it.
    pub who: &'a str,
    /// Whether the client has not said who it is.
    pub is_anonymous: bool,
    /// The id of the object, or a name of a nameserver.
    pub object: &'a str,
    /// The member; empty where it is about the whole object.
    pub member: &'a str,
    /// The use that it asked for.
    pub kind: AccessKind,
    /// The answer of the rules, which is not `Allowed`.
    pub decision: Decision,
}

impl AccessRefusal<'_> {
    /// The exception for the client: a built-in `PermissionError` that says what to do.
    pub fn exception(&self) -> Exception {
        Exception::new("builtins.PermissionError", self.to_string())
    }
}

impl fmt::Display for AccessRefusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AccessRefusal { who, is_anonymous, object, member, kind, decision } = self;
        // A lock is of the object, whatever method asks for it.
        let member = if *kind == AccessKind::Lock { "" } else { *member };
        let dot = if member.is_empty() { "" } else { "." };
        let verb = kind.verb();
        match decision {
            Decision::WithLock => write!(
                f,
                "{who} may {verb} {object}{dot}{member} only while holding the lock of {object}: \
                 call lock() first"
            ),
            Decision::Allowed | Decision::Refused { .. } => {
                let wanted = match decision {
                    Decision::Refused { wanted } => *wanted,
                    _ => kind.usual_role(),
                };
                let login = if *is_anonymous { "log in with `ferrolab login`, or " } else { "" };
                write!(
                    f,
                    "{who} may not {verb} {object}{dot}{member}: that needs the role {wanted}; \
                     {login}ask the person who runs the lab for it (`access` in its configuration)"
                )
            }
        }
    }
}
