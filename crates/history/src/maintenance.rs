//! Maintenance of the store, each second: the journal is made durable, chunks are sealed, small
//! ones merged, old ones removed, and a damaged file is replaced.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tracing::{error, info};

use crate::chunk::{self, Summary};
use crate::disk;
use crate::journal::Journal;
use crate::sample::Moment;
use crate::store::{MIN_MERGED, SMALL_CHUNK, Seal, StoreError};
use crate::unsealed::{UnsealedSeries, chunks};
use crate::writer::{Store, Writer};

/// Bytes that a journal grows by before the next one is begun.
const JOURNAL_BYTES: u64 = 8 * 1024 * 1024;
/// The same for a small history: a part of its size, one sixteenth.
const JOURNAL_SHARE: u64 = 16;
/// Between two removals of old samples, and two looks at the room that all take.
const RETENTION_INTERVAL: Duration = Duration::from_secs(20);
/// Merges in one pass, at most: each takes some milliseconds.
const MERGES: usize = 20;
/// A merged chunk has samples of this part of the time for which they are kept: they are removed
/// together.
const MERGED_PART: u32 = 8;
/// Steps of a removal in one pass, at most; each removes some hundred chunks.
const REMOVALS: usize = 20;

impl Store {
    /// Does what is due: makes the journal durable, seals chunks, removes old ones. To be called
    /// each second. Returns what is wrong, a sentence each.
    pub fn maintain(&self, now: Moment) -> Vec<String> {
        let mut writer = self.writer();
        let folder = &self.settings.folder;
        let mut problems = Vec::new();
        if self.is_damaged.swap(false, Ordering::Relaxed) {
            self.replace_database(&mut writer, now, "a query found it so", &mut problems);
        } else if !writer.database.is_there() {
            self.replace_database(&mut writer, now, "it was deleted or replaced", &mut problems);
        }
        writer.is_full = disk::is_full(folder);
        if writer.is_full {
            problems.push(format!(
                "recording has stopped, because the disk of {} is full (No space left on device)",
                folder.display()
            ));
        }
        if let Err(error) = self.keep_journal(&mut writer) {
            problems.push(format!("cannot write the journal in {}: {error}", folder.display()));
        }
        if let Err(error) = self.seal(&mut writer, now) {
            self.report(&mut writer, now, error, &mut problems);
        }
        if let Err(error) = self.merge(&mut writer) {
            self.report(&mut writer, now, error, &mut problems);
        }
        let is_due = writer
            .retained
            .is_none_or(|last| now.steady.saturating_sub(last) >= RETENTION_INTERVAL);
        if is_due {
            writer.retained = Some(now.steady);
            if let Err(error) = self.retain(&mut writer, now) {
                self.report(&mut writer, now, error, &mut problems);
            }
        }
        problems.extend(writer.notices.iter().cloned());
        problems
    }

    fn report(
        &self,
        writer: &mut Writer,
        now: Moment,
        error: StoreError,
        problems: &mut Vec<String>,
    ) {
        match error.is_damage() {
            true => self.replace_database(writer, now, &error.to_string(), problems),
            false => problems.push(error.to_string()),
        }
    }

    fn replace_database(
        &self,
        writer: &mut Writer,
        now: Moment,
        reason: &str,
        problems: &mut Vec<String>,
    ) {
        let _pause = self.readers.pause();
        match writer.database.replace(now.wall / 1_000_000, reason) {
            Ok(told) => {
                error!("{told}");
                writer.notices.push(told);
                self.unsealed().series.iter_mut().for_each(|series| series.row = None);
                writer.small.clear();
            }
            Err(error) => problems.push(error.to_string()),
        }
    }

    /// Makes the journal durable; begins another one where it is long or lacking.
    fn keep_journal(&self, writer: &mut Writer) -> io::Result<()> {
        let folder = &self.settings.folder;
        let Some(journal) = &mut writer.journal else {
            return match writer.is_full {
                true => Ok(()),
                false => writer.begin_journal(folder, &self.unsealed()),
            };
        };
        journal.sync()?;
        let growth = JOURNAL_BYTES.min(self.settings.size / JOURNAL_SHARE);
        if journal.length() > writer.journal_base * 2 + growth && !writer.is_full {
            // The samples that the next journal lacks must be on the disk.
            if !writer.database.checkpoint().map_err(io::Error::other)? {
                return Ok(());
            }
            let unsealed = self.unsealed();
            writer.begin_journal(folder, &unsealed)?;
        }
        Ok(())
    }

    /// Puts the samples that are due into chunks.
    fn seal(&self, writer: &mut Writer, now: Moment) -> Result<(), StoreError> {
        // A copy, so that batches and queries do not wait for the disk.
        let due: Vec<(usize, UnsealedSeries, usize)> = {
            let unsealed = self.unsealed();
            let due = unsealed.series.iter().enumerate();
            due.map(|(position, series)| (position, series, series.due(now.steady)))
                .filter(|(_, _, count)| *count > 0)
                .map(|(position, series, count)| (position, series.clone(), count))
                .collect()
        };
        if due.is_empty() && writer.notes.is_empty() {
            return Ok(());
        }
        let mut seals = Vec::new();
        let mut positions = Vec::new();
        for (position, series, count) in &due {
            let mut sealed = series.first_ordinal;
            for samples in chunks(&series.samples[..*count]) {
                sealed += samples.len() as u64;
                seals.push(Seal {
                    key: &series.key,
                    unit: &series.unit,
                    daemon: &series.daemon,
                    sealed,
                    summary: Summary::of(samples),
                    data: chunk::encode(samples),
                });
                positions.push(*position);
            }
        }
        let rows = writer.database.add(&seals, &writer.notes)?;
        writer.notes.clear();
        let mut unsealed = self.unsealed();
        for ((position, row), seal) in positions.into_iter().zip(rows).zip(&seals) {
            unsealed.series[position].row = Some(row);
            if seal.summary.count < SMALL_CHUNK {
                *writer.small.entry(position).or_default() += 1;
            }
        }
        for (position, _, count) in &due {
            unsealed.series[*position].sealed(*count, now.steady);
        }
        Ok(())
    }

    /// Merges the small chunks of series that have had many.
    fn merge(&self, writer: &mut Writer) -> Result<(), StoreError> {
        // A merge needs room before it gives some back.
        if writer.is_full {
            return Ok(());
        }
        let due = writer.small.iter().filter(|(_, count)| **count >= MIN_MERGED);
        let due: Vec<usize> = due.map(|(position, _)| *position).take(MERGES).collect();
        for position in due {
            writer.small.remove(&position);
            let found = self.unsealed().series.get(position).map(|it| (it.row, it.key.clone()));
            let Some((Some(row), key)) = found else { continue };
            let keep = self.settings.rules.keep(&key).unwrap_or(Duration::MAX) / MERGED_PART;
            let span = i64::try_from(keep.as_micros()).unwrap_or(i64::MAX);
            writer.database.merge_small(row, span)?;
        }
        Ok(())
    }

    /// Removes what is older than it is kept, and the oldest of what is too much.
    fn retain(&self, writer: &mut Writer, now: Moment) -> Result<(), StoreError> {
        let time = writer.clock.time(now);
        let before = |keep: Duration| {
            time.saturating_sub(i64::try_from(keep.as_micros()).unwrap_or(i64::MAX))
        };
        let rows: Vec<(i64, i64)> = {
            let unsealed = self.unsealed();
            let rows = unsealed.series.iter().filter_map(|series| {
                Some((series.row?, before(self.settings.rules.keep(&series.key)?)))
            });
            rows.collect()
        };
        let mut removed = 0;
        for (row, before) in rows {
            for _ in 0..REMOVALS {
                match writer.database.expire(row, before)? {
                    0 => break,
                    count => removed += count,
                }
            }
        }
        if let Some(keep) = self.settings.rules.keep {
            writer.database.expire_notes(before(keep))?;
        }
        let journal = writer.journal.as_ref().map_or(0, Journal::length);
        let mut used = writer.database.size()?.0 + journal;
        for _ in 0..REMOVALS {
            if used <= self.settings.size {
                break;
            }
            let count = writer.database.remove_oldest(used - self.settings.size)?;
            if count == 0 {
                break;
            }
            removed += count;
            used = writer.database.size()?.0 + journal;
        }
        let (filled, whole) = writer.database.size()?;
        if whole > self.settings.size.max(filled) || whole > filled.saturating_mul(2) && removed > 0
        {
            writer.database.shrink()?;
        }
        if removed > 0 {
            info!(chunks = removed, "old samples were removed");
        }
        Ok(())
    }
}
