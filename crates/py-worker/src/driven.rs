//! The runs of its worker in which a service was called: what says whether something that it drove
//! has gone with a process.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use remote::Session;

/// In which runs of its worker a service was called.
#[derive(Debug, Default)]
pub(crate) struct Driven {
    runs: Mutex<Runs>,
}

#[derive(Debug, Default)]
struct Runs {
    last: Option<u64>,
    by_session: HashMap<u64, u64>,
}

impl Driven {
    /// A call of this session is carried out in this run.
    pub(crate) fn by(&self, session: &Session, run: u64) {
        let mut runs = self.lock();
        runs.last = Some(run);
        // Of an ended session nobody would forget it any more.
        if !session.has_ended() {
            runs.by_session.insert(session.id, run);
        }
    }

    pub(crate) fn knows(&self, session: u64) -> bool {
        self.lock().by_session.contains_key(&session)
    }

    pub(crate) fn forget(&self, session: u64) {
        self.lock().by_session.remove(&session);
    }

    pub(crate) fn was_before(&self, run: u64) -> bool {
        self.lock().last.is_some_and(|last| last != run)
    }

    pub(crate) fn was_before_by(&self, session: u64, run: u64) -> bool {
        self.lock().by_session.get(&session).is_some_and(|last| *last != run)
    }

    fn lock(&self) -> MutexGuard<'_, Runs> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
