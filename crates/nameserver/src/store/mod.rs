//! Store of names: an index in memory, with a database for `storage: sql`, or a directory that
//! several nameservers share.
//!
//! Every question is answered from memory. Changes of a store with a database go through the one
//! thread that owns it, and are acknowledged when they are on the disk; those of a shared directory
//! when the registry has them. A change is a function over
//! a [`Transaction`]; calls and the rules of names must not be known here.

mod database;
mod index;
mod lease;
mod migrations;
mod owners;
mod replica;
mod shares;
mod transaction;
mod writer;

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use remote::{BoxFuture, Exception};
use tokio::sync::watch;

use database::DatabaseError;
pub(crate) use index::{Entry, Index, LAB, Named, lab_owner};
pub(crate) use lease::Lease;
#[cfg(test)]
pub(crate) use replica::FakeRegistry;
pub(crate) use replica::LiveHosts;
pub use replica::taken_by_others;
pub(crate) use shares::{Pace, Share};
pub(crate) use transaction::{Change, Lost, NameRights, Transaction};
use transaction::{SharedIndex, write};

use crate::registry::{LastKnownFile, Registry};
use crate::store::database::Database;
use crate::store::replica::Replica;
use crate::store::writer::Writer;

/// The outcome of a change: known at once, or when it is on the disk.
pub enum Changed {
    Now(Result<usize, Exception>),
    Later(BoxFuture<Result<usize, Exception>>),
}

/// The names, in memory and perhaps elsewhere.
pub struct Store {
    index: SharedIndex,
    keeping: Keeping,
}

enum Keeping {
    Memory,
    Database(Writer),
    Shared(Replica),
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

    /// A store that is one of several replicas of a directory in `registry`: the one with this id,
    /// which clients reach at this address. It has no names until it has loaded them; where the
    /// registry is away at its start, those of the `file`, which it writes for that case.
    pub fn shared(
        registry: Arc<dyn Registry>,
        (id, address): (String, String),
        file: Option<Arc<dyn LastKnownFile>>,
    ) -> Self {
        let index = SharedIndex::default();
        let replica = Replica::start(registry, Arc::clone(&index), (id, address), file);
        Store { index, keeping: Keeping::Shared(replica) }
    }

    /// The hosts that renew their names here, in a shared directory.
    pub(crate) fn hosts(&self) -> Option<&LiveHosts> {
        match &self.keeping {
            Keeping::Shared(replica) => Some(replica.hosts()),
            Keeping::Memory | Keeping::Database(_) => None,
        }
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
            Keeping::Shared(replica) => Changed::Later(replica.change(change, None)),
        }
    }

    /// The names of a shared directory with this prefix that are hidden because their hosts are
    /// away; sorted by the caller's thread.
    pub(crate) async fn hidden(&self, prefix: &str) -> Vec<Named> {
        match &self.keeping {
            Keeping::Shared(replica) => replica.hidden(prefix).await,
            Keeping::Memory | Keeping::Database(_) => Vec::new(),
        }
    }

    /// Makes a change that finds a hidden name among the others; 0 if it is not hidden.
    pub(crate) async fn change_hidden(
        &self,
        name: String,
        change: Change,
    ) -> Result<usize, Exception> {
        match &self.keeping {
            Keeping::Shared(replica) => replica.change(change, Some(name)).await,
            Keeping::Memory | Keeping::Database(_) => Ok(0),
        }
    }

    /// The reason why changes are refused, as it comes and goes; `None` for a store in memory.
    pub fn trouble(&self) -> Option<watch::Receiver<Option<String>>> {
        match &self.keeping {
            Keeping::Memory => None,
            Keeping::Database(writer) => Some(writer.trouble()),
            Keeping::Shared(replica) => Some(replica.trouble()),
        }
    }

    /// Whether the names are those of before: a shared directory's registry is away.
    pub fn is_stale(&self) -> bool {
        match &self.keeping {
            Keeping::Shared(replica) => replica.trouble().borrow().is_some(),
            Keeping::Memory | Keeping::Database(_) => false,
        }
    }

    /// Waits until all changes are kept and the file is closed. Changes made after that fail.
    pub async fn close(&self) {
        match &self.keeping {
            Keeping::Memory => {}
            Keeping::Database(writer) => writer.close().await,
            Keeping::Shared(replica) => replica.close().await,
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
