use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use remote::{CallAction, CallException, CallKind, CallLogMode, Peer};

use super::*;

fn record(member: &str, user: Option<&str>, mode: CallLogMode) -> CallRecord {
    let exception = CallException { class: "ValueError".into(), message: "too far".into() };
    CallRecord {
        object: "lab.stage".into(),
        member: member.into(),
        action: CallAction::Set,
        kind: CallKind::Call,
        peer: Peer::Tcp(SocketAddr::from(([10, 0, 0, 3], 4711))),
        identity: None,
        user: user.map(str::to_owned),
        since: SystemTime::now(),
        duration: Duration::from_millis(1500),
        exception: Some(exception),
        is_slow: false,
        was_overdue: false,
        request_bytes: 100,
        answer_bytes: 200,
        arguments: Some("5".into()),
        epoch: None,
        mode,
    }
}

#[test]
fn what_is_written_is_read_even_after_a_torn_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "bench");
    crate::files::replace(&path, b"{\"time\":\"2026-01-01T00:00:00Z\",\"daem").unwrap();
    let (kept, log) = CallLogFile::open(&path, "bench").unwrap();
    log(record("x", Some("ada"), CallLogMode::Changes));
    log(record("y", None, CallLogMode::Changes));
    assert_eq!(kept.trouble(), None);
    drop(kept);
    let lines = read(folder.path(), usize::MAX, |_| true).unwrap();
    let line = &lines[0];
    let found = (line.daemon.as_str(), line.service.as_str(), line.member.as_str());
    assert_eq!(found, ("bench", "lab.stage", "x"));
    let found = (line.kind.as_str(), line.caller.as_str(), line.user.as_deref(), line.duration);
    assert_eq!(found, ("set", "10.0.0.3:4711", Some("ada"), 1.5));
    let found = (line.outcome.as_str(), line.exception.as_deref(), line.message.as_deref());
    assert_eq!(found, ("raised", Some("ValueError"), Some("too far")));
    assert_eq!((line.request_bytes, line.answer_bytes), (100, 200));
    for (text, is_by) in [("ada", true), ("10.0.0.3", true), ("10.0.0.3:4711", true), ("10", false)]
    {
        assert_eq!(line.is_by(text), is_by, "{text}");
    }
    let last = read(folder.path(), 1, |_| true).unwrap();
    assert_eq!(last.iter().map(|line| line.member.as_str()).collect::<Vec<_>>(), ["y"]);
    assert_eq!(read(folder.path(), 9, |line| line.is_by("ada")).unwrap().len(), 1);
}

#[test]
fn a_flood_of_errors_is_counted_where_nobody_asked_for_it() {
    for (mode, is_limited) in [(CallLogMode::Errors, true), (CallLogMode::All, false)] {
        let folder = tempfile::tempdir().unwrap();
        let (kept, log) = CallLogFile::open(&file(folder.path(), "bench"), "bench").unwrap();
        for _ in 0..3000 {
            log(record("x", None, mode));
        }
        drop(kept);
        let lines = read(folder.path(), usize::MAX, |_| true).unwrap();
        let written = lines.iter().filter(|line| line.is_error()).count();
        let told: u64 = lines.iter().filter(|line| line.outcome == "unrecorded").map(number).sum();
        assert_eq!(written as u64 + told, 3000);
        assert_eq!(written < 3000, is_limited, "{written}");
    }
}

fn number(line: &CallLine) -> u64 {
    line.message.as_ref().unwrap().split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_write_that_hangs_is_told_of_until_it_ends() {
    let (health, path) = (DiskHealth::default(), Path::new("calls-bench.jsonl"));
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let writes = health.clone();
    let disk = std::thread::spawn(move || writes.note(|| Ok(ended.recv().is_ok())));
    let told = wait_for(|| health.trouble("call log", path));
    assert!(told.contains("the call log calls-bench.jsonl hangs"), "{told}");
    drop(end);
    assert!(!disk.join().unwrap().unwrap());
    assert_eq!(health.trouble("call log", path), None);
}

fn wait_for(told: impl Fn() -> Option<String>) -> String {
    let begun = Instant::now();
    loop {
        if let Some(told) = told() {
            return told;
        }
        assert!(begun.elapsed() < Duration::from_secs(600));
        std::thread::sleep(Duration::from_millis(50));
    }
}
