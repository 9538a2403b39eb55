//! Insertion-ordered hash table under Python's equality, which stores dicts and sets.
//!
//! A short table is scanned; a long one has an index from hashes to entries. The index keeps 32
//! bits of each hash, so that its growth never hashes a key again.

use hashbrown::HashTable;

use crate::key::{self, Hash};
use crate::value::Value;

/// Longest table, in entries, that is scanned: so far a scan is faster than a hash.
const MAX_SCANNED: usize = 8;

#[derive(Clone, Debug)]
pub(crate) struct Table<V> {
    pub(crate) entries: Vec<(Value, V)>,
    /// Empty, or a slot for each entry.
    index: HashTable<IndexSlot>,
}

/// An entry in the index.
#[derive(Clone, Copy, Debug)]
struct IndexSlot {
    /// The high half of the key's hash.
    hash: u32,
    /// The entry's position. 32 bits do: a message has at most 4 GiB, an entry several bytes.
    number: u32,
}

impl IndexSlot {
    fn new(hash: u64, number: usize) -> Self {
        IndexSlot { hash: (hash >> 32) as u32, number: number as u32 }
    }

    /// The hash for the index, which uses both ends of its 64 bits.
    fn spread_hash(&self) -> u64 {
        u64::from(self.hash) << 32 | u64::from(self.hash)
    }
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Table::with_capacity(0)
    }
}

impl<V> Table<V> {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Table { entries: Vec::with_capacity(capacity), index: HashTable::new() }
    }

    /// Bytes on the heap of the entries and the index.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<(Value, V)>() + self.index.allocation_size()
    }

    /// Inserts an entry. If the table has an equal key, that key keeps its position and gets the
    /// new value; its old value is returned.
    pub(crate) fn insert(&mut self, key: Value, value: V) -> Option<V> {
        let hash = if self.entries.len() < MAX_SCANNED { None } else { Some(key::hash(&key)) };
        self.insert_hashed(key, value, hash)
    }

    /// [`Table::insert`] of a key whose hash may be known already.
    pub(crate) fn insert_hashed(&mut self, key: Value, value: V, hash: Option<Hash>) -> Option<V> {
        if let Some(found) = self.find(&key, hash)
            && let Some((_, old)) = self.entries.get_mut(found)
        {
            return Some(std::mem::replace(old, value));
        }
        self.entries.push((key, value));
        if !self.index.is_empty() {
            self.index_entry(self.entries.len() - 1, hash);
        } else if self.entries.len() > MAX_SCANNED {
            self.rebuild_index();
        }
        None
    }

    /// The position of the entry with this key.
    pub(crate) fn find(&self, key: &Value, hash: Option<Hash>) -> Option<usize> {
        self.find_where(
            || hash.unwrap_or_else(|| key::hash(key)),
            |known| key::are_equal(known, key),
        )
    }

    /// The position of the entry with this `str` key.
    pub(crate) fn find_str(&self, key: &str) -> Option<usize> {
        self.find_where(|| key::hash_str(key), |known| known.as_str() == Some(key))
    }

    /// Removes an entry; those after it move up.
    pub(crate) fn remove(&mut self, number: usize) -> Option<(Value, V)> {
        if number >= self.entries.len() {
            return None;
        }
        let entry = self.entries.remove(number);
        if !self.index.is_empty() {
            self.rebuild_index();
        }
        Some(entry)
    }

    #[inline]
    fn find_where(
        &self,
        hash: impl FnOnce() -> Hash,
        is_key: impl Fn(&Value) -> bool,
    ) -> Option<usize> {
        if self.index.is_empty() {
            return self.entries.iter().position(|(known, _)| is_key(known));
        }
        let hash = hash();
        if hash.nan {
            return None;
        }
        let wanted = IndexSlot::new(hash.bits, 0);
        let is_entry = |slot: &IndexSlot| {
            slot.hash == wanted.hash
                && self.entries.get(slot.number as usize).is_some_and(|(known, _)| is_key(known))
        };
        self.index.find(wanted.spread_hash(), is_entry).map(|slot| slot.number as usize)
    }

    fn rebuild_index(&mut self) {
        self.index.clear();
        self.index.reserve(self.entries.len(), IndexSlot::spread_hash);
        for number in 0..self.entries.len() {
            self.index_entry(number, None);
        }
    }

    fn index_entry(&mut self, number: usize, hash: Option<Hash>) {
        let Some((key, _)) = self.entries.get(number) else { return };
        let hash = hash.unwrap_or_else(|| key::hash(key));
        // A key with a nan is never found again. Its own hash, which all of them share, would make
        // the index slow.
        let bits = if hash.nan { key::hash(&Value::from(number)).bits } else { hash.bits };
        let slot = IndexSlot::new(bits, number);
        self.index.insert_unique(slot.spread_hash(), slot, IndexSlot::spread_hash);
    }
}
