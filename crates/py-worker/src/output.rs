//! Output and log records of drivers, on their way to the log.
//!
//! Owns the reading of a worker's streams: the lines of its standard output and error, and the
//! records that its Python code sends (`python/ferrolab/worker/stdio.py`). All become tracing
//! events of the target `driver`, with the service's name where that can be known. Nothing
//! that a driver writes reaches a channel.

use std::sync::{Arc, Mutex, PoisonError};

use supervisor::{Child, Lines};
use tokio::io::AsyncRead;
use tokio::net::UnixStream;
use tracing::level_filters::LevelFilter;
use tracing::{debug, error, info, warn};
use wire::value::Value;

use crate::control::FrameReader;

/// Whose output it is, as far as that is known.
#[derive(Clone, Debug)]
pub(crate) struct Printed {
    worker: Arc<str>,
    /// The worker's only service, where it has but one.
    service: Option<Arc<str>>,
}

impl Printed {
    pub(crate) fn new(worker: &str, service: Option<&str>) -> Self {
        Printed { worker: worker.into(), service: service.map(Arc::from) }
    }

    fn event(&self, service: Option<&str>, level: i64, source: &str, message: &str) {
        let worker = &*self.worker;
        let service = service.or(self.service.as_deref());
        // tracing wants each level's events at separate places
        match level {
            40.. => error!(target: "driver", worker, service, source, "{message}"),
            30.. => warn!(target: "driver", worker, service, source, "{message}"),
            20.. => info!(target: "driver", worker, service, source, "{message}"),
            _ => debug!(target: "driver", worker, service, source, "{message}"),
        }
    }
}

const INFO: i64 = 20;
const WARNING: i64 = 30;

/// The lowest level of Python's `logging` that would be seen.
pub(crate) fn python_level() -> i64 {
    match LevelFilter::current() {
        LevelFilter::OFF | LevelFilter::ERROR => 40,
        LevelFilter::WARN => 30,
        LevelFilter::INFO => 20,
        _ => 10,
    }
}

/// The last line that a process has written to its standard error.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastWords(Arc<Mutex<Option<String>>>);

impl LastWords {
    fn set(&self, line: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(line.to_owned());
    }

    pub(crate) fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Logs what a worker prints from now on.
pub(crate) fn follow_streams(child: &mut Child, printed: &Printed) -> LastWords {
    let last = LastWords::default();
    if let Some(lines) = child.stdout.take() {
        tokio::spawn(follow_lines(lines, printed.clone(), "stdout", None));
    }
    if let Some(lines) = child.stderr.take() {
        tokio::spawn(follow_lines(lines, printed.clone(), "stderr", Some(last.clone())));
    }
    last
}

async fn follow_lines<R: AsyncRead + Unpin>(
    mut lines: Lines<R>,
    printed: Printed,
    source: &'static str,
    last: Option<LastWords>,
) {
    let level = if last.is_some() { WARNING } else { INFO };
    while let Ok(Some(line)) = lines.next().await {
        if let Some(last) = &last
            && !line.trim().is_empty()
        {
            last.set(&line);
        }
        printed.event(None, level, source, &line);
    }
}

/// Logs the records of a worker until it ends.
pub(crate) async fn follow_records(socket: UnixStream, printed: Printed) {
    let mut frames = FrameReader::new(socket);
    loop {
        match frames.next().await {
            Ok(Some(record)) => log_record(&printed, &record),
            Ok(None) => return,
            Err(problem) => {
                debug!(worker = &*printed.worker, %problem, "no more log records");
                return;
            }
        }
    }
}

fn log_record(printed: &Printed, record: &Value) {
    let Some(record) = record.as_list() else { return };
    match record {
        [Value::Str(kind), service, Value::Str(line)] => {
            let (level, source) =
                if kind == "err" { (WARNING, "stderr") } else { (INFO, "stdout") };
            printed.event(service.as_str(), level, source, line);
        }
        [_, service, level, Value::Str(logger), Value::Str(message), traceback] => {
            let level = level.as_i64().unwrap_or(INFO);
            match traceback.as_str() {
                None => printed.event(service.as_str(), level, logger, message),
                Some(traceback) => {
                    let message = format!("{message}\n{}", traceback.trim_end());
                    printed.event(service.as_str(), level, logger, &message);
                }
            }
        }
        _ => {}
    }
}
