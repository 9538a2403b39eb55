//! What the owner of a daemon sees of its locks.
//!
//! Owns these types; they are made by the [`table`](super::table).

use std::fmt;
use std::time::{Instant, SystemTime};

/// How it stands with one lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockStatus {
    /// The object's id.
    pub id: String,
    /// Where it is in its life.
    pub state: LockState,
    /// Who has it and since when, in which epoch.
    pub owner: Option<LockOwner>,
    /// Who waits for it, in order.
    pub waiting: Vec<LockWaiter>,
    /// What went wrong when it was last brought to a safe state.
    pub trouble: Option<String>,
}

/// Where a lock is in its life. Only in the first of these phases does everybody's call run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LockState {
    /// Nobody has it.
    Free,
    /// Somebody has it.
    Locked,
    /// Its owner's connection is gone, and it is kept for the owner's return.
    Away,
    /// It is about to be this one's: calls of others still run.
    Granting {
        /// Who will have it.
        next: String,
    },
    /// It is nobody's any more: calls of this owner still run.
    Ending {
        /// Who had it.
        after: String,
    },
    /// It is nobody's any more: the object is being brought to a safe state.
    Resting {
        /// Who had it.
        after: String,
    },
}

impl LockState {
    /// In one word, for programs.
    pub fn word(&self) -> &'static str {
        match self {
            LockState::Free => "free",
            LockState::Locked => "locked",
            LockState::Away => "away",
            LockState::Granting { .. } => "granting",
            LockState::Ending { .. } => "ending",
            LockState::Resting { .. } => "resting",
        }
    }
}

/// For people, where there is more to tell than who has it.
impl fmt::Display for LockState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LockState::Free | LockState::Locked => f.write_str(self.word()),
            LockState::Away => f.write_str("its owner is gone, and may come back"),
            LockState::Granting { next } => {
                write!(f, "being granted to {next}, when calls of others have ended")
            }
            LockState::Ending { after } => write!(f, "a call of {after}, who lost it, still runs"),
            LockState::Resting { after } => {
                write!(f, "being brought to a safe state, since {after} has lost it")
            }
        }
    }
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
    /// When its last call began or ended.
    pub used: SystemTime,
    /// Whether a call of it runs.
    pub is_in_use: bool,
    /// The epoch of its possession.
    pub epoch: u64,
    /// Until when the lock is kept, where its connection is gone.
    pub away: Option<Instant>,
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
