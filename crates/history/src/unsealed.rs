//! Samples in memory that are in no chunk yet, by series.

use std::collections::HashMap;
use std::time::Duration;

use crate::chunk::MAX_SAMPLES;
use crate::sample::{Sample, SeriesKey};

/// A series is sealed when its oldest sample has been in memory for so long.
const MAX_AGE: Duration = Duration::from_secs(300);
/// Time from the first to the last sample of a chunk that is sealed, at most, in microseconds.
const MAX_SPAN: i64 = 600 * 1_000_000;

/// A series and its newest samples.
#[derive(Clone, Debug)]
pub(crate) struct UnsealedSeries {
    pub(crate) key: SeriesKey,
    pub(crate) unit: String,
    /// The daemon that polls it.
    pub(crate) daemon: String,
    /// Its row in the database, once it has one.
    pub(crate) row: Option<i64>,
    /// Samples that are in no chunk yet.
    pub(crate) samples: Vec<Sample>,
    /// How many samples were before these.
    pub(crate) first_ordinal: u64,
    /// When the oldest of these was added.
    pub(crate) oldest: Duration,
    /// The last sample's time, and whether it begins a gap.
    pub(crate) last: Option<(i64, bool)>,
}

impl UnsealedSeries {
    pub(crate) fn next_ordinal(&self) -> u64 {
        self.first_ordinal + self.samples.len() as u64
    }

    pub(crate) fn push(&mut self, sample: Sample, now: Duration) {
        if self.samples.is_empty() {
            self.oldest = now;
        }
        self.last = Some((sample.time, sample == Sample::gap(sample.time)));
        self.samples.push(sample);
    }

    /// How many of the samples are to be sealed now.
    pub(crate) fn due(&self, now: Duration) -> usize {
        let count = self.samples.len();
        if count > 0 && now.saturating_sub(self.oldest) >= MAX_AGE {
            return count;
        }
        count / MAX_SAMPLES * MAX_SAMPLES
    }

    /// Removes the first samples, which are in a chunk now.
    pub(crate) fn sealed(&mut self, count: usize, now: Duration) {
        self.samples.drain(..count.min(self.samples.len()));
        self.samples.shrink_to(MAX_SAMPLES);
        self.first_ordinal += count as u64;
        self.oldest = now;
    }
}

/// All series.
#[derive(Debug, Default)]
pub(crate) struct Unsealed {
    pub(crate) series: Vec<UnsealedSeries>,
    positions: HashMap<SeriesKey, usize>,
}

impl Unsealed {
    pub(crate) fn position(&self, key: &SeriesKey) -> Option<usize> {
        self.positions.get(key).copied()
    }

    pub(crate) fn get(&self, key: &SeriesKey) -> Option<&UnsealedSeries> {
        self.series.get(self.position(key)?)
    }

    /// The position of a series, which is added where it is new.
    pub(crate) fn position_of(&mut self, key: &SeriesKey) -> (usize, bool) {
        if let Some(position) = self.position(key) {
            return (position, false);
        }
        self.series.push(UnsealedSeries {
            key: key.clone(),
            unit: String::new(),
            daemon: String::new(),
            row: None,
            samples: Vec::new(),
            first_ordinal: 0,
            oldest: Duration::ZERO,
            last: None,
        });
        self.positions.insert(key.clone(), self.series.len() - 1);
        (self.series.len() - 1, true)
    }

    /// Samples in memory.
    pub(crate) fn count(&self) -> usize {
        self.series.iter().map(|series| series.samples.len()).sum()
    }
}

/// Splits samples into chunks: within one, time does not go back, and not far ahead.
pub(crate) fn chunks(samples: &[Sample]) -> Vec<&[Sample]> {
    let mut chunks = Vec::new();
    let mut begin = 0;
    for index in 1..samples.len() {
        let step_back = samples[index].time < samples[index - 1].time;
        let span = samples[index].time.saturating_sub(samples[begin].time);
        if step_back || span > MAX_SPAN || index - begin >= MAX_SAMPLES {
            chunks.push(&samples[begin..index]);
            begin = index;
        }
    }
    if begin < samples.len() {
        chunks.push(&samples[begin..]);
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_ends_where_the_clock_jumps() {
        let samples = |times: &[i64]| -> Vec<Sample> {
            times.iter().map(|time| Sample::gap(time * 1_000_000)).collect()
        };
        for (times, lengths) in [
            (vec![], vec![]),
            (vec![1, 2, 2, 3], vec![4]),
            (vec![5, 6, 1, 2], vec![2, 2]),
            (vec![5, 6, 9000, 9001], vec![2, 2]),
            ((0..600).map(|at| at / 10).collect(), vec![512, 88]),
        ] {
            let samples = samples(&times);
            let found: Vec<usize> = chunks(&samples).into_iter().map(<[Sample]>::len).collect();
            assert_eq!(found, lengths);
        }
    }

    #[test]
    fn a_series_is_sealed_when_it_is_long_or_old() {
        let mut unsealed = Unsealed::default();
        let (position, is_new) = unsealed.position_of(&SeriesKey::new("a", "b"));
        assert!(is_new && !unsealed.position_of(&SeriesKey::new("a", "b")).1);
        let series = &mut unsealed.series[position];
        let at = Duration::from_secs;
        (0..600).for_each(|time| series.push(Sample::gap(time), at(7)));
        assert_eq!((series.due(at(8)), series.due(at(306)), series.due(at(307))), (512, 512, 600));
        series.sealed(512, at(8));
        assert_eq!((series.first_ordinal, series.next_ordinal()), (512, 600));
        assert_eq!((series.due(at(307)), series.due(at(308))), (0, 88));
    }
}
