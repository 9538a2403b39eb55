//! The SQLite file: series, chunks with their summaries, notes.
//!
//! Owns all SQL. Must not know how samples come, and what a query makes of them.

mod database;
mod merge;
mod read;
mod schema;

use std::io;
use std::path::PathBuf;

use rusqlite::ErrorCode;

pub(crate) use database::{Database, Seal, StoredSeries};
pub(crate) use merge::{MIN_MERGED, SMALL_CHUNK};
pub(crate) use read::{ChunkRow, ReadError, Readers, View};

/// A series as a list shows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SeriesRow {
    /// The service.
    pub service: String,
    /// The member.
    pub member: String,
    /// The unit of its numbers; may be empty.
    pub unit: String,
    /// The daemon that polls it.
    pub daemon: String,
    /// Microseconds since 1970 of the first sample, and of the last one.
    pub first: Option<i64>,
    /// The same of the last one.
    pub last: Option<i64>,
    /// How many samples there are.
    pub count: u64,
}

/// An error of the file.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It is no database, or a damaged one.
    #[error("the history {} is damaged: {reason}", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// The words of SQLite.
        reason: String,
    },
    /// A later version of this program has made it.
    #[error(
        "the history {} has format {found}, and this version of Ferrolab knows formats up to \
         {}; use the version that made it, or another `folder`", file.display(), schema::LATEST
    )]
    Newer {
        /// The file.
        file: PathBuf,
        /// Its format.
        found: i64,
    },
    /// Another process uses it.
    #[error("the history in {} is in use by another process; give each lab a folder", folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// The disk is full.
    #[error("the disk of the history {} is full (No space left on device): {reason}", file.display())]
    Full {
        /// The file.
        file: PathBuf,
        /// The words of the system.
        reason: String,
    },
    /// Another error of SQLite.
    #[error("cannot {operation} the history {}: {source}", file.display())]
    Sql {
        /// The attempt, as a verb.
        operation: &'static str,
        /// The file.
        file: PathBuf,
        /// The words of SQLite.
        #[source]
        source: rusqlite::Error,
    },
    /// An error of the file system.
    #[error("cannot {operation} {}: {source}", path.display())]
    Io {
        /// The attempt, as a verb.
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The words of the system.
        #[source]
        source: io::Error,
    },
}

impl StoreError {
    fn of(operation: &'static str, file: &std::path::Path, source: rusqlite::Error) -> Self {
        let file = file.to_path_buf();
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                StoreError::Damaged { file, reason: source.to_string() }
            }
            Some(ErrorCode::DiskFull) => StoreError::Full { file, reason: source.to_string() },
            _ => StoreError::Sql { operation, file, source },
        }
    }

    /// Whether the file is to be set aside.
    pub(crate) fn is_damage(&self) -> bool {
        matches!(self, StoreError::Damaged { .. })
    }
}
