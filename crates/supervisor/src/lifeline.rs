//! Child's end of the supervisor [protocol](crate::protocol), over its standard streams.
//!
//! A thread reads the parent's lines, so that a process whose runtime hangs in a driver's call
//! still dies with its parent. Another thread writes the reports, so that a stopped parent, which
//! does not read them, blocks no caller.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::os;
use crate::protocol::{ParentMessage, Report, STOP};
use crate::report_writer::ReportWriter;

/// Time that a process has to end after its parent's death. An orphan drives an instrument for
/// less than two seconds.
pub const ORPHAN_DEADLINE: Duration = Duration::from_millis(1500);

/// Time for exit handlers after [`ORPHAN_DEADLINE`], before the process kills itself.
const EXIT_HANDLERS_TIMEOUT: Duration = Duration::from_millis(250);

/// Longest wait for the parent to read a `failed` report.
const FAILED_REPORT_TIMEOUT: Duration = Duration::from_secs(1);

/// Exit code of a process that exceeded [`ORPHAN_DEADLINE`].
const EXIT_ORPHANED: i32 = 75;

/// Longest assignment, in bytes.
const MAX_ASSIGNMENT_BYTES: u64 = 64 * 1024 * 1024;

/// Connection of a child process to its supervisor.
#[derive(Clone)]
pub struct Lifeline {
    stopping: CancellationToken,
    reports: Arc<ReportWriter>,
    /// Messages of the parent; the first one to take them has them.
    messages: Arc<Mutex<Option<mpsc::UnboundedReceiver<Value>>>>,
}

/// Why a lifeline cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum LifelineError {
    /// The standard streams cannot be taken over or read.
    #[error("cannot read the assignment from the supervisor: {0}")]
    Io(#[from] io::Error),
    /// Standard input ended before a whole line was read.
    #[error("no assignment on the standard input: this command is started by the supervisor")]
    NoAssignment,
}

impl Lifeline {
    /// Takes over standard input and output, and waits for the assignment. Call it first in `main`.
    ///
    /// From then on standard input is at its end, and standard output is written to standard
    /// error. The process exits at most [`ORPHAN_DEADLINE`] after its parent's death.
    pub fn take() -> Result<(String, Self), LifelineError> {
        let (reader, writer) = os::take_stdio()?;
        Self::over(reader, writer, ORPHAN_DEADLINE, || {
            // An exit handler may hang; a process without a spare thread cannot watch for that.
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

    /// As [`take`](Self::take), over any streams. The reading thread calls `on_orphaned`,
    /// `deadline` after the end of `reader`.
    pub fn over(
        reader: impl Read + Send + 'static,
        writer: impl Write + Send + 'static,
        deadline: Duration,
        on_orphaned: impl FnOnce() + Send + 'static,
    ) -> Result<(String, Self), LifelineError> {
        let mut reader = BufReader::new(reader);
        let mut assignment = String::new();
        reader.by_ref().take(MAX_ASSIGNMENT_BYTES).read_line(&mut assignment)?;
        if assignment.pop() != Some('\n') {
            return Err(LifelineError::NoAssignment);
        }
        let stopping = CancellationToken::new();
        let token = stopping.clone();
        let (sender, messages) = mpsc::unbounded_channel();
        std::thread::Builder::new().name("lifeline".into()).spawn(move || {
            read_commands(reader, &token, &sender);
            tracing::warn!("the supervisor is gone: stopping");
            token.cancel();
            std::thread::sleep(deadline);
            on_orphaned();
        })?;
        let reports = Arc::new(ReportWriter::start(writer)?);
        Ok((assignment, Self { stopping, reports, messages: Arc::new(Mutex::new(Some(messages))) }))
    }

    /// The messages of the parent, in their order, also those that have come already; `None` where
    /// they were taken before.
    pub fn take_messages(&self) -> Option<mpsc::UnboundedReceiver<Value>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The stop signal: cancelled when the parent writes `stop` or dies.
    pub fn stopping(&self) -> CancellationToken {
        self.stopping.clone()
    }

    /// Reports to the parent that the process serves.
    pub fn ready(&self, detail: Value) {
        self.reports.push(Report::Ready { detail });
    }

    /// Replaces the detail that the parent shows about the process. A status that is still unread
    /// when the next one is reported is skipped.
    pub fn status(&self, detail: Value) {
        self.reports.push(Report::Status { detail });
    }

    /// Reports why the process is about to exit, and waits up to 1 s until the report is written.
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

/// Reads the parent's lines to their end; `stop` cancels `stopping`.
fn read_commands(
    mut reader: impl BufRead,
    stopping: &CancellationToken,
    messages: &mpsc::UnboundedSender<Value>,
) {
    let mut line = Vec::new();
    loop {
        line.clear();
        match reader.read_until(b'\n', &mut line) {
            Ok(0) => return,
            Ok(_) if line.trim_ascii() == STOP.as_bytes() => {
                tracing::info!("the supervisor asks to stop");
                stopping.cancel();
            }
            Ok(_) => match ParentMessage::parse(&line) {
                // Fails where this child reads no messages.
                Some(ParentMessage { message }) => drop(messages.send(message)),
                // A newer parent may know more commands.
                None => {
                    tracing::debug!(line = %line.escape_ascii(), "unknown word from the supervisor")
                }
            },
            // BufRead retries after EINTR by itself.
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

    /// A lifeline over pipes: the parent's writer, its reader, the child's end, and a channel that
    /// receives when the child would have exited.
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
    async fn messages_are_read_in_order() {
        let (mut parent, _reports, line, _exit) = connect();
        let mut messages = line.take_messages().unwrap();
        assert!(line.take_messages().is_none());
        parent.write_all(b"{\"message\":1}\nhello\n{\"message\":{\"a\":[]}}\nstop\n").unwrap();
        for expected in [json!(1), json!({"a": []})] {
            let message = tokio::time::timeout(SOON, messages.recv()).await.unwrap();
            assert_eq!(message, Some(expected));
        }
        tokio::time::timeout(SOON, line.stopping().cancelled()).await.unwrap();
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
        // The writing thread closes the pipe when it ends.
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
        // More than fits into the pipe: a report that waited for it would never return.
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
