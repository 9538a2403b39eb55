//! Warnings about the host itself rather than one of its entries: a full disk, a state file that
//! cannot be read.
//!
//! The list that `status` shows. The code that notices a trouble sets it here, and clears it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The troubles of this process, each under the name of what is troubled; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Troubles(Arc<Mutex<BTreeMap<&'static str, String>>>);

impl Troubles {
    /// Sets the trouble of `what`.
    pub fn set(&self, what: &'static str, trouble: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(what, trouble);
    }

    /// Clears the trouble of `what`.
    pub fn clear(&self, what: &'static str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(what);
    }

    /// One sentence for each.
    pub fn list(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}
