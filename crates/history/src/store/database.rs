//! The writer's connection: opening, setting a damaged file aside, adding and removing chunks.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior, params};

use super::{StoreError, schema};
use crate::chunk::Summary;
use crate::sample::SeriesKey;

/// Time to wait for a reader that holds the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(3);
/// Bytes of a page: chunks of three to five kilobytes leave little of it empty.
const PAGE_BYTES: u32 = 32 * 1024;
/// Pages of the write-ahead log after which it is copied into the file.
const LOG_PAGES: u32 = 128;
/// Damaged files that are kept, at most.
const MAX_ASIDE: usize = 3;
/// Free pages that are given back to the disk at once, at most: 64 MB.
const MAX_FREED: u32 = 2048;
/// Chunks that are removed in one transaction, at most.
const MAX_REMOVED: u32 = 500;
/// Bytes that most chunks do not exceed.
const LONG_CHUNK: u64 = 4 * 1024;
/// Suffixes of all files of one database.
const FILES: [&str; 3] = ["", "-wal", "-shm"];

/// A chunk to be added.
pub(crate) struct Seal<'a> {
    pub(crate) key: &'a SeriesKey,
    pub(crate) unit: &'a str,
    pub(crate) daemon: &'a str,
    /// How many samples of the series have been sealed with it.
    pub(crate) sealed: u64,
    pub(crate) summary: Summary,
    pub(crate) data: Vec<u8>,
}

/// A series as it is in the file.
pub(crate) struct StoredSeries {
    pub(crate) id: i64,
    pub(crate) key: SeriesKey,
    pub(crate) unit: String,
    pub(crate) daemon: String,
    pub(crate) sealed: u64,
    pub(crate) last_time: Option<i64>,
}

/// The open file.
pub(crate) struct Database {
    connection: Connection,
    file: PathBuf,
    /// Device and inode, which stay when the name changes.
    identity: Option<(u64, u64)>,
    /// The sentence about a file that was set aside, while no new one can be begun.
    aside: Option<String>,
}

impl Database {
    /// Opens the file; a damaged one is set aside, with a sentence about that, and a new one begun.
    pub(crate) fn open_or_replace(
        file: &Path,
        stamp: i64,
    ) -> Result<(Database, Vec<StoredSeries>, Option<String>), StoreError> {
        let open = || {
            let database = Database::open(file)?;
            let series = database.series()?;
            Ok((database, series))
        };
        match open() {
            Ok((database, series)) => Ok((database, series, None)),
            Err(StoreError::Damaged { reason, .. }) => {
                let told = set_aside(file, stamp, &reason)?;
                let (database, series) = open()?;
                Ok((database, series, Some(told)))
            }
            Err(error) => Err(error),
        }
    }

    fn open(file: &Path) -> Result<Database, StoreError> {
        let failed = |source| StoreError::of("open", file, source);
        let mut connection = Connection::open(file).map_err(failed)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
        // NORMAL: what a power cut takes from the log is still in the journal.
        let settings = format!(
            "PRAGMA page_size = {PAGE_BYTES}; PRAGMA auto_vacuum = INCREMENTAL; \
             PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; \
             PRAGMA wal_autocheckpoint = {LOG_PAGES}; PRAGMA cache_size = -4096;"
        );
        connection.execute_batch(&settings).map_err(failed)?;
        let found = schema::run(&mut connection).map_err(failed)?;
        if found > schema::LATEST {
            return Err(StoreError::Newer { file: file.to_path_buf(), found });
        }
        for suffix in FILES {
            // The other files take their mode from the first one.
            let _ = fs::set_permissions(beside(file, suffix), fs::Permissions::from_mode(0o600));
        }
        let (file, identity) = (file.to_path_buf(), identity(file));
        Ok(Database { connection, file, identity, aside: None })
    }

    /// Whether the name still leads to the open file.
    pub(crate) fn is_there(&self) -> bool {
        self.aside.is_none() && identity(&self.file) == self.identity
    }

    /// Sets the file aside and opens a new one; a sentence about that. Where a full disk has no
    /// room for the new one, the next attempt sets nothing aside: few asides are kept, and empty
    /// ones would replace the real one.
    pub(crate) fn replace(&mut self, stamp: i64, reason: &str) -> Result<String, StoreError> {
        let told = match self.aside.take() {
            Some(told) => told,
            None => {
                // Closed first: at its close SQLite removes the log of the file that has the name
                // then.
                self.connection = Connection::open_in_memory().map_err(self.error("close"))?;
                set_aside(&self.file, stamp, reason)?
            }
        };
        match Database::open(&self.file) {
            Ok(opened) => {
                *self = opened;
                Ok(told)
            }
            Err(error) => {
                self.aside = (!error.is_damage()).then_some(told);
                Err(error)
            }
        }
    }

    fn error(&self, operation: &'static str) -> impl FnOnce(rusqlite::Error) -> StoreError {
        move |source| StoreError::of(operation, &self.file, source)
    }

    fn series(&self) -> Result<Vec<StoredSeries>, StoreError> {
        let read = || {
            let sql = "SELECT id, service, member, unit, daemon, sealed, last_time FROM series";
            let mut query = self.connection.prepare(sql)?;
            let rows = query.query_map([], |row| {
                let (service, member): (String, String) = (row.get(1)?, row.get(2)?);
                Ok(StoredSeries {
                    id: row.get(0)?,
                    key: SeriesKey::new(&service, &member),
                    unit: row.get(3)?,
                    daemon: row.get(4)?,
                    sealed: row.get(5)?,
                    last_time: row.get(6)?,
                })
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(self.error("read"))
    }

    /// Adds chunks and notes, all or none of them. Returns the rows of their series.
    pub(crate) fn add(
        &mut self,
        seals: &[Seal<'_>],
        notes: &[(i64, String)],
    ) -> Result<Vec<i64>, StoreError> {
        self.write(|connection| add(connection, seals, notes))
    }

    /// Runs statements that write.
    pub(super) fn write<T>(
        &mut self,
        statements: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        statements(&mut self.connection)
            .map_err(|source| StoreError::of("write", &self.file, source))
    }

    /// Removes chunks of a series that end before a time.
    pub(crate) fn expire(&mut self, series: i64, before: i64) -> Result<usize, StoreError> {
        let remove = |connection: &mut Connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let old = "SELECT id FROM chunk WHERE series = ?1 AND last_time < ?2 \
                       ORDER BY last_time LIMIT ?3";
            let ids: Vec<i64> = transaction
                .prepare_cached(old)?
                .query_map(params![series, before, MAX_REMOVED], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            for id in &ids {
                remove_chunk(&transaction, *id)?;
            }
            transaction.commit()?;
            Ok(ids.len())
        };
        self.write(remove)
    }

    /// Removes notes from before a time.
    pub(crate) fn expire_notes(&mut self, before: i64) -> Result<(), StoreError> {
        let removed = self.connection.execute("DELETE FROM note WHERE time < ?", [before]);
        removed.map(drop).map_err(self.error("write"))
    }

    /// Removes some of the oldest chunks, about so many bytes of them; how many chunks.
    pub(crate) fn remove_oldest(&mut self, bytes: u64) -> Result<usize, StoreError> {
        let count = (bytes / LONG_CHUNK + 1).min(MAX_REMOVED.into());
        let remove = |connection: &mut Connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let ids: Vec<i64> = transaction
                .prepare_cached("SELECT id FROM samples ORDER BY id LIMIT ?")?
                .query_map([count], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            for id in &ids {
                remove_chunk(&transaction, *id)?;
            }
            transaction.commit()?;
            Ok(ids.len())
        };
        self.write(remove)
    }

    /// Bytes that hold something, and bytes of the whole file.
    pub(crate) fn size(&self) -> Result<(u64, u64), StoreError> {
        let pragma = |name: &str| -> Result<u64, StoreError> {
            let value = self.connection.pragma_query_value(None, name, |row| row.get(0));
            value.map_err(self.error("read"))
        };
        let (pages, free) = (pragma("page_count")?, pragma("freelist_count")?);
        let bytes = pragma("page_size")?;
        Ok((pages.saturating_sub(free) * bytes, pages * bytes))
    }

    /// Gives free pages back to the disk, and empties the log.
    pub(crate) fn shrink(&mut self) -> Result<(), StoreError> {
        let free = || -> rusqlite::Result<()> {
            let sql = format!("PRAGMA incremental_vacuum({MAX_FREED})");
            let mut free = self.connection.prepare(&sql)?;
            // One step frees one page.
            let mut steps = free.query([])?;
            while steps.next()?.is_some() {}
            Ok(())
        };
        free().map_err(self.error("shrink"))?;
        self.checkpoint().map(drop)
    }

    /// Copies the log into the file, on the disk; whether all of it: a reader may prevent that.
    pub(crate) fn checkpoint(&mut self) -> Result<bool, StoreError> {
        let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
        let busy = self.connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        busy.map(|busy| busy == 0).map_err(self.error("write"))
    }
}

fn add(
    connection: &mut Connection,
    seals: &[Seal<'_>],
    notes: &[(i64, String)],
) -> rusqlite::Result<Vec<i64>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut rows = Vec::with_capacity(seals.len());
    {
        let mut series = transaction.prepare_cached(
            "INSERT INTO series (service, member, unit, daemon, sealed, last_time, count) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (service, member) DO UPDATE SET \
             unit = ?3, daemon = ?4, sealed = ?5, last_time = ?6, count = count + ?7 RETURNING id",
        )?;
        let mut samples = transaction
            .prepare_cached("INSERT INTO samples (series, last_time, data) VALUES (?, ?, ?)")?;
        for Seal { key, unit, daemon, sealed, summary, data } in seals {
            let last_time = summary.last_time;
            let (service, member, count) = (&*key.service, &*key.member, summary.count);
            let facts = params![service, member, unit, daemon, sealed, last_time, count];
            let row: i64 = series.query_row(facts, |row| row.get(0))?;
            let id = samples.insert(params![row, last_time, data])?;
            put_chunk(&transaction, row, id, summary)?;
            rows.push(row);
        }
        let mut note =
            transaction.prepare_cached("INSERT OR IGNORE INTO note (time, text) VALUES (?, ?)")?;
        for (time, text) in notes {
            note.execute(params![time, text])?;
        }
    }
    transaction.commit()?;
    Ok(rows)
}

/// Adds the summary of a chunk whose samples have the row `id`.
pub(super) fn put_chunk(
    connection: &Connection,
    series: i64,
    id: i64,
    summary: &Summary,
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO chunk VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let Summary { first_time, last_time, count, numbers, .. } = summary;
    let Summary { minimum, maximum, sum, first, last, qualities, .. } = summary;
    let columns = params![
        series, last_time, id, first_time, count, numbers, minimum, maximum, sum, first, last,
        qualities
    ];
    connection.prepare_cached(sql)?.execute(columns).map(drop)
}

fn remove_chunk(connection: &Connection, id: i64) -> rusqlite::Result<()> {
    let mut samples = connection
        .prepare_cached("DELETE FROM samples WHERE id = ? RETURNING series, last_time")?;
    let mut chunk = connection.prepare_cached(
        "DELETE FROM chunk WHERE series = ? AND last_time = ? AND id = ? RETURNING count",
    )?;
    let mut counted =
        connection.prepare_cached("UPDATE series SET count = count - ? WHERE id = ?")?;
    let found: Vec<(i64, i64)> = samples
        .query_map([id], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (series, last_time) in found {
        let key = params![series, last_time, id];
        let counts: Vec<i64> =
            chunk.query_map(key, |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        for count in counts {
            counted.execute(params![count, series])?;
        }
    }
    Ok(())
}

/// Renames a file and what belongs to it; a sentence about that.
fn set_aside(file: &Path, stamp: i64, reason: &str) -> Result<String, StoreError> {
    let aside = beside(file, &format!(".damaged-{stamp}"));
    for suffix in FILES {
        let renamed = fs::rename(beside(file, suffix), beside(&aside, suffix));
        if let Err(source) = renamed
            && suffix.is_empty()
            && file.exists()
        {
            let (operation, path) = ("set aside", file.to_path_buf());
            return Err(StoreError::Io { operation, path, source });
        }
    }
    remove_old_asides(file);
    let (file, aside) = (file.display(), aside.display());
    Ok(format!(
        "the history {file} was damaged ({reason}) and was set aside as {aside}; a new one has been \
         begun"
    ))
}

/// A disk that damages files again and again is not to be filled with them.
fn remove_old_asides(file: &Path) {
    let (Some(folder), Some(name)) = (file.parent(), file.file_name()) else { return };
    let prefix = format!("{}.damaged-", name.to_string_lossy());
    let mut asides: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
        .map(|entry| entry.path())
        .filter(|path| FILES[1..].iter().all(|end| !path.to_string_lossy().ends_with(end)))
        .collect();
    asides.sort();
    let surplus = asides.len().saturating_sub(MAX_ASIDE);
    for old in &asides[..surplus] {
        for suffix in FILES {
            let _ = fs::remove_file(beside(old, suffix));
        }
    }
}

fn identity(file: &Path) -> Option<(u64, u64)> {
    fs::metadata(file).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut path = OsString::from(file);
    path.push(suffix);
    path.into()
}
