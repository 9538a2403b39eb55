//! The store from outside: what survives a killed process, a damaged file, a jumping clock and a
//! small disk.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use history::{
    Batch, Moment, Note, Quality, Range, Reading, Rules, Sample, SeriesKey, SeriesRetention,
    Settings, Store, StoreError,
};

const SECOND: i64 = 1_000_000;
/// A time in 2026.
const START: i64 = 1_780_000_000 * SECOND;
const DAY: i64 = 86_400;
const EVER: Range = Range { start: i64::MIN, end: i64::MAX };

fn rules() -> Rules {
    Rules {
        members: vec![SeriesRetention {
            service: "lab".to_owned(),
            member: "short".to_owned(),
            keep: Some(Duration::from_secs(3600)),
            hold: Duration::from_secs(150),
        }],
        keep: Some(Duration::from_secs(30 * 86_400)),
        hold: Duration::from_secs(150),
    }
}

fn open_with(folder: &Path, size: u64, seconds: i64) -> Store {
    let settings = Settings { folder: folder.to_owned(), size, rules: rules() };
    Store::open(settings, at(seconds)).unwrap()
}

fn open(folder: &Path) -> Store {
    open_with(folder, 1 << 30, 0)
}

/// So many seconds after the start.
fn at(seconds: i64) -> Moment {
    let steady = Duration::from_secs(u64::try_from(seconds.max(0)).unwrap());
    Moment { wall: START + seconds * SECOND, steady }
}

fn key(member: &str) -> SeriesKey {
    SeriesKey::new("lab", member)
}

fn sample(seconds: i64, number: f64) -> Sample {
    let (time, reading) = (START + seconds * SECOND, Reading::Float(number));
    Sample { time, reading, quality: Quality::Good }
}

fn batch(member: &str, samples: impl IntoIterator<Item = Sample>) -> Batch {
    let samples = samples.into_iter().map(|sample| (key(member), Some("K".to_owned()), sample));
    let (daemon, epoch) = ("bench".to_owned(), "1".to_owned());
    Batch { daemon, epoch, last: 7, samples: samples.collect(), ..Batch::default() }
}

/// The numbers of a series, page after page; a gap is `None`.
fn numbers(store: &Store, member: &str) -> Vec<Option<f64>> {
    let (mut range, mut found) = (EVER, Vec::new());
    while let Some(page) = store.page(&key(member), range).unwrap() {
        found.extend(page.samples.iter().map(|sample| sample.reading.number()));
        match page.next {
            Some(next) => range.start = next,
            None => break,
        }
    }
    found
}

fn put(path: &Path, bytes: &[u8]) {
    File::create(path).unwrap().write_all(bytes).unwrap();
}

fn counted(store: &Store, member: &str) -> usize {
    numbers(store, member).len()
}

#[test]
fn what_was_appended_is_there_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    for run in 0..3 {
        // Dropped without an end each time, as by a kill.
        let store = open_with(folder.path(), 1 << 30, run * 1000);
        assert_eq!(numbers(&store, "t"), expected);
        for second in run * 1000..run * 1000 + 700 {
            store.append(batch("t", [sample(second, second as f64)]), at(second)).unwrap();
            expected.push(Some(second as f64));
            if second % 100 == 0 {
                assert_eq!(store.maintain(at(second)), [""; 0]);
            }
        }
        assert_eq!(numbers(&store, "t"), expected);
        assert_eq!(store.cursor("bench"), Some(("1".to_owned(), 7)));
        let rows = store.series().unwrap();
        assert_eq!((rows.len(), rows[0].count), (1, expected.len() as u64));
        assert_eq!((rows[0].unit.as_str(), rows[0].daemon.as_str()), ("K", "bench"));
        assert_eq!(rows[0].first, Some(START));
    }
}

#[test]
fn a_torn_end_of_the_journal_loses_the_last_batch_only() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.append(batch("t", [sample(1, 1.0)]), at(1)).unwrap();
    store.append(batch("t", [sample(2, 2.0)]), at(2)).unwrap();
    drop(store);
    let journals = fs::read_dir(folder.path()).unwrap().flatten();
    let mut journals = journals.map(|file| file.path());
    let journal = journals.find(|path| path.extension().is_some_and(|end| end == "log")).unwrap();
    let bytes = fs::read(&journal).unwrap();
    put(&journal, &bytes[..bytes.len() - 3]);
    let store = open(folder.path());
    assert_eq!(numbers(&store, "t"), [Some(1.0)]);
    assert!(store.maintain(at(3))[0].contains("were damaged and are lost"));
    store.append(batch("t", [sample(3, 3.0)]), at(3)).unwrap();
    assert_eq!(numbers(&store, "t"), [Some(1.0), Some(3.0)]);
}

#[test]
fn a_damaged_file_is_set_aside_at_the_start_and_while_it_runs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("history.sqlite");
    let fill = |store: &Store, from: i64| {
        store.append(batch("t", (from..from + 600).map(|at| sample(at, 1.0))), at(from)).unwrap();
        store.maintain(at(from + 1))
    };
    let asides = || {
        let files = fs::read_dir(folder.path()).unwrap().flatten();
        let names = files.map(|file| file.file_name().into_string().unwrap());
        names.filter(|name| name.contains(".damaged-") && !name.ends_with("-wal")).count()
    };
    drop(open(folder.path()));
    put(&file, &b"no database at all".repeat(100));
    let store = open_with(folder.path(), 1 << 30, 5);
    let told = fill(&store, 0);
    assert!(told[0].contains("was set aside as") && told.len() == 1, "{told:?}");
    assert_eq!((counted(&store, "t"), asides()), (600, 1));
    // Samples that are in no chunk yet survive the loss of the file.
    fs::remove_file(&file).unwrap();
    let told = fill(&store, 1000);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(file.exists());
    assert_eq!(counted(&store, "t"), 600 + 88);
    drop(store);
    let store = open_with(folder.path(), 1 << 30, 2000);
    assert_eq!(counted(&store, "t"), 600 + 88);
}

#[test]
fn a_clock_that_jumps_loses_and_reorders_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let times: Vec<i64> = (0..400).chain(100..500).chain(9_000_000..9_000_400).collect();
    let samples = times.iter().enumerate().map(|(order, time)| sample(*time, order as f64));
    store.append(batch("t", samples), at(0)).unwrap();
    let expected: Vec<_> = (0..1200).map(|order| Some(f64::from(order))).collect();
    assert_eq!(numbers(&store, "t"), expected);
    // Nothing is removed for being old.
    for steady in 1..1000 {
        let steady = Duration::from_secs(steady);
        store.maintain(Moment { wall: START + 9_000_000 * SECOND, steady });
    }
    assert_eq!(numbers(&store, "t"), expected);
    let jump = Range { start: START + 100 * SECOND, end: START + 400 * SECOND };
    let page = store.page(&key("t"), jump).unwrap().unwrap();
    assert_eq!(page.samples.len(), 600);
    assert_eq!(store.query(&key("t"), jump, 10).unwrap().unwrap().len(), 10);
}

#[test]
fn each_series_is_kept_for_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let day = |member: &str| batch(member, (0..DAY / 10).map(|step| sample(step * 10, 1.0)));
    store.append(day("short"), at(DAY)).unwrap();
    store.append(day("long"), at(DAY)).unwrap();
    store.maintain(at(DAY + 1));
    store.maintain(at(DAY + 400));
    store.maintain(at(DAY + 440));
    let (short, long) = (counted(&store, "short"), counted(&store, "long"));
    assert!((300..480).contains(&short), "{short}");
    assert_eq!(long, 8640);
    store.maintain(at(40 * DAY));
    store.maintain(at(40 * DAY + 21));
    assert_eq!((counted(&store, "short"), counted(&store, "long")), (0, 0));
}

#[test]
fn the_oldest_samples_make_way_for_new_ones() {
    const SIZE: u64 = 1 << 20;
    let folder = tempfile::tempdir().unwrap();
    let store = open_with(folder.path(), SIZE, 0);
    let mut state = 1_u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 11) as f64
    };
    for step in 0..180 {
        let from = step * 1000;
        let samples: Vec<_> = (from..from + 1000).map(|at| sample(at, noise())).collect();
        store.append(batch("t", samples), at(from)).unwrap();
        store.maintain(at(from));
    }
    let used: u64 = fs::read_dir(folder.path())
        .unwrap()
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum();
    // The write-ahead log and the journal have some megabytes at most.
    assert!(used < SIZE + (16 << 20), "{used}");
    let rows = store.series().unwrap();
    assert!(rows[0].first.unwrap() > START + 40_000 * SECOND);
    assert_eq!(rows[0].last, Some(START + 179_999 * SECOND));
    assert!(counted(&store, "t") > 50_000);
}

#[test]
fn a_break_is_a_gap_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let after_break = |samples| Batch { is_break: true, ..batch("t", samples) };
    store.append(after_break(vec![sample(1, 1.0)]), at(1)).unwrap();
    store.append(after_break(vec![]), at(2)).unwrap();
    store.append(after_break(vec![sample(3, 3.0)]), at(3)).unwrap();
    let elsewhere = Batch { daemon: "oven".to_owned(), ..after_break(vec![]) };
    store.append(elsewhere, at(4)).unwrap();
    assert_eq!(numbers(&store, "t"), [Some(1.0), None, Some(3.0)]);
    let rows = store.query(&key("t"), Range { start: START, end: START + 5 * SECOND }, 100);
    let rows = rows.unwrap().unwrap();
    let qualities: Vec<_> = rows.iter().map(|row| row.quality.word()).collect();
    assert_eq!(qualities, ["good", "no data", "good"]);
    assert_eq!(store.query(&key("x"), EVER, 100).unwrap(), None);
}

#[test]
fn notes_are_there_once() {
    let folder = tempfile::tempdir().unwrap();
    let note = |time| Note { time: START + time * SECOND, text: format!("alarm {time}") };
    let notes = |store: &Store, limit| {
        let found = store.notes(EVER, limit).unwrap();
        found.into_iter().map(|(_, text)| text).collect::<Vec<_>>()
    };
    for run in 0..2 {
        let store = open(folder.path());
        store.append(Batch { notes: vec![note(run)], ..batch("t", []) }, at(run)).unwrap();
        let all: Vec<_> = (0..=run).map(|time| format!("alarm {time}")).collect();
        assert_eq!(notes(&store, 10), all);
        store.maintain(at(run));
        assert_eq!(notes(&store, 10), all);
        assert_eq!(notes(&store, 1), all[all.len() - 1..]);
    }
}

#[test]
fn two_processes_do_not_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let _store = open(folder.path());
    let settings = Settings { folder: folder.path().to_owned(), size: 1, rules: rules() };
    assert!(matches!(Store::open(settings, at(0)), Err(StoreError::InUse { .. })));
}
