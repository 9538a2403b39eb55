//! Latencies of calls, and the report about them.

use std::time::Duration;

use serde_json::{Value as Json, json};

/// The latencies of calls, in the order of their ends.
#[derive(Debug, Default)]
pub(crate) struct Latencies {
    nanoseconds: Vec<u64>,
}

impl Latencies {
    pub(crate) fn add(&mut self, time: Duration) {
        self.nanoseconds.push(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(crate) fn clear(&mut self) {
        self.nanoseconds.clear();
    }

    /// The report of the calls that ended within `elapsed`.
    pub(crate) fn report(mut self, elapsed: Duration) -> Json {
        self.nanoseconds.sort_unstable();
        let calls = self.nanoseconds.len();
        let seconds = elapsed.as_secs_f64();
        json!({
            "calls": calls,
            "seconds": seconds,
            "per_second": calls as f64 / seconds,
            "p50_us": percentile(&self.nanoseconds, 50.0),
            "p99_us": percentile(&self.nanoseconds, 99.0),
            "max_us": percentile(&self.nanoseconds, 100.0),
        })
    }
}

/// The percentile by nearest rank, in microseconds.
fn percentile(sorted: &[u64], percent: f64) -> f64 {
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).map_or(0.0, |time| *time as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_by_nearest_rank() {
        let hundred: Vec<u64> = (1..=100).map(|i| i * 1000).collect();
        let cases: [(&[u64], f64, f64); 6] = [
            (&[], 50.0, 0.0),
            (&[7000], 99.0, 7.0),
            (&[1000, 2000], 50.0, 1.0),
            (&hundred, 50.0, 50.0),
            (&hundred, 99.0, 99.0),
            (&hundred, 100.0, 100.0),
        ];
        for (sorted, percent, expected) in cases {
            assert_eq!(percentile(sorted, percent), expected, "{percent} of {}", sorted.len());
        }
    }

    #[test]
    fn a_report_has_a_rate() {
        let mut latencies = Latencies::default();
        (0..50).for_each(|_| latencies.add(Duration::from_micros(10)));
        let report = latencies.report(Duration::from_millis(500));
        assert_eq!(report["per_second"], 100.0);
        assert_eq!(report["p50_us"], 10.0);
    }
}
