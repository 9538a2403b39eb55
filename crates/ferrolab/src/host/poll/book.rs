//! The series of the members of one object, shared by its poller and by the calls of clients.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::series::MemberSeries;

/// Objects some of whose members cannot be read as they should be, with the reasons; by service and
/// object.
pub(super) type PollTroubles = BTreeMap<(String, String), String>;

/// The series by the names of their members; clones are the same book.
#[derive(Clone, Default)]
pub(super) struct Book(Arc<Mutex<BTreeMap<String, MemberSeries>>>);

impl Book {
    pub(super) fn lock(&self) -> MutexGuard<'_, BTreeMap<String, MemberSeries>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
