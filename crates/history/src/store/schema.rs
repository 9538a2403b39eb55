//! The schema, as numbered steps.
//!
//! `chunk` has the summaries, sorted by series and time, so that a query of a year reads a few
//! kilobytes; the samples are in `samples`, in the order of their sealing, so that the file grows
//! at its end and shrinks at its beginning.

use rusqlite::{Connection, Result, TransactionBehavior};

/// Steps; each brings a file from the version of its position in the list to the next one.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE series (
        id INTEGER PRIMARY KEY, service TEXT NOT NULL, member TEXT NOT NULL,
        unit TEXT NOT NULL, daemon TEXT NOT NULL,
        sealed INTEGER NOT NULL,    -- how many samples have been sealed, removed ones included
        count INTEGER NOT NULL,     -- how many are in the file
        last_time INTEGER, UNIQUE (service, member)
    );
    CREATE TABLE chunk (
        series INTEGER NOT NULL, last_time INTEGER NOT NULL, id INTEGER NOT NULL,
        first_time INTEGER NOT NULL, count INTEGER NOT NULL, numbers INTEGER NOT NULL,
        minimum REAL, maximum REAL, sum REAL, first REAL, last REAL, qualities INTEGER NOT NULL,
        PRIMARY KEY (series, last_time, id)
    ) WITHOUT ROWID;
    CREATE TABLE samples (
        id INTEGER PRIMARY KEY, series INTEGER NOT NULL, last_time INTEGER NOT NULL,
        data BLOB NOT NULL
    );
    CREATE TABLE note (id INTEGER PRIMARY KEY, time INTEGER NOT NULL, text TEXT NOT NULL);
    CREATE UNIQUE INDEX note_time ON note (time, text);
"];

/// The version of a file that has had all of them.
pub(super) const LATEST: i64 = MIGRATIONS.len() as i64;

/// Brings a file up to date; the version that it had.
pub(super) fn run(connection: &mut Connection) -> Result<i64> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let done = usize::try_from(found).unwrap_or(0);
    if done < MIGRATIONS.len() {
        for migration in MIGRATIONS.iter().skip(done) {
            transaction.execute_batch(migration)?;
        }
        transaction.pragma_update(None, "user_version", LATEST)?;
    }
    transaction.commit()?;
    Ok(found)
}
