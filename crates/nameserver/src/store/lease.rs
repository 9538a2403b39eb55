//! Lease of a name: how long the name stays without a renewal.
//!
//! Only names that Ferrolab's own daemons register have one. The database keeps the length and not
//! the deadline, so that a renewal writes nothing; a lease that is read from there begins anew.
//! Its end is in [`leases`](crate::leases).

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, Result, Transaction, params};
use tokio::time::Instant;

use super::migrations::exists;

/// The time that a name has left.
#[derive(Debug)]
pub struct Lease {
    length: Duration,
    deadline: Mutex<Instant>,
    /// The daemon that has last asked for the name in vain, while this one had it.
    rival: Mutex<Option<Box<Rival>>>,
}

/// A daemon that wants a name which another one has.
#[derive(Debug)]
struct Rival {
    uri: String,
    asked: Instant,
}

impl Lease {
    /// Lengths that a lease may have, in seconds. A shorter one would end between two renewals of a
    /// busy host; a longer one would hardly differ from none.
    pub const LENGTHS: RangeInclusive<f64> = 5.0..=3600.0;

    /// A lease that begins now.
    pub fn new(length: Duration) -> Self {
        let deadline = Mutex::new(Instant::now() + length);
        Lease { length, deadline, rival: Mutex::new(None) }
    }

    pub fn length(&self) -> Duration {
        self.length
    }

    pub fn deadline(&self) -> Instant {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins the lease anew.
    pub fn renew(&self) {
        let deadline = Instant::now() + self.length;
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) = deadline;
    }

    /// Notes that the daemon at `uri` has asked for the name in vain.
    pub fn note_rival(&self, uri: &str) {
        let rival = Rival { uri: uri.to_owned(), asked: Instant::now() };
        *self.rival.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(rival));
    }

    /// The daemon that has asked for the name in vain, no longer ago than a lease takes.
    pub fn rival(&self) -> Option<String> {
        let mut rival = self.rival.lock().unwrap_or_else(PoisonError::into_inner);
        if rival.as_ref().is_some_and(|rival| rival.asked.elapsed() > self.length) {
            *rival = None;
        }
        rival.as_ref().map(|rival| rival.uri.clone())
    }
}

/// Leases are equal when the database keeps the same of them.
impl PartialEq for Lease {
    fn eq(&self, other: &Self) -> bool {
        self.length == other.length
    }
}

/// The table of leases. Pyro5 and Ferrolab 0.1.0 leave it alone, and would refuse a file whose
/// version counted it; so it is made with the first lease, beside the numbered migrations.
const TABLE: &str = "ferrolab_leases";

/// Makes the table if it `is_needed`; true if it exists.
pub(super) fn prepare_table(transaction: &Transaction<'_>, is_needed: bool) -> Result<bool> {
    if is_needed {
        transaction.execute_batch(
            "CREATE TABLE IF NOT EXISTS ferrolab_leases \
             (name TEXT PRIMARY KEY, uri TEXT NOT NULL, seconds REAL NOT NULL) WITHOUT ROWID",
        )?;
    }
    Ok(is_needed || exists(transaction, TABLE)?)
}

/// The lengths of all leases, by name. A row counts only while the name has the row's URI: a
/// program that does not know the table may have removed the name and registered another one.
pub(super) fn read_lengths(connection: &Connection) -> Result<HashMap<String, Duration>> {
    let mut lengths = HashMap::new();
    if !exists(connection, TABLE)? {
        return Ok(lengths);
    }
    let mut leases = connection.prepare(
        "SELECT leases.name, leases.seconds FROM ferrolab_leases leases \
         JOIN pyro_names names ON names.name = leases.name AND names.uri = leases.uri",
    )?;
    let mut rows = leases.query([])?;
    while let Some(row) = rows.next()? {
        let seconds: f64 = row.get(1)?;
        // Others may have written to the file.
        if Lease::LENGTHS.contains(&seconds) {
            lengths.insert(row.get(0)?, Duration::from_secs_f64(seconds));
        }
    }
    Ok(lengths)
}

/// Writes the lease that a name has now, if any.
pub(super) fn write(
    transaction: &Transaction<'_>,
    name: &str,
    leased: Option<(&str, &Lease)>,
) -> Result<()> {
    let mut statement = transaction.prepare_cached(match leased {
        Some(_) => "INSERT OR REPLACE INTO ferrolab_leases VALUES (?, ?, ?)",
        None => "DELETE FROM ferrolab_leases WHERE name = ?",
    })?;
    match leased {
        Some((uri, lease)) => statement.execute(params![name, uri, lease.length.as_secs_f64()])?,
        None => statement.execute([name])?,
    };
    Ok(())
}
