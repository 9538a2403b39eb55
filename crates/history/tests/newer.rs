//! Samples of a series by their positions, which neither sealing nor a restart changes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
#![allow(clippy::panic, reason = "the same")]

use std::time::Duration;

use history::{Batch, Moment, Newer, Quality, Reading, Rules, Sample, SeriesKey, Settings, Store};

const SECOND: i64 = 1_000_000;
const START: i64 = 1_780_000_000 * SECOND;

fn at(seconds: i64) -> Moment {
    let steady = Duration::from_secs(seconds.unsigned_abs());
    Moment { wall: START + seconds * SECOND, steady }
}

fn open(folder: &std::path::Path, now: i64) -> Store {
    let rules = Rules { members: Vec::new(), keep: None, hold: Duration::from_secs(150) };
    let settings = Settings { folder: folder.to_owned(), size: 1 << 30, rules };
    Store::open(settings, at(now)).unwrap()
}

fn append(store: &Store, numbers: std::ops::Range<i64>) {
    let sample = |number: i64| Sample {
        // The clock goes back in the middle: positions do not.
        time: START + (if number > 1000 { number - 500 } else { number }) * SECOND,
        reading: Reading::Int(number),
        quality: Quality::Good,
    };
    let now = at(numbers.end);
    let samples = numbers.map(|number| (SeriesKey::new("lab", "t"), None, sample(number)));
    let (daemon, epoch) = ("bench".to_owned(), "1".to_owned());
    let batch = Batch { daemon, epoch, samples: samples.collect(), ..Batch::default() };
    store.append(batch, now).unwrap();
    store.maintain(now);
}

fn newer(store: &Store, from: u64, limit: usize) -> Newer {
    store.newer(&SeriesKey::new("lab", "t"), from, limit).unwrap().unwrap()
}

/// All samples from a position on, page after page.
fn all_from(store: &Store, mut from: u64) -> Vec<i64> {
    let mut all = Vec::new();
    loop {
        let page = newer(store, from, 100);
        if page.samples.is_empty() {
            assert_eq!(page.next, from);
            return all;
        }
        for (position, sample) in page.samples {
            let Reading::Int(number) = sample.reading else { panic!("{sample:?}") };
            assert_eq!(position, u64::try_from(number).unwrap());
            all.push(number);
        }
        from = page.next;
    }
}

#[test]
fn every_sample_comes_once_sealed_or_not_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 0);
    assert_eq!(store.newer(&SeriesKey::new("lab", "t"), 0, 10).unwrap(), None);
    for begin in (0..2000).step_by(250) {
        append(&store, begin..begin + 250);
    }
    assert_eq!(store.series_names().len(), 1);
    for from in [0, 1, 511, 512, 1500, 1999, 2000] {
        assert_eq!(all_from(&store, from), Vec::from_iter(i64::try_from(from).unwrap()..2000));
    }
    assert_eq!(newer(&store, u64::MAX, 0).next, 2000, "the end");
    drop(store);
    let store = open(folder.path(), 2001);
    append(&store, 2000..2010);
    assert_eq!(all_from(&store, 1990), Vec::from_iter(1990..2010));
}
