use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::*;
use crate::files::replace;

fn place(folder: &Path, writer: &str) -> AuditPlace {
    let head = folder.join(format!("head-{writer}.json"));
    let folder = folder.join("audit");
    AuditPlace { folder, writer: writer.to_owned(), head, is_required: false }
}

/// Writes some lines, as one life of a process.
fn write(place: &AuditPlace, whos: &[&str]) {
    let (audit, _end) = Audit::open(place, &place.writer, None).unwrap();
    for who in whos {
        audit.record(AuditLine { who: (*who).to_owned(), ..AuditLine::now("call") });
    }
}

fn only_file(place: &AuditPlace) -> PathBuf {
    files::latest(&place.folder, &place.writer).unwrap().unwrap().1
}

fn anchor(place: &AuditPlace) -> Vec<Anchor> {
    let head: chain::Head = crate::state_file::read(&place.head).unwrap().unwrap();
    let (writer, seq, hash) = (place.writer.clone(), head.seq, head.hash);
    vec![Anchor { writer, seq, hash, source: "the state file" }]
}

fn faults(place: &AuditPlace) -> Vec<String> {
    let verified = verify(&place.folder, &anchor(place)).unwrap();
    verified.faults.iter().map(ToString::to_string).collect()
}

#[test]
fn lines_are_read_back_over_restarts_in_one_chain() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path(), "bench");
    write(&place, &["ada", "eve"]);
    write(&place, &["ada"]);
    assert_eq!(faults(&place), [""; 0]);
    let lines = read(&place.folder, usize::MAX, |_| true).unwrap();
    let seqs: Vec<u64> = lines.iter().map(|line| line.seq).collect();
    assert_eq!(seqs, [1, 2, 3, 4, 5, 6]);
    let actions: Vec<&str> = lines.iter().map(|line| line.action.as_str()).collect();
    assert_eq!(actions, ["file", "started", "call", "call", "started", "call"]);
    let of_eve = read(&place.folder, 9, |line| line.is_by("eve")).unwrap();
    assert_eq!((of_eve.len(), of_eve[0].daemon.as_str()), (1, "bench"));
    assert_eq!(read(&place.folder, 1, |_| true).unwrap()[0].seq, 6);
}

#[test]
fn each_change_of_a_file_is_found_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path(), "");
    write(&place, &["a", "b", "c", "d", "e", "f"]);
    let path = only_file(&place);
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    let whole = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    assert_eq!(lines.len(), 8);
    let flipped = |at: usize| {
        let mut lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        lines[at] = lines[at].replace("\"outcome\":\"done\"", "\"outcome\":\"dome\"");
        lines.concat()
    };
    let without = |out: &[usize]| -> String {
        let kept = lines.iter().enumerate().filter(|(at, _)| !out.contains(at));
        kept.map(|(_, line)| *line).collect()
    };
    let moved = |from: usize, to: usize| {
        let mut lines = lines.clone();
        let line = lines.remove(from);
        lines.insert(to, line);
        lines.concat()
    };
    let changed =
        |at: usize| vec![format!("{name}:{at}: this line was changed: it does not have its hash")];
    let told = |at: usize, text: &str| vec![format!("{name}:{at}: {text}")];
    let cut = |last: u64| {
        vec![format!(
            "{name}: ends with number {last}, and the state file has number 8: the lines after {last} were cut off"
        )]
    };
    let forged = {
        // Somebody has sealed a line anew, but not those after it.
        let sealed = line::open(lines[4].trim_end().as_bytes()).unwrap();
        let (text, _) = AuditLine { who: "x".into(), ..sealed.line }.seal().unwrap();
        let mut lines: Vec<&str> = lines.clone();
        lines[4] = &text;
        lines.concat()
    };
    let forged_last = {
        let sealed = line::open(lines[7].trim_end().as_bytes()).unwrap();
        let (text, _) = AuditLine { who: "x".into(), ..sealed.line }.seal().unwrap();
        without(&[7]) + &text
    };
    let far = {
        let sealed = line::open(lines[7].trim_end().as_bytes()).unwrap();
        let (text, _) = AuditLine { seq: u64::MAX, ..sealed.line }.seal().unwrap();
        whole.clone() + &text
    };
    let cases = [
        (whole.clone(), vec![]),
        (flipped(1), changed(2)),
        (flipped(4), changed(5)),
        (flipped(7), changed(8)),
        (without(&[3]), told(4, "number 4 is missing before this line")),
        (without(&[3, 4, 5]), told(4, "numbers 4 to 6 are missing before this line")),
        (without(&[0]), told(1, "the file begins with number 2: its beginning was cut off")),
        (without(&[7]), cut(7)),
        (without(&[6, 7]), cut(6)),
        (whole.trim_end().to_owned(), vec![]),
        (whole[..whole.len() - 2].to_owned(), cut(7)),
        (moved(3, 5), told(6, "number 4 is not in its place: number 7 belongs here")),
        (moved(6, 2), told(3, "number 7 is not in its place: number 3 belongs here")),
        (whole.clone() + lines[4], told(9, "number 5 is not in its place: number 9 belongs here")),
        (forged, told(6, "number 6 does not follow number 5 that stands before it")),
        (
            forged_last,
            vec![format!("{name}: number 8 is not the line whose hash the state file has")],
        ),
        (whole.replacen("\n", "\nx\n", 1), changed(2)),
        (String::new(), cut(0)),
        ("x".to_owned(), cut(0)),
        (far, told(9, &format!("numbers 9 to {} are missing before this line", u64::MAX - 1))),
    ];
    for (text, expected) in cases {
        replace(&path, text.as_bytes()).unwrap();
        assert_eq!(faults(&place), expected, "{text}");
    }
    fs::remove_file(&path).unwrap();
    assert!(
        faults(&place)[0].contains("no file of the supervisor is there, which had written 8 lines")
    );
}

#[test]
fn a_torn_line_is_recorded_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path(), "bench");
    write(&place, &["ada", "eve"]);
    let path = only_file(&place);
    let whole = fs::read(&path).unwrap();
    for torn in 2..40 {
        replace(&path, &whole[..whole.len() - torn]).unwrap();
        fs::remove_file(&place.head).unwrap();
        write(&place, &["bob"]);
        assert_eq!(faults(&place), [""; 0], "{torn}");
        let lines = read(&place.folder, usize::MAX, |_| true).unwrap();
        let last: Vec<(u64, &str)> =
            lines.iter().skip(3).map(|line| (line.seq, line.action.as_str())).collect();
        assert_eq!(last, [(4, "started"), (5, "torn"), (6, "call")], "{torn}");
    }
    // A torn line that nobody has recorded is no fault: it may be being written.
    replace(&path, &whole[..whole.len() - 5]).unwrap();
    fs::remove_file(&place.head).unwrap();
    let verified = verify(&place.folder, &[]).unwrap();
    assert_eq!((verified.faults.len(), verified.notes.len()), (0, 1), "{verified:?}");
}

#[test]
fn a_file_that_is_moved_away_is_missed() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path(), "bench");
    write(&place, &["ada", "eve"]);
    fs::remove_file(only_file(&place)).unwrap();
    write(&place, &["bob"]);
    let found = faults(&place);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("the file with the lines before number 5 was removed"), "{found:?}");
}

#[test]
fn a_clock_that_jumps_changes_no_order() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path(), "bench");
    // A file of a month that has not come yet: the clock was ahead, and has been set back.
    write(&place, &["ada"]);
    let path = only_file(&place);
    let put = |from: &Path, month: &str| {
        fs::rename(from, files::path(&place.folder, "bench", month)).unwrap();
        let head: chain::Head = crate::state_file::read(&place.head).unwrap().unwrap();
        let head = chain::Head { month: month.to_owned(), ..head };
        replace(&place.head, &serde_json::to_vec(&head).unwrap()).unwrap();
    };
    put(&path, "2999-01");
    write(&place, &["eve"]);
    assert_eq!(files::list(&place.folder).unwrap()["bench"].len(), 1);
    assert_eq!(faults(&place), [""; 0]);
    let lines = read(&place.folder, usize::MAX, |line| line.action == "call").unwrap();
    let whos: Vec<&str> = lines.iter().map(|line| line.who.as_str()).collect();
    assert_eq!(whos, ["ada", "eve"]);
    // A new month has a new file, in the same chain.
    put(&files::path(&place.folder, "bench", "2999-01"), "2001-01");
    write(&place, &["bob"]);
    assert_eq!(files::list(&place.folder).unwrap()["bench"].len(), 2);
    assert_eq!(faults(&place), [""; 0]);
}

#[test]
fn what_cannot_be_written_is_kept_and_written_later() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path(), "bench");
    replace(&place.folder, b"no folder").unwrap();
    let (audit, end) = Audit::open(&place, "bench", None).unwrap();
    audit.record(AuditLine { who: "ada".into(), ..AuditLine::now("call") });
    wait_until(&|| audit.failing().load(Ordering::Relaxed));
    wait_until(&|| audit.trouble().is_some());
    assert!(audit.trouble().unwrap().contains("cannot be written"));
    fs::remove_file(&place.folder).unwrap();
    wait_until(&|| !audit.failing().load(Ordering::Relaxed));
    assert_eq!(audit.trouble(), None);
    drop(end);
    assert_eq!(faults(&place), [""; 0]);
    assert_eq!(read(&place.folder, 9, |line| line.is_by("ada")).unwrap().len(), 1);
}

#[test]
fn the_head_is_that_of_lines_which_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path(), "bench");
    write(&place, &["ada"]);
    let kept = anchor(&place);
    // A process that cannot write a line, and ends.
    let aside = folder.path().join("aside");
    fs::rename(&place.folder, &aside).unwrap();
    replace(&place.folder, b"no folder").unwrap();
    write(&place, &["eve"]);
    fs::remove_file(&place.folder).unwrap();
    fs::rename(&aside, &place.folder).unwrap();
    assert_eq!(anchor(&place)[0].seq, kept[0].seq);
    write(&place, &["bob"]);
    assert_eq!(faults(&place), [""; 0]);
    assert!(verify(&place.folder, &kept).unwrap().faults.is_empty());
}

#[test]
fn refusals_of_one_client_in_a_loop_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path(), "bench");
    let (audit, end) = Audit::open(&place, "bench", None).unwrap();
    for _ in 0..2000 {
        audit.record(AuditLine { who: "eve".into(), ..AuditLine::now("refused") });
    }
    audit.record(AuditLine { who: "eve".into(), ..AuditLine::now("break") });
    drop(end);
    let lines = read(&place.folder, usize::MAX, |_| true).unwrap();
    let count = |action: &str| lines.iter().filter(|line| line.action == action).count();
    assert!((500..520).contains(&count("refused")), "{}", count("refused"));
    assert!(count("unrecorded") >= 1 && count("break") == 1);
}

fn wait_until(condition: &dyn Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(600));
        std::thread::sleep(Duration::from_millis(20));
    }
}
