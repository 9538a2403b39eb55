//! Lock with a token, as one process of a daemon leaves it to the next.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::token::TokenHash;
use crate::users::Credential;

/// A lock that outlives its daemon's process, with its owner and the hash of its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptLock {
    /// The object's id.
    pub id: String,
    /// The name that its owner gave; may be empty.
    pub user: String,
    /// The owner's identity, where that says more than the address.
    pub identity: Option<Arc<str>>,
    /// The address of the owner's connection.
    pub address: String,
    /// The credential that the owner has shown.
    pub credential: Option<Credential>,
    /// When its owner got it.
    pub since: SystemTime,
    /// The hash of the token that resumes it.
    pub token: TokenHash,
    /// Its epoch.
    pub epoch: u64,
    /// How long it outlives its owner's connection.
    pub ttl: Duration,
    /// Until when it is kept, if its owner is away.
    pub until: Option<Instant>,
    /// The owner's session in this process; `None` if it has not come back since an earlier one.
    pub session: Option<u64>,
    /// Whether no earlier process has left an instance that the owner drove unreleased.
    pub is_rested: bool,
}

impl KeptLock {
    /// How long it is kept from `now` on for an owner who does not come back.
    pub fn left(&self, now: Instant) -> Duration {
        self.until.map_or(self.ttl, |until| until.saturating_duration_since(now))
    }
}
