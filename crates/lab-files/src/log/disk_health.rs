//! Health of the disk under a log: whether its lines are written, and whether a write hangs.
//!
//! The thread that writes notes each write; the thread that reports looks at it and never waits for
//! the disk.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A write that takes longer than this hangs.
const HANGS_AFTER: Duration = Duration::from_secs(5);

/// The health of one log; clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct DiskHealth(Arc<Mutex<WriteState>>);

#[derive(Debug, Default)]
struct WriteState {
    writing_since: Option<Instant>,
    error: Option<String>,
}

impl DiskHealth {
    /// Notes a write and its outcome.
    ///
    /// # Errors
    /// Those of the write.
    pub(crate) fn note<T>(&self, write: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.state().writing_since = Some(Instant::now());
        let written = write();
        let mut state = self.state();
        state.writing_since = None;
        state.error = written.as_ref().err().map(ToString::to_string);
        written
    }

    /// The fault of the log at `path`, in a sentence.
    pub(crate) fn trouble(&self, what: &str, path: &Path) -> Option<String> {
        let state = self.state();
        if state.writing_since.is_some_and(|since| since.elapsed() >= HANGS_AFTER) {
            let seconds = HANGS_AFTER.as_secs();
            return Some(format!(
                "the {what} {} hangs: a write to its disk has taken more than {seconds} s",
                path.display()
            ));
        }
        let error = state.error.as_ref()?;
        Some(format!("the {what} {} cannot be written: {error}", path.display()))
    }

    fn state(&self) -> MutexGuard<'_, WriteState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
