//! The types of a lock: requests, outcomes, refusals and records, with the texts that clients read.
//!
//! Decides nothing.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use wire::exception::Exception;

use crate::token::TokenHash;
use crate::users::Credential;

/// A connection that asks for a lock, or holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    /// The connection's session.
    pub session: u64,
    /// The name that its client gave; may be empty.
    pub user: String,
    /// The identity of its client, where that says more than the address.
    pub identity: Option<Arc<str>>,
    /// The address of its client.
    pub address: String,
    /// The credential that its client has shown.
    pub credential: Option<Arc<Credential>>,
}

impl Party {
    /// The name that others see: the one that its client gave, else its identity, else its address.
    pub fn name(&self) -> &str {
        match &self.identity {
            _ if !self.user.is_empty() => &self.user,
            Some(identity) => identity,
            None => &self.address,
        }
    }

    /// The host of its address: the peer by which requests are counted.
    pub fn host(&self) -> &str {
        self.address.rsplit_once(':').map_or(self.address.as_str(), |(host, _)| host)
    }

    /// Whether it is at this host.
    pub(super) fn is_at(&self, host: &str) -> bool {
        self.address.starts_with(host) && self.host() == host
    }

    /// Whether both are the same client on different connections: the same name at the same host.
    pub(super) fn is_same_client(&self, other: &Party) -> bool {
        self.user == other.user && self.identity == other.identity && self.is_at(other.host())
    }
}

/// A request for a lock.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) party: Party,
    /// How long to wait while another holds it. Without this, a lock that is held is refused at
    /// once.
    pub(crate) wait: Option<Duration>,
    /// The object through which it is asked for: several objects may share a lock.
    pub(crate) via: String,
    /// The token that keeps or resumes it, and how long it outlives its connection.
    pub(crate) token: Option<(TokenHash, Duration)>,
}

/// The outcome of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The client has the lock, in this epoch.
    Granted { epoch: u64 },
    /// It waited for as long as it wanted, without success.
    TimedOut,
    /// The client cannot have the lock.
    Refused(Refusal),
}

/// A decision to take a lock away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Break {
    /// The person or program that did it: a name, an address, or both.
    pub by: String,
    /// The reason, in that person's words; may be empty.
    pub reason: String,
}

/// How a connection has lost its lock without giving it up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// It was broken.
    Broken(Break),
    /// Another connection has presented its token.
    TakenOver { by: String },
    /// Another connection has given it up with its token.
    GivenBack { by: String },
    /// The owner's connection is gone: this connection, and then nobody reads this, or the one
    /// whose lock it had joined.
    Gone,
    /// It shows a token, and it is not known any more whether the lock of that was broken.
    Forgotten,
    /// Its owner made no call for this long.
    Idle { limit: Duration },
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
    /// The caller waits for the lock already.
    Asked,
    /// Too many requests wait for the lock.
    Crowded { waiting: usize },
    /// Too many requests of the caller's host wait for the lock.
    CrowdedByHost { waiting: usize },
    /// Another has the lock, and the call would need an instance to be made.
    NoInstance { by: String },
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
            Refusal::Lost(Loss::Idle { limit }) => write!(
                f,
                "your lock of this Pyro object has ended: you made no call for {} s (the service's \
                 lock_idle); call lock() again before you go on",
                limit.as_secs_f64()
            ),
            Refusal::Asked => f.write_str(
                "this connection waits for the lock of this Pyro object already, with an earlier \
                 request",
            ),
            Refusal::Crowded { waiting } => {
                write!(f, "{waiting} requests wait for the lock already; try again later")
            }
            Refusal::CrowdedByHost { waiting } => write!(
                f,
                "{waiting} requests of your address wait for the lock already; try again when \
                 one of them has got it"
            ),
            Refusal::NoInstance { by } => write!(
                f,
                "Pyro object is locked (by '{by}'), and no instance is made for others meanwhile: \
                 what may be read while it is locked needs one that is there"
            ),
        }
    }
}

impl From<Refusal> for Exception {
    fn from(refusal: Refusal) -> Self {
        Exception::connection_refused(refusal.to_string())
    }
}

/// A line of a lock's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The event.
    pub event: Event,
    /// The owner of the lock, or the one that was about to be.
    pub party: Party,
    /// The epoch; a resumed lock has a new one. `None` if the owner did not have the lock yet.
    pub epoch: Option<u64>,
    /// For how long the lock was held, if that has ended.
    pub held: Option<Duration>,
}

/// An event in the life of a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A client got it.
    Granted,
    /// Its owner came back with the token, on a new connection.
    Resumed,
    /// A further connection has shown the owner's token, at another object of the lock.
    Joined,
    /// Its owner's connection ended; it is kept for the owner's return.
    Suspended {
        /// How long it is kept.
        ttl: Duration,
    },
    /// Its owner gave it up.
    Unlocked,
    /// Its owner's connection ended, and with it the lock.
    Disconnected,
    /// Its owner has shown the token on another connection, which has it now.
    TakenOver {
        /// The name of that connection.
        by: String,
    },
    /// Another connection has given it up with the owner's token.
    GivenBack {
        /// The name of that connection.
        by: String,
    },
    /// Its owner did not come back in time.
    Expired,
    /// Its owner made no call for too long.
    Idle {
        /// How long that may be.
        limit: Duration,
    },
    /// It was taken away.
    Broken(Break),
}

/// A receiver of the records of a daemon's locks, called in order with the object's id.
pub type LockLog = Arc<dyn Fn(&str, &Record) + Send + Sync>;

/// The settings of an object's lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockSettings {
    /// Members that others may use while it is locked.
    pub read_while_locked: Vec<String>,
    /// Methods that bring the object to a safe state, called when the lock's owner is gone.
    pub on_disconnect: Vec<String>,
    /// The longest time that a client may wait for it.
    pub max_wait: Duration,
    /// The longest time that it may outlive its owner's connection.
    pub max_ttl: Duration,
    /// The longest time that its owner may make no call; no limit if absent.
    pub max_idle: Option<Duration>,
}

impl Default for LockSettings {
    fn default() -> Self {
        let day = Duration::from_secs(24 * 60 * 60);
        LockSettings {
            read_while_locked: Vec::new(),
            on_disconnect: Vec::new(),
            max_wait: day,
            max_ttl: day,
            max_idle: None,
        }
    }
}
