//! Thread that writes a daemon's lock log: its files, its line numbers, and its rate limits.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::line::{BREAKS, LockLogLine, PREFIX};
use crate::log::drop_queue::DropQueue;
use crate::log::line_limit::{Allowance, Limit};
use crate::log::rotation::RotatedFile;

/// Bytes at which a file is rotated.
const FILE_SIZE: usize = 5 * 1024 * 1024;
/// Rotated files that are kept.
const FILES_KEPT: usize = 9;
/// Longest time until lines left out are mentioned in the log.
const MENTION_INTERVAL: Duration = Duration::from_secs(10);

/// Lines of one client about locks that come and go.
const LINES: Allowance = Allowance { burst: 5000.0, rate: 50.0 };
/// Lines about broken locks of one owner.
const BREAKS_OF_ONE: Allowance = Allowance { burst: 500.0, rate: 0.1 };

pub(super) struct LockLogWriter {
    file: RotatedFile,
    breaks: RotatedFile,
    daemon: String,
    next: u64,
    limit: Limit,
    /// A separate limit, so that a flood of broken locks does not push out earlier ones.
    limit_of_breaks: Limit,
    /// Lines that could not be written, and that the log does not mention yet.
    lost: u64,
    /// The last line may have no end: the next one begins with it.
    is_torn: bool,
}

impl LockLogWriter {
    /// Writes to the file at `path` and to the one of broken locks beside it.
    pub(super) fn new(path: &Path, daemon: &str, first: u64) -> Self {
        let file = RotatedFile::new(path, FILE_SIZE, FILES_KEPT);
        let breaks = RotatedFile::new(&breaks_file(path), FILE_SIZE, FILES_KEPT);
        LockLogWriter {
            file,
            breaks,
            daemon: daemon.to_owned(),
            next: first,
            limit: Limit::new(LINES),
            limit_of_breaks: Limit::new(BREAKS_OF_ONE),
            lost: 0,
            is_torn: false,
        }
    }

    pub(super) fn run(mut self, lines: &DropQueue<LockLogLine>) {
        let mut told = Instant::now();
        // Here, since a daemon's start does not wait for a disk that hangs.
        self.is_torn = self.file.has_no_end() || self.breaks.has_no_end();
        while let Some(batch) = lines.take(MENTION_INTERVAL) {
            self.lost += batch.lost;
            for line in batch.items {
                self.add(line);
            }
            let lost = self.lost;
            if lost > 0 {
                let reason = format!("{lost} lines: the disk did not keep up, or was full");
                self.write(self.unrecorded("", reason));
                // If that fails too, the next line that is written mentions them.
                let is_told = self.lost == lost;
                self.lost = if is_told { 0 } else { lost };
                if is_told {
                    tracing::warn!(daemon = self.daemon, lost, "lines of the lock log are lost");
                }
            }
            if told.elapsed() >= MENTION_INTERVAL {
                told = Instant::now();
                self.tell_left_out();
            }
        }
        self.tell_left_out();
    }

    fn add(&mut self, line: LockLogLine) {
        let limit = match line.event.as_str() {
            "broken" => Some(&mut self.limit_of_breaks),
            _ if line.is_routine() => Some(&mut self.limit),
            _ => None,
        };
        if let Some(limit) = limit {
            let client = line.client();
            match limit.allows(&client, Instant::now()) {
                None => return,
                Some(0) => {}
                Some(left_out) => self.write(self.left_out(&client, left_out)),
            }
        }
        self.write(line);
    }

    fn tell_left_out(&mut self) {
        let breaks = self.limit_of_breaks.left_out();
        for (client, lines) in self.limit.left_out().into_iter().chain(breaks) {
            self.write(self.left_out(&client, lines));
        }
    }

    fn left_out(&self, client: &str, lines: u64) -> LockLogLine {
        self.unrecorded(client, format!("{lines} lines: too many of one kind in a short time"))
    }

    fn unrecorded(&self, client: &str, reason: String) -> LockLogLine {
        LockLogLine {
            event: "unrecorded".into(),
            user: client.to_owned(),
            reason: Some(reason),
            ..LockLogLine::now(&self.daemon)
        }
    }

    fn write(&mut self, mut line: LockLogLine) {
        line.seq = Some(self.next);
        self.next += 1;
        let written = serde_json::to_string(&line).map_err(io::Error::from).and_then(|mut text| {
            text.push('\n');
            if self.is_torn {
                text.insert(0, '\n');
            }
            if line.event == "broken" {
                self.breaks.append(text.as_bytes())?;
            }
            self.file.append(text.as_bytes())
        });
        self.is_torn = written.is_err();
        if let Err(error) = written {
            // The first of them says why; then they are counted.
            if self.lost == 0 {
                tracing::warn!(daemon = self.daemon, %error, "cannot write to the lock log");
            }
            self.lost += 1;
        }
    }
}

/// Beside `locks-NAME.jsonl`, the file of the broken ones.
fn breaks_file(path: &Path) -> PathBuf {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    path.with_file_name(format!("{BREAKS}{}", name.strip_prefix(PREFIX).unwrap_or(name)))
}
