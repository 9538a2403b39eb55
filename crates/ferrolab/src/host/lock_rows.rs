//! Locks as a daemon reports them to its supervisor, and as `ps`, `status` and `locks` show them.
//!
//! Owns the shape of these rows (JSON on both ways).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The lock of a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct LockRow {
    /// `free`, `locked`, `away` (its owner may come back), `granting` (calls of others still run),
    /// `ending` (calls of its last owner still run) or `resting` (it is brought to a safe state).
    #[serde(default)]
    pub(crate) state: String,
    /// What there is to tell of that.
    #[serde(default)]
    pub(crate) note: Option<String>,
    pub(crate) owner: Option<LockOwnerRow>,
    /// Who waits for it, in order.
    pub(crate) waiting: Vec<LockWaiterRow>,
}

/// The owner of a lock.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct LockOwnerRow {
    /// The name that was given; may be empty.
    pub(crate) user: String,
    pub(crate) address: String,
    /// RFC 3339.
    pub(crate) since: String,
    /// When its last call began or ended, RFC 3339; known a second later.
    #[serde(default)]
    pub(crate) used: String,
    /// Whether a call of it runs.
    #[serde(default)]
    pub(crate) is_in_use: bool,
    /// For how many seconds it has made no call; reckoned by who asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) idle: Option<f64>,
    pub(crate) epoch: u64,
    /// Whether the connection is gone, and the lock kept for its owner's return.
    pub(crate) away: bool,
}

/// Somebody who waits for a lock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LockWaiterRow {
    /// The name that was given; may be empty.
    pub(crate) user: String,
    pub(crate) address: String,
    /// RFC 3339.
    pub(crate) since: String,
}

impl LockOwnerRow {
    /// For how many seconds it has made no call.
    pub(crate) fn idle_at(&self, now: Timestamp) -> Option<f64> {
        let used: Timestamp = self.used.parse().ok()?;
        let idle = now.duration_since(used).as_secs_f64().max(0.0);
        Some(if self.is_in_use { 0.0 } else { idle })
    }

    /// What people call it.
    pub(crate) fn name(&self) -> &str {
        if self.user.is_empty() { &self.address } else { &self.user }
    }
}
