//! Log of a lab host.
//!
//! Children write JSON lines to standard error. The supervisor collects them in one rotated file,
//! and adds to each line the entry that it comes from. A line that is not JSON (a panic, an
//! interpreter's complaint) is wrapped, not lost.

pub mod call_log;
mod child_log;
pub(crate) mod disk_health;
pub mod drop_queue;
pub mod host_warnings;
pub(crate) mod line_limit;
pub mod lock_log;
pub(crate) mod merge;
pub mod query;
mod rotation;
pub mod sanitize;

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::log::child_log::ChildLog;
use crate::log::drop_queue::{DropQueue, Flush};
use crate::log::host_warnings::Troubles;
use crate::log::query::{Line, Snapshot};
use crate::log::rotation::RotatedFile;

/// Environment variable with the log filter (`info`, `debug`, `remote=debug`, …).
pub const LEVEL_VARIABLE: &str = "FERROLAB_LOG";
/// The default filter.
const LEVEL: &str = "info";
/// Bytes at which a log file is rotated.
const FILE_SIZE: usize = 10 * 1024 * 1024;
/// Rotated files that are kept.
const FILES_KEPT: usize = 5;
/// Lines that may wait for a slow disk; more are dropped, and counted in the log.
const BACKLOG: usize = 10_000;

/// Beginning of each further line of a record.
const FURTHER: &str = "\n    ";
/// The entry of the supervisor's own lines.
const SUPERVISOR: &str = "supervisor";
/// The message with which a supervisor begins.
pub const START: &str = "the lab starts";
/// Time between two attempts on a log that cannot be written.
const LOG_RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Sends log lines to the file; cheap to clone.
#[derive(Clone, Debug)]
pub struct LogFile {
    /// Entries and their lines.
    lines: Arc<DropQueue<(String, String)>>,
}

/// Sets up logging for a child: JSON lines on standard error. To be kept until its end.
pub fn init_child() -> Option<Flush<Vec<u8>>> {
    match ChildLog::start(io::stderr()) {
        Ok((log, flush)) => {
            subscriber(move |line| log.write(line));
            Some(flush)
        }
        Err(error) => {
            // A process that cannot start a thread will fail soon, and should say why.
            subscriber(|line| drop(io::stderr().write_all(line)));
            tracing::warn!(%error, "the log has no thread of its own");
            None
        }
    }
}

/// Sets up logging for the supervisor: into the file, as the entry "supervisor".
pub fn init_supervisor(file: &LogFile) {
    let file = file.clone();
    subscriber(move |line| file.write(SUPERVISOR, String::from_utf8_lossy(line).trim_end()));
}

/// Sets up tracing; `write` gets each event as one line.
fn subscriber(write: impl Fn(&[u8]) + Send + Sync + 'static) {
    let filter = match std::env::var(LEVEL_VARIABLE) {
        Err(_) => EnvFilter::new(LEVEL),
        Ok(wanted) => EnvFilter::try_new(&wanted).unwrap_or_else(|error| {
            eprintln!(
                "{LEVEL_VARIABLE}={wanted} makes no sense ({error}); logging from {LEVEL} up"
            );
            EnvFilter::new(LEVEL)
        }),
    };
    // An error means that logging is set up already, by a test.
    let _ = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_env_filter(filter)
        .with_writer(EventWriter(write))
        .try_init();
}

impl LogFile {
    /// Opens the log at `path`; with `echo`, lines go to standard error too, readable by people.
    ///
    /// A log that cannot be written (a full disk) is one of the `troubles`, and stops nobody.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn open(path: &Path, echo: bool, troubles: Troubles) -> io::Result<Self> {
        let writer = HostLogWriter::new(path.to_path_buf(), troubles);
        let write = move |lines: &DropQueue<_>| write_lines(writer, lines, echo);
        Ok(LogFile { lines: DropQueue::new(BACKLOG).start("log", write)? })
    }

    /// A sink for what children print.
    pub fn sink(&self) -> Arc<dyn Fn(&str, &str) + Send + Sync> {
        let file = self.clone();
        Arc::new(move |entry, line| file.write(entry, line))
    }

    fn write(&self, entry: &str, line: &str) {
        // Where the disk does not keep up, services come first: the line is dropped, and counted.
        self.lines.push((entry.to_owned(), line.to_owned()), false);
    }
}

/// Writes lines as they come, for as long as this process lives.
fn write_lines(mut writer: HostLogWriter, lines: &DropQueue<(String, String)>, echo: bool) {
    while let Some(batch) = lines.take(writer.patience()) {
        writer.recover();
        let mut write_line = |entry: &str, line: &str| {
            let record = record(entry, line);
            let mut text = record.to_string();
            text.push('\n');
            writer.write(text.as_bytes());
            if echo {
                let _ = writeln!(io::stderr(), "{}", readable(&record));
            }
        };
        for (entry, line) in &batch.items {
            write_line(entry, line);
        }
        if batch.lost > 0 {
            write_line(
                SUPERVISOR,
                &format!("the log was too slow: {} line(s) are lost", batch.lost),
            );
        }
    }
}

/// The file, and what becomes of lines that cannot be written.
struct HostLogWriter {
    path: PathBuf,
    file: RotatedFile,
    troubles: Troubles,
    lost: Option<Lost>,
}

/// Lines that could not be written.
#[derive(Clone, Copy)]
struct Lost {
    count: u64,
    /// The last attempt.
    tried: Instant,
}

impl HostLogWriter {
    fn new(path: PathBuf, troubles: Troubles) -> Self {
        let file = RotatedFile::new(&path, FILE_SIZE, FILES_KEPT);
        HostLogWriter { path, file, troubles, lost: None }
    }

    /// How long to wait for a line before there is something else to do.
    fn patience(&self) -> Duration {
        if self.lost.is_some() { LOG_RETRY_INTERVAL } else { Duration::from_secs(3600) }
    }

    /// Writes a line, or counts it as lost. A full disk must not stop the lab; the file goes on
    /// when there is room again.
    fn write(&mut self, line: &[u8]) {
        self.recover();
        if let Some(lost) = &mut self.lost {
            lost.count += 1;
        } else if let Err(error) = self.file.append(line) {
            self.fail(1, &error);
        }
    }

    /// Tries to go on after lines were lost, and says how many.
    fn recover(&mut self) {
        let Some(Lost { count, tried }) = self.lost else { return };
        if tried.elapsed() < LOG_RETRY_INTERVAL {
            return;
        }
        let note = format!("{count} line(s) of the log were lost: it could not be written");
        // The torn end of the last attempt becomes a separate line.
        let begin = if self.file.has_no_end() { "\n" } else { "" };
        match self.file.append(format!("{begin}{}\n", record(SUPERVISOR, &note)).as_bytes()) {
            Ok(()) => {
                self.lost = None;
                self.troubles.clear("log");
            }
            Err(error) => self.fail(count, &error),
        }
    }

    fn fail(&mut self, count: u64, error: &io::Error) {
        self.lost = Some(Lost { count, tried: Instant::now() });
        let path = self.path.display();
        self.troubles.set("log", format!("the log {path} cannot be written: {error}"));
    }
}

/// A line as an object, with the entry that it comes from.
fn record(entry: &str, line: &str) -> Value {
    let fields = match serde_json::from_str::<Value>(line) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::from_iter([
            ("timestamp".to_owned(), Value::from(jiff::Timestamp::now().to_string())),
            ("level".to_owned(), "WARN".into()),
            ("target".to_owned(), "stderr".into()),
            ("message".to_owned(), line.into()),
        ]),
    };
    let mut record = Map::with_capacity(fields.len() + 1);
    record.insert("entry".to_owned(), entry.into());
    record.extend(fields);
    Value::Object(record)
}

/// The files of the log at `path`, the oldest first.
pub fn files(path: &Path) -> Vec<PathBuf> {
    query::files(path, FILES_KEPT)
}

/// The log at `path` as it is now.
///
/// # Errors
/// A file that is there cannot be opened.
pub fn snapshot(path: &Path) -> io::Result<Snapshot> {
    Snapshot::open(path, FILES_KEPT)
}

/// Whether `line` is the first one of a lab's start.
pub fn is_start(line: &Line) -> bool {
    line.text("entry") == SUPERVISOR && line.text("message") == START
}

/// A record for a person's eyes while it happens: the time without the date.
pub fn readable(record: &Value) -> String {
    shown(record, "%H:%M:%S%.3f")
}

/// A record for a person who looks back: with the date.
pub fn dated(record: &Value) -> String {
    shown(record, "%Y-%m-%d %H:%M:%S%.3f")
}

/// Time, level, entry, message, then the other fields. Further lines of a message, and fields of
/// several lines (a traceback), follow indented, each as a line.
fn shown(record: &Value, format: &str) -> String {
    let text = |key| record.get(key).and_then(Value::as_str).unwrap_or_default();
    let time = text("timestamp").parse::<jiff::Timestamp>().map_or_else(
        |_| text("timestamp").to_owned(),
        |time| time.to_zoned(jiff::tz::TimeZone::system()).strftime(format).to_string(),
    );
    let mut message = sanitize::split_lines(text("message"));
    let first = message.next().unwrap_or_default();
    let mut line = format!("{time} {:5} {}  {first}", text("level"), text("entry"));
    let mut further: Vec<String> = message.map(str::to_owned).collect();
    const SHOWN: [&str; 5] = ["timestamp", "level", "entry", "message", "target"];
    for (key, value) in record.as_object().into_iter().flatten() {
        if SHOWN.contains(&key.as_str()) {
            continue;
        }
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if value.trim_end().contains('\n') {
            further.push(format!("{key}:"));
            further.extend(sanitize::split_lines(&value).map(|line| format!("  {line}")));
        } else {
            line.push_str(&format!("  {key}={value}"));
        }
    }
    // Names and messages are what clients and drivers have sent: none of their lines looks like a
    // record, and none moves a cursor.
    let mut shown = sanitize::line(&line);
    for line in further {
        shown.push_str(FURTHER);
        shown.push_str(&sanitize::line(&line));
    }
    shown
}

/// Function as a writer of tracing events. The subscriber formats an event whole, and writes it
/// with one call.
struct EventWriter<F>(F);

impl<'a, F: Fn(&[u8]) + 'a> MakeWriter<'a> for EventWriter<F> {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

impl<F: Fn(&[u8])> Write for &EventWriter<F> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        (self.0)(event);
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether progress and colours are for a person's eyes.
pub fn for_a_person() -> bool {
    io::stderr().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_that_was_sent_looks_like_a_record() {
        let name = "x\n2026-01-01 00:00:00.000 INFO  supervisor  forged\u{1b}[2J\u{202e}";
        let sent =
            serde_json::json!({ "level": "INFO", "message": name, "name": name, name: [name] });
        let text = dated(&sent);
        assert!(text.contains("forged"), "{text}");
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text:?}");
        let further: Vec<&str> = text.lines().skip(1).collect();
        assert!(further.iter().all(|line| line.starts_with("    ")), "{text}");
        assert_eq!(further.len(), 4, "{text}");
    }

    #[test]
    fn a_message_of_several_lines_is_shown_as_lines() {
        let sent = serde_json::json!({
            "timestamp": "-", "level": "WARN", "entry": "daemon a", "message": "one\n  two\n",
            "service": "x", "traceback": "File\n  line\n"
        });
        let shown =
            "- WARN  daemon a  one  service=x\n      two\n    traceback:\n      File\n        line";
        assert_eq!(dated(&sent), shown);
    }

    #[test]
    fn lines_become_records_whatever_they_are() {
        let json = record("daemon a", r#"{"level":"INFO","message":"serving","port":4}"#);
        assert_eq!(json["entry"], "daemon a");
        assert_eq!(json["port"], 4);
        for raw in ["panicked at x", "", "[1]", "{broken"] {
            let wrapped = record("daemon a", raw);
            assert_eq!(wrapped["message"], raw);
            assert_eq!(wrapped["level"], "WARN");
        }
    }
}
