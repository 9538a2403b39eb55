//! The locks of a daemon around the rules of [`lock`](crate::lock): clock, queue, log, safe state.

pub(crate) mod breaker;
mod entry;
pub(crate) mod lock_gate;
pub(crate) mod methods;
pub(crate) mod on_disconnect;
pub(crate) mod session_end;
pub(crate) mod stream_end;
pub(crate) mod table;
