//! Thread that writes an audit: its chain, its file of the month, its head, and the rate limit of
//! refusals.
//!
//! Lines that cannot be written stay in memory, and are written when there is room again.

use std::collections::VecDeque;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tracing::{info, warn};

use super::chain::{self, Head, Tail};
use super::files;
use super::line::{AuditLine, FILE_GONE, NO_HASH, describe_torn};
use super::place::AuditPlace;
use crate::log::disk_health::DiskHealth;
use crate::log::drop_queue::DropQueue;
use crate::log::host_warnings::Troubles;
use crate::log::line_limit::{Allowance, Limit};
use crate::state_file;

/// Bytes of lines that may wait for a slow disk; further ones are dropped and counted.
pub(super) const BACKLOG_BYTES: usize = 4 * 1024 * 1024;
/// The log line of an audit that cannot be written, which the supervisor notifies of.
pub const AUDIT_FAILS: &str = "cannot write to the audit";
/// The log line with the head of an audit.
pub const HEAD: &str = "the head of the audit";
/// Time between two of them.
const HEAD_LOGGED_EACH: Duration = Duration::from_secs(3600);
/// Time between two writes of the head to its state file.
const HEAD_KEPT_EACH: Duration = Duration::from_secs(1);
/// Longest time until lines left out are mentioned.
const MENTION_INTERVAL: Duration = Duration::from_secs(10);
/// Time between two attempts on a file that cannot be written.
const AUDIT_RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Refusals of one client: a script that asks again and again does not fill the disk.
const REFUSALS_OF_ONE: Allowance = Allowance { burst: 500.0, rate: 1.0 };
/// Refused connections and logins of one address: one a minute, with the number of the others.
const STRANGERS_OF_ONE: Allowance = Allowance { burst: 1.0, rate: 1.0 / 60.0 };
/// Longest time until refused connections and logins that were left out are mentioned.
const TELLING_OF_STRANGERS: Duration = Duration::from_secs(60);

pub(super) struct AuditWriter {
    place: AuditPlace,
    daemon: String,
    health: DiskHealth,
    /// Where a fault is shown, beside the report of a daemon.
    troubles: Option<Troubles>,
    is_failing: Arc<AtomicBool>,
    limit: Limit,
    strangers: Limit,
    /// When those left out were mentioned last.
    strangers_told: Instant,
    /// The last line that has been sealed.
    head: Head,
    /// The last line that has been written: others must hear of no other.
    written: Head,
    /// The month of its file.
    month: String,
    /// The file of the last line was removed since that was written.
    is_file_gone: bool,
    file: Option<OpenFile>,
    /// Sealed lines that are not written.
    pending: VecDeque<PendingLine>,
    pending_bytes: usize,
    /// Lines that had no room there, and that no line mentions yet.
    lost: u64,
    /// The head that the state file has, and since when.
    kept: (u64, Instant),
    logged: Instant,
}

struct PendingLine {
    text: String,
    /// Its number, hash and month.
    head: Head,
}

struct OpenFile {
    month: String,
    path: PathBuf,
    file: File,
    /// Its length up to the end of its last whole line.
    length: u64,
}

impl AuditWriter {
    pub(super) fn new(
        place: AuditPlace,
        daemon: &str,
        health: DiskHealth,
        troubles: Option<Troubles>,
    ) -> Self {
        AuditWriter {
            place,
            daemon: daemon.to_owned(),
            health,
            troubles,
            is_failing: Arc::default(),
            limit: Limit::new(REFUSALS_OF_ONE),
            strangers: Limit::new(STRANGERS_OF_ONE),
            strangers_told: Instant::now(),
            head: Head { seq: 0, hash: NO_HASH.to_owned(), month: String::new() },
            written: Head::default(),
            month: String::new(),
            is_file_gone: false,
            file: None,
            pending: VecDeque::new(),
            pending_bytes: 0,
            lost: 0,
            kept: (0, Instant::now()),
            logged: Instant::now(),
        }
    }

    /// Set while it cannot be written.
    pub(super) fn failing(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_failing)
    }

    pub(super) fn run(mut self, lines: &DropQueue<AuditLine>) {
        // Here, since a start does not wait for a disk that hangs.
        self.resume();
        self.add(AuditLine::now("started"));
        self.write_pending();
        self.log_head();
        let mut told = Instant::now();
        loop {
            let longest = match (self.pending.is_empty(), self.kept.0 == self.written.seq) {
                (true, true) => MENTION_INTERVAL,
                (true, false) => HEAD_KEPT_EACH,
                (false, _) => AUDIT_RETRY_INTERVAL,
            };
            let Some(batch) = lines.take(longest) else { break };
            self.lost += batch.lost;
            for line in batch.items {
                self.add_limited(line);
            }
            self.tell_lost();
            if told.elapsed() >= MENTION_INTERVAL {
                told = Instant::now();
                self.tell_left_out(TELLING_OF_STRANGERS);
            }
            self.write_pending();
            if self.kept.1.elapsed() >= HEAD_KEPT_EACH {
                self.keep_head();
            }
            if self.logged.elapsed() >= HEAD_LOGGED_EACH {
                self.log_head();
            }
        }
        self.tell_left_out(Duration::ZERO);
        self.write_pending();
        self.keep_head();
        self.log_head();
        if !self.pending.is_empty() {
            let lost = self.pending.len();
            warn!(daemon = self.daemon, lost, "the last lines of the audit are lost");
        }
    }

    /// Finds the end of the chain.
    fn resume(&mut self) {
        let kept = match state_file::read::<Head>(&self.place.head) {
            Ok(kept) => kept,
            Err(error) => {
                warn!(daemon = self.daemon, %error, "the head of the audit is lost");
                None
            }
        };
        let found = self.health.note(|| {
            let latest = files::latest(&self.place.folder, &self.place.writer)?;
            latest.map(|(month, path)| Ok((month, chain::tail(&path)?))).transpose()
        });
        let (month, tail) = match found {
            Ok(found) => found.unwrap_or_default(),
            Err(error) => {
                warn!(daemon = self.daemon, folder = %self.place.folder.display(), %error,
                    "the audit cannot be read");
                Default::default()
            }
        };
        let is_gone = |kept: &Head| {
            let path = files::path(&self.place.folder, &self.place.writer, &kept.month);
            !kept.month.is_empty() && matches!(path.try_exists(), Ok(false))
        };
        self.is_file_gone = kept.as_ref().is_some_and(is_gone);
        self.month = if self.is_file_gone { String::new() } else { month };
        let last = tail.head.into_iter().chain(kept).max_by_key(|head| head.seq);
        if let Some(last) = last {
            self.written = last.clone();
            self.head = last;
        }
        // A torn end of this month's file is found when that is opened.
        if !tail.torn.is_empty() && self.month < files::month(Timestamp::now()) {
            self.add_torn(&tail.torn);
        }
    }

    fn add_limited(&mut self, line: AuditLine) {
        if line.is_of_stranger() {
            return self.add_stranger(line);
        }
        if line.action == "refused" {
            let client = line.client();
            match self.limit.allows(&client, Instant::now()) {
                None => return,
                Some(0) => {}
                Some(left_out) => self.add(left_out_of(&client, left_out)),
            }
        }
        self.add(line);
    }

    /// Adds the first line of an address within a minute, with the number of those before it.
    fn add_stranger(&mut self, line: AuditLine) {
        let from = line.host().to_owned();
        let Some(others) = self.strangers.allows(&from, Instant::now()) else { return };
        let outcome = match others {
            0 => line.outcome,
            others => format!("{}; and {others} more since the line before", line.outcome),
        };
        self.add(AuditLine { outcome, ..line });
    }

    /// Seals a line and queues it for the file.
    fn add(&mut self, line: AuditLine) {
        if self.pending_bytes >= BACKLOG_BYTES {
            self.lost += 1;
            return;
        }
        let month = files::month(Timestamp::now()).max(self.month.clone());
        if month != self.month {
            self.month = month;
            // Each file begins with this, so that a beginning that is cut off is missed.
            let gone = if std::mem::take(&mut self.is_file_gone) { FILE_GONE } else { "" };
            let outcome = format!("continues after number {}{gone}", self.head.seq);
            self.seal(AuditLine { outcome, ..AuditLine::now("file") });
        }
        self.seal(line);
    }

    fn seal(&mut self, line: AuditLine) {
        let (daemon, seq) = (self.daemon.clone(), self.head.seq + 1);
        let line = AuditLine { daemon, seq, prev: self.head.hash.clone(), ..line };
        match line.seal() {
            Ok((text, hash)) => {
                self.head = Head { seq, hash, month: self.month.clone() };
                self.pending_bytes += text.len();
                self.pending.push_back(PendingLine { text, head: self.head.clone() });
            }
            Err(error) => {
                warn!(daemon = self.daemon, %error, "a line of the audit has no form");
                self.lost += 1;
            }
        }
    }

    fn add_torn(&mut self, torn: &[u8]) {
        warn!(daemon = self.daemon, bytes = torn.len(), "the last line of the audit was torn");
        let outcome = describe_torn(torn);
        self.add(AuditLine { outcome, ..AuditLine::now("torn") });
    }

    fn tell_lost(&mut self) {
        if self.lost > 0 && self.pending_bytes < BACKLOG_BYTES {
            let lost = std::mem::take(&mut self.lost);
            let outcome = format!("{lost} lines: the disk did not keep up, or was full");
            self.add(AuditLine { outcome, ..AuditLine::now("unrecorded") });
            warn!(daemon = self.daemon, lost, "lines of the audit are lost");
        }
    }

    fn tell_left_out(&mut self, strangers_after: Duration) {
        for (client, lines) in self.limit.left_out() {
            self.add(left_out_of(&client, lines));
        }
        if self.strangers_told.elapsed() < strangers_after {
            return;
        }
        self.strangers_told = Instant::now();
        for (from, lines) in self.strangers.left_out() {
            let outcome =
                format!("{lines} more connections and logins of this address were refused");
            self.add(AuditLine { from, outcome, ..AuditLine::now("unrecorded") });
        }
    }

    fn write_pending(&mut self) {
        while let Some(PendingLine { head, .. }) = self.pending.front() {
            let month = head.month.clone();
            if let Err(error) = self.write_month(&month) {
                // The first failure says why.
                if !self.is_failing.swap(true, Ordering::Relaxed) {
                    warn!(daemon = self.daemon, folder = %self.place.folder.display(), %error,
                        "{AUDIT_FAILS}");
                }
                if let Some(troubles) = &self.troubles {
                    let folder = self.place.folder.display();
                    troubles.set("audit", format!("the audit {folder} cannot be written: {error}"));
                }
                return;
            }
        }
        if self.is_failing.swap(false, Ordering::Relaxed) {
            warn!(daemon = self.daemon, "the audit is written again");
            if let Some(troubles) = &self.troubles {
                troubles.clear("audit");
            }
        }
    }

    /// Writes the pending lines of one month.
    fn write_month(&mut self, month: &str) -> io::Result<()> {
        let health = self.health.clone();
        health.note(|| {
            let path = files::path(&self.place.folder, &self.place.writer, month);
            let is_open = |open: &OpenFile| open.month == month && open.is_at(&path);
            if !self.file.as_ref().is_some_and(is_open) {
                self.file = None;
                let (open, torn) = OpenFile::open(month, path)?;
                self.file = Some(open);
                if !torn.is_empty() {
                    self.add_torn(&torn);
                }
            }
            let Some(open) = &mut self.file else { return Ok(()) };
            let is_meant = |line: &&PendingLine| line.head.month == month;
            let lines: Vec<&PendingLine> = self.pending.iter().take_while(is_meant).collect();
            let (count, last) = (lines.len(), lines.last().map(|line| line.head.clone()));
            let text: String = lines.iter().map(|line| line.text.as_str()).collect();
            if let Err(error) = open.append(text.as_bytes()) {
                self.file = None;
                return Err(error);
            }
            self.pending.drain(..count);
            self.written = last.unwrap_or_default();
            self.pending_bytes = self.pending_bytes.saturating_sub(text.len());
            Ok(())
        })
    }

    /// Writes the head to its state file, when the lines up to it are on the disk.
    fn keep_head(&mut self) {
        self.kept.1 = Instant::now();
        if self.kept.0 == self.written.seq {
            return;
        }
        let (health, place, head) = (self.health.clone(), &self.place, &self.written);
        let synced =
            health.note(|| self.file.as_ref().map_or(Ok(()), |open| open.file.sync_data()));
        let bytes = serde_json::to_vec(head).unwrap_or_default();
        let kept = synced.map_err(|error| error.to_string()).and_then(|()| {
            crate::files::replace_private(&place.head, &bytes).map_err(|error| error.to_string())
        });
        match kept {
            Ok(()) => self.kept.0 = head.seq,
            Err(error) => {
                warn!(daemon = self.daemon, error, "the head of the audit cannot be kept");
                // Not again for each line.
                self.kept.0 = head.seq;
            }
        }
    }

    fn log_head(&mut self) {
        self.logged = Instant::now();
        let Head { seq, hash, .. } = &self.written;
        info!(writer = self.place.writer, seq, hash, "{HEAD}");
    }
}

impl OpenFile {
    /// Opens a file for its owner only, and returns what its last writer has left of a line.
    fn open(month: &str, path: PathBuf) -> io::Result<(Self, Vec<u8>)> {
        if let Some(folder) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let Tail { torn, has_no_end, .. } = chain::tail(&path)?;
        let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
        if has_no_end {
            file.write_all(b"\n")?;
        }
        let length = file.metadata()?.len();
        Ok((OpenFile { month: month.to_owned(), path, file, length }, torn))
    }

    /// Whether this is still the file at that path: somebody may have moved it away.
    fn is_at(&self, path: &Path) -> bool {
        let own = self.file.metadata().map(|found| (found.dev(), found.ino()));
        let there = std::fs::metadata(path).map(|found| (found.dev(), found.ino()));
        matches!((own, there), (Ok(own), Ok(there)) if own == there && self.path == path)
    }

    /// Appends whole lines, or nothing.
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let written = self.file.write_all(lines);
        match &written {
            Ok(()) => self.length += u64::try_from(lines.len()).unwrap_or_default(),
            // The rest of it, if this fails too, is found when the file is opened again.
            Err(_) => drop(self.file.set_len(self.length)),
        }
        written
    }
}

fn left_out_of(client: &str, lines: u64) -> AuditLine {
    let outcome = format!("{lines} refusals: too many of one client in a short time");
    AuditLine { who: client.to_owned(), outcome, ..AuditLine::now("unrecorded") }
}
