//! The database's schema, as numbered steps.
//!
//! Pyro5's two tables stay as its own nameserver makes them, so that both nameservers can use the
//! file; additions stand beside them. `PRAGMA user_version`, which Pyro5 leaves alone, counts the
//! steps that a file has had.

use rusqlite::{Connection, Result, Transaction, TransactionBehavior};

/// Steps; each brings a file from the version of its position in the list to the next one.
const MIGRATIONS: &[fn(&Transaction<'_>) -> Result<()>] = &[pyro5_tables, index_of_metadata];

/// The version of a file that has had all of them.
pub(super) const LATEST: i64 = MIGRATIONS.len() as i64;

/// Brings a file up to date; the version that it had.
pub(super) fn run(connection: &mut Connection) -> Result<i64> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let done = usize::try_from(found).unwrap_or(0);
    if done < MIGRATIONS.len() {
        for migration in MIGRATIONS.iter().skip(done) {
            migration(&transaction)?;
        }
        transaction.pragma_update(None, "user_version", LATEST)?;
    }
    transaction.commit()?;
    Ok(found)
}

/// 1: the tables of Pyro5's nameserver. A file from before Pyro5 had metadata gets its table, as
/// Pyro5 does it.
fn pyro5_tables(transaction: &Transaction<'_>) -> Result<()> {
    const NAMES: &str = "CREATE TABLE pyro_names \
        (id integer PRIMARY KEY, name nvarchar NOT NULL UNIQUE, uri nvarchar NOT NULL)";
    const METADATA: &str = "CREATE TABLE pyro_metadata \
        (object integer NOT NULL, metadata nvarchar NOT NULL, \
         FOREIGN KEY(object) REFERENCES pyro_names(id))";
    if !exists(transaction, "pyro_names")? {
        transaction.execute_batch(NAMES)?;
        if !exists(transaction, "pyro_metadata")? {
            transaction.execute_batch(METADATA)?;
        }
    } else if !exists(transaction, "pyro_metadata")? {
        transaction.execute_batch(&format!(
            "ALTER TABLE pyro_names RENAME TO pyro_names_before; {NAMES}; {METADATA}; \
             INSERT INTO pyro_names(name, uri) SELECT name, uri FROM pyro_names_before; \
             DROP TABLE pyro_names_before"
        ))?;
    }
    Ok(())
}

/// 2: an index for the tags of a name, which would otherwise be found by reading all tags.
fn index_of_metadata(transaction: &Transaction<'_>) -> Result<()> {
    transaction.execute_batch(
        "CREATE INDEX IF NOT EXISTS ferrolab_metadata_object ON pyro_metadata(object)",
    )
}

/// Whether the file has a table of this name.
pub(super) fn exists(connection: &Connection, table: &str) -> Result<bool> {
    connection.query_row(
        "SELECT EXISTS(SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?)",
        [table],
        |row| row.get(0),
    )
}
