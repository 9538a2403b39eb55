//! What a child reports to its parent, between those who report and the thread that writes.
//!
//! Owns the thread, and the rule of what may wait: every word of a start and an end, and of the
//! statuses the last. Refuses to know what a report says.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::protocol::Report;

/// The reporting side; the thread ends, once it has written what waits, when this is dropped.
pub(crate) struct ReportWriter(Arc<SharedQueue>);

struct SharedQueue {
    state: Mutex<ReportQueue>,
    news: Condvar,
}

struct ReportQueue {
    waiting: VecDeque<Report>,
    phase: WriterPhase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum WriterPhase {
    /// Nothing is being written.
    Idle,
    /// A report is being written.
    Writing,
    /// Nothing more will be reported.
    Closed,
    /// Nothing more will be written.
    Over,
}

impl ReportWriter {
    /// Writes reports to `out` from now on.
    pub(crate) fn start(out: impl Write + Send + 'static) -> io::Result<Self> {
        let state = ReportQueue { waiting: VecDeque::new(), phase: WriterPhase::Idle };
        let shared = Arc::new(SharedQueue { state: Mutex::new(state), news: Condvar::new() });
        std::thread::Builder::new().name("reports".into()).spawn({
            let shared = Arc::clone(&shared);
            move || shared.write_to(out)
        })?;
        Ok(Self(shared))
    }

    /// Adds a report, without waiting for anybody. A status takes the place of one that waits.
    pub(crate) fn push(&self, report: Report) {
        let mut state = self.0.state();
        if state.phase == WriterPhase::Over {
            return;
        }
        if matches!(report, Report::Status { .. }) {
            state.waiting.retain(|waiting| !matches!(waiting, Report::Status { .. }));
        }
        state.waiting.push_back(report);
        drop(state);
        self.0.news.notify_all();
    }

    /// Waits until everything is written that was reported, but not longer than this.
    pub(crate) fn wait_until_written(&self, longest: Duration) {
        let is_at_work = |state: &mut ReportQueue| {
            state.phase != WriterPhase::Over
                && (state.phase == WriterPhase::Writing || !state.waiting.is_empty())
        };
        // Poisoned or too late: there is nothing else to be done about either.
        let _ = self.0.news.wait_timeout_while(self.0.state(), longest, is_at_work);
    }
}

impl Drop for ReportWriter {
    fn drop(&mut self) {
        let mut state = self.0.state();
        if state.phase != WriterPhase::Over {
            state.phase = WriterPhase::Closed;
        }
        drop(state);
        self.0.news.notify_all();
    }
}

impl SharedQueue {
    fn write_to(&self, mut out: impl Write) {
        while let Some(report) = self.next() {
            let line = report.to_line();
            // This fails if the parent is gone, which the lifeline's reading thread sees to.
            if out.write_all(line.as_bytes()).and_then(|()| out.flush()).is_err() {
                break;
            }
        }
        let mut state = self.state();
        state.phase = WriterPhase::Over;
        state.waiting.clear();
        drop(state);
        self.news.notify_all();
    }

    /// The next report, waited for; None when there will be no more.
    fn next(&self) -> Option<Report> {
        let mut state = self.state();
        if state.phase == WriterPhase::Writing {
            state.phase = WriterPhase::Idle;
            self.news.notify_all();
        }
        let is_idle = |state: &mut ReportQueue| {
            state.waiting.is_empty() && state.phase != WriterPhase::Closed
        };
        let waited = self.news.wait_while(state, is_idle);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        let report = state.waiting.pop_front()?;
        if state.phase == WriterPhase::Idle {
            state.phase = WriterPhase::Writing;
        }
        Some(report)
    }

    fn state(&self) -> MutexGuard<'_, ReportQueue> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
