//! Index of the names in memory: by name, by prefix, by tag.
//!
//! Counts the memory that the names take. Files and the rules of names must not be known here.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::mem::size_of;
use std::net::IpAddr;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::lease::Lease;
use super::shares::{Pace, Share, Shares};

/// Memory for a name beside its texts, in bytes: its nodes here, its entry, and the allocator's
/// share. As measured, rounded up.
const PER_NAME: usize = 200;
/// The same for a lease, and for its name in the set of those that have one.
const PER_LEASE: usize = 128;
/// Memory for each tag of a name, in bytes.
const PER_USE: usize = 3 * size_of::<Arc<str>>();
/// Memory for each tag beside its text, in bytes, however many names have it.
const PER_TAG: usize = 300;
/// The owner of the names of a lab's own daemons; in a shared directory the lab's host follows. No
/// user has a name with a space in it.
pub(crate) const LAB: &str = "the lab";

/// The owner of the names of a lab's own daemons; in a shared directory, of the lab with this host.
pub(crate) fn lab_owner(host: Option<&str>) -> Arc<str> {
    host.map_or_else(|| LAB.into(), |host| format!("{LAB} {host}").into())
}

/// The entry of a name. Entries are equal when the database keeps the same of them.
#[derive(Clone, Debug)]
pub struct Entry {
    pub uri: Box<str>,
    /// Whether the URI stands for all addresses of this host: clients are told one of them.
    pub is_everywhere: bool,
    /// Sorted, without duplicates. All entries of an index share their texts.
    pub tags: Box<[Arc<str>]>,
    /// Of a name that lapses unless it is renewed.
    pub lease: Option<Arc<Lease>>,
    /// The address that has written it, where a client has.
    pub writer: Option<IpAddr>,
    /// The client that has registered it, where there are rules of access.
    pub owner: Option<Arc<str>>,
    /// The host of its daemon, in a directory that several nameservers share.
    pub host: Option<Arc<str>>,
    /// Number of the registration in this process. A name that is registered again, also with the
    /// same URI, has another.
    pub registration: u64,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.uri == other.uri
            && self.tags == other.tags
            && self.lease == other.lease
            && self.owner == other.owner
            && self.host == other.host
    }
}

impl Eq for Entry {}

/// A name with its entry; cheap to clone.
pub(crate) type Named = (Arc<str>, Arc<Entry>);

/// Index of all names.
#[derive(Debug, Default)]
pub struct Index {
    entries: BTreeMap<Arc<str>, Arc<Entry>>,
    tagged: HashMap<Arc<str>, BTreeSet<Arc<str>>>,
    /// Names that have a lease.
    leased: BTreeSet<Arc<str>>,
    /// Memory that all names take.
    bytes: usize,
    shares: Shares,
    revision: u64,
}

impl Entry {
    /// A new registration.
    pub fn new(uri: String, metadata: BTreeSet<String>) -> Self {
        static REGISTRATIONS: AtomicU64 = AtomicU64::new(0);
        let registration = REGISTRATIONS.fetch_add(1, Ordering::Relaxed);
        let is_everywhere = is_everywhere(&uri);
        Entry {
            uri: uri.into(),
            is_everywhere,
            tags: texts(metadata),
            lease: None,
            writer: None,
            owner: None,
            host: None,
            registration,
        }
    }

    /// The same registration with other tags.
    pub fn with_tags(&self, metadata: BTreeSet<String>) -> Self {
        Entry { tags: texts(metadata), ..self.clone() }
    }

    /// The same with a lease that begins now.
    pub fn with_lease(self, length: Duration) -> Self {
        Entry { lease: Some(Arc::new(Lease::new(length))), ..self }
    }

    /// Whether the name has a tag.
    pub fn has(&self, tag: &str) -> bool {
        self.tags.binary_search_by(|known| (**known).cmp(tag)).is_ok()
    }
}

/// Whether a URI may stand for all addresses of a host. Without parsing it: a database has many.
fn is_everywhere(uri: &str) -> bool {
    uri.contains("@0.0.0.0:") || uri.contains("@[::]:")
}

fn texts(metadata: BTreeSet<String>) -> Box<[Arc<str>]> {
    metadata.into_iter().map(Arc::from).collect()
}

impl Index {
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Memory that all names would take with this entry in place of the name's present one.
    pub(crate) fn bytes_with(&self, name: &str, entry: &Entry) -> usize {
        let old = self.get(name);
        let freed = old.map_or(0, |old| self.cost(name, old, |users| users == 1));
        let is_new = |users: usize, tag: &str| {
            users == 0 || users == 1 && old.is_some_and(|old| old.has(tag))
        };
        let tags = entry.tags.iter();
        let added: usize = tags.filter(|tag| is_new(self.users(tag), tag)).map(tag_cost).sum();
        let rest = self.bytes.saturating_sub(freed);
        rest.saturating_add(own_cost(name, entry)).saturating_add(added)
    }

    /// Memory for an entry, with those of its tags whose number of names `counts`.
    fn cost(&self, name: &str, entry: &Entry, counts: impl Fn(usize) -> bool) -> usize {
        let tags = entry.tags.iter().filter(|tag| counts(self.users(tag)));
        own_cost(name, entry) + tags.map(tag_cost).sum::<usize>()
    }

    fn users(&self, tag: &str) -> usize {
        self.tagged.get(tag).map_or(0, BTreeSet::len)
    }

    /// The share that an address would have with this entry in place of the name's present one.
    pub(crate) fn share_with(&self, address: IpAddr, name: &str, entry: &Entry) -> Share {
        let Share { names, bytes } = self.shares.of(address);
        let own = self.get(name).filter(|old| old.writer == Some(address));
        let (old_names, old_bytes) = own.map_or((0, 0), |old| (1, full_cost(name, old)));
        Share {
            names: names.saturating_sub(old_names) + 1,
            bytes: bytes.saturating_sub(old_bytes).saturating_add(full_cost(name, entry)),
        }
    }

    #[cfg(test)]
    pub(crate) fn share_of(&self, address: IpAddr) -> Share {
        self.shares.of(address)
    }

    /// Lets an entry come from an address at its pace `now`; else how long it has to wait.
    pub(crate) fn pass(
        &mut self,
        address: IpAddr,
        name: &str,
        entry: &Entry,
        paces: [Pace; 2],
        now: Instant,
    ) -> Result<(), Duration> {
        self.shares.pass(address, full_cost(name, entry), paces, now)
    }

    /// Makes an entry share its tags' texts with the others.
    pub(crate) fn share(&self, entry: &mut Entry) {
        for tag in &mut entry.tags {
            if let Some((known, _)) = self.tagged.get_key_value(&**tag) {
                *tag = Arc::clone(known);
            }
        }
    }

    /// A number that every change increases.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Entry>> {
        self.entries.get(name)
    }

    /// Sets or removes a name; its entry before.
    pub(crate) fn put(&mut self, name: &Arc<str>, entry: Option<Arc<Entry>>) -> Option<Arc<Entry>> {
        self.revision += 1;
        // All nodes of a name share one text.
        let known = self.entries.get_key_value(name).map(|(known, _)| Arc::clone(known));
        let name = &known.unwrap_or_else(|| Arc::clone(name));
        let before = match &entry {
            Some(entry) => self.entries.insert(Arc::clone(name), Arc::clone(entry)),
            None => self.entries.remove(name),
        };
        if let Some(before) = &before {
            let freed = self.cost(name, before, |users| users == 1);
            self.bytes = self.bytes.saturating_sub(freed);
            if let Some(writer) = before.writer {
                self.shares.remove(writer, full_cost(name, before));
            }
            self.leased.remove(name);
            for tag in &before.tags {
                if let Some(names) = self.tagged.get_mut(tag) {
                    names.remove(name);
                    if names.is_empty() {
                        self.tagged.remove(tag);
                    }
                }
            }
        }
        if let Some(entry) = entry {
            self.bytes += self.cost(name, &entry, |users| users == 0);
            if let Some(writer) = entry.writer {
                self.shares.add(writer, full_cost(name, &entry));
            }
            if entry.lease.is_some() {
                self.leased.insert(Arc::clone(name));
            }
            for tag in &entry.tags {
                self.tagged.entry(Arc::clone(tag)).or_default().insert(Arc::clone(name));
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

    /// As [`with_prefix`](Self::with_prefix), from a name on.
    pub(crate) fn with_prefix_from<'a>(
        &'a self,
        prefix: &'a str,
        first: Bound<&'a str>,
    ) -> impl Iterator<Item = (&'a Arc<str>, &'a Arc<Entry>)> {
        self.entries
            .range::<str, _>((first, Bound::Unbounded))
            // Every name has an empty prefix, and its text need not be read.
            .take_while(move |(name, _)| prefix.is_empty() || name.starts_with(prefix))
    }

    /// Entries that have a lease.
    pub fn leased(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<Entry>)> {
        self.leased_from(Bound::Unbounded)
    }

    /// As [`leased`](Self::leased), from a name on.
    pub(crate) fn leased_from<'a>(
        &'a self,
        first: Bound<&'a str>,
    ) -> impl Iterator<Item = (&'a Arc<str>, &'a Arc<Entry>)> {
        let names = self.leased.range::<str, _>((first, Bound::Unbounded));
        names.filter_map(|name| self.entries.get_key_value(name))
    }

    /// Entries that have every one of `tags`; `None` where there are more than `most` to look at.
    pub(crate) fn with_all(&self, tags: &BTreeSet<String>, most: usize) -> Option<Vec<Named>> {
        let mut sets = Vec::with_capacity(tags.len());
        for tag in tags {
            match self.tagged.get(tag.as_str()) {
                Some(names) => sets.push(names),
                None => return Some(Vec::new()),
            }
        }
        // Iterates over the rarest tag's names and looks the others up.
        sets.sort_by_key(|names| names.len());
        let Some((rarest, others)) = sets.split_first() else { return Some(Vec::new()) };
        if rarest.len().saturating_mul(sets.len()) > most {
            return None;
        }
        let wanted = rarest.iter().filter(|name| others.iter().all(|names| names.contains(*name)));
        Some(wanted.filter_map(|name| self.named(name)).collect())
    }

    /// Entries that have at least one of `tags`; `None` where there are more than `most` to look
    /// at.
    pub(crate) fn with_any(&self, tags: &BTreeSet<String>, most: usize) -> Option<Vec<Named>> {
        let sets = || tags.iter().filter_map(|tag| self.tagged.get(tag.as_str()));
        if sets().map(BTreeSet::len).sum::<usize>() > most {
            return None;
        }
        let names: BTreeSet<&Arc<str>> = sets().flatten().collect();
        Some(names.into_iter().filter_map(|name| self.named(name)).collect())
    }

    fn named(&self, name: &Arc<str>) -> Option<Named> {
        Some((Arc::clone(name), Arc::clone(self.entries.get(name)?)))
    }
}

/// Memory for a name and its entry without its tags' texts.
fn own_cost(name: &str, entry: &Entry) -> usize {
    let lease = if entry.lease.is_some() { PER_LEASE } else { 0 };
    PER_NAME + name.len() + entry.uri.len() + entry.tags.len() * PER_USE + lease
}

/// Memory for a name and its entry, as if no other had its tags.
fn full_cost(name: &str, entry: &Entry) -> usize {
    own_cost(name, entry) + entry.tags.iter().map(tag_cost).sum::<usize>()
}

fn tag_cost(tag: &Arc<str>) -> usize {
    PER_TAG + tag.len()
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
        assert_eq!(names(&index.with_all(&tags(&["x", "y"]), 10).unwrap()), ["a"]);
        assert_eq!(names(&index.with_all(&tags(&["y"]), 10).unwrap()), ["a", "b"]);
        assert_eq!(names(&index.with_all(&tags(&["y", "z"]), 10).unwrap()), [""; 0]);
        assert_eq!(names(&index.with_any(&tags(&["x", "y", "z"]), 10).unwrap()), ["a", "b"]);
        assert!(index.with_any(&tags(&["x", "y"]), 2).is_none(), "three places to look at");
        assert!(index.with_all(&tags(&["y"]), 1).is_none(), "two names to look at");
        index.put(&Arc::from("a"), entry(&["z"]));
        index.put(&Arc::from("b"), None);
        assert_eq!(names(&index.with_any(&tags(&["x", "y"]), 10).unwrap()), [""; 0]);
        assert_eq!(names(&index.with_any(&tags(&["z"]), 10).unwrap()), ["a"]);
        assert_eq!(index.tagged.len(), 1, "a tag that nobody has is forgotten");
    }

    #[test]
    fn the_memory_is_counted() {
        let mut index = Index::default();
        let name = 1 + 10 + PER_NAME;
        let mut put = |name: &str, tags: Option<&[&str]>, expected: usize| {
            let entry = tags.and_then(entry);
            if let Some(entry) = &entry {
                assert_eq!(index.bytes_with(name, entry), expected, "as told before");
            }
            index.put(&Arc::from(name), entry);
            assert_eq!(index.bytes, expected);
        };
        let (x, yy) = (PER_TAG + 1, PER_TAG + 2);
        put("a", Some(&["x", "yy"]), name + 2 * PER_USE + x + yy);
        put("b", Some(&["x"]), 2 * name + 3 * PER_USE + x + yy);
        put("a", Some(&["yy", "z"]), 2 * name + 3 * PER_USE + x + yy + x);
        put("b", None, name + 2 * PER_USE + yy + x);
        put("a", Some(&[]), name);
        put("a", None, 0);
        assert_eq!(index.len(), 0);
    }

    #[test]
    fn texts_are_there_once() {
        let mut index = Index::default();
        for name in ["a", "b", "a"] {
            let mut entry = Entry::new("PYRO:o@h:1".into(), BTreeSet::from(["x".to_owned()]));
            index.share(&mut entry);
            index.put(&Arc::from(name), Some(Arc::new(entry)));
        }
        let tag = |name| &index.get(name).unwrap().tags[0];
        assert!(Arc::ptr_eq(tag("a"), tag("b")));
        let kept = index.tagged["x"].first().unwrap();
        assert!(Arc::ptr_eq(kept, index.entries.get_key_value("a").unwrap().0));
    }
}
