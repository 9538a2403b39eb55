//! Table of the names' owners, which are there where the lab has rules of access.

use std::collections::HashMap;

use rusqlite::{Connection, Result, Transaction, params};

use super::migrations::exists;

/// The table of owners. Pyro5 and Ferrolab 0.1.0 leave it alone, and would refuse a file whose
/// version counted it; so it is made with the first owner, beside the numbered migrations.
const TABLE: &str = "ferrolab_owners";

/// Makes the table if it `is_needed`; true if it exists.
pub(super) fn prepare_table(transaction: &Transaction<'_>, is_needed: bool) -> Result<bool> {
    if is_needed {
        transaction.execute_batch(
            "CREATE TABLE IF NOT EXISTS ferrolab_owners \
             (name TEXT PRIMARY KEY, uri TEXT NOT NULL, owner TEXT NOT NULL) WITHOUT ROWID",
        )?;
    }
    Ok(is_needed || exists(transaction, TABLE)?)
}

/// The owners by name. A row counts only while the name has the row's URI: a program that does not
/// know the table may have removed the name and registered another one.
pub(super) fn read(connection: &Connection) -> Result<HashMap<String, String>> {
    let mut owners = HashMap::new();
    if !exists(connection, TABLE)? {
        return Ok(owners);
    }
    let mut rows = connection.prepare(
        "SELECT owners.name, owners.owner FROM ferrolab_owners owners \
         JOIN pyro_names names ON names.name = owners.name AND names.uri = owners.uri",
    )?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        owners.insert(row.get(0)?, row.get(1)?);
    }
    Ok(owners)
}

/// Writes the URI and the owner that a name has now, if it has one.
pub(super) fn write(
    transaction: &Transaction<'_>,
    name: &str,
    owned: Option<(&str, &str)>,
) -> Result<()> {
    let mut statement = transaction.prepare_cached(match owned {
        Some(_) => "INSERT OR REPLACE INTO ferrolab_owners VALUES (?, ?, ?)",
        None => "DELETE FROM ferrolab_owners WHERE name = ?",
    })?;
    match owned {
        Some((uri, owner)) => statement.execute(params![name, uri, owner])?,
        None => statement.execute([name])?,
    };
    Ok(())
}
