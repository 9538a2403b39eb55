//! What the owner of a daemon sees of its locks.
//!
//! Owns these types; they are made by the [`table`](super::table).

use std::time::SystemTime;

/// How it stands with one lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockStatus {
    /// The object's id.
    pub id: String,
    /// Who has it and since when, in which epoch.
    pub owner: Option<LockOwner>,
    /// Who waits for it, in order.
    pub waiting: Vec<LockWaiter>,
    /// What went wrong when it was last brought to a safe state.
    pub trouble: Option<String>,
}

/// The owner of a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockOwner {
    /// The name that it gave; may be empty.
    pub user: String,
    /// Where its connection is, or was.
    pub address: String,
    /// Since when it has the lock.
    pub since: SystemTime,
    /// The epoch of its possession.
    pub epoch: u64,
    /// Whether its connection is gone, and the lock kept for its return.
    pub away: bool,
}

/// Somebody who waits for a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockWaiter {
    /// The name that it gave; may be empty.
    pub user: String,
    /// Where it is.
    pub address: String,
    /// Since when it waits.
    pub since: SystemTime,
}
