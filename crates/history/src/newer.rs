//! Samples of a series in the order in which they came, from a position on: for readers that hand
//! all of them to somebody else.
//!
//! A position is the number of samples that the series has had before. No jump of the clock changes
//! it, and it is the same after a restart.

use crate::sample::{Sample, SeriesKey};
use crate::store::{ReadError, StoreError, View};
use crate::writer::Store;

/// Samples from a position on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Newer {
    /// The samples, each with its position. Those that were removed meanwhile are not among them.
    pub samples: Vec<(u64, Sample)>,
    /// The position after them; without any, the end of the series.
    pub next: u64,
}

impl Store {
    /// Samples of a series from a position on, about `limit` at most (chunks are not divided);
    /// `None` if there is no such series. A position after the end gives the end.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn newer(
        &self,
        key: &SeriesKey,
        from: u64,
        limit: usize,
    ) -> Result<Option<Newer>, StoreError> {
        let Some((first, unsealed)) = self.unsealed_of(key) else { return Ok(None) };
        let mut newer = Newer { samples: Vec::new(), next: from };
        if from < first {
            self.read(|view| sealed(view, key, limit, &mut newer))?;
        }
        let from = newer.next;
        for (position, sample) in (first..).zip(unsealed).filter(|(position, _)| *position >= from)
        {
            if newer.samples.len() >= limit {
                return Ok(Some(newer));
            }
            newer.samples.push((position, sample));
            newer.next = position + 1;
        }
        if newer.samples.is_empty() {
            newer.next = self.end_of(key).unwrap_or(first);
        }
        Ok(Some(newer))
    }

    /// Every series with its unit.
    pub fn series_names(&self) -> Vec<(SeriesKey, String)> {
        let mut names = Vec::new();
        self.with_unsealed(|series| names.push((series.key.clone(), series.unit.clone())));
        names
    }

    /// The number of samples that a series has had.
    fn end_of(&self, key: &SeriesKey) -> Option<u64> {
        self.unsealed_of(key).map(|(first, unsealed)| first + unsealed.len() as u64)
    }
}

/// Adds samples from chunks, from the position `newer.next` on.
fn sealed(
    view: &View<'_>,
    key: &SeriesKey,
    limit: usize,
    newer: &mut Newer,
) -> Result<(), ReadError> {
    let Some((row, sealed)) = view.find_series(key)? else { return Ok(()) };
    let chunks = view.chunk_counts(row)?;
    // Older ones were removed.
    let kept: u64 = chunks.iter().map(|(_, count)| count).sum();
    let mut position = sealed.saturating_sub(kept);
    for (id, count) in chunks {
        let begin = position;
        position += count;
        if position <= newer.next {
            continue;
        }
        if newer.samples.len() >= limit {
            return Ok(());
        }
        // A chunk whose bytes are damaged has no samples.
        let samples = view.samples(id)?.unwrap_or_default();
        let all = (begin..).zip(samples);
        newer.samples.extend(all.filter(|(position, _)| *position >= newer.next));
        newer.next = position;
    }
    Ok(())
}
