//! Merging of small chunks: consecutive ones of a series become one.
//!
//! A slow series is sealed every few minutes with a handful of samples, and a chunk costs more than
//! these. A merge is one transaction: after an interruption either the small chunks or the merged
//! one are there. The merged chunk has the row of its last one, so that the order of sealing stays.

use rusqlite::{Connection, Result, TransactionBehavior, params};

use super::StoreError;
use super::database::{Database, put_chunk};
use crate::chunk::{self, MAX_SAMPLES, Summary};

/// A chunk with fewer samples is small.
pub(crate) const SMALL_CHUNK: u64 = MAX_SAMPLES as u64 / 2;
/// Chunks at least that one merge makes one of.
pub(crate) const MIN_MERGED: usize = 16;
/// Time from the first to the last sample of a merged chunk, at most, in microseconds: a day. A
/// query looks for chunks by their last sample.
pub(crate) const MAX_MERGED_SPAN: i64 = 86_400 * 1_000_000;
/// The latest chunks of a series, which are looked at; more come together between two merges only
/// where no process has merged for hours.
const LOOKED_AT: usize = 256;

struct SmallChunk {
    id: i64,
    count: u64,
    first_time: i64,
    last_time: i64,
}

impl Database {
    /// Merges small ones among the latest chunks of a series into one with samples of `span`
    /// microseconds at most; how many it has merged.
    pub(crate) fn merge_small(
        &mut self,
        series: i64,
        span: i64,
    ) -> std::result::Result<usize, StoreError> {
        let span = span.min(MAX_MERGED_SPAN);
        self.write(|connection| merge(connection, series, span))
    }
}

fn merge(connection: &mut Connection, series: i64, span: i64) -> Result<usize> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let small = latest_small(&transaction, series)?;
    for group in groups(&small, span) {
        let Some((chunk, id)) = merged(&transaction, series, group)? else { continue };
        for SmallChunk { id, last_time, .. } in group {
            transaction.prepare_cached("DELETE FROM samples WHERE id = ?")?.execute([id])?;
            transaction
                .prepare_cached("DELETE FROM chunk WHERE series = ? AND last_time = ? AND id = ?")?
                .execute(params![series, last_time, id])?;
        }
        let (summary, data) = chunk;
        transaction
            .prepare_cached(
                "INSERT INTO samples (id, series, last_time, data) VALUES (?, ?, ?, ?)",
            )?
            .execute(params![id, series, summary.last_time, data])?;
        put_chunk(&transaction, series, id, &summary)?;
        transaction.commit()?;
        return Ok(group.len());
    }
    Ok(0)
}

/// The small ones at the end of a series, in the order of their sealing.
fn latest_small(connection: &Connection, series: i64) -> Result<Vec<SmallChunk>> {
    let mut query = connection.prepare_cached(
        "SELECT id, count, first_time, last_time FROM chunk WHERE series = ? \
         ORDER BY last_time DESC LIMIT ?",
    )?;
    let rows = query.query_map(params![series, LOOKED_AT as i64], |row| {
        let (id, count) = (row.get(0)?, row.get(1)?);
        Ok(SmallChunk { id, count, first_time: row.get(2)?, last_time: row.get(3)? })
    })?;
    let mut found = rows.collect::<Result<Vec<_>>>()?;
    found.sort_by_key(|chunk| chunk.id);
    let begin = found.iter().rposition(|chunk| chunk.count >= SMALL_CHUNK).map_or(0, |it| it + 1);
    Ok(found.split_off(begin))
}

/// Consecutive chunks that make one: in order of time, and not too much.
fn groups(chunks: &[SmallChunk], span: i64) -> Vec<&[SmallChunk]> {
    let mut groups = Vec::new();
    let (mut begin, mut samples) = (0, 0);
    for (index, chunk) in chunks.iter().enumerate() {
        let last = index.checked_sub(1).and_then(|before| chunks.get(before));
        let steps_back = last.is_some_and(|last| chunk.first_time < last.last_time);
        let first = chunks.get(begin).map_or(chunk.first_time, |first| first.first_time);
        let is_long = chunk.last_time.saturating_sub(first) > span;
        if steps_back || is_long || samples + chunk.count > MAX_SAMPLES as u64 {
            groups.extend(chunks.get(begin..index));
            (begin, samples) = (index, 0);
        }
        samples += chunk.count;
    }
    groups.extend(chunks.get(begin..));
    groups.retain(|group| group.len() >= MIN_MERGED);
    groups
}

/// The chunk that a group makes, and its row; `None` where a chunk is between them (a clock has
/// jumped) or the bytes of one are damaged.
fn merged(
    connection: &Connection,
    series: i64,
    group: &[SmallChunk],
) -> Result<Option<((Summary, Vec<u8>), i64)>> {
    let [first, .., last] = group else { return Ok(None) };
    let between: u64 = connection
        .prepare_cached("SELECT count(*) FROM chunk WHERE series = ? AND id >= ? AND id <= ?")?
        .query_row(params![series, first.id, last.id], |row| row.get(0))?;
    if between != group.len() as u64 {
        return Ok(None);
    }
    let mut data = connection.prepare_cached("SELECT data FROM samples WHERE id = ?")?;
    let mut samples = Vec::with_capacity(MAX_SAMPLES);
    for chunk in group {
        let mut rows = data.query([chunk.id])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let Some(decoded) = chunk::decode(row.get_ref(0)?.as_bytes()?) else { return Ok(None) };
        samples.extend(decoded);
    }
    Ok(Some(((Summary::of(&samples), chunk::encode(&samples)), last.id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_in_order_of_time_and_not_too_long() {
        let row = |id: i64, time: i64, count: u64| SmallChunk {
            id,
            count,
            first_time: time,
            last_time: time + 4,
        };
        let lengths = |chunks: &[SmallChunk], span| {
            groups(chunks, span).iter().map(|group| group.len()).collect::<Vec<_>>()
        };
        let even: Vec<_> = (0..60).map(|at| row(at, at * 5, 5)).collect();
        assert_eq!(lengths(&even, 1000), [60]);
        assert_eq!(lengths(&even, 100), [20, 20, 20]);
        assert_eq!(lengths(&even[..15], 1000), [0; 0]);
        let many: Vec<_> = (0..60).map(|at| row(at, at * 5, 20)).collect();
        assert_eq!(lengths(&many, 1000), [25, 25]);
        let back: Vec<_> = (0..40).map(|at| row(at, at % 20 * 5, 5)).collect();
        assert_eq!(lengths(&back, 1000), [20, 20]);
    }
}
