//! The log of a lab host.
//!
//! Owns where log lines go: children write JSON lines to their standard error, the supervisor
//! collects them in one rotated file, each line with the entry that it is from. Whatever is not
//! JSON (a panic, an interpreter's complaint) is wrapped, not lost.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;

use file_rotate::compression::Compression;
use file_rotate::suffix::AppendCount;
use file_rotate::{ContentLimit, FileRotate};
use serde_json::{Map, Value};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// The environment variable that chooses what is logged (`info`, `debug`, `remote=debug`, …).
pub(crate) const LEVEL_VARIABLE: &str = "FERROLAB_LOG";
/// What is logged where nothing is said.
const LEVEL: &str = "info";
/// A log file is set aside when it is this large,
const FILE_SIZE: usize = 10 * 1024 * 1024;
/// and this many of those are kept.
const FILES_KEPT: usize = 5;
/// Lines that may wait for a slow disk; more are dropped, and counted in the log.
const BACKLOG: usize = 10_000;

/// Sends log lines to the file; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct LogFile {
    lines: SyncSender<(String, String)>,
    /// Lines that found no room, and are not yet told of.
    dropped: Arc<AtomicU64>,
}

/// Sets up logging for a child: JSON lines on standard error.
pub(crate) fn init_child() {
    subscriber(io::stderr);
}

/// Sets up logging for the supervisor: into the file, as the entry "supervisor".
pub(crate) fn init_supervisor(file: &LogFile) {
    subscriber(file.clone());
}

fn subscriber<W>(writer: W)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
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
        .with_writer(writer)
        .try_init();
}

impl LogFile {
    /// Opens the log at `path`; with `echo`, lines go to standard error too, readable by people.
    ///
    /// # Errors
    /// No thread can be started.
    pub(crate) fn open(path: &Path, echo: bool) -> io::Result<Self> {
        let (lines, receiver) = sync_channel(BACKLOG);
        let dropped = Arc::new(AtomicU64::new(0));
        let mut options = OpenOptions::new();
        options.read(true).create(true).append(true).mode(0o600);
        let file = FileRotate::new(
            path,
            AppendCount::new(FILES_KEPT),
            ContentLimit::BytesSurpassed(FILE_SIZE),
            Compression::None,
            Some(options),
        );
        thread::Builder::new().name("log".into()).spawn({
            let dropped = Arc::clone(&dropped);
            move || write_lines(file, &receiver, &dropped, echo)
        })?;
        Ok(LogFile { lines, dropped })
    }

    /// A sink for what children print.
    pub(crate) fn sink(&self) -> Arc<dyn Fn(&str, &str) + Send + Sync> {
        let file = self.clone();
        Arc::new(move |entry, line| file.write(entry, line))
    }

    fn write(&self, entry: &str, line: &str) {
        match self.lines.try_send((entry.to_owned(), line.to_owned())) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            // The disk does not keep up. Services come first: the line is dropped.
            Err(TrySendError::Full(_)) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

fn write_lines(
    mut file: FileRotate<AppendCount>,
    lines: &Receiver<(String, String)>,
    dropped: &AtomicU64,
    echo: bool,
) {
    let mut write_line = |entry: &str, line: &str| {
        let record = record(entry, line);
        let mut text = record.to_string();
        text.push('\n');
        // A full disk must not stop the lab; the file goes on when there is room again.
        let _ = file.write_all(text.as_bytes());
        if echo {
            let _ = writeln!(io::stderr(), "{}", readable(&record));
        }
    };
    while let Ok((entry, line)) = lines.recv() {
        write_line(&entry, &line);
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            write_line("supervisor", &format!("the log was too slow: {lost} line(s) are lost"));
        }
    }
}

/// A line as an object, with the entry it is from.
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

/// A record for a person: time, level, entry, message, then the other fields.
pub(crate) fn readable(record: &Value) -> String {
    let text = |key| record.get(key).and_then(Value::as_str).unwrap_or_default();
    let time = text("timestamp").parse::<jiff::Timestamp>().map_or_else(
        |_| text("timestamp").to_owned(),
        |time| time.to_zoned(jiff::tz::TimeZone::system()).strftime("%H:%M:%S%.3f").to_string(),
    );
    let mut line = format!("{time} {:5} {}  {}", text("level"), text("entry"), text("message"));
    const SHOWN: [&str; 5] = ["timestamp", "level", "entry", "message", "target"];
    for (key, value) in record.as_object().into_iter().flatten() {
        if !SHOWN.contains(&key.as_str()) {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            line.push_str(&format!("  {key}={value}"));
        }
    }
    line
}

impl<'a> MakeWriter<'a> for LogFile {
    type Writer = SupervisorLine;

    fn make_writer(&'a self) -> Self::Writer {
        SupervisorLine { file: self.clone(), line: Vec::new() }
    }
}

/// One event of the supervisor's own; sent when it is complete.
pub(crate) struct SupervisorLine {
    file: LogFile,
    line: Vec<u8>,
}

impl Write for SupervisorLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for SupervisorLine {
    fn drop(&mut self) {
        let text = String::from_utf8_lossy(&self.line);
        let line = text.trim_end();
        if !line.is_empty() {
            self.file.write("supervisor", line);
        }
    }
}

/// Whether progress and colours are for a person's eyes.
pub(crate) fn for_a_person() -> bool {
    io::stderr().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;

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
