//! Lock log: which client had which lock, from when to when, and how it ended.
//!
//! Owns the format of lines and files, for the daemons that write and the command line that reads.
//! Each daemon has its own files, so that no two processes write into one. A line is written whole
//! and never changed; files are rotated by size. Broken locks are also in a separate file, which a
//! flood of other lines does not push out.

mod history;
mod line;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use remote::{LockLog, LockRecord};

pub use history::read;
pub use line::LockLogLine;
use line::{PREFIX, SUFFIX};
use writer::LockLogWriter;

use crate::log::drop_queue::{DropQueue, FLUSH_TIMEOUT, Flush};

/// Lines that may wait for a slow disk; further ones are dropped and counted.
const BACKLOG: usize = 100_000;

/// The file of a daemon, by the name that it has in file names.
pub fn file(log_dir: &Path, daemon: &str) -> PathBuf {
    log_dir.join(format!("{PREFIX}{daemon}{SUFFIX}"))
}

/// Opens the log of a daemon, and writes that the daemon has started. The number of the first line
/// is `first`.
///
/// # Errors
/// No thread can be started.
pub fn open(path: &Path, daemon: &str, first: u64) -> io::Result<(LockLog, Flush<LockLogLine>)> {
    let daemon = daemon.to_owned();
    let writer = LockLogWriter::new(path, &daemon, first);
    let lines = DropQueue::new(BACKLOG).start("lock-log", move |lines| writer.run(lines))?;
    lines.push(LockLogLine { event: "started".into(), ..LockLogLine::now(&daemon) }, true);
    let flush = Flush { queue: Arc::clone(&lines), longest: FLUSH_TIMEOUT };
    let sender = Sender(lines);
    // Never waits: a lock must not hang on a disk.
    let log = move |service: &str, record: &LockRecord| {
        let line = LockLogLine::of(&daemon, service, record);
        let matters = !line.is_routine();
        sender.0.push(line, matters);
    };
    Ok((Arc::new(log), flush))
}

/// Ends the writing thread with the last one that could send.
struct Sender(Arc<DropQueue<LockLogLine>>);

impl Drop for Sender {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use remote::{Break, LockEvent, LockParty};

    use super::*;

    #[test]
    fn what_is_written_is_read_even_behind_a_torn_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path(), "bench");
        crate::files::replace(&path, b"{\"time\":\"2026-01-01T00:00:00Z\",\"daem").unwrap();
        let (log, flush) = open(&path, "bench", 1).unwrap();
        let party = party("ada");
        let broken = Break { by: "eve".into(), reason: "lunch".into() };
        for (event, held) in [
            (LockEvent::Granted, None),
            (LockEvent::Broken(broken), Some(Duration::from_millis(1500))),
        ] {
            log("lab.x", &LockRecord { event, party: party.clone(), epoch: Some(7), held });
        }
        drop(flush);
        let lines = read(folder.path()).unwrap();
        let events: Vec<&str> = lines.iter().map(|line| line.event.as_str()).collect();
        assert_eq!(events, ["started", "granted", "broken"]);
        let last = lines.last().unwrap();
        assert_eq!((last.user.as_str(), last.epoch, last.duration), ("ada", Some(7), Some(1.5)));
        assert_eq!((last.by.as_deref(), last.reason.as_deref()), (Some("eve"), Some("lunch")));
    }

    #[test]
    fn breaks_in_a_flood_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path(), "bench");
        let (log, flush) = open(&path, "bench", 1).unwrap();
        for epoch in 0..2000 {
            let event = LockEvent::Broken(Break { by: "eve".into(), reason: "x".repeat(256) });
            log(
                "lab.x",
                &LockRecord { event, party: party("eve"), epoch: Some(epoch), held: None },
            );
        }
        drop(flush);
        let lines = read(folder.path()).unwrap();
        let count = |event: &str| lines.iter().filter(|line| line.event == event).count();
        assert_eq!(count("broken"), 500);
        let told = lines.iter().rfind(|line| line.event == "unrecorded").unwrap();
        assert!(told.reason.as_ref().unwrap().starts_with("1500 lines"), "{told:?}");
    }

    fn party(user: &str) -> LockParty {
        LockParty {
            session: 1,
            user: user.into(),
            identity: None,
            credential: None,
            address: "127.0.0.1:9".into(),
        }
    }

    #[test]
    fn breaks_stay_in_a_history_that_a_flood_has_rolled_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path(), "bench");
        let (log, flush) = open(&path, "bench", 1).unwrap();
        let event = LockEvent::Broken(Break { by: "eve".into(), reason: "lunch".into() });
        log("lab.x", &LockRecord { event, party: party("ada"), epoch: Some(7), held: None });
        for epoch in 0..20_000 {
            let (event, party) = (LockEvent::Granted, party("flood"));
            log("lab.x", &LockRecord { event, party, epoch: Some(epoch), held: None });
        }
        drop(flush);
        let lines = read(folder.path()).unwrap();
        let told = lines.last().unwrap();
        assert_eq!(told.user, "flood at 127.0.0.1");
        let left_out: u64 = lines.iter().filter_map(number).sum();
        let written = lines.iter().filter(|line| line.event == "granted").count() as u64;
        assert_eq!(written + left_out, 20_000);
        assert!(written < 6000, "{written}");
        // As if the rest had gone too.
        std::fs::remove_file(&path).unwrap();
        let lines = read(folder.path()).unwrap();
        let events: Vec<&str> = lines.iter().map(|line| line.event.as_str()).collect();
        assert_eq!(events, ["broken"]);
    }

    fn number(line: &LockLogLine) -> Option<u64> {
        let reason = line.reason.as_ref().filter(|_| line.event == "unrecorded")?;
        reason.split(' ').next()?.parse().ok()
    }

    #[test]
    fn the_order_of_a_daemon_is_that_in_which_it_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, lines: &[(&str, u64)]| {
            let text: String = lines
                .iter()
                .map(|(event, minute)| {
                    let time = format!("2026-01-01T00:{minute:02}:00Z");
                    format!("{{\"time\":\"{time}\",\"daemon\":\"d\",\"event\":\"{event}\"}}\n")
                })
                .collect();
            crate::files::replace(&folder.path().join(name), text.as_bytes()).unwrap();
        };
        // The clock of one went back by half an hour.
        write("locks-a.b.jsonl.2", &[("first", 40)]);
        write("locks-a.b.jsonl.1", &[("second", 41), ("third", 10)]);
        write("locks-a.b.jsonl", &[("fourth", 11)]);
        write("locks-other.jsonl", &[("early", 5), ("late", 50)]);
        write("lock-breaks-a.b.jsonl", &[("broken", 1), ("third", 10)]);
        let lines = read(folder.path()).unwrap();
        let events: Vec<&str> = lines.iter().map(|line| line.event.as_str()).collect();
        assert_eq!(events, ["broken", "early", "first", "second", "third", "fourth", "late"]);
    }

    #[test]
    fn a_lab_without_a_log_has_an_empty_one() {
        assert_eq!(read(Path::new("/nowhere/at/all")).unwrap(), []);
    }
}
