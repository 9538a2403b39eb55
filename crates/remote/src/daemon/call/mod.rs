//! One call: decoded, dispatched to its object, answered.

mod access;
mod argument_text;
pub(crate) mod daemon_object;
mod deadline;
pub(crate) mod decode;
pub(crate) mod dispatch;
pub(crate) mod error_place;
pub(crate) mod limited;
mod log_call;
mod oneway;
pub(crate) mod own_call;
pub(crate) mod response;
