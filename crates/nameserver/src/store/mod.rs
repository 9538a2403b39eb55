//! Where a nameserver keeps its names: always in memory, and in a database where it is to
//! remember them.
//!
//! Owns how a change becomes lasting before it is acknowledged. Every question is answered from
//! memory; changes of a nameserver with a database go through one thread, which owns it. Knows
//! nothing of calls and of what may be registered: a change is a function over a [`Transaction`].

mod database;
mod index;
mod migrations;
mod writer;

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use remote::{BoxFuture, Exception};
use tokio::sync::watch;

use database::DatabaseError;
pub(crate) use index::{Entry, Index, Named};

use crate::store::database::Database;
use crate::store::writer::Writer;

/// A change: checks, then acts; the number of names that it was about. One that refuses leaves
/// nothing behind.
pub(crate) type Change =
    Box<dyn FnOnce(&mut Transaction<'_>) -> Result<usize, Exception> + Send + 'static>;

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

type SharedIndex = Arc<RwLock<Index>>;

/// The names while a change is being made, and a note of each step.
pub struct Transaction<'a> {
    index: &'a mut Index,
    steps: Vec<Step>,
}

/// One name as it was and as it is.
pub(crate) struct Step {
    name: Arc<str>,
    before: Option<Arc<Entry>>,
    after: Option<Arc<Entry>>,
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

impl Transaction<'_> {
    /// Carries out a change; its outcome and its steps, none if it refused.
    fn run(index: &mut Index, change: Change) -> (Result<usize, Exception>, Vec<Step>) {
        let mut transaction = Transaction { index, steps: Vec::new() };
        let outcome = change(&mut transaction);
        let Transaction { index, steps } = transaction;
        match outcome {
            Ok(count) => (Ok(count), steps),
            Err(exception) => {
                undo(index, steps);
                (Err(exception), Vec::new())
            }
        }
    }

    /// The names as the steps before have left them.
    pub fn index(&self) -> &Index {
        self.index
    }

    pub fn set(&mut self, name: &str, mut entry: Entry) {
        self.index.share(&mut entry);
        self.put(name, Some(Arc::new(entry)));
    }

    /// True if the name was there.
    pub fn remove(&mut self, name: &str) -> bool {
        self.put(name, None)
    }

    /// True if the name was there.
    fn put(&mut self, name: &str, after: Option<Arc<Entry>>) -> bool {
        let name: Arc<str> = Arc::from(name);
        let before = self.index.put(&name, after.clone());
        let was_there = before.is_some();
        // What is as before need not be written.
        if before != after {
            self.steps.push(Step { name, before, after });
        }
        was_there
    }
}

fn write(index: &RwLock<Index>) -> RwLockWriteGuard<'_, Index> {
    index.write().unwrap_or_else(PoisonError::into_inner)
}

fn undo(index: &mut Index, steps: Vec<Step>) {
    for Step { name, before, .. } in steps.into_iter().rev() {
        index.put(&name, before);
    }
}

#[cfg(test)]
mod tests;
