//! Store of names: an index in memory, and a database for `storage: sql`.
//!
//! Every question is answered from memory. Changes of a store with a database go through the one
//! thread that owns it, and are acknowledged when they are on the disk. A change is a function over
//! a [`Transaction`]; calls and the rules of names must not be known here.

mod database;
mod index;
mod lease;
mod migrations;
mod owners;
mod shares;
mod transaction;
mod writer;

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use remote::{BoxFuture, Exception};
use tokio::sync::watch;

use database::DatabaseError;
pub(crate) use index::{Entry, Index, Named};
pub(crate) use lease::Lease;
pub(crate) use shares::{Pace, Share};
pub(crate) use transaction::{Change, Lost, NameRights, Transaction};
use transaction::{SharedIndex, write};

use crate::store::database::Database;
use crate::store::writer::Writer;

/// The outcome of a change: known at once, or when it is on the disk.
pub enum Changed {
    Now(Result<usize, Exception>),
    Later(BoxFuture<Result<usize, Exception>>),
}

/// The names, in memory and perhaps in a database.
pub struct Store {
    index: SharedIndex,
    keeping: Keeping,
}

enum Keeping {
    Memory,
    Database(Writer),
}

impl Store {
    /// A store in memory only.
    pub fn memory() -> Self {
        Store { index: SharedIndex::default(), keeping: Keeping::Memory }
    }

    /// A store with the database `file`, which is made if it does not exist. A corrupt file is set
    /// aside; the notice about that comes second.
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

    /// The names as they are now. Changes wait while the guard is held.
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

    /// The reason why the database refuses changes, as it comes and goes; `None` for a store
    /// without a database.
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
