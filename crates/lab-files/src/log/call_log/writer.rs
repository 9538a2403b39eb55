//! Thread that writes a daemon's call log: its files, and the rate limit of lines that nobody asked
//! for.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use remote::{CallLogMode, CallRecord};

use super::line::CallLine;
use crate::log::disk_health::DiskHealth;
use crate::log::drop_queue::DropQueue;
use crate::log::line_limit::{Allowance, Limit};
use crate::log::rotation::RotatedFile;

/// Bytes at which a file is rotated.
const FILE_SIZE: usize = 10 * 1024 * 1024;
/// Rotated files that are kept.
const FILES_KEPT: usize = 5;
/// Longest time until lines left out are mentioned in the log.
const MENTION_INTERVAL: Duration = Duration::from_secs(10);
/// Time between two attempts on a file that cannot be written.
const CALL_LOG_RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Lines of one client in the mode `errors`: a script that asks for what is not there, again and
/// again, does not push everything else out.
const ERRORS_OF_ONE: Allowance = Allowance { burst: 2000.0, rate: 20.0 };

/// A line on its way to the disk.
pub(super) struct QueuedLine {
    line: CallLine,
    is_limited: bool,
}

impl QueuedLine {
    pub(super) fn of(daemon: &str, record: CallRecord) -> Self {
        let is_limited = record.mode == CallLogMode::Errors;
        QueuedLine { line: CallLine::of(daemon, record), is_limited }
    }

    /// Bytes that it takes while it waits, roughly.
    pub(super) fn weight(&self) -> usize {
        let CallLine { daemon, service, member, message, arguments, .. } = &self.line;
        let optional = [message, arguments].map(|text| text.as_ref().map_or(0, String::len));
        let texts = [daemon, service, member].map(String::len);
        size_of::<Self>() + texts.iter().chain(&optional).sum::<usize>()
    }
}

pub(super) struct CallLogWriter {
    file: RotatedFile,
    daemon: String,
    health: DiskHealth,
    limit: Limit,
    /// Lines that could not be written, and that the log does not mention yet.
    lost: u64,
    /// The last line may have no end: the next one begins with it.
    is_torn: bool,
}

impl CallLogWriter {
    pub(super) fn new(path: &Path, daemon: &str, health: DiskHealth) -> Self {
        let file = RotatedFile::new(path, FILE_SIZE, FILES_KEPT);
        let (daemon, limit) = (daemon.to_owned(), Limit::new(ERRORS_OF_ONE));
        CallLogWriter { file, daemon, health, limit, lost: 0, is_torn: false }
    }

    pub(super) fn run(mut self, lines: &DropQueue<QueuedLine>) {
        let mut told = Instant::now();
        // Here, since a daemon's start does not wait for a disk that hangs.
        self.is_torn = self.health.note(|| Ok(self.file.has_no_end())).unwrap_or_default();
        loop {
            let longest = if self.lost > 0 { CALL_LOG_RETRY_INTERVAL } else { MENTION_INTERVAL };
            let Some(batch) = lines.take(longest) else { break };
            self.lost += batch.lost;
            if self.lost > 0 {
                self.tell_lost();
            }
            for line in batch.items {
                self.add(line);
            }
            if told.elapsed() >= MENTION_INTERVAL {
                told = Instant::now();
                self.tell_left_out();
            }
        }
        self.tell_left_out();
    }

    fn add(&mut self, QueuedLine { line, is_limited }: QueuedLine) {
        if is_limited {
            let client = client(&line);
            match self.limit.allows(&client, Instant::now()) {
                None => return,
                Some(0) => {}
                Some(left_out) => self.write(&self.left_out(&client, left_out)),
            }
        }
        self.write(&line);
    }

    fn tell_lost(&mut self) {
        let lost = self.lost;
        let reason = format!("{lost} lines: the disk did not keep up, or was full");
        self.write(&self.unrecorded("", reason));
        // If that fails too, the next line that is written mentions them.
        let is_told = self.lost == lost;
        self.lost = if is_told { 0 } else { lost };
        if is_told {
            tracing::warn!(daemon = self.daemon, lost, "lines of the call log are lost");
        }
    }

    fn tell_left_out(&mut self) {
        for (client, lines) in self.limit.left_out() {
            self.write(&self.left_out(&client, lines));
        }
    }

    fn left_out(&self, client: &str, lines: u64) -> CallLine {
        self.unrecorded(client, format!("{lines} lines: too many of one client in a short time"))
    }

    fn unrecorded(&self, client: &str, reason: String) -> CallLine {
        CallLine {
            time: Timestamp::now(),
            daemon: self.daemon.clone(),
            outcome: "unrecorded".to_owned(),
            caller: client.to_owned(),
            message: Some(reason),
            ..CallLine::default()
        }
    }

    fn write(&mut self, line: &CallLine) {
        let text = serde_json::to_string(line).map_err(io::Error::from).map(|mut text| {
            text.push('\n');
            if self.is_torn {
                text.insert(0, '\n');
            }
            text
        });
        let written = text.and_then(|text| self.health.note(|| self.file.append(text.as_bytes())));
        self.is_torn = written.is_err();
        if let Err(error) = written {
            // The first of them says why; then they are counted.
            if self.lost == 0 {
                tracing::warn!(daemon = self.daemon, %error, "cannot write to the call log");
            }
            self.lost += 1;
        }
    }
}

/// Whom a line is put down to: a name at a host.
fn client(line: &CallLine) -> String {
    let user = line.user.as_deref().unwrap_or_default();
    remote::client_at(user, line.identity.as_deref(), line.host())
}
