//! The names in memory, from which every question is answered.
//!
//! Owns the entries and the quick ways to them: by name, by prefix, by tag. Knows nothing of
//! files, and nothing of what may be registered.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is known of a name. Entries are equal when the same is kept of them.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) uri: String,
    pub(crate) metadata: BTreeSet<String>,
    /// Which registration it is of, among all of this process: a name that is registered again, be
    /// it with the same URI, has another.
    pub(crate) registration: u64,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.uri == other.uri && self.metadata == other.metadata
    }
}

impl Eq for Entry {}

/// A name with what is known of it; cheap to hand out.
pub(crate) type Named = (Arc<str>, Arc<Entry>);

/// The names.
#[derive(Debug, Default)]
pub(crate) struct Index {
    entries: BTreeMap<Arc<str>, Arc<Entry>>,
    tagged: HashMap<String, BTreeSet<Arc<str>>>,
    bytes: usize,
    revision: u64,
}

impl Entry {
    /// A new registration.
    pub(crate) fn new(uri: String, metadata: BTreeSet<String>) -> Self {
        static REGISTRATIONS: AtomicU64 = AtomicU64::new(0);
        let registration = REGISTRATIONS.fetch_add(1, Ordering::Relaxed);
        Entry { uri, metadata, registration }
    }

    /// The same registration with other tags.
    pub(crate) fn with_tags(&self, metadata: BTreeSet<String>) -> Self {
        Entry { uri: self.uri.clone(), metadata, registration: self.registration }
    }

    /// How much there is of it.
    pub(crate) fn bytes(&self) -> usize {
        self.uri.len() + self.metadata.iter().map(String::len).sum::<usize>()
    }
}

impl Index {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How much text there is in all.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Another one after every change.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Entry>> {
        self.entries.get(name)
    }

    /// Sets or takes out a name; what was there before.
    pub(crate) fn put(&mut self, name: &Arc<str>, entry: Option<Arc<Entry>>) -> Option<Arc<Entry>> {
        self.revision += 1;
        let before = match &entry {
            Some(entry) => self.entries.insert(Arc::clone(name), Arc::clone(entry)),
            None => self.entries.remove(name),
        };
        if let Some(before) = &before {
            self.bytes = self.bytes.saturating_sub(name.len() + before.bytes());
            for tag in &before.metadata {
                if let Some(names) = self.tagged.get_mut(tag) {
                    names.remove(name);
                    if names.is_empty() {
                        self.tagged.remove(tag);
                    }
                }
            }
        }
        if let Some(entry) = entry {
            self.bytes += name.len() + entry.bytes();
            for tag in &entry.metadata {
                // Most tags are there already: no copy for those.
                match self.tagged.get_mut(tag) {
                    Some(names) => drop(names.insert(Arc::clone(name))),
                    None => {
                        self.tagged.insert(tag.clone(), BTreeSet::from([Arc::clone(name)]));
                    }
                }
            }
        }
        before
    }

    /// Entries whose name begins with `prefix`, in the order of names; all of them for "".
    pub(crate) fn with_prefix<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a Arc<str>, &'a Arc<Entry>)> {
        self.with_prefix_from(prefix, Bound::Included(prefix))
    }

    /// The same from one of them on.
    pub(crate) fn with_prefix_from<'a>(
        &'a self,
        prefix: &'a str,
        first: Bound<&'a str>,
    ) -> impl Iterator<Item = (&'a Arc<str>, &'a Arc<Entry>)> {
        self.entries
            .range::<str, _>((first, Bound::Unbounded))
            // An empty prefix is every name's: no look at each of them.
            .take_while(move |(name, _)| prefix.is_empty() || name.starts_with(prefix))
    }

    /// Entries that have every one of `tags`.
    pub(crate) fn with_all(&self, tags: &BTreeSet<String>) -> Vec<Named> {
        let mut sets = Vec::with_capacity(tags.len());
        for tag in tags {
            match self.tagged.get(tag) {
                Some(names) => sets.push(names),
                None => return Vec::new(),
            }
        }
        // Through the rarest tag, the others only looked up.
        sets.sort_by_key(|names| names.len());
        let Some((rarest, others)) = sets.split_first() else { return Vec::new() };
        let wanted = rarest.iter().filter(|name| others.iter().all(|names| names.contains(*name)));
        wanted.filter_map(|name| self.named(name)).collect()
    }

    /// Entries that have at least one of `tags`.
    pub(crate) fn with_any(&self, tags: &BTreeSet<String>) -> Vec<Named> {
        let names: BTreeSet<&Arc<str>> =
            tags.iter().filter_map(|tag| self.tagged.get(tag)).flatten().collect();
        names.into_iter().filter_map(|name| self.named(name)).collect()
    }

    fn named(&self, name: &Arc<str>) -> Option<Named> {
        Some((Arc::clone(name), Arc::clone(self.entries.get(name)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(tags: &[&str]) -> Option<Arc<Entry>> {
        let metadata = tags.iter().map(|tag| (*tag).to_owned()).collect();
        Some(Arc::new(Entry::new("PYRO:o@h:1".into(), metadata)))
    }

    fn index(names: &[(&str, &[&str])]) -> Index {
        let mut index = Index::default();
        for (name, tags) in names {
            index.put(&Arc::from(*name), entry(tags));
        }
        index
    }

    fn names(found: &[Named]) -> Vec<&str> {
        found.iter().map(|(name, _)| &**name).collect()
    }

    #[test]
    fn a_prefix_finds_exactly_the_names_that_begin_with_it() {
        let names = ["lab", "lab.a", "lab.b", "laboratory", "la", "m"].map(|name| (name, &[][..]));
        let index = index(&names);
        let found =
            |prefix| -> Vec<&str> { index.with_prefix(prefix).map(|(name, _)| &**name).collect() };
        assert_eq!(found("lab."), ["lab.a", "lab.b"]);
        assert_eq!(found("lab"), ["lab", "lab.a", "lab.b", "laboratory"]);
        assert_eq!(found("").len(), 6);
        assert_eq!(found("x").len(), 0);
    }

    #[test]
    fn tags_lead_to_names_until_they_change() {
        let mut index = index(&[("a", &["x", "y"]), ("b", &["y"]), ("c", &[])]);
        let tags = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect();
        assert_eq!(names(&index.with_all(&tags(&["x", "y"]))), ["a"]);
        assert_eq!(names(&index.with_all(&tags(&["y"]))), ["a", "b"]);
        assert_eq!(names(&index.with_all(&tags(&["y", "z"]))), [""; 0]);
        assert_eq!(names(&index.with_any(&tags(&["x", "y", "z"]))), ["a", "b"]);
        index.put(&Arc::from("a"), entry(&["z"]));
        index.put(&Arc::from("b"), None);
        assert_eq!(names(&index.with_any(&tags(&["x", "y"]))), [""; 0]);
        assert_eq!(names(&index.with_any(&tags(&["z"]))), ["a"]);
        assert_eq!(index.tagged.len(), 1, "a tag that nobody has is forgotten");
    }

    #[test]
    fn the_text_is_counted() {
        let mut index = index(&[("a", &["x", "yy"])]);
        assert_eq!(index.bytes(), 1 + 10 + 3);
        index.put(&Arc::from("a"), entry(&[]));
        assert_eq!(index.bytes(), 1 + 10);
        index.put(&Arc::from("a"), None);
        assert_eq!((index.bytes(), index.len()), (0, 0));
    }
}
