//! A handle that breaks locks of a daemon, for objects that the daemon itself serves.
//!
//! It does not keep the daemon alive.

use std::fmt;
use std::sync::Weak;

use wire::exception::Exception;
use wire::uri::Uri;
use wire::value::Value;

use crate::arguments::Signature;
use crate::daemon::locks::methods;
use crate::daemon::locks::table::LockTable;
use crate::lock::types::Break;
use crate::object::MethodCall;
use crate::session::Session;

const RELEASE: Signature =
    Signature { name: "Daemon.release", parameters: &["uri", "reason", "user"], required: 1 };

/// Breaks locks of a daemon; does not keep it alive.
#[derive(Clone)]
pub struct LockBreaker {
    pub(crate) locks: Weak<LockTable>,
}

impl LockBreaker {
    /// PyroLab's `release(uri, reason="", user="")`, called by `session`.
    ///
    /// # Errors
    /// The arguments are wrong, or there is no such lock.
    pub fn release(&self, session: &Session, call: MethodCall) -> Result<Value, Exception> {
        let [uri, reason, user] = RELEASE.bind(call)?;
        let uri = uri.unwrap_or(Value::None);
        let uri = match &uri {
            Value::Str(text) => text.parse::<Uri>().ok(),
            other => Uri::from_value(other),
        };
        let Some(Uri::Pyro { object, .. }) = uri else {
            return Err(Exception::pyro_error("invalid uri"));
        };
        let (reason, user) = (methods::text("reason", reason)?, methods::text("user", user)?);
        let address = session.peer.to_string();
        let by = if user.is_empty() { address } else { format!("{user} at {address}") };
        self.break_lock(&object, Break { by, reason }).map(Value::from)
    }

    /// Takes the lock of an object away from its owner; false if it is free.
    ///
    /// # Errors
    /// There is no such lock.
    pub fn break_lock(&self, id: &str, broken: Break) -> Result<bool, Exception> {
        let locks = self.locks.upgrade();
        locks.and_then(|locks| locks.break_lock(id, broken)).ok_or_else(|| {
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
