//! The locks of a daemon, around the rules of [`lock`](crate::lock): the clock, the queue of
//! requests, the log, the check of each call, and safe states.

pub(crate) mod abort;
mod abort_table;
pub(crate) mod described;
mod entry;
mod kept;
pub(crate) mod lock_gate;
mod lost_rights;
pub(crate) mod methods;
pub(crate) mod running_call;
pub(crate) mod safe_state;
mod step;
pub(crate) mod table;

pub use methods::LockBreaker;
