//! Measurements of the store; run by hand, with nothing else on the machine:
//!
//! ```text
//! cargo test --release --package ferrolab-history --test measure -- --ignored --nocapture
//! ```

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use history::{Batch, Moment, Quality, Range, Reading, Rules, Sample, SeriesKey, Settings, Store};

const SECOND: i64 = 1_000_000;
const START: i64 = 1_780_000_000 * SECOND;
const WEEK: i64 = 7 * 86_400;

fn open(folder: &Path) -> Store {
    let rules = Rules { members: Vec::new(), keep: None, hold: Duration::from_secs(150) };
    let settings = Settings { folder: folder.to_owned(), size: 1 << 40, rules };
    Store::open(settings, at(0)).unwrap()
}

fn at(seconds: i64) -> Moment {
    let steady = Duration::from_secs(u64::try_from(seconds).unwrap());
    Moment { wall: START + seconds * SECOND, steady }
}

/// A noise of all digits, the same in each run; a poll is some hundred microseconds late.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn sample(&mut self, second: i64) -> Sample {
        let time = START + second * SECOND + (self.next() * 500.0) as i64;
        let reading = Reading::Float(20.0 + self.next() * 0.1);
        Sample { time, reading, quality: Quality::Good }
    }
}

fn batch(samples: Vec<(SeriesKey, Option<String>, Sample)>) -> Batch {
    Batch { daemon: "bench".to_owned(), epoch: "1".to_owned(), samples, ..Batch::default() }
}

fn bytes_in(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).unwrap().flatten();
    files.map(|file| file.metadata().unwrap().len()).sum()
}

#[test]
#[ignore = "a measurement of a minute"]
fn a_week_of_ten_million_samples() {
    const SAMPLES: i64 = 10_000_000;
    const QUERIES: usize = 300;
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let key = SeriesKey::new("lab", "voltage");
    let mut noise = Noise(1);
    let begun = Instant::now();
    for from in (0..SAMPLES).step_by(300) {
        let seconds = from..(from + 300).min(SAMPLES);
        let samples = seconds.map(|at| (key.clone(), None, noise.sample(at)));
        store.append(batch(samples.collect()), at(from)).unwrap();
        // Five minutes later each: as it is sealed with one sample a second.
        assert_eq!(store.maintain(at(from + 300)), [""; 0]);
    }
    println!("{SAMPLES} samples in {:.1} s", begun.elapsed().as_secs_f64());
    println!("{:.2} bytes a sample on disk", bytes_in(folder.path()) as f64 / SAMPLES as f64);
    let mut times: Vec<Duration> = (0..QUERIES)
        .map(|_| {
            let first = (noise.next() * (SAMPLES - WEEK) as f64) as i64;
            let range =
                Range { start: START + first * SECOND, end: START + (first + WEEK) * SECOND };
            let begun = Instant::now();
            let rows = store.query(&key, range, 1000).unwrap().unwrap();
            let took = begun.elapsed();
            assert!((999..=1001).contains(&rows.len()), "{}", rows.len());
            took
        })
        .collect();
    times.sort();
    let at = |share: f64| times[(QUERIES as f64 * share) as usize].as_secs_f64() * 1e3;
    println!("a week at 1,000 points: p50 {:.1} ms, p99 {:.1} ms", at(0.5), at(0.99));
    let whole = Range { start: START, end: START + SAMPLES * SECOND };
    let begun = Instant::now();
    store.query(&key, whole, 1000).unwrap();
    println!("all of it at 1,000 points: {:.1} ms", begun.elapsed().as_secs_f64() * 1e3);
}

#[test]
#[ignore = "a measurement of some seconds"]
fn a_thousand_series() {
    const SECONDS: i64 = 1200;
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let keys: Vec<_> = (0..1000).map(|at| SeriesKey::new("lab", &format!("m{at}"))).collect();
    let mut noise = Noise(2);
    let begun = Instant::now();
    for second in 0..SECONDS {
        let samples = keys.iter().map(|key| (key.clone(), None, noise.sample(second)));
        store.append(batch(samples.collect()), at(second)).unwrap();
        assert_eq!(store.maintain(at(second)), [""; 0]);
    }
    let each = begun.elapsed().as_secs_f64() / SECONDS as f64;
    println!("1,000 samples a second: {:.2} ms each second, disk included", each * 1e3);
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    println!("memory: {peak}");
    let sealed = SECONDS as f64 * 1000.0;
    println!("{:.2} bytes a sample, journal included", bytes_in(folder.path()) as f64 / sealed);
}
