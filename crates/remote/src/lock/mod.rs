//! Locks: who may drive an object, and who drives it next.
//!
//! [`policy`] has the rules of one lock and nothing else: no sockets, no clock of its own.
//! [`table`] is the shell around the locks of one daemon: it brings events and times to the rules
//! and carries out what they say. [`methods`] are the four methods that clients call. Which calls
//! are checked, and when, is the `daemon` room's.

#[doc(hidden)]
pub mod check;
pub(crate) mod policy;
pub(crate) mod status;
#[cfg(test)]
mod tests;
pub(crate) mod token;
pub(crate) mod types;

pub use status::{LockOwner, LockState, LockStatus, LockWaiter};
pub use types::{
    Break, Event as LockEvent, LockLog, LockSettings, Party as LockParty, Record as LockRecord,
};
