//! The child's side of the [protocol](crate::protocol), for our own processes.
//!
//! Owns: the process's standard input and output. Refuses to know: what the assignment says, and
//! how the process stops what it does.
//!
//! A plain thread reads the parent's lines, so that a runtime that is stuck in a driver's call
//! cannot keep a process alive whose parent is dead. Another one writes the reports, so that a
//! parent that is stopped, and does not read them, holds nobody up.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::os;
use crate::protocol::{Report, STOP};
use crate::report_writer::ReportWriter;

/// How long a process may live on when its parent is gone. No orphan is to drive an instrument
/// for more than two seconds.
pub const ORPHAN_DEADLINE: Duration = Duration::from_millis(1500);

/// How much longer exit handlers may take, before the process kills itself.
const EXIT_HANDLERS_TIMEOUT: Duration = Duration::from_millis(250);

/// How long a process that has failed waits for its parent to read why.
const FAILED_REPORT_TIMEOUT: Duration = Duration::from_secs(1);

/// The exit code of a process that has outlived its parent for too long.
const EXIT_ORPHANED: i32 = 75;

/// The longest assignment.
const MAX_ASSIGNMENT_BYTES: u64 = 64 * 1024 * 1024;

/// The connection of a child process to the parent that supervises it.
#[derive(Clone)]
pub struct Lifeline {
    stopping: CancellationToken,
    reports: Arc<ReportWriter>,
}

/// Why there is no lifeline.
#[derive(Debug, thiserror::Error)]
pub enum LifelineError {
    /// The standard streams could not be taken over, or not be read.
    #[error("cannot read the assignment from the supervisor: {0}")]
    Io(#[from] io::Error),
    /// There was no whole line on the standard input.
    #[error("no assignment on the standard input: this command is started by the supervisor")]
    NoAssignment,
}

impl Lifeline {
    /// Takes over the process's standard input and output, and waits for the assignment. Call it
    /// first thing in `main`.
    ///
    /// From then on reading the standard input gives the end of file, and what is printed to the
    /// standard output goes to standard error. When the parent is gone, the process exits
    /// [`ORPHAN_DEADLINE`] later at the latest.
    pub fn take() -> Result<(String, Self), LifelineError> {
        let (reader, writer) = os::take_stdio()?;
        Self::over(reader, writer, ORPHAN_DEADLINE, || {
            // Some library's exit handler may hang, and so may a process without threads to spare.
            if std::thread::Builder::new()
                .spawn(|| {
                    std::thread::sleep(EXIT_HANDLERS_TIMEOUT);
                    os::kill_self();
                })
                .is_err()
            {
                os::kill_self();
            }
            std::process::exit(EXIT_ORPHANED);
        })
    }

    /// As [`take`](Self::take), over any streams. `orphaned` is called on the reading thread,
    /// `deadline` after the end of `reader`.
    pub fn over(
        reader: impl Read + Send + 'static,
        writer: impl Write + Send + 'static,
        deadline: Duration,
        orphaned: impl FnOnce() + Send + 'static,
    ) -> Result<(String, Self), LifelineError> {
        let mut reader = BufReader::new(reader);
        let mut assignment = String::new();
        reader.by_ref().take(MAX_ASSIGNMENT_BYTES).read_line(&mut assignment)?;
        if assignment.pop() != Some('\n') {
            return Err(LifelineError::NoAssignment);
        }
        let stopping = CancellationToken::new();
        let token = stopping.clone();
        std::thread::Builder::new().name("lifeline".into()).spawn(move || {
            read_commands(reader, &token);
            tracing::warn!("the supervisor is gone: stopping");
            token.cancel();
            std::thread::sleep(deadline);
            orphaned();
        })?;
        Ok((assignment, Self { stopping, reports: Arc::new(ReportWriter::start(writer)?) }))
    }

    /// Is cancelled when the parent asks the process to stop, or is gone.
    pub fn stopping(&self) -> CancellationToken {
        self.stopping.clone()
    }

    /// Tells the parent that the process serves now.
    pub fn ready(&self, detail: Value) {
        self.reports.push(Report::Ready { detail });
    }

    /// Replaces the detail that the parent shows about the process. One that the parent has not
    /// read when the next one comes is left out.
    pub fn status(&self, detail: Value) {
        self.reports.push(Report::Status { detail });
    }

    /// Tells the parent why the process is about to exit, and waits a little until that is told.
    pub fn failed(&self, error: impl std::fmt::Display) {
        self.reports.push(Report::Failed { error: error.to_string() });
        self.reports.wait_until_written(FAILED_REPORT_TIMEOUT);
    }
}

impl std::fmt::Debug for Lifeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lifeline")
            .field("stopping", &self.stopping.is_cancelled())
            .finish_non_exhaustive()
    }
}

/// Reads the parent's lines until there are no more.
fn read_commands(mut reader: impl BufRead, stopping: &CancellationToken) {
    let mut line = Vec::new();
    loop {
        line.clear();
        match reader.read_until(b'\n', &mut line) {
            Ok(0) => return,
            Ok(_) if line.trim_ascii() == STOP.as_bytes() => {
                tracing::info!("the supervisor asks to stop");
                stopping.cancel();
            }
            // A newer parent may know more words than we do.
            Ok(_) => {
                tracing::debug!(line = %line.escape_ascii(), "unknown word from the supervisor")
            }
            // BufRead has already retried what was interrupted.
            Err(error) => {
                tracing::warn!(%error, "cannot read from the supervisor");
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{PipeReader, pipe};
    use std::sync::mpsc;

    use serde_json::json;

    use super::*;

    const SOON: Duration = Duration::from_secs(120);

    /// A lifeline over pipes: the parent's writer, its reader, the child's side, and a channel
    /// that says when the child would have exited.
    fn connect() -> (io::PipeWriter, BufReader<PipeReader>, Lifeline, mpsc::Receiver<()>) {
        let (commands, mut parent) = pipe().unwrap();
        let (reports, writer) = pipe().unwrap();
        let (exited, exit) = mpsc::channel();
        parent.write_all(b"{\"name\":\"a\"}\n").unwrap();
        let orphaned = move || exited.send(()).unwrap_or_default();
        let (assignment, line) =
            Lifeline::over(commands, writer, Duration::from_millis(10), orphaned).unwrap();
        assert_eq!(assignment, r#"{"name":"a"}"#);
        (parent, BufReader::new(reports), line, exit)
    }

    #[tokio::test]
    async fn stop_cancels_and_the_end_exits() {
        let (mut parent, _reports, line, exit) = connect();
        assert!(!line.stopping().is_cancelled());
        parent.write_all(b"hello\nstop\n").unwrap();
        tokio::time::timeout(SOON, line.stopping().cancelled()).await.unwrap();
        assert!(exit.try_recv().is_err(), "the parent still lives");
        drop(parent);
        exit.recv_timeout(SOON).unwrap();
    }

    #[tokio::test]
    async fn the_end_alone_cancels_and_exits() {
        let (parent, _reports, line, exit) = connect();
        drop(parent);
        tokio::time::timeout(SOON, line.stopping().cancelled()).await.unwrap();
        exit.recv_timeout(SOON).unwrap();
    }

    #[test]
    fn reports_are_whole_lines_even_from_many_threads() {
        let (_parent, reports, line, _exit) = connect();
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let line = line.clone();
                std::thread::spawn(move || {
                    for n in 0..100 {
                        line.status(json!({"writer": writer, "n": n, "text": "a\nb"}));
                    }
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        line.status(json!("the last"));
        // The writing thread has the pipe no more when it is done.
        drop(line);
        let told: Vec<_> = reports.lines().map(|line| Report::parse(&line.unwrap())).collect();
        assert!(told.iter().all(|report| matches!(report, Some(Report::Status { .. }))));
        let Some(Some(Report::Status { detail })) = told.last() else { panic!("{told:?}") };
        assert_eq!(*detail, json!("the last"));
    }

    #[test]
    fn a_parent_that_does_not_read_holds_nobody_up() {
        let (_parent, reports, line, _exit) = connect();
        line.ready(json!({"port": 1}));
        // More than fits into the pipe. If a report waited for it, this would never end.
        let large = "x".repeat(10_000);
        for n in 0..100 {
            line.status(json!({"n": n, "text": large}));
        }
        line.failed("no such port");
        drop(line);
        let told: Vec<_> = reports.lines().map(|line| Report::parse(&line.unwrap())).collect();
        let [
            Some(Report::Ready { .. }),
            ..,
            Some(Report::Status { detail }),
            Some(Report::Failed { .. }),
        ] = told.as_slice()
        else {
            panic!("{told:?}")
        };
        assert_eq!(detail["n"], 99, "of those that wait it is the last that is told");
        assert!(told.len() < 100);
    }

    #[test]
    fn the_words() {
        let (_parent, mut reports, line, _exit) = connect();
        line.ready(json!({"port": 1}));
        line.failed("no such port");
        let mut text = String::new();
        reports.read_line(&mut text).unwrap();
        reports.read_line(&mut text).unwrap();
        assert_eq!(
            text,
            "{\"event\":\"ready\",\"detail\":{\"port\":1}}\n\
             {\"event\":\"failed\",\"error\":\"no such port\"}\n"
        );
    }

    #[test]
    fn a_parent_that_is_gone_is_no_error() {
        let (_parent, reports, line, _exit) = connect();
        drop(reports);
        line.ready(Value::Null);
    }

    #[test]
    fn no_assignment() {
        for input in ["", "half a line"] {
            let result = Lifeline::over(input.as_bytes(), io::sink(), Duration::ZERO, || {});
            assert!(matches!(result, Err(LifelineError::NoAssignment)), "{input:?}");
        }
    }
}
