//! Call log: which calls a daemon has carried out or refused, for `ferrolab calls --history`.
//!
//! Owns the format of lines and files, for the daemons that write and the command line that reads.
//! Each daemon has its own files of JSON lines, which are rotated by size. No call waits for the
//! disk: lines wait in a bounded queue, and those that do not fit are dropped and counted.

mod history;
mod line;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use remote::CallRecord;

pub use history::read;
pub use line::{CallLine, kind_word};

use crate::log::disk_health::DiskHealth;
use crate::log::drop_queue::{DropQueue, FLUSH_TIMEOUT, Flush};
use line::{PREFIX, SUFFIX};
use writer::{CallLogWriter, QueuedLine};

/// Bytes of lines that may wait for a slow disk; further ones are dropped and counted.
const BACKLOG_BYTES: usize = 4 * 1024 * 1024;

/// The file of a daemon, by the name that it has in file names.
pub fn file(log_dir: &Path, daemon: &str) -> PathBuf {
    log_dir.join(format!("{PREFIX}{daemon}{SUFFIX}"))
}

/// The call log of a daemon that is being written. Its end is written when this is dropped.
pub struct CallLogFile {
    path: PathBuf,
    health: DiskHealth,
    _flush: Flush<QueuedLine>,
}

impl CallLogFile {
    /// Opens the log of a daemon; the function writes a record and never waits.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn open(
        path: &Path,
        daemon: &str,
    ) -> io::Result<(Self, impl Fn(CallRecord) + Send + Sync + 'static)> {
        let health = DiskHealth::default();
        let writer = CallLogWriter::new(path, daemon, health.clone());
        let lines = DropQueue::weighing(BACKLOG_BYTES, QueuedLine::weight)
            .start("call-log", move |lines| writer.run(lines))?;
        let flush = Flush { queue: Arc::clone(&lines), longest: FLUSH_TIMEOUT };
        let daemon = daemon.to_owned();
        let log = move |record: CallRecord| lines.push(QueuedLine::of(&daemon, record), false);
        Ok((CallLogFile { path: path.to_owned(), health, _flush: flush }, log))
    }

    /// The fault of its disk, in a sentence.
    pub fn trouble(&self) -> Option<String> {
        self.health.trouble("call log", &self.path)
    }
}

#[cfg(test)]
mod tests;
