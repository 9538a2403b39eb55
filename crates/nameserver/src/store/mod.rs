//! Where a nameserver keeps its names: always in memory, and in a database where it is to
//! remember them.
//!
//! Owns how a change becomes lasting before it is acknowledged. Every question is answered from
//! memory; changes of a nameserver with a database go through one thread, which owns it. Knows
//! nothing of calls and of what may be registered: a change is a function over a [`Transaction`].

mod database;
mod index;
mod lease;
mod migrations;
mod transaction;
mod writer;

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use remote::{BoxFuture, Exception};
use tokio::sync::watch;

use database::DatabaseError;
pub(crate) use index::{Entry, Index, Named};
pub(crate) use transaction::{Change, Transaction};
use transaction::{SharedIndex, write};

use crate::store::database::Database;
use crate::store::writer::Writer;

/// What came of a change: known at once, or when it is on the disk.
pub enum Changed {
    Now(Result<usize, Exception>),
    Later(BoxFuture<Result<usize, Exception>>),
}

/// The names, and where they are kept.
pub struct Store {
    index: SharedIndex,
    keeping: Keeping,
}

enum Keeping {
    Memory,
    Database(Writer),
}

impl Store {
    /// Names that are gone with the process.
    pub fn memory() -> Self {
        Store { index: SharedIndex::default(), keeping: Keeping::Memory }
    }

    /// Names in the database `file`, which is made where there is none. One that is corrupt is
    /// set aside; what is told about that comes second.
    ///
    /// # Errors
    /// The file cannot be used, and is not corrupt.
    pub fn open(file: &Path) -> Result<(Self, Option<String>), DatabaseError> {
        let (database, names, set_aside) = Database::open_or_replace(file)?;
        let mut index = Index::default();
        for (name, mut entry) in names {
            index.share(&mut entry);
            index.put(&Arc::from(name), Some(Arc::new(entry)));
        }
        let index = Arc::new(RwLock::new(index));
        let writer = Writer::start(database, Arc::clone(&index))?;
        Ok((Store { index, keeping: Keeping::Database(writer) }, set_aside))
    }

    /// The names as they are now. Not to be held for long: changes wait.
    pub fn read(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a change. It is visible to others a moment before it is acknowledged, and undone if
    /// it cannot be kept.
    pub fn change(&self, change: Change) -> Changed {
        match &self.keeping {
            Keeping::Memory => {
                let mut index = write(&self.index);
                Changed::Now(Transaction::run(&mut index, change).0)
            }
            Keeping::Database(writer) => Changed::Later(writer.change(change)),
        }
    }

    /// Tells when the database stops taking changes, and when it takes them again; `None` where
    /// there is none.
    pub fn trouble(&self) -> Option<watch::Receiver<Option<String>>> {
        match &self.keeping {
            Keeping::Memory => None,
            Keeping::Database(writer) => Some(writer.trouble()),
        }
    }

    /// Waits until all changes are kept and the file is closed. Changes made after that fail.
    pub async fn close(&self) {
        if let Keeping::Database(writer) = &self.keeping {
            writer.close().await;
        }
    }
}

impl Changed {
    /// Waits until it is known.
    pub async fn wait(self) -> Result<usize, Exception> {
        match self {
            Changed::Now(outcome) => outcome,
            Changed::Later(outcome) => outcome.await,
        }
    }
}

#[cfg(test)]
mod tests;
