//! Files of a lab host, whatever is in them: replaced whole, read without blocking, or written line
//! by line.
//!
//! Owns how they are written and read again: atomic replacement ([`files`]), opening that never
//! blocks ([`open`]), state files ([`state_file`]), the host's log with the lock log and the call
//! log ([`log`]), and the audit ([`audit`]). Must not know the configuration, command lines and
//! processes: callers say where a file is.

pub mod audit;
pub mod files;
pub mod log;
pub mod open;
pub mod state_file;
