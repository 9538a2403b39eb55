//! Small chunks become larger ones, and a kill in the middle of that loses nothing.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use history::{Batch, Moment, Quality, Range, Reading, Rules, Sample, SeriesKey, Settings, Store};

const SECOND: i64 = 1_000_000;
/// A time in 2026.
const START: i64 = 1_780_000_000 * SECOND;
const EVER: Range = Range { start: i64::MIN, end: i64::MAX };
/// Seconds between two samples: five make a chunk.
const STEP: i64 = 60;
const FOLDER: &str = "FERROLAB_HISTORY_TEST_FOLDER";

fn open(folder: &Path, seconds: i64) -> Store {
    let keep = Some(Duration::from_secs(365 * 86_400));
    let rules = Rules { members: Vec::new(), keep, hold: Duration::from_secs(150) };
    let settings = Settings { folder: folder.to_owned(), size: 1 << 30, rules };
    Store::open(settings, at(seconds)).unwrap()
}

fn at(seconds: i64) -> Moment {
    let steady = Duration::from_secs(u64::try_from(seconds).unwrap());
    Moment { wall: START + seconds * SECOND, steady }
}

/// Records a sample of each series; that of number `n` is taken in step `n`, with the value `n`.
fn record(store: &Store, series: usize, number: i64) {
    let samples = (0..series).map(|index| {
        let (time, reading) = (START + number * STEP * SECOND, Reading::Float(number as f64));
        let key = SeriesKey::new("lab", &format!("m{index}"));
        (key, None, Sample { time, reading, quality: Quality::Good })
    });
    let samples = samples.collect();
    let batch = Batch { daemon: "bench".into(), epoch: "1".into(), samples, ..Batch::default() };
    store.append(batch, at(number * STEP)).unwrap();
    assert_eq!(store.maintain(at(number * STEP)), [""; 0]);
}

fn numbers(store: &Store, series: usize) -> Vec<i64> {
    let key = SeriesKey::new("lab", &format!("m{series}"));
    let page = store.page(&key, EVER).unwrap().unwrap();
    assert_eq!(page.next, None);
    let in_order = store.newer(&key, 0, usize::MAX).unwrap().unwrap().samples;
    assert!(in_order.iter().map(|(position, _)| *position).eq(0..in_order.len() as u64));
    assert!(in_order.into_iter().map(|(_, sample)| sample).eq(page.samples.iter().cloned()));
    page.samples.iter().map(|sample| sample.reading.number().unwrap() as i64).collect()
}

fn chunks(folder: &Path) -> usize {
    let file = rusqlite::Connection::open(folder.join("history.sqlite")).unwrap();
    file.query_row("SELECT count(*) FROM chunk", [], |row| row.get(0)).unwrap()
}

#[test]
fn the_small_chunks_of_a_slow_series_are_merged() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 0);
    let count = 1600;
    for number in 0..count {
        record(&store, 1, number);
    }
    assert!(numbers(&store, 0).into_iter().eq(0..count));
    let found = chunks(folder.path());
    assert!((4..30).contains(&found), "{found} chunks of {count} samples");
    // Each part of a curve has its samples: those of 160 minutes.
    let end = START + count * STEP * SECOND;
    let key = SeriesKey::new("lab", "m0");
    let rows = store.query(&key, Range { start: START, end }, 10).unwrap().unwrap();
    let bounds: Vec<_> = rows.iter().map(|row| (row.minimum, row.maximum)).collect();
    let part = |at: i64| (Some((at * 160) as f64), Some((at * 160 + 159) as f64));
    assert_eq!(bounds, (0..10).map(part).collect::<Vec<_>>());
    let middle = Range { start: START + 999 * STEP * SECOND, end: START + 1002 * STEP * SECOND };
    let rows = store.query(&key, middle, 10).unwrap().unwrap();
    let found: Vec<_> = rows.iter().filter_map(|row| row.mean).collect();
    assert_eq!(found, [999.0, 1000.0, 1001.0]);
}

#[test]
fn a_kill_in_the_middle_of_merges_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut known = 0;
    for round in 0..6 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_records_until_it_is_killed", "--ignored", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // The first merges come with the 96th sample of a run; the kill comes among them.
        let wanted = known + 94 + round;
        let recorded = lines.map_while(Result::ok).filter_map(|line| line.parse::<i64>().ok());
        let last = recorded.take_while(|number| *number < wanted).last();
        child.kill().unwrap();
        child.wait().unwrap();
        let store = open(folder.path(), known * STEP);
        let counts: Vec<i64> = (0..SERIES)
            .map(|series| {
                let found = numbers(&store, series);
                assert!(found.iter().copied().eq(0..found.len() as i64), "series {series}");
                found.len() as i64
            })
            .collect();
        assert!(counts.iter().all(|count| *count > last.unwrap_or(known)), "{counts:?}");
        known = counts[0];
    }
    assert!((chunks(folder.path()) as i64) < SERIES as i64 * known / 5, "some were merged");
}

/// Series of the process that is killed: their merges take some time.
const SERIES: usize = 60;

#[test]
#[ignore = "the process that another test kills"]
fn child_that_records_until_it_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let store = open(Path::new(&folder), 0);
    let first = numbers_recorded(&store);
    for number in first.. {
        record(&store, SERIES, number);
        println!("{number}");
    }
}

/// How many samples each series has.
fn numbers_recorded(store: &Store) -> i64 {
    let rows = store.series().unwrap();
    rows.first().map_or(0, |row| i64::try_from(row.count).unwrap())
}
