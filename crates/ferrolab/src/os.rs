//! What a process of the lab asks of the operating system for itself.
//!
//! Owns the limit on open files. A connection is one, and so is each channel to a worker; the usual
//! soft limit of 1024 is for programs that use `select`, which we do not.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{debug, warn};

/// Raises the limit on open files to what the system allows.
pub(crate) fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        Ok(()) => {
            debug!(from = ?limit.current, to = ?limit.maximum, "raised the limit on open files")
        }
        // It serves all the same, only fewer.
        Err(error) => warn!(%error, "cannot raise the limit on open files"),
    }
}

/// How many files may be open now.
pub(crate) fn file_limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}
