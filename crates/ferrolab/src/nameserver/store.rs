//! Where a nameserver keeps its names.
//!
//! Owns the entries and the ways to look through them. Knows nothing of Pyro's calls.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// What is known of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) uri: String,
    pub(crate) metadata: BTreeSet<String>,
}

/// Names in memory; gone with the process.
#[derive(Debug, Default)]
pub(crate) struct MemoryStore {
    entries: BTreeMap<String, Entry>,
}

impl MemoryStore {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    pub(crate) fn set(&mut self, name: String, entry: Entry) {
        self.entries.insert(name, entry);
    }

    /// True if the name was there.
    pub(crate) fn remove(&mut self, name: &str) -> bool {
        self.entries.remove(name).is_some()
    }

    /// Entries whose name begins with `prefix`, in the order of names; all of them for "".
    pub(crate) fn with_prefix<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a String, &'a Entry)> {
        self.entries
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(move |(name, _)| name.starts_with(prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_finds_exactly_the_names_that_begin_with_it() {
        let mut store = MemoryStore::default();
        for name in ["lab", "lab.a", "lab.b", "laboratory", "la", "m"] {
            let entry = Entry { uri: format!("PYRO:{name}@h:1"), metadata: BTreeSet::new() };
            store.set(name.into(), entry);
        }
        let found = |prefix| -> Vec<&str> {
            store.with_prefix(prefix).map(|(name, _)| name.as_str()).collect()
        };
        assert_eq!(found("lab."), ["lab.a", "lab.b"]);
        assert_eq!(found("lab"), ["lab", "lab.a", "lab.b", "laboratory"]);
        assert_eq!(found("").len(), 6);
        assert_eq!(found("x").len(), 0);
    }
}
