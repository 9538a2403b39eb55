//! A change of the names in memory, as a transaction: all of its steps are made, or none.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};
use std::time::{Duration, Instant};

use remote::Exception;

use super::index::{Entry, Index};
use super::shares::Pace;

/// A change: checks, then acts; the number of names that it was about. One that refuses leaves
/// nothing behind.
pub(crate) type Change =
    Box<dyn FnOnce(&mut Transaction<'_>) -> Result<usize, Exception> + Send + 'static>;

/// The names, for those that read and the one that changes them.
pub(super) type SharedIndex = Arc<RwLock<Index>>;

/// The rights of a client that changes names.
pub(crate) trait NameRights: Send + Sync {
    /// The owner of a name that it registers with this URI, where the name is `known`.
    fn owner(&self, known: Option<&Entry>, uri: &str) -> Option<Arc<str>>;

    /// Checks whether it may give a name this URI, or remove it, where the name is `known`.
    ///
    /// # Errors
    /// It may not.
    fn check(&self, name: &str, known: Option<&Entry>, uri: Option<&str>) -> Result<(), Exception>;
}

/// The names while a change is being made, and a note of each step.
pub struct Transaction<'a> {
    index: &'a mut Index,
    steps: Vec<Step>,
    /// The address of the client whose change is being made.
    writer: Option<IpAddr>,
    /// That client's rights, where there are rules of access.
    rights: Option<Arc<dyn NameRights>>,
    /// When the change began: for a pace, all of its names come at this time.
    begun: Instant,
}

/// One name as it was and as it is.
pub(crate) struct Step {
    pub(super) name: Arc<str>,
    pub(super) before: Option<Arc<Entry>>,
    pub(super) after: Option<Arc<Entry>>,
}

/// A registration that a change has removed or overwritten.
pub(crate) struct Lost<'a> {
    pub(crate) name: &'a str,
    pub(crate) uri: &'a str,
    pub(crate) replaced_by: Option<&'a str>,
}

impl Transaction<'_> {
    /// The number of steps so far.
    pub(crate) fn steps(&self) -> usize {
        self.steps.len()
    }

    /// The registrations that steps from this number on have removed or overwritten.
    pub(crate) fn lost_since(&self, first: usize) -> impl Iterator<Item = Lost<'_>> {
        let steps = self.steps.get(first..).unwrap_or_default().iter();
        steps.filter_map(|Step { name, before, after }| {
            let uri = &*before.as_ref()?.uri;
            let replaced_by = after.as_ref().map(|after| &*after.uri);
            (replaced_by != Some(uri)).then_some(Lost { name, uri, replaced_by })
        })
    }

    /// Carries out a change; its outcome and its steps, none if it refused.
    pub(super) fn run(index: &mut Index, change: Change) -> (Result<usize, Exception>, Vec<Step>) {
        let begun = Instant::now();
        let mut transaction =
            Transaction { index, steps: Vec::new(), writer: None, rights: None, begun };
        let outcome = change(&mut transaction);
        let Transaction { index, steps, .. } = transaction;
        match outcome {
            Ok(count) => (Ok(count), steps),
            Err(exception) => {
                undo(index, steps);
                (Err(exception), Vec::new())
            }
        }
    }

    /// Begins the change of a client with this address and these rights.
    pub(crate) fn set_writer(
        &mut self,
        writer: Option<IpAddr>,
        rights: Option<Arc<dyn NameRights>>,
    ) {
        self.writer = writer;
        self.rights = rights;
    }

    /// The owner of a name that is registered with this URI; `None` without rules of access.
    pub(crate) fn owner(&self, name: &str, uri: &str) -> Option<Arc<str>> {
        self.rights.as_ref()?.owner(self.index.get(name).map(|known| &**known), uri)
    }

    /// Checks whether the client whose change this is may give a name this URI, or remove it.
    ///
    /// # Errors
    /// It may not.
    pub(crate) fn check(&self, name: &str, uri: Option<&str>) -> Result<(), Exception> {
        match &self.rights {
            Some(rights) => rights.check(name, self.index.get(name).map(|known| &**known), uri),
            None => Ok(()),
        }
    }

    /// The address of the client whose change this is.
    pub(crate) fn writer(&self) -> Option<IpAddr> {
        self.writer
    }

    /// As [`Index::pass`]; an entry that changes nothing always passes.
    pub(crate) fn pass(
        &mut self,
        address: IpAddr,
        name: &str,
        entry: &Entry,
        paces: [Pace; 2],
    ) -> Result<(), Duration> {
        match self.index.get(name) {
            Some(known) if **known == *entry => Ok(()),
            _ => self.index.pass(address, name, entry, paces, self.begun),
        }
    }

    /// The names as the steps before have left them.
    pub fn index(&self) -> &Index {
        self.index
    }

    pub fn set(&mut self, name: &str, mut entry: Entry) {
        self.index.share(&mut entry);
        entry.writer = self.writer.or(entry.writer);
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
        // An unchanged entry need not be written.
        if before != after {
            self.steps.push(Step { name, before, after });
        }
        was_there
    }
}

pub(super) fn write(index: &RwLock<Index>) -> RwLockWriteGuard<'_, Index> {
    index.write().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn undo(index: &mut Index, steps: Vec<Step>) {
    for Step { name, before, .. } in steps.into_iter().rev() {
        index.put(&name, before);
    }
}
