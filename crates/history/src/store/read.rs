//! Connections of queries, which read beside the writer.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock, RwLockWriteGuard};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Row, params};

use super::merge::MAX_MERGED_SPAN;
use super::{SeriesRow, StoreError};
use crate::chunk::{self, Summary};
use crate::sample::{Sample, SeriesKey};

/// Time to wait for a file that the writer holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(3);
/// Idle connections that are kept, at most.
const MAX_IDLE: usize = 4;

/// Error of a read.
pub(crate) type ReadError = rusqlite::Error;

/// A chunk as a query finds it.
#[derive(Clone, Debug)]
pub(crate) struct ChunkRow {
    pub(crate) id: i64,
    pub(crate) summary: Summary,
}

/// Pool of connections that only read.
pub(crate) struct Readers {
    file: PathBuf,
    idle: Mutex<Vec<Connection>>,
    /// Held by each query, and alone while the file is replaced.
    gate: RwLock<()>,
}

impl Readers {
    pub(crate) fn new(file: &Path) -> Self {
        Readers { file: file.to_path_buf(), idle: Mutex::default(), gate: RwLock::default() }
    }

    /// Waits for all queries and closes their connections, so that the file can be replaced while
    /// the guard is held. At the close of its last connection SQLite removes the log of the file
    /// that has the name then.
    pub(crate) fn pause(&self) -> RwLockWriteGuard<'_, ()> {
        let guard = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
        guard
    }

    /// Runs a query in a transaction, so that all of it sees the same state.
    pub(crate) fn with<T>(
        &self,
        query: impl FnOnce(&View<'_>) -> Result<T, ReadError>,
    ) -> Result<T, StoreError> {
        let failed = |source| StoreError::of("read", &self.file, source);
        let _guard = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => self.open().map_err(failed)?,
        };
        let found = connection.transaction().and_then(|transaction| query(&View(&transaction)));
        let found = found.map_err(failed)?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            idle.push(connection);
        }
        Ok(found)
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.file, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.execute_batch("PRAGMA query_only = ON; PRAGMA cache_size = -2048;")?;
        Ok(connection)
    }
}

/// The file in one state.
pub(crate) struct View<'a>(&'a Connection);

impl View<'_> {
    /// Row and number of sealed samples of a series, if the file has it.
    pub(crate) fn find_series(&self, key: &SeriesKey) -> Result<Option<(i64, u64)>, ReadError> {
        let sql = "SELECT id, sealed FROM series WHERE service = ? AND member = ?";
        let mut query = self.0.prepare_cached(sql)?;
        let names = [&*key.service, &*key.member];
        let mut rows = query.query_map(names, |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.next().transpose()
    }

    /// The chunks of a series that have samples in a range of times, in the order of their sealing.
    pub(crate) fn chunks(
        &self,
        series: i64,
        start: i64,
        end: i64,
    ) -> Result<Vec<ChunkRow>, ReadError> {
        let mut query = self.0.prepare_cached(
            "SELECT id, first_time, last_time, count, numbers, minimum, maximum, sum, first, last, \
             qualities FROM chunk WHERE series = ?1 AND last_time >= ?2 AND last_time <= ?3 \
             AND first_time < ?4",
        )?;
        let latest = end.saturating_add(MAX_MERGED_SPAN);
        let rows = query.query_map(params![series, start, latest, end], chunk_row)?;
        let mut found = rows.collect::<rusqlite::Result<Vec<_>>>()?;
        found.sort_by_key(|chunk| chunk.id);
        Ok(found)
    }

    /// The chunks of a series in the order of their sealing, each with its number of samples.
    pub(crate) fn chunk_counts(&self, series: i64) -> Result<Vec<(i64, u64)>, ReadError> {
        let sql = "SELECT id, count FROM chunk WHERE series = ? ORDER BY id";
        let mut query = self.0.prepare_cached(sql)?;
        let rows = query.query_map([series], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect()
    }

    /// The samples of a chunk; none where its bytes are damaged.
    pub(crate) fn samples(&self, id: i64) -> Result<Option<Vec<Sample>>, ReadError> {
        let mut query = self.0.prepare_cached("SELECT data FROM samples WHERE id = ?")?;
        let mut rows = query.query([id])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let data = row.get_ref(0)?.as_bytes()?;
        Ok(chunk::decode(data))
    }

    /// The series of a key, or all of them without one.
    pub(crate) fn series(&self, key: Option<&SeriesKey>) -> Result<Vec<SeriesRow>, ReadError> {
        let mut query = self.0.prepare_cached(
            "SELECT service, member, unit, daemon, \
             (SELECT first_time FROM chunk WHERE chunk.series = series.id \
              ORDER BY chunk.last_time LIMIT 1), \
             (SELECT max(chunk.last_time) FROM chunk WHERE chunk.series = series.id), count \
             FROM series WHERE ?1 IS NULL OR (service = ?1 AND member = ?2)",
        )?;
        let names = params![key.map(|key| &*key.service), key.map(|key| &*key.member)];
        let rows = query.query_map(names, |row| {
            Ok(SeriesRow {
                service: row.get(0)?,
                member: row.get(1)?,
                unit: row.get(2)?,
                daemon: row.get(3)?,
                first: row.get(4)?,
                last: row.get(5)?,
                count: row.get(6)?,
            })
        })?;
        rows.collect()
    }

    /// Notes of a range of times, the last `limit` of them in order.
    pub(crate) fn notes(
        &self,
        start: i64,
        end: i64,
        limit: u32,
    ) -> Result<Vec<(i64, String)>, ReadError> {
        let mut query = self.0.prepare_cached(
            "SELECT time, text FROM note WHERE time >= ? AND time < ? \
             ORDER BY time DESC, id DESC LIMIT ?",
        )?;
        let range = params![start, end, limit];
        let rows = query.query_map(range, |row| Ok((row.get(0)?, row.get(1)?)))?;
        let mut found = rows.collect::<rusqlite::Result<Vec<_>>>()?;
        found.reverse();
        Ok(found)
    }
}

fn chunk_row(row: &Row<'_>) -> Result<ChunkRow, ReadError> {
    // SQLite has NULL for NaN.
    let real = |column: usize| -> Result<f64, ReadError> {
        Ok(row.get::<_, Option<f64>>(column)?.unwrap_or(f64::NAN))
    };
    Ok(ChunkRow {
        id: row.get(0)?,
        summary: Summary {
            first_time: row.get(1)?,
            last_time: row.get(2)?,
            count: row.get(3)?,
            numbers: row.get(4)?,
            minimum: real(5)?,
            maximum: real(6)?,
            sum: real(7)?,
            first: real(8)?,
            last: real(9)?,
            qualities: row.get(10)?,
        },
    })
}
