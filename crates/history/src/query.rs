//! Questions about the samples: a curve of some points, single samples, the list of series.

use std::collections::BTreeMap;

use crate::buckets::{Buckets, CurvePoint, exact_rows};
use crate::chunk::Summary;
use crate::sample::{Sample, SeriesKey};
use crate::store::{ChunkRow, ReadError, SeriesRow, StoreError, View};
use crate::unsealed::chunks;
use crate::writer::Store;

/// Points of one answer, at most.
pub const MAX_POINTS: usize = 100_000;
/// Samples of one page, at least; chunks are not divided.
const PAGE_SAMPLES: u64 = 100_000;

/// Times from `start` to before `end`, in microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first.
    pub start: i64,
    /// The first after them.
    pub end: i64,
}

/// Some of the samples of a range.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// The samples, in the order in which they came.
    pub samples: Vec<Sample>,
    /// Where the rest of the range begins, if there is one.
    pub next: Option<i64>,
}

/// The parts of one series in a range: sealed chunks, and samples in memory.
struct Parts {
    chunks: Vec<ChunkRow>,
    unsealed: Vec<Sample>,
}

impl Store {
    /// The curve of a series; `None` if there is no such series. Where the range has no more
    /// samples than `points`, each is a row.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn query(
        &self,
        key: &SeriesKey,
        Range { start, end }: Range,
        points: usize,
    ) -> Result<Option<Vec<CurvePoint>>, StoreError> {
        let points = points.clamp(1, MAX_POINTS);
        let hold = self.hold(key);
        let Some(unsealed) = self.unsealed_of(key) else { return Ok(None) };
        self.read(|view| {
            let Parts { chunks, unsealed } = parts(view, key, start, end, unsealed)?;
            let inside = |sample: &&Sample| (start..end).contains(&sample.time);
            let sealed: u64 = chunks.iter().map(|chunk| chunk.summary.count).sum();
            let all = sealed + unsealed.iter().filter(inside).count() as u64;
            if all <= points as u64 {
                let mut samples = Vec::new();
                for chunk in &chunks {
                    samples.extend(samples_of(view, chunk)?);
                }
                samples.extend(unsealed);
                samples.retain(|sample| inside(&sample));
                return Ok(exact_rows(&samples, end, hold));
            }
            let mut buckets = Buckets::new(start, end, points);
            for chunk in &chunks {
                if !buckets.add_summary(&chunk.summary) {
                    samples_of(view, chunk)?.iter().for_each(|sample| buckets.add(sample));
                }
            }
            unsealed.iter().for_each(|sample| buckets.add(sample));
            Ok(buckets.into_rows(hold))
        })
        .map(Some)
    }

    /// Samples of a series from the start of a range, page after page; `None` if there is no such
    /// series.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn page(
        &self,
        key: &SeriesKey,
        Range { start, end }: Range,
    ) -> Result<Option<Page>, StoreError> {
        let Some(unsealed) = self.unsealed_of(key) else { return Ok(None) };
        self.read(|view| {
            let Parts { chunks: sealed, unsealed } = parts(view, key, start, end, unsealed)?;
            let mut all: Vec<Summary> = sealed.iter().map(|chunk| chunk.summary).collect();
            all.extend(chunks(&unsealed).into_iter().map(Summary::of));
            let next = page_end(&mut all, start).filter(|next| *next < end);
            let range = start..next.unwrap_or(end);
            let mut samples = Vec::new();
            for chunk in sealed.iter().filter(|chunk| chunk.summary.first_time < range.end) {
                samples.extend(samples_of(view, chunk)?);
            }
            samples.extend(unsealed);
            samples.retain(|sample| range.contains(&sample.time));
            Ok(Page { samples, next })
        })
        .map(Some)
    }

    /// All series.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn series(&self) -> Result<Vec<SeriesRow>, StoreError> {
        self.series_of(None)
    }

    /// One series, if it exists.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn find(&self, key: &SeriesKey) -> Result<Option<SeriesRow>, StoreError> {
        Ok(self.series_of(Some(key))?.pop())
    }

    fn series_of(&self, key: Option<&SeriesKey>) -> Result<Vec<SeriesRow>, StoreError> {
        let found = self.read(|view| view.series(key))?;
        let name = |row: SeriesRow| (SeriesKey::new(&row.service, &row.member), row);
        let mut rows: BTreeMap<SeriesKey, SeriesRow> = found.into_iter().map(name).collect();
        self.with_unsealed(|series| {
            if key.is_some_and(|key| *key != series.key) {
                return;
            }
            let (first, last) = (series.samples.first(), series.samples.last());
            let (first, last) = (first.map(|first| first.time), last.map(|last| last.time));
            let row = rows.entry(series.key.clone()).or_insert_with(|| SeriesRow {
                service: series.key.service.to_string(),
                member: series.key.member.to_string(),
                ..SeriesRow::default()
            });
            row.unit.clone_from(&series.unit);
            row.daemon.clone_from(&series.daemon);
            row.first = row.first.or(first);
            row.last = last.or(row.last);
            // A chunk that is sealed just now may be counted twice.
            row.count += series.samples.len() as u64;
        });
        Ok(rows.into_values().collect())
    }

    /// The last notes of a range, in the order of their times.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn notes(&self, range: Range, limit: u32) -> Result<Vec<(i64, String)>, StoreError> {
        let newest = self.unsealed_notes();
        let mut notes = self.read(|view| view.notes(range.start, range.end, limit))?;
        let inside = |note: &(i64, String)| {
            (range.start..range.end).contains(&note.0) && !notes.contains(note)
        };
        let newest: Vec<_> = newest.into_iter().filter(inside).collect();
        notes.extend(newest);
        let surplus = notes.len().saturating_sub(limit as usize);
        Ok(notes.split_off(surplus))
    }
}

/// Where a page ends that begins at `start`: before the chunk that would make it too long.
fn page_end(chunks: &mut [Summary], start: i64) -> Option<i64> {
    chunks.sort_by_key(|chunk| chunk.first_time);
    let mut count = 0;
    for chunk in chunks {
        if count >= PAGE_SAMPLES && chunk.first_time > start {
            return Some(chunk.first_time);
        }
        count += chunk.count;
    }
    None
}

/// The parts of a series in a range. Samples that were in memory may be in a chunk by now.
fn parts(
    view: &View<'_>,
    key: &SeriesKey,
    start: i64,
    end: i64,
    (first_ordinal, mut unsealed): (u64, Vec<Sample>),
) -> Result<Parts, ReadError> {
    let Some((row, sealed)) = view.find_series(key)? else {
        return Ok(Parts { chunks: Vec::new(), unsealed });
    };
    if let Some(known) = sealed.checked_sub(first_ordinal) {
        let known = usize::try_from(known).unwrap_or(usize::MAX).min(unsealed.len());
        unsealed.drain(..known);
    }
    Ok(Parts { chunks: view.chunks(row, start, end)?, unsealed })
}

/// A chunk whose bytes are damaged is a gap.
fn samples_of(view: &View<'_>, chunk: &ChunkRow) -> Result<Vec<Sample>, ReadError> {
    let samples = view.samples(chunk.id)?;
    Ok(samples.unwrap_or_else(|| vec![Sample::gap(chunk.summary.first_time)]))
}
