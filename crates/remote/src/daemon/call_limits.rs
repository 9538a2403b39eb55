//! Time limits of calls, by the ids of objects.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

/// The time limit of an object's calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallLimit {
    /// A caller gets a `TimeoutError` after this time.
    pub timeout: Duration,
    /// Whether the object's process is restarted then, which ends the call.
    pub restarts: bool,
}

/// The limits of a daemon's objects.
#[derive(Debug, Default)]
pub(crate) struct CallLimits {
    /// Saves daemons without limits the look into the table.
    any: AtomicBool,
    by_id: RwLock<HashMap<String, CallLimit>>,
}

impl CallLimits {
    pub(crate) fn set(&self, id: &str, limit: CallLimit) {
        self.by_id.write().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), limit);
        self.any.store(true, Ordering::Release);
    }

    /// From now on the object `id` has the limit of the object `with`.
    pub(crate) fn share(&self, id: &str, with: &str) {
        if let Some(limit) = self.of(with) {
            self.set(id, limit);
        }
    }

    pub(crate) fn remove(&self, id: &str) {
        if self.any.load(Ordering::Acquire) {
            self.by_id.write().unwrap_or_else(PoisonError::into_inner).remove(id);
        }
    }

    pub(crate) fn of(&self, id: &str) -> Option<CallLimit> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        self.by_id.read().unwrap_or_else(PoisonError::into_inner).get(id).copied()
    }
}
