//! Log of a child process: JSON lines on standard error, written by a thread.
//!
//! A supervisor that is stopped or hangs leaves the pipe full. No call, connection or answer may
//! wait for it, so lines wait in a bounded queue; further lines are dropped and counted.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::log::drop_queue::{DropQueue, Flush};

/// Bytes that may wait for a supervisor that does not read, besides the pipe (64 KiB) and the batch
/// that the thread is writing (at most as many again).
const BACKLOG: usize = 2 * 1024 * 1024;
/// Wait of an ending process for a supervisor that does not read.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Time between two wake-ups while nothing is logged.
const WAKE_INTERVAL: Duration = Duration::from_secs(3600);

/// Sender of log lines; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct ChildLog {
    lines: Arc<DropQueue<Vec<u8>>>,
}

impl ChildLog {
    /// Starts the thread that writes lines to `out`.
    ///
    /// # Errors
    /// No thread can be started.
    pub(super) fn start(
        out: impl Write + Send + 'static,
    ) -> io::Result<(ChildLog, Flush<Vec<u8>>)> {
        let lines = DropQueue::weighing(BACKLOG, |line: &Vec<u8>| line.len())
            .start("log", move |lines| write_lines(out, lines))?;
        let flush = Flush { queue: Arc::clone(&lines), longest: LAST_WORDS };
        Ok((ChildLog { lines }, flush))
    }

    pub(super) fn write(&self, line: &[u8]) {
        self.lines.push(line.to_vec(), false);
    }
}

fn write_lines(mut out: impl Write, lines: &DropQueue<Vec<u8>>) {
    // An error means that the supervisor is gone, which the lifeline sees to.
    while let Some(batch) = lines.take(WAKE_INTERVAL) {
        for line in batch.items {
            let _ = out.write_all(&line);
        }
        if batch.lost > 0 {
            let _ = out.write_all(lost(batch.lost).as_bytes());
        }
        let _ = out.flush();
    }
}

fn lost(count: u64) -> String {
    let line = json!({
        "timestamp": jiff::Timestamp::now().to_string(),
        "level": "WARN",
        "target": "lab_files::log::child_log",
        "message": format!("the supervisor did not read the log: {count} line(s) are lost"),
        "lost": count,
    });
    format!("{line}\n")
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, pipe};
    use std::thread;
    use std::time::Instant;

    use super::*;

    fn say(log: &ChildLog, text: &str) {
        log.write(text.as_bytes());
    }

    #[test]
    fn nobody_waits_for_a_pipe_that_is_not_read() {
        let (reader, writer) = pipe().unwrap();
        let (log, flush) = ChildLog::start(writer).unwrap();
        let line = format!("{{\"message\":\"{}\"}}\n", "x".repeat(1000));
        // More than fits anywhere. If a line waited for the pipe, this would never end.
        let said = 8 * BACKLOG / line.len();
        for _ in 0..said {
            say(&log, &line);
        }
        let read = thread::spawn(move || BufReader::new(reader).lines().collect::<Vec<_>>());
        drop(flush);
        // The thread closes its end of the pipe when it ends.
        let lines: Vec<_> = read.join().unwrap().into_iter().map(Result::unwrap).collect();
        let counted = |line: &String| {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            record.get("lost").and_then(serde_json::Value::as_u64)
        };
        let lost: u64 = lines.iter().filter_map(counted).sum();
        let whole = lines.iter().filter(|line| counted(line).is_none()).count();
        assert!(lost > 0);
        assert_eq!(whole as u64 + lost, said as u64);
    }

    #[test]
    fn the_end_waits_for_the_last_line_but_not_for_ever() {
        let (reader, writer) = pipe().unwrap();
        let (log, flush) = ChildLog::start(writer).unwrap();
        say(&log, "the last words\n");
        drop(flush);
        let mut line = String::new();
        let mut reader = BufReader::new(reader);
        reader.read_line(&mut line).unwrap();
        assert_eq!(line, "the last words\n");

        let (_reader, writer) = pipe().unwrap();
        let (log, flush) = ChildLog::start(writer).unwrap();
        say(&log, &"x".repeat(BACKLOG / 2));
        let begun = Instant::now();
        drop(flush);
        assert!(begun.elapsed() >= LAST_WORDS);
    }
}
