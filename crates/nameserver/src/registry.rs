//! Interface to a directory that several nameservers share: keys with values, revisions and leases.
//!
//! Modelled on etcd: each change has a revision, a transaction compares revisions, and a key may
//! end with a lease. The client that speaks to it is the binary's; this crate knows no HTTP. Keys
//! are without the prefix that the directory has in the registry.

use std::fmt;
use std::pin::Pin;

/// An answer of the registry.
pub type RegistryFuture<'a, T> =
    Pin<Box<dyn Future<Output = Result<T, RegistryError>> + Send + 'a>>;

/// A lease of the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegistryLease(pub i64);

/// A key as it is, or as it was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    /// The key.
    pub key: String,
    /// `None` for a key that was removed.
    pub value: Option<Vec<u8>>,
    /// The revision of the key's last change.
    pub revision: i64,
}

/// All keys as they were at one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// That revision.
    pub revision: i64,
    /// The keys.
    pub keys: Vec<KeyValue>,
}

/// A key to write or to remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The key.
    pub key: String,
    /// `None` removes the key.
    pub value: Option<Vec<u8>>,
    /// The revision that the key must have now, 0 for a key that must not exist; any if absent.
    pub expected: Option<i64>,
}

/// The outcome of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// All of it is kept, with this revision.
    Kept(i64),
    /// A key had another revision; nothing was changed.
    Conflict,
}

/// Why the registry does not do what it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryError {
    /// It does not answer, or cannot decide: it may be well again in a moment.
    Away(String),
    /// It answers, and people have to change something: the login, the prefix, its version.
    Refused(String),
    /// The changes after that revision are no longer known: everything is to be loaded anew.
    Compacted,
    /// The lease has ended.
    LeaseLost,
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RegistryError::Away(reason) | RegistryError::Refused(reason) => f.write_str(reason),
            RegistryError::Compacted => f.write_str("the changes since then are not kept any more"),
            RegistryError::LeaseLost => f.write_str("its lease has ended"),
        }
    }
}

/// Changes as they come, in the order of their revisions.
pub trait Changes: Send {
    /// The next changes. Those of one revision come together. May be dropped at any time.
    fn next(&mut self) -> RegistryFuture<'_, Vec<KeyValue>>;
}

/// File of this host for the last known names of a directory, for starts without the registry. Its
/// functions block.
pub trait LastKnownFile: Send + Sync + 'static {
    /// The directory that the names are of: a file of another one is not used.
    fn directory(&self) -> String;
    /// Hands the file's bytes to `parse`, if there is a file.
    ///
    /// # Errors
    /// It cannot be read, or `parse` says how it is damaged. It is set aside; the text names it.
    fn read(&self, parse: &mut dyn FnMut(&[u8]) -> Result<(), String>) -> Result<(), String>;
    /// Replaces the file: after an interruption there is the old one, or the new.
    ///
    /// # Errors
    /// It cannot be written; the text names it and says why.
    fn replace(&self, bytes: &[u8]) -> Result<(), String>;
}

/// Operations in one transaction, at most (etcd's `max-txn-ops`).
pub const MAX_WRITES: usize = 128;
/// Bytes of the keys and values in one transaction, at most: etcd takes requests of 1.5 MiB.
pub const MAX_COMMIT_BYTES: usize = 1024 * 1024;

/// A directory that several nameservers share. Every answer has a deadline.
pub trait Registry: Send + Sync + 'static {
    /// Checks that the registry can be used, and that the prefix is ours or free.
    fn check(&self) -> RegistryFuture<'_, ()>;
    /// All keys.
    fn load(&self) -> RegistryFuture<'_, Snapshot>;
    /// The first of the keys that begin with a prefix, in their order.
    fn first<'a>(&'a self, prefix: &'a str) -> RegistryFuture<'a, Option<KeyValue>>;
    /// The changes from this revision on.
    fn watch(&self, first: i64) -> RegistryFuture<'_, Box<dyn Changes>>;
    /// Makes all changes, or none; at most [`MAX_WRITES`]. The written keys end with the lease.
    fn commit(
        &self,
        writes: Vec<Write>,
        lease: Option<RegistryLease>,
    ) -> RegistryFuture<'_, Commit>;
    /// A new lease of so many seconds.
    fn grant(&self, seconds: u64) -> RegistryFuture<'_, RegistryLease>;
    /// Renews a lease.
    fn keep_alive(&self, lease: RegistryLease) -> RegistryFuture<'_, ()>;
}
