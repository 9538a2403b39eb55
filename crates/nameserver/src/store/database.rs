//! The database file: opening, reading, writing, and setting aside a corrupt one.
//!
//! Owns the connection and the meaning of its errors. While it is open no other process can use the
//! file: a second writer would make the names in memory wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, OptionalExtension, TransactionBehavior, params};
use tracing::{error, warn};

use super::index::Entry;
use super::transaction::Step;
use super::{lease, migrations, owners};

/// Time to wait for a file that another process holds: a nameserver that has just been killed.
const BUSY_TIMEOUT: Duration = Duration::from_secs(3);

/// An open file.
pub(super) struct Database {
    connection: Connection,
    file: PathBuf,
    /// Device and inode of the file, which stay when its name changes.
    identity: Option<(u64, u64)>,
    /// SQLite's write-ahead log.
    log: PathBuf,
    /// Device and inode of the log, once something was written.
    log_identity: Option<(u64, u64)>,
}

/// The reason why a file cannot be used any longer.
#[derive(Clone, Debug)]
pub(super) enum Loss {
    Corrupt(String),
    Deleted,
    /// Another file has the name.
    Replaced,
    /// The log with the latest changes is gone, the file is not.
    Log,
}

/// An error of a database.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error("the database {} is corrupt: {reason}", file.display())]
    Corrupt { file: PathBuf, reason: String },
    #[error(
        "the database {} is in use by another program (another nameserver?); stop that one, or \
         give each nameserver a file of its own", file.display()
    )]
    InUse { file: PathBuf },
    #[error(
        "the database {} has format {found}, and this version of Ferrolab knows formats up to \
         {}; use the version that made it, or another file", file.display(), migrations::LATEST
    )]
    Newer { file: PathBuf, found: i64 },
    #[error(
        "cannot use the database {}: {source}; its directory must exist, and this user must be \
         allowed to write there", file.display()
    )]
    Open {
        file: PathBuf,
        #[source]
        source: rusqlite::Error,
    },
    #[error("cannot {operation} the database {}: {source}", file.display())]
    Sql {
        operation: &'static str,
        file: PathBuf,
        #[source]
        source: rusqlite::Error,
    },
    #[error("cannot set the database {} aside: {source}", file.display())]
    SetAside {
        file: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot start the thread that writes the database: {0}")]
    Thread(#[source] io::Error),
}

type Names = Vec<(String, Entry)>;

impl Database {
    /// Opens a file with its names; a corrupt file is set aside and replaced by a new one. The
    /// notice about that comes last.
    pub(super) fn open_or_replace(
        file: &Path,
    ) -> Result<(Database, Names, Option<String>), DatabaseError> {
        let opened = Database::open(file).and_then(|database| {
            let names = database.names()?;
            Ok((database, names))
        });
        match opened {
            Ok((database, names)) => Ok((database, names, None)),
            Err(DatabaseError::Corrupt { reason, .. }) => {
                let told = set_aside(file, &Loss::Corrupt(reason))?;
                let database = Database::open(file)?;
                error!("{told}");
                Ok((database, Names::new(), Some(told)))
            }
            Err(error) => Err(error),
        }
    }

    fn open(file: &Path) -> Result<Database, DatabaseError> {
        let failed = |source| DatabaseError::of("open", file, source);
        let mut connection = Connection::open(file).map_err(failed)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
        connection
            .execute_batch(
                // Exclusive before the first access, so that the write-ahead log needs no shared
                // memory (and works on a network drive). FULL: an acknowledged change must
                // survive a power cut, since nobody renews the names of stock programs. Many
                // changes share one wait for the disk (see `writer`).
                "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; \
                 PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;",
            )
            .map_err(failed)?;
        let check: String =
            connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(failed)?;
        if check != "ok" {
            return Err(DatabaseError::Corrupt { file: file.to_path_buf(), reason: check });
        }
        let found = migrations::run(&mut connection).map_err(failed)?;
        if found > migrations::LATEST {
            return Err(DatabaseError::Newer { file: file.to_path_buf(), found });
        }
        // A tool may have left the tags of a removed name; the next name with its id must not get
        // them.
        connection
            .execute(
                "DELETE FROM pyro_metadata WHERE object NOT IN (SELECT id FROM pyro_names)",
                [],
            )
            .map_err(failed)?;
        // SQLite keeps its log beside the target of a link.
        let real = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_path_buf());
        Ok(Database {
            connection,
            file: file.to_path_buf(),
            identity: identity_of(file),
            log: beside(&real, LOG),
            log_identity: None,
        })
    }

    /// The names in the file. Rows that hold no text are skipped with a warning.
    fn names(&self) -> Result<Names, DatabaseError> {
        let mut strange = 0;
        let names = self.read(&mut strange).map_err(|source| self.error("read", source))?;
        if strange > 0 {
            warn!(file = %self.file.display(), strange, "rows of the database hold no text");
        }
        Ok(names)
    }

    fn read(&self, strange: &mut usize) -> rusqlite::Result<Names> {
        let mut entries: BTreeMap<i64, (String, String, BTreeSet<String>)> = BTreeMap::new();
        let mut names = self.connection.prepare("SELECT id, name, uri FROM pyro_names")?;
        let mut rows = names.query([])?;
        while let Some(row) = rows.next()? {
            match (row.get::<_, String>(1), row.get::<_, String>(2)) {
                (Ok(name), Ok(uri)) => {
                    entries.insert(row.get(0)?, (name, uri, BTreeSet::new()));
                }
                _ => *strange += 1,
            }
        }
        let mut metadata = self.connection.prepare("SELECT object, metadata FROM pyro_metadata")?;
        let mut rows = metadata.query([])?;
        while let Some(row) = rows.next()? {
            match (entries.get_mut(&row.get(0)?), row.get::<_, String>(1)) {
                (Some((.., tags)), Ok(tag)) => drop(tags.insert(tag)),
                _ => *strange += 1,
            }
        }
        let lengths = lease::read_lengths(&self.connection)?;
        let mut owners = owners::read(&self.connection)?;
        let entry = |(name, uri, tags): (String, String, BTreeSet<String>)| {
            let mut entry = Entry::new(uri, tags);
            entry.owner = owners.remove(&name).map(Arc::from);
            match lengths.get(&name) {
                Some(length) => (name, entry.with_lease(*length)),
                None => (name, entry),
            }
        };
        Ok(entries.into_values().map(entry).collect())
    }

    /// Writes the result of steps, all of it or nothing. It is on the disk at the return.
    pub(super) fn write(&mut self, steps: &[Step]) -> Result<(), DatabaseError> {
        // Only the last step of each name counts.
        let last: BTreeMap<&str, Option<&Arc<Entry>>> =
            steps.iter().map(|step| (&*step.name, step.after.as_ref())).collect();
        self.put(&last).map_err(|source| self.error("write", source))?;
        // The log exists by now, and stays the same file until the database is closed.
        if self.log_identity.is_none() {
            self.log_identity = identity_of(&self.log);
        }
        Ok(())
    }

    fn put(&mut self, names: &BTreeMap<&str, Option<&Arc<Entry>>>) -> rusqlite::Result<()> {
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let is_leased = |entry: &Option<&Arc<Entry>>| entry.is_some_and(|e| e.lease.is_some());
        let has_leases = lease::prepare_table(&transaction, names.values().any(is_leased))?;
        let is_owned = |entry: &Option<&Arc<Entry>>| entry.is_some_and(|e| e.owner.is_some());
        let has_owners = owners::prepare_table(&transaction, names.values().any(is_owned))?;
        {
            let mut find =
                transaction.prepare_cached("SELECT id FROM pyro_names WHERE name = ?")?;
            let mut untag =
                transaction.prepare_cached("DELETE FROM pyro_metadata WHERE object = ?")?;
            let mut forget = transaction.prepare_cached("DELETE FROM pyro_names WHERE id = ?")?;
            let mut add =
                transaction.prepare_cached("INSERT INTO pyro_names(name, uri) VALUES (?, ?)")?;
            let mut point =
                transaction.prepare_cached("UPDATE pyro_names SET uri = ? WHERE id = ?")?;
            let mut tag = transaction
                .prepare_cached("INSERT INTO pyro_metadata(object, metadata) VALUES (?, ?)")?;
            for (name, entry) in names {
                let known: Option<i64> = find.query_row([name], |row| row.get(0)).optional()?;
                if let Some(id) = known {
                    untag.execute([id])?;
                }
                if has_leases {
                    let leased =
                        entry.and_then(|entry| Some((&*entry.uri, entry.lease.as_deref()?)));
                    lease::write(&transaction, name, leased)?;
                }
                if has_owners {
                    let owned =
                        entry.and_then(|entry| Some((&*entry.uri, entry.owner.as_deref()?)));
                    owners::write(&transaction, name, owned)?;
                }
                let id = match (known, entry) {
                    (None, None) => continue,
                    (Some(id), None) => {
                        forget.execute([id])?;
                        continue;
                    }
                    (Some(id), Some(entry)) => {
                        point.execute(params![entry.uri, id])?;
                        id
                    }
                    (None, Some(entry)) => add.insert(params![name, entry.uri])?,
                };
                for text in entry.iter().flat_map(|entry| &entry.tags) {
                    tag.execute(params![id, text])?;
                }
            }
        }
        transaction.commit()
    }

    /// The loss of the file, if its name no longer leads to it.
    pub(super) fn loss(&self) -> Option<Loss> {
        match std::fs::metadata(&self.file) {
            Ok(metadata) if self.identity == Some(identity(&metadata)) => {
                self.has_lost_its_log().then_some(Loss::Log)
            }
            Ok(_) => Some(Loss::Replaced),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(Loss::Deleted),
            // Not known; the next write may fail.
            Err(_) => None,
        }
    }

    fn has_lost_its_log(&self) -> bool {
        let Some(known) = self.log_identity else { return false };
        match std::fs::metadata(&self.log) {
            Ok(metadata) => identity(&metadata) != known,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }

    /// Closes a lost file; its path. The log of a replaced file is removed: SQLite would apply it
    /// to the file that has taken its place.
    pub(super) fn close(self, loss: &Loss) -> PathBuf {
        let Database { connection, file, log, log_identity, .. } = self;
        drop(connection);
        if matches!(loss, Loss::Replaced)
            && log_identity.is_some()
            && identity_of(&log) == log_identity
        {
            let _ = std::fs::remove_file(&log);
        }
        file
    }

    /// A new file that holds the result of `steps`; a file that has its name is set aside. The
    /// notice about it is in `told`, also after a failed attempt, since the next attempt finds no
    /// trace of the loss. The old file must be closed: at its close SQLite removes the log of the
    /// file that has its name then.
    pub(super) fn begin(
        file: &Path,
        loss: &Loss,
        steps: &[Step],
        told: &mut Option<String>,
    ) -> Result<Self, DatabaseError> {
        if file.exists() {
            *told = Some(set_aside(file, loss)?);
        } else {
            // A log without its database must not be applied to the next one.
            remove_leftovers(file);
            told.get_or_insert_with(|| {
                format!(
                    "the database {} was deleted while the nameserver ran; all names were written \
                     to a new one",
                    file.display()
                )
            });
        }
        let begun = Database::open(file).and_then(|mut database| {
            database.write(steps)?;
            Ok(database)
        });
        begun.inspect_err(|_| {
            // It holds no earlier names, and the next attempt would set it aside.
            let _ = std::fs::remove_file(file);
            remove_leftovers(file);
        })
    }

    fn error(&self, operation: &'static str, source: rusqlite::Error) -> DatabaseError {
        DatabaseError::of(operation, &self.file, source)
    }
}

impl DatabaseError {
    fn of(operation: &'static str, file: &Path, source: rusqlite::Error) -> Self {
        let file = file.to_path_buf();
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                DatabaseError::Corrupt { file, reason: source.to_string() }
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                DatabaseError::InUse { file }
            }
            Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => {
                DatabaseError::Open { file, source }
            }
            _ => DatabaseError::Sql { operation, file, source },
        }
    }
}

/// Renames a file and its log; the notice about it.
fn set_aside(file: &Path, loss: &Loss) -> Result<String, DatabaseError> {
    let kind = match loss {
        Loss::Corrupt(_) => "corrupt",
        Loss::Deleted | Loss::Replaced => "replaced",
        Loss::Log => "incomplete",
    };
    let stamp = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let aside = (1..1000)
        .map(|number| match number {
            1 => beside(file, &format!(".{kind}-{stamp}")),
            _ => beside(file, &format!(".{kind}-{stamp}-{number}")),
        })
        .find(|path| !path.exists())
        .unwrap_or_else(|| beside(file, &format!(".{kind}")));
    std::fs::rename(file, &aside)
        .map_err(|source| DatabaseError::SetAside { file: file.to_path_buf(), source })?;
    for suffix in LEFTOVERS {
        let mut to = OsString::from(&aside);
        to.push(suffix);
        // Mostly it does not exist.
        let _ = std::fs::rename(beside(file, suffix), to);
    }
    let (file, aside) = (file.display(), aside.display());
    let told = match loss {
        Loss::Corrupt(reason) => format!(
            "the database {file} was corrupt ({reason}) and was set aside as {aside}; the \
             nameserver has begun a new one, and running daemons renew their names by themselves"
        ),
        Loss::Deleted | Loss::Replaced => format!(
            "the database {file} was replaced by another file while the nameserver ran; that one \
             was set aside as {aside}, and all names were written to a new one (to use another \
             file, stop the nameserver first)"
        ),
        Loss::Log => format!(
            "the log of the database {file} was deleted or replaced while the nameserver ran; what \
             was left was set aside as {aside}, and all names were written to a new database (leave \
             `{file}{LOG}` alone while the nameserver runs)"
        ),
    };
    Ok(told)
}

fn identity(metadata: &std::fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn identity_of(file: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(file).ok().map(|metadata| identity(&metadata))
}

fn remove_leftovers(file: &Path) {
    for suffix in LEFTOVERS {
        let _ = std::fs::remove_file(beside(file, suffix));
    }
}

/// Suffix of SQLite's write-ahead log.
const LOG: &str = "-wal";
/// Suffixes of all files that SQLite may leave beside the database.
const LEFTOVERS: [&str; 3] = [LOG, "-shm", "-journal"];

fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut path = OsString::from(file);
    path.push(suffix);
    path.into()
}
