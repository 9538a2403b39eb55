//! The lock log: who had which instrument, from when to when, and why not any longer.
//!
//! Owns the form of its lines and its files, for the daemons that write and the command line that
//! reads. Each daemon has a file of its own, so that no two processes write into one; a line is
//! written whole and never changed, and old files are set aside by size.

use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use file_rotate::compression::Compression;
use file_rotate::suffix::AppendCount;
use file_rotate::{ContentLimit, FileRotate};
use jiff::Timestamp;
use remote::{LockEvent, LockLog, LockRecord};
use serde::{Deserialize, Serialize};

/// A file is set aside when it is this large,
const FILE_SIZE: usize = 5 * 1024 * 1024;
/// and this many of those are kept.
const FILES_KEPT: usize = 9;
/// Lines that may wait for a slow disk; more are dropped, and counted in the log.
const BACKLOG: usize = 100_000;
/// A daemon that ends waits this long for the last ones.
const FLUSHING: Duration = Duration::from_secs(2);
/// What the names of all files begin and go on with.
const PREFIX: &str = "locks-";
const SUFFIX: &str = ".jsonl";

/// One line.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Line {
    /// When it happened.
    pub(crate) time: Timestamp,
    pub(crate) daemon: String,
    /// Empty where the line is about the whole daemon.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) service: String,
    /// `granted`, `resumed`, `suspended`, `released`, `expired`, `broken`; `started` for the daemon
    /// (every lock of its last life has ended by then).
    pub(crate) event: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) user: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) address: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) epoch: Option<u64>,
    /// How long the lock was held, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) duration: Option<f64>,
    /// Who broke it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) by: Option<String>,
    /// Why it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

/// The file of a daemon, by the name that it has in file names.
pub(crate) fn file(log_dir: &Path, daemon: &str) -> PathBuf {
    log_dir.join(format!("{PREFIX}{daemon}{SUFFIX}"))
}

/// Opens the log of a daemon, and says in it that the daemon has started.
///
/// # Errors
/// No thread can be started.
pub(crate) fn open(path: &Path, daemon: &str) -> io::Result<(LockLog, Flush)> {
    let (lines, receiver) = sync_channel(BACKLOG);
    let mut options = OpenOptions::new();
    options.read(true).create(true).append(true).mode(0o600);
    let file = FileRotate::new(
        path,
        AppendCount::new(FILES_KEPT),
        ContentLimit::BytesSurpassed(FILE_SIZE),
        Compression::None,
        Some(options),
    );
    let daemon = daemon.to_owned();
    let started = Line { event: "started".into(), ..Line::now(&daemon) };
    let writer = Writer { file, daemon: daemon.clone() };
    thread::Builder::new().name("lock-log".into()).spawn(move || writer.run(started, &receiver))?;
    let flush = Flush { messages: lines.clone() };
    let log = move |service: &str, record: &LockRecord| send(&lines, &daemon, service, record);
    Ok((Arc::new(log), flush))
}

/// What the writing thread gets.
enum Message {
    Line(Box<Line>),
    /// Answered when everything before it is in the file.
    Flush(SyncSender<()>),
}

/// Waits for the disk, when the process is about to end.
pub(crate) struct Flush {
    messages: SyncSender<Message>,
}

impl Flush {
    /// Returns when everything is written, or the disk does not keep up at all.
    pub(crate) fn wait(&self) {
        let (written, answer) = sync_channel(1);
        if self.messages.try_send(Message::Flush(written)).is_ok() {
            // An error is what there is nothing to be done about.
            let _ = answer.recv_timeout(FLUSHING);
        }
    }
}

/// Every line of every daemon, the oldest first. Lines that cannot be read are left out.
///
/// # Errors
/// The directory or a file cannot be read.
pub(crate) fn read(log_dir: &Path) -> io::Result<Vec<Line>> {
    let mut lines = Vec::new();
    let entries = match std::fs::read_dir(log_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(lines),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let is_ours =
            name.to_str().is_some_and(|name| name.starts_with(PREFIX) && name.contains(SUFFIX));
        if !is_ours {
            continue;
        }
        for line in BufReader::new(std::fs::File::open(entry.path())?).split(b'\n') {
            // The last line of a daemon that was killed may be torn.
            lines.extend(serde_json::from_slice::<Line>(&line?));
        }
    }
    lines.sort_by(|a, b| (a.time, &a.service, a.epoch).cmp(&(b.time, &b.service, b.epoch)));
    Ok(lines)
}

impl Line {
    fn now(daemon: &str) -> Self {
        Line { time: Timestamp::now(), daemon: daemon.to_owned(), ..Line::default() }
    }

    fn of(daemon: &str, service: &str, record: &LockRecord) -> Self {
        let (event, by, reason) = match &record.event {
            LockEvent::Granted => ("granted", None, None),
            LockEvent::Resumed => ("resumed", None, None),
            LockEvent::Suspended { ttl } => {
                ("suspended", None, Some(format!("connection ended; kept for {ttl:?}")))
            }
            LockEvent::Unlocked => ("released", None, Some("unlock".to_owned())),
            LockEvent::Disconnected => ("released", None, Some("connection ended".to_owned())),
            LockEvent::Expired => ("expired", None, Some("its owner did not come back".to_owned())),
            LockEvent::Broken(broken) => {
                ("broken", Some(broken.by.clone()), Some(broken.reason.clone()))
            }
        };
        Line {
            service: service.to_owned(),
            event: event.to_owned(),
            user: record.party.user.clone(),
            address: record.party.address.clone(),
            epoch: Some(record.epoch),
            duration: record.held.map(|held| (held.as_secs_f64() * 1e6).round() / 1e6),
            by,
            reason: reason.filter(|reason| !reason.is_empty()),
            ..Line::now(daemon)
        }
    }
}

/// Never waits: a lock must not hang on a disk.
fn send(lines: &SyncSender<Message>, daemon: &str, service: &str, record: &LockRecord) {
    let line = Box::new(Line::of(daemon, service, record));
    if let Err(TrySendError::Full(Message::Line(line))) = lines.try_send(Message::Line(line)) {
        tracing::warn!(
            service = line.service,
            event = line.event,
            user = line.user,
            "the disk does not keep up, and a line of the lock log is lost"
        );
    }
}

struct Writer {
    file: FileRotate<AppendCount>,
    daemon: String,
}

impl Writer {
    fn run(mut self, started: Line, messages: &Receiver<Message>) {
        self.write(&started);
        while let Ok(message) = messages.recv() {
            match message {
                Message::Line(line) => self.write(&line),
                // Fails where nobody waits any more.
                Message::Flush(written) => drop(written.try_send(())),
            }
        }
    }

    fn write(&mut self, line: &Line) {
        let written = serde_json::to_string(line).map_err(io::Error::from).and_then(|mut text| {
            text.push('\n');
            self.file.write_all(text.as_bytes())
        });
        if let Err(error) = written {
            tracing::warn!(daemon = self.daemon, %error, "cannot write to the lock log");
        }
    }
}

#[cfg(test)]
mod tests {

    use remote::{Break, LockParty};

    use super::*;

    #[test]
    fn what_is_written_is_read_even_behind_a_torn_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path(), "bench");
        crate::files::replace(&path, b"{\"time\":\"2026-01-01T00:00:00Z\",\"daem\n").unwrap();
        let (log, flush) = open(&path, "bench").unwrap();
        let party = LockParty { session: 1, user: "ada".into(), address: "127.0.0.1:9".into() };
        let broken = Break { by: "eve".into(), reason: "lunch".into() };
        for (event, held) in [
            (LockEvent::Granted, None),
            (LockEvent::Broken(broken), Some(Duration::from_millis(1500))),
        ] {
            log("lab.x", &LockRecord { event, party: party.clone(), epoch: 7, held });
        }
        flush.wait();
        let lines = read(folder.path()).unwrap();
        let events: Vec<&str> = lines.iter().map(|line| line.event.as_str()).collect();
        assert_eq!(events, ["started", "granted", "broken"]);
        let last = lines.last().unwrap();
        assert_eq!((last.user.as_str(), last.epoch, last.duration), ("ada", Some(7), Some(1.5)));
        assert_eq!((last.by.as_deref(), last.reason.as_deref()), (Some("eve"), Some("lunch")));
    }

    #[test]
    fn a_lab_without_a_log_has_an_empty_one() {
        assert_eq!(read(Path::new("/nowhere/at/all")).unwrap(), []);
    }
}
