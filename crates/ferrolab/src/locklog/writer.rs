//! The thread that writes a daemon's lock log.
//!
//! Owns its files, the numbers of its lines, and what is left out of it.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use file_rotate::compression::Compression;
use file_rotate::suffix::AppendCount;
use file_rotate::{ContentLimit, FileRotate};

use super::limit::Limit;
use super::{BREAKS, Line, PREFIX};
use crate::backlog::Backlog;

/// A file is set aside when it is this large,
const FILE_SIZE: usize = 5 * 1024 * 1024;
/// and this many of those are kept.
const FILES_KEPT: usize = 9;
/// What has been left out is told at the latest then.
const TELLING: Duration = Duration::from_secs(10);

pub(super) struct Writer {
    file: FileRotate<AppendCount>,
    breaks: FileRotate<AppendCount>,
    daemon: String,
    next: u64,
    limit: Limit,
    /// Lines that could not be written, and are not told of yet.
    lost: u64,
}

impl Writer {
    /// Writes to the file at `path` and to the one of broken locks beside it.
    pub(super) fn new(path: &Path, daemon: &str, first: u64) -> Self {
        Writer {
            file: rotating(path),
            breaks: rotating(&breaks_file(path)),
            daemon: daemon.to_owned(),
            next: first,
            limit: Limit::default(),
            lost: 0,
        }
    }

    pub(super) fn run(mut self, lines: &Backlog<Line>) {
        let mut told = Instant::now();
        while let Some(batch) = lines.take(TELLING) {
            self.lost += batch.lost;
            for line in batch.items {
                self.add(line);
            }
            let lost = std::mem::take(&mut self.lost);
            if lost > 0 {
                tracing::warn!(daemon = self.daemon, lost, "lines of the lock log are lost");
                let reason = format!("{lost} lines: the disk did not keep up, or was full");
                self.write(self.unrecorded("", reason));
                // Where that fails too, they are told of when it does not.
                self.lost = if self.lost > 0 { lost } else { 0 };
            }
            if told.elapsed() >= TELLING {
                told = Instant::now();
                self.tell_left_out();
            }
        }
        self.tell_left_out();
        lines.set_over();
    }

    fn add(&mut self, line: Line) {
        if line.is_routine() {
            let client = line.client();
            match self.limit.allows(&client, Instant::now()) {
                None => return,
                Some(0) => {}
                Some(left_out) => self.write(self.left_out(&client, left_out)),
            }
        }
        self.write(line);
    }

    fn tell_left_out(&mut self) {
        for (client, lines) in self.limit.left_out() {
            self.write(self.left_out(&client, lines));
        }
    }

    fn left_out(&self, client: &str, lines: u64) -> Line {
        self.unrecorded(client, format!("{lines} lines: it locked and unlocked too often"))
    }

    fn unrecorded(&self, client: &str, reason: String) -> Line {
        Line {
            event: "unrecorded".into(),
            user: client.to_owned(),
            reason: Some(reason),
            ..Line::now(&self.daemon)
        }
    }

    fn write(&mut self, mut line: Line) {
        line.seq = Some(self.next);
        self.next += 1;
        let written = serde_json::to_string(&line).map_err(io::Error::from).and_then(|mut text| {
            text.push('\n');
            if line.event == "broken" {
                self.breaks.write_all(text.as_bytes())?;
            }
            self.file.write_all(text.as_bytes())
        });
        if let Err(error) = written {
            // The first of them says why; then they are counted.
            if self.lost == 0 {
                tracing::warn!(daemon = self.daemon, %error, "cannot write to the lock log");
            }
            self.lost += 1;
        }
    }
}

fn rotating(path: &Path) -> FileRotate<AppendCount> {
    let mut options = OpenOptions::new();
    options.read(true).create(true).append(true).mode(0o600);
    FileRotate::new(
        path,
        AppendCount::new(FILES_KEPT),
        ContentLimit::BytesSurpassed(FILE_SIZE),
        Compression::None,
        Some(options),
    )
}

/// Beside `locks-NAME.jsonl`, the file of the broken ones.
fn breaks_file(path: &Path) -> PathBuf {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    path.with_file_name(format!("{BREAKS}{}", name.strip_prefix(PREFIX).unwrap_or(name)))
}
