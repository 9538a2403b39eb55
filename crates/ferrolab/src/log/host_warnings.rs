//! What is wrong with the host itself rather than with one of its entries: a full disk, a state
//! file that cannot be read.
//!
//! Owns the list that `status` shows. Refuses to know how a trouble is noticed: whoever notices
//! it says so here, and says when it is over.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The troubles of this process, each under the name of what is troubled; clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Troubles(Arc<Mutex<BTreeMap<&'static str, String>>>);

impl Troubles {
    /// Says what is wrong with `what`.
    pub(crate) fn set(&self, what: &'static str, trouble: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(what, trouble);
    }

    /// Says that `what` is well again.
    pub(crate) fn clear(&self, what: &'static str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(what);
    }

    /// One sentence for each.
    pub(crate) fn list(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}
