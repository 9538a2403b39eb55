//! Audit: who did what, in files that show when somebody has changed them.
//!
//! Owns the form of lines and files, for the processes that write and the command line that reads.
//! Each line has the hash of the one before it. Each writer (the supervisor, and each daemon) has
//! separate files, one a month: so no call waits for another process, a supervisor that is stopped
//! loses nothing, and a process that is killed tears the last line of one file only.
//!
//! A writer keeps the number and the hash of its last line (its head) in a state file, and in the
//! host's log each hour: a file that ends before its head has been cut.

mod chain;
mod files;
mod history;
mod line;
mod place;
mod verify;
mod writer;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub use chain::Anchor;
pub use history::read;
pub use line::{AuditLine, CONNECT, LOGIN, cut_arguments};
pub use place::{AuditPlace, heads};
pub use verify::{Fault, verify};
pub use writer::{AUDIT_FAILS, HEAD};

use crate::log::disk_health::DiskHealth;
use crate::log::drop_queue::{DropQueue, FLUSH_TIMEOUT, Flush};
use crate::log::host_warnings::Troubles;
use writer::{AuditWriter, BACKLOG_BYTES};

/// Wait of the command line for its turn, and then until its line is written.
const ONE_LINE_TIMEOUT: Duration = Duration::from_secs(10);

/// The audit of one process, which is being written.
#[derive(Clone, Debug)]
pub struct Audit {
    daemon: Arc<str>,
    place: Arc<AuditPlace>,
    lines: Arc<DropQueue<AuditLine>>,
    health: DiskHealth,
    is_failing: Arc<AtomicBool>,
}

impl Audit {
    /// Opens the audit of a daemon, or with an empty name of the supervisor, whose faults are among
    /// its `troubles`. Its end is written when the second value is dropped.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn open(
        place: &AuditPlace,
        daemon: &str,
        troubles: Option<Troubles>,
    ) -> io::Result<(Self, Flush<AuditLine>)> {
        let health = DiskHealth::default();
        let writer = AuditWriter::new(place.clone(), daemon, health.clone(), troubles);
        let is_failing = writer.failing();
        let lines = DropQueue::weighing(BACKLOG_BYTES, AuditLine::weight)
            .start("audit", move |lines| writer.run(lines))?;
        let flush = Flush { queue: Arc::clone(&lines), longest: FLUSH_TIMEOUT };
        let (daemon, place) = (Arc::from(daemon), Arc::new(place.clone()));
        Ok((Audit { daemon, place, lines, health, is_failing }, flush))
    }

    /// Records something, and never waits.
    pub fn record(&self, line: AuditLine) {
        let daemon = self.daemon.as_ref().to_owned();
        // Of many refusals some may be dropped; acts of people are not.
        let matters = line.action != "refused" && !line.is_of_stranger();
        self.lines.push(AuditLine { daemon, ..line }, matters);
    }

    /// Set while it cannot be written.
    pub fn failing(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_failing)
    }

    /// The fault of its disk, in a sentence.
    pub fn trouble(&self) -> Option<String> {
        let trouble = self.health.trouble("audit", &self.place.folder)?;
        // A write that hangs sets nothing by itself.
        self.is_failing.store(true, Ordering::Relaxed);
        Some(match self.place.is_required {
            true => format!("{trouble}; audited calls are refused (`audit: required`)"),
            false => trouble,
        })
    }
}

/// Writes one line to the audit of a process that does not last: the command line. Others of its
/// kind wait for their turn.
///
/// # Errors
/// The audit cannot be locked or opened, or the line is not written in time.
pub fn record_once(place: &AuditPlace, line: AuditLine) -> io::Result<()> {
    let lock = place.head.with_extension("lock");
    let _lock = crate::files::lock(&lock, ONE_LINE_TIMEOUT).map_err(io::Error::other)?;
    let (audit, mut flush) = Audit::open(place, "", None)?;
    flush.longest = ONE_LINE_TIMEOUT;
    audit.record(line);
    if !flush.finish() {
        return Err(io::Error::new(io::ErrorKind::TimedOut, "its disk does not answer in time"));
    }
    match audit.failing().load(Ordering::Relaxed) {
        true => Err(io::Error::other("it cannot be written")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests;
