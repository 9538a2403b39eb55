//! Locks: which client may drive an object, and which one is next.
//!
//! `policy` has the rules of one lock; `types` and `status` are its types. There
//! are no sockets here and no clock: `daemon/locks` brings events and times to the rules and
//! carries out the effects.

#[doc(hidden)]
pub mod check;
pub(crate) mod kept;
pub(crate) mod policy;
pub(crate) mod status;
#[cfg(test)]
mod tests;
pub(crate) mod types;

pub use kept::KeptLock;
pub use status::{LockOwner, LockState, LockStatus, LockWaiter};
pub use types::{
    Break, Event as LockEvent, LockLog, LockSettings, Party as LockParty, Record as LockRecord,
};
