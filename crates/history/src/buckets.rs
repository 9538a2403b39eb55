//! Buckets: a range of times in equal parts, each with minimum, maximum and mean of its samples.
//!
//! Between two rows a line may be drawn: where nothing is known, a row without a value says so.

use crate::chunk::Summary;
use crate::sample::{Quality, Reading, Sample};

/// Time that is farther from 1970 than any sample, in microseconds; spans of twice as much can be
/// computed with.
const FARTHEST: i64 = 1 << 60;

/// Point of a curve: the samples of a bucket, or one sample where there are few; without a value,
/// the beginning of a gap.
#[derive(Clone, Debug, PartialEq)]
pub struct CurvePoint {
    /// Microseconds since 1970: of the sample, or of the beginning of the bucket.
    pub time: i64,
    /// The least number; `None` in a gap, and for texts.
    pub minimum: Option<f64>,
    /// The greatest number.
    pub maximum: Option<f64>,
    /// The mean of the numbers.
    pub mean: Option<f64>,
    /// The last value.
    pub last: Reading,
    /// The worst quality of the samples.
    pub quality: Quality,
}

impl CurvePoint {
    pub(crate) fn gap(time: i64, quality: Quality) -> Self {
        let (minimum, maximum, mean) = (None, None, None);
        CurvePoint { time, minimum, maximum, mean, last: Reading::Nothing, quality }
    }

    pub(crate) fn of(sample: &Sample) -> Self {
        let number = sample.reading.number();
        let (minimum, maximum, mean) = (number, number, number);
        let Sample { time, reading, quality } = sample.clone();
        CurvePoint { time, minimum, maximum, mean, last: reading, quality }
    }
}

/// The samples of one bucket.
#[derive(Clone, Debug, Default)]
struct Bucket {
    numbers: u64,
    minimum: f64,
    maximum: f64,
    sum: f64,
    last: Reading,
    last_time: i64,
    last_quality: Quality,
    worst: Quality,
}

/// The buckets of a range.
pub(crate) struct Buckets {
    start: i64,
    end: i64,
    /// Microseconds of one bucket.
    width: i64,
    buckets: Vec<Option<Bucket>>,
}

impl Buckets {
    /// `count` buckets at most, for the times from `start` to before `end`.
    pub(crate) fn new(start: i64, end: i64, count: usize) -> Self {
        let (start, end) = (start.clamp(-FARTHEST, FARTHEST), end.clamp(-FARTHEST, FARTHEST));
        let span = (end - start).max(1);
        let count = i64::try_from(count).unwrap_or(i64::MAX).clamp(1, span);
        let width = span / count + i64::from(span % count != 0);
        let needed = usize::try_from((span + width - 1) / width).unwrap_or(1);
        Buckets { start, end, width, buckets: vec![None; needed] }
    }

    fn position(&self, time: i64) -> Option<usize> {
        if !(self.start..self.end).contains(&time) {
            return None;
        }
        usize::try_from((time - self.start) / self.width).ok()
    }

    fn bucket(&mut self, time: i64) -> Option<&mut Bucket> {
        let position = self.position(time)?;
        Some(self.buckets.get_mut(position)?.get_or_insert_default())
    }

    pub(crate) fn add(&mut self, sample: &Sample) {
        let Some(bucket) = self.bucket(sample.time) else { return };
        if let Some(number) = sample.reading.number() {
            bucket.add_numbers(1, number, number, number);
        }
        if sample.reading != Reading::Nothing {
            bucket.last = sample.reading.clone();
        }
        bucket.worst = bucket.worst.max(sample.quality);
        (bucket.last_time, bucket.last_quality) = (sample.time, sample.quality);
    }

    /// Adds a whole chunk, where its summary is enough; false where its samples are needed.
    pub(crate) fn add_summary(&mut self, summary: &Summary) -> bool {
        let position = self.position(summary.first_time);
        if !summary.says_all() || position.is_none() || position != self.position(summary.last_time)
        {
            return false;
        }
        let Some(bucket) = self.bucket(summary.first_time) else { return false };
        bucket.add_numbers(summary.numbers, summary.minimum, summary.maximum, summary.sum);
        bucket.last = Reading::Float(summary.last);
        (bucket.last_time, bucket.last_quality) = (summary.last_time, Quality::Good);
        true
    }

    /// Rows of the buckets that have samples, and of gaps: where a gap begins, or where two samples
    /// are more than `hold` apart.
    pub(crate) fn into_rows(self, hold: i64) -> Vec<CurvePoint> {
        let mut rows: Vec<CurvePoint> = Vec::new();
        let mut last: Option<(usize, Bucket)> = None;
        let time = |position: usize| {
            let offset = i64::try_from(position).unwrap_or(i64::MAX).saturating_mul(self.width);
            self.start.saturating_add(offset)
        };
        let gap_after = |last: &Option<(usize, Bucket)>, position: usize, next_time: i64| {
            let (before, bucket) = last.as_ref()?;
            let is_apart = next_time.saturating_sub(bucket.last_time) > hold;
            let was_gap = bucket.last_quality != Quality::Good;
            let is_shown = bucket.last == Reading::Nothing;
            if before + 1 >= position || is_shown || !(was_gap || is_apart) {
                return None;
            }
            let quality = if was_gap { bucket.last_quality } else { Quality::NoData };
            Some(CurvePoint::gap(time(before + 1), quality))
        };
        for (position, bucket) in self.buckets.into_iter().enumerate() {
            let Some(bucket) = bucket else { continue };
            rows.extend(gap_after(&last, position, time(position)));
            rows.push(bucket.row(time(position)));
            last = Some((position, bucket));
        }
        let end = usize::try_from((self.end - self.start) / self.width).unwrap_or(usize::MAX);
        rows.extend(gap_after(&last, end, self.end));
        rows
    }
}

impl Bucket {
    fn add_numbers(&mut self, count: u64, minimum: f64, maximum: f64, sum: f64) {
        if self.numbers == 0 {
            (self.minimum, self.maximum) = (minimum, maximum);
        }
        self.numbers += count;
        self.minimum = self.minimum.min(minimum);
        self.maximum = self.maximum.max(maximum);
        self.sum += sum;
    }

    fn row(&self, time: i64) -> CurvePoint {
        let has_numbers = self.numbers > 0;
        CurvePoint {
            time,
            minimum: has_numbers.then_some(self.minimum),
            maximum: has_numbers.then_some(self.maximum),
            mean: has_numbers.then(|| self.sum / self.numbers as f64),
            last: self.last.clone(),
            quality: self.worst,
        }
    }
}

/// Rows of single samples, and of gaps where two are more than `hold` apart.
pub(crate) fn exact_rows(samples: &[Sample], end: i64, hold: i64) -> Vec<CurvePoint> {
    let mut rows = Vec::with_capacity(samples.len());
    for (index, sample) in samples.iter().enumerate() {
        rows.push(CurvePoint::of(sample));
        let next = samples.get(index + 1).map_or(end, |next| next.time);
        let is_apart = next.saturating_sub(sample.time) > hold;
        if is_apart && sample.reading != Reading::Nothing {
            rows.push(CurvePoint::gap(sample.time.saturating_add(hold), Quality::NoData));
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good(time: i64, number: f64) -> Sample {
        Sample { time, reading: Reading::Float(number), quality: Quality::Good }
    }

    fn shown(rows: &[CurvePoint]) -> Vec<String> {
        let one = |row: &CurvePoint| match row.mean {
            Some(mean) => format!(
                "{}: {}..{} ~{mean}{}",
                row.time,
                row.minimum.unwrap_or_default(),
                row.maximum.unwrap_or_default(),
                if row.quality == Quality::Good { "" } else { " !" }
            ),
            None => format!("{}: {}", row.time, row.quality.word()),
        };
        rows.iter().map(one).collect()
    }

    #[test]
    fn buckets_have_the_samples_of_their_times_and_gaps_are_rows() {
        let mut buckets = Buckets::new(0, 100, 10);
        for sample in [good(-1, 9.0), good(0, 1.0), good(9, 3.0), good(10, 5.0), good(100, 9.0)] {
            buckets.add(&sample);
        }
        // The value holds from bucket 1 to bucket 4; then a gap begins.
        buckets.add(&good(41, 5.0));
        buckets.add(&Sample::gap(42));
        buckets.add(&good(75, 7.0));
        assert_eq!(
            shown(&buckets.into_rows(35)),
            ["0: 1..3 ~2", "10: 5..5 ~5", "40: 5..5 ~5 !", "50: no data", "70: 7..7 ~7"]
        );
    }

    #[test]
    fn samples_far_apart_have_a_gap_between_them() {
        let mut buckets = Buckets::new(0, 100, 10);
        [good(0, 1.0), good(45, 2.0)].iter().for_each(|sample| buckets.add(sample));
        let expected = ["0: 1..1 ~1", "10: no data", "40: 2..2 ~2", "50: no data"];
        assert_eq!(shown(&buckets.into_rows(35)), expected);
        let exact = exact_rows(&[good(0, 1.0), good(45, 2.0)], 60, 35);
        assert_eq!(shown(&exact), ["0: 1..1 ~1", "35: no data", "45: 2..2 ~2"]);
    }

    #[test]
    fn a_summary_counts_as_its_samples() {
        let samples = [good(12, 1.0), good(15, 4.0), good(18, 1.0)];
        let summary = Summary::of(&samples);
        let (mut whole, mut single) = (Buckets::new(0, 30, 3), Buckets::new(0, 30, 3));
        assert!(whole.add_summary(&summary));
        samples.iter().for_each(|sample| single.add(sample));
        assert_eq!(whole.into_rows(100), single.into_rows(100));
        assert!(!Buckets::new(0, 30, 5).add_summary(&summary), "it is in two buckets");
        assert!(!Buckets::new(14, 30, 1).add_summary(&summary), "part of it is before the range");
    }

    #[test]
    fn any_range_and_count_make_buckets() {
        for (start, end, count) in
            [(0, 0, 5), (5, 1, 5), (0, 3, 10), (0, 100, 0), (i64::MIN, i64::MAX, 7)]
        {
            let mut buckets = Buckets::new(start, end, count);
            buckets.add(&good(start, 1.0));
            assert!(buckets.into_rows(1).len() <= count.max(1) + 2, "{start} {end} {count}");
        }
    }
}
