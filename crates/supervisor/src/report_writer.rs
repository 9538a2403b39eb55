//! Queue and thread that write a child's reports, so that a parent that does not read blocks no
//! caller.
//!
//! The queue is bounded by what it keeps: every `ready` and `failed`, and only the last `status`.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::protocol::Report;

/// Producer of reports. Dropping it ends the thread, after it has written the queued reports.
pub(crate) struct ReportWriter(Arc<SharedQueue>);

struct SharedQueue {
    queue: Mutex<ReportQueue>,
    /// Notified at every change of the queue.
    changed: Condvar,
}

struct ReportQueue {
    reports: VecDeque<Report>,
    phase: WriterPhase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum WriterPhase {
    /// The thread waits for a report.
    Idle,
    /// The thread writes a report.
    Writing,
    /// The producer has been dropped.
    Closed,
    /// The thread has ended.
    Ended,
}

impl ReportWriter {
    /// Starts the thread that writes reports to `out`.
    pub(crate) fn start(out: impl Write + Send + 'static) -> io::Result<Self> {
        let queue = ReportQueue { reports: VecDeque::new(), phase: WriterPhase::Idle };
        let shared = Arc::new(SharedQueue { queue: Mutex::new(queue), changed: Condvar::new() });
        std::thread::Builder::new().name("reports".into()).spawn({
            let shared = Arc::clone(&shared);
            move || shared.write_to(out)
        })?;
        Ok(Self(shared))
    }

    /// Queues a report without blocking. A status replaces the one that is still queued.
    pub(crate) fn push(&self, report: Report) {
        let mut queue = self.0.lock();
        if queue.phase == WriterPhase::Ended {
            return;
        }
        if matches!(report, Report::Status { .. }) {
            queue.reports.retain(|queued| !matches!(queued, Report::Status { .. }));
        }
        queue.reports.push_back(report);
        self.0.changed.notify_all();
    }

    /// Waits until every queued report has been written, at most for `timeout`.
    pub(crate) fn wait_until_written(&self, timeout: Duration) {
        let is_unwritten = |queue: &mut ReportQueue| {
            queue.phase == WriterPhase::Writing || !queue.reports.is_empty()
        };
        // Nothing can be done if the time is up or the lock is poisoned.
        let _ = self.0.changed.wait_timeout_while(self.0.lock(), timeout, is_unwritten);
    }
}

impl Drop for ReportWriter {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        if queue.phase != WriterPhase::Ended {
            queue.phase = WriterPhase::Closed;
        }
        self.0.changed.notify_all();
    }
}

impl SharedQueue {
    fn write_to(&self, mut out: impl Write) {
        while let Some(report) = self.next() {
            let line = report.to_line();
            // Fails if the parent is dead; the lifeline's reading thread ends the process then.
            if out.write_all(line.as_bytes()).and_then(|()| out.flush()).is_err() {
                break;
            }
        }
        let mut queue = self.lock();
        queue.phase = WriterPhase::Ended;
        queue.reports.clear();
        self.changed.notify_all();
    }

    /// Waits for the next report; `None` after the last one.
    fn next(&self) -> Option<Report> {
        let mut queue = self.lock();
        if queue.phase == WriterPhase::Writing {
            queue.phase = WriterPhase::Idle;
            self.changed.notify_all();
        }
        let is_idle = |queue: &mut ReportQueue| {
            queue.reports.is_empty() && queue.phase != WriterPhase::Closed
        };
        let waited = self.changed.wait_while(queue, is_idle);
        let mut queue = waited.unwrap_or_else(PoisonError::into_inner);
        let report = queue.reports.pop_front()?;
        if queue.phase == WriterPhase::Idle {
            queue.phase = WriterPhase::Writing;
        }
        Some(report)
    }

    fn lock(&self) -> MutexGuard<'_, ReportQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
