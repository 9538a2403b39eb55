//! The way to break a lock from outside of its object.
//!
//! Owns a weak hold on the daemon, for objects that the daemon itself serves.

use std::fmt;
use std::sync::Weak;

use wire::exception::Exception;
use wire::value::Value;

use super::methods;
use super::table::Locks;
use crate::daemon::Shared;
use crate::lock::types::Break;
use crate::object::MethodCall;
use crate::session::Session;

/// Breaks locks of a daemon; does not keep it alive.
#[derive(Clone)]
pub struct LockBreaker {
    pub(crate) shared: Weak<Shared>,
}

impl LockBreaker {
    /// PyroLab's `release(uri, reason="", user="")`, called by `session`.
    ///
    /// # Errors
    /// The arguments are wrong, or there is no such lock.
    pub fn release(&self, session: &Session, call: MethodCall) -> Result<Value, Exception> {
        methods::release(self, &session.peer.to_string(), call)
    }

    /// Takes the lock of an object away from whoever has it; false if nobody does.
    ///
    /// # Errors
    /// There is no such lock.
    pub fn break_lock(&self, id: &str, broken: Break) -> Result<bool, Exception> {
        let shared = self.shared.upgrade();
        shared.and_then(|shared| Locks::break_it(&shared, id, broken)).ok_or_else(|| {
            // PyroLab's, for whom an unknown object is a missing key.
            Exception::new("builtins.KeyError", id)
        })
    }
}

impl fmt::Debug for LockBreaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LockBreaker")
    }
}
