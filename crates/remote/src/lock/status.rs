//! The status of a lock, for the owner of the daemon.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// The status of one lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockStatus {
    /// The object's id.
    pub id: String,
    /// The phase of its life.
    pub state: LockState,
    /// Its owner.
    pub owner: Option<LockOwner>,
    /// The requests that wait for it, in order.
    pub waiting: Vec<LockWaiter>,
    /// The failure of its last safe state.
    pub trouble: Option<String>,
}

/// The phase of a lock. Only in the first of these phases may every client call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LockState {
    /// No client has it.
    Free,
    /// A client has it.
    Locked,
    /// Its owner's connection is gone, and it is kept for the owner's return.
    Away,
    /// This client gets it when calls of others have ended.
    Granting {
        /// The name of the next owner.
        next: String,
    },
    /// No client has it any longer: calls of the last owner still run.
    Ending {
        /// The name of the last owner.
        after: String,
    },
    /// No client has it any longer: the object is being brought to a safe state.
    Resting {
        /// The name of the last owner.
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

/// For people.
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
    /// Its identity, where that says more than the address.
    pub identity: Option<Arc<str>>,
    /// The address of its connection.
    pub address: String,
    /// When it got the lock.
    pub since: SystemTime,
    /// When its last call began or ended.
    pub used: SystemTime,
    /// Whether a call of it runs.
    pub is_in_use: bool,
    /// The epoch of its lock.
    pub epoch: u64,
    /// Until when the lock is kept, if its connection is gone.
    pub away: Option<Instant>,
    /// How long it may make no call.
    pub idle_limit: Option<Duration>,
    /// When its lock ends if it neither calls nor comes back; `None` during a call, or where a
    /// silence ends no lock.
    pub expires: Option<Instant>,
}

/// A request that waits for a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockWaiter {
    /// The name that it gave; may be empty.
    pub user: String,
    /// Its identity, where that says more than the address.
    pub identity: Option<Arc<str>>,
    /// Its address.
    pub address: String,
    /// When it came.
    pub since: SystemTime,
}
