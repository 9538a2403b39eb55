//! The words of a lock: who asks, what is answered, why a call is refused, what is recorded.
//!
//! Owns these types and the texts that clients read. Decides nothing.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use wire::exception::Exception;

use super::token::TokenHash;

/// A connection that asks for a lock, or holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    /// The connection's session.
    pub session: u64,
    /// The name that its client gave; may be empty.
    pub user: String,
    /// Where it is.
    pub address: String,
}

impl Party {
    /// What others are told of it: the name it gave, or else its address.
    pub fn name(&self) -> &str {
        if self.user.is_empty() { &self.address } else { &self.user }
    }
}

/// A request for a lock.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) party: Party,
    /// How long to wait while another holds it; without it, a lock that is held is refused at once.
    pub(crate) wait: Option<Duration>,
    /// The object through which it is asked for; a lock may be that of several.
    pub(crate) via: String,
    /// The token to keep or to resume it by, and how long it outlives its connection.
    pub(crate) token: Option<(TokenHash, Duration)>,
}

/// What a request comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The lock is the asker's, in this epoch.
    Granted { epoch: u64 },
    /// It waited for as long as it wanted, in vain.
    TimedOut,
    /// It cannot have it.
    Refused(Refusal),
}

/// Somebody's decision to take a lock away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Break {
    /// Who did it: a name, an address, or both.
    pub by: String,
    /// Why, in that person's words; may be empty.
    pub reason: String,
}

/// How a connection has lost its lock without giving it up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// It was broken.
    Broken(Break),
    /// Another connection has presented its token.
    TakenOver { by: String },
    /// Whoever has its token has given it up.
    GivenBack { by: String },
    /// The owner's connection is gone: the connection itself, and then nobody will read this, or the
    /// one whose possession it had joined.
    Gone,
    /// It shows a token, and it is not known any more whether the lock of that was broken.
    Forgotten,
}

/// Why a call or a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Another has the lock, or is the next to get it.
    Locked { by: String },
    /// Nobody has it, and calls of others are still running.
    Busy,
    /// The last owner has lost the lock, and a call of it still runs.
    Ending { after: String },
    /// The last owner is gone, and the object is being brought to a safe state.
    Resting { after: String },
    /// The caller had the lock and has lost it.
    Lost(Loss),
    /// The caller waits for it already.
    Asked,
    /// Too many wait for it.
    Crowded { waiting: usize },
}

impl Refusal {
    /// The refusal while `owner` has the lock, or is the next to get it.
    pub(super) fn locked(owner: &Party) -> Self {
        Refusal::Locked { by: owner.name().to_owned() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // PyroLab's words, which client code may look for.
            Refusal::Locked { by } => write!(f, "Pyro object is locked (by '{by}')"),
            Refusal::Busy => f.write_str(
                "Pyro object is busy: calls of other clients are still running; wait longer for \
                 its lock with lock(user, wait=SECONDS)",
            ),
            Refusal::Ending { after } => write!(
                f,
                "Pyro object is busy: a call of '{after}', who has lost its lock, is still running; \
                 try again when it has ended"
            ),
            Refusal::Resting { after } => write!(
                f,
                "Pyro object is being brought to a safe state, since '{after}' has lost its lock; \
                 try again in a moment"
            ),
            Refusal::Lost(Loss::Broken(Break { by, reason })) => {
                write!(f, "your lock of this Pyro object was broken by {by}")?;
                if !reason.is_empty() {
                    write!(f, " ({reason})")?;
                }
                f.write_str("; call lock() again before you go on")
            }
            Refusal::Lost(Loss::TakenOver { by }) => write!(
                f,
                "your lock of this Pyro object was taken over with its token by {by}; this \
                 connection does not have it any more"
            ),
            Refusal::Lost(Loss::GivenBack { by }) => write!(
                f,
                "your lock of this Pyro object was given up with its token by {by}; call lock() again \
                 before you go on"
            ),
            Refusal::Lost(Loss::Gone) => f.write_str(
                "the connection that had the lock of this Pyro object is gone; call lock() again \
                 before you go on",
            ),
            Refusal::Lost(Loss::Forgotten) => f.write_str(
                "if this token has kept a lock of this Pyro object, that may have been broken: more were \
                 than are remembered; call lock() again before you go on",
            ),
            Refusal::Asked => f.write_str(
                "this connection waits for the lock of this Pyro object already, with an earlier \
                 request",
            ),
            Refusal::Crowded { waiting } => {
                write!(f, "{waiting} requests wait for the lock already; try again later")
            }
        }
    }
}

impl From<Refusal> for Exception {
    fn from(refusal: Refusal) -> Self {
        Exception::connection_refused(refusal.to_string())
    }
}

/// Something to be remembered about a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What has happened.
    pub event: Event,
    /// Whose lock it is or was.
    pub party: Party,
    /// In which epoch; a resumed lock is in a new one. None where the lock was not its own yet.
    pub epoch: Option<u64>,
    /// For how long it was held, where it has ended.
    pub held: Option<Duration>,
}

/// What can happen to a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Somebody got it.
    Granted,
    /// Its owner came back with the token, on a new connection.
    Resumed,
    /// A further connection has shown the owner's token, at another object of the lock.
    Joined,
    /// Its owner's connection ended; it is kept for the owner's return.
    Suspended {
        /// For how long.
        ttl: Duration,
    },
    /// Its owner gave it up.
    Unlocked,
    /// Its owner's connection ended, and with it the lock.
    Disconnected,
    /// Its owner has shown the token on another connection, which has it now.
    TakenOver {
        /// Who that is.
        by: String,
    },
    /// Somebody has given it up with the owner's token, on another connection.
    GivenBack {
        /// Who that is.
        by: String,
    },
    /// Its owner did not come back in time.
    Expired,
    /// Somebody took it away.
    Broken(Break),
}

/// Where the records of a daemon's locks go; called with the object's id, in order.
pub type LockLog = Arc<dyn Fn(&str, &Record) + Send + Sync>;

/// What can be set about the lock of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockSettings {
    /// Members that others may use while it is locked.
    pub read_while_locked: Vec<String>,
    /// Methods that bring it to a safe state, to be called when its owner is gone.
    pub on_disconnect: Vec<String>,
    /// The longest time that a client may wait for it.
    pub max_wait: Duration,
    /// The longest time that it may outlive its owner's connection.
    pub max_ttl: Duration,
}

impl Default for LockSettings {
    fn default() -> Self {
        let day = Duration::from_secs(24 * 60 * 60);
        LockSettings {
            read_while_locked: Vec::new(),
            on_disconnect: Vec::new(),
            max_wait: day,
            max_ttl: day,
        }
    }
}
