//! Outcome of a daemon's registrations with its nameservers, as its report has it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Outcome of the registrations with each nameserver.
pub(crate) type RegistrationReport = BTreeMap<String, RegistrationOutcome>;

/// Outcome of the registrations with one nameserver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RegistrationOutcome {
    pub(crate) state: RegistrationState,
    /// Where the nameserver knows no leases: what stays there if this process dies.
    pub(crate) unleased: Option<UnleasedNames>,
}

/// Names that stay in a nameserver until somebody removes them. A daemon reports them to its
/// supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UnleasedNames {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// With their URIs.
    pub(crate) names: BTreeMap<String, String>,
}

/// State of the registrations with one nameserver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RegistrationState {
    /// Not answered yet.
    Pending,
    /// All names are there.
    Registered,
    /// It answers, and somebody else wants names of ours; for people to read.
    Contested(String),
    /// The last try failed.
    Failed(String),
}

impl RegistrationState {
    /// Whether the nameserver has answered for all names.
    pub(crate) fn is_registered(&self) -> bool {
        matches!(self, RegistrationState::Registered | RegistrationState::Contested(_))
    }
}
