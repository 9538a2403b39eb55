//! Roles of clients, as the configuration says them.

use serde::{Deserialize, Serialize};

/// Roles of clients. Without this section every client may do everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// The role of clients on this host.
    pub localhost: AccessRole,
    /// The role of clients on other hosts.
    pub network: AccessRole,
    /// Names of people that other authorities' certificates have.
    pub users: Vec<String>,
    /// Groups of people.
    pub groups: Vec<AccessGroup>,
    /// Roles for some people and some services.
    pub grants: Vec<Grant>,
    /// Where `localhost` is written, or the section that implies it.
    #[serde(skip)]
    pub localhost_line: SourceLine,
    /// The same of `network`.
    #[serde(skip)]
    pub network_line: SourceLine,
}

/// A role, from the least to the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessRole {
    /// No role: not even to look.
    None,
    /// Reads.
    View,
    /// Calls, sets and locks.
    Operate,
    /// Breaks locks of others, aborts their calls, changes their names.
    Admin,
}

/// A group of people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessGroup {
    /// Its name.
    pub name: String,
    /// Names of people.
    pub people: Vec<String>,
}

/// A role for some people and some services.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Names, `group:NAME`, `anonymous` or `*`.
    pub who: Vec<String>,
    /// Names of services, or patterns with `*`.
    pub what: Vec<String>,
    /// The role.
    pub role: AccessRole,
    /// The only members that it is for; all if empty.
    pub members: Vec<String>,
    /// Whether it needs the lock of the service.
    pub when: GrantWhen,
    /// Where it is written, for people.
    #[serde(skip)]
    pub line: SourceLine,
}

/// When a grant counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GrantWhen {
    /// Always.
    Always,
    /// While the client holds the lock of the service.
    Locked,
}

/// A line of the file, from 1; 0 where it is not known. All are equal: a grant that has moved in
/// the file is no change of the configuration.
#[derive(Clone, Copy, Debug, Default)]
pub struct SourceLine(pub usize);

impl PartialEq for SourceLine {
    fn eq(&self, _: &SourceLine) -> bool {
        true
    }
}

impl Eq for SourceLine {}
