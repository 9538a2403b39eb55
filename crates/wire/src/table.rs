//! An insertion-ordered hash table under Python's equality, from which dicts and sets are made.
//!
//! A small table is scanned; a large one keeps an open-addressing index of its entries. The index
//! holds 32 bits of each entry's hash, so growing it never hashes a key again.

use crate::key::{self, Hash};
use crate::value::Value;

/// Up to so many entries a scan is quicker than a hash.
const SCANNED: usize = 8;

#[derive(Clone, Debug)]
pub(crate) struct Table<V> {
    pub(crate) entries: Vec<(Value, V)>,
    /// Empty, or a power of two of slots: the hash above, the entry's number plus one below.
    slots: Vec<u64>,
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Table { entries: Vec::new(), slots: Vec::new() }
    }
}

impl<V> Table<V> {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Table { entries: Vec::with_capacity(capacity), slots: Vec::new() }
    }

    /// Bytes that the entries and the index take.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<(Value, V)>() + self.slots.capacity() * size_of::<u64>()
    }

    /// Puts an entry in; an equal key stays where and what it is and only gets the new value.
    pub(crate) fn insert(&mut self, key: Value, value: V) -> Option<V> {
        let hash = if self.entries.len() < SCANNED { None } else { Some(key::hash(&key)) };
        self.insert_hashed(key, value, hash)
    }

    pub(crate) fn insert_hashed(&mut self, key: Value, value: V, hash: Option<Hash>) -> Option<V> {
        if let Some(found) = self.find(&key, hash)
            && let Some((_, old)) = self.entries.get_mut(found)
        {
            return Some(std::mem::replace(old, value));
        }
        self.entries.push((key, value));
        if !self.slots.is_empty() || self.entries.len() > SCANNED {
            self.index_last(hash);
        }
        None
    }

    /// The number of the entry with this key.
    pub(crate) fn find(&self, key: &Value, hash: Option<Hash>) -> Option<usize> {
        if self.slots.is_empty() {
            return self.entries.iter().position(|(known, _)| key::are_equal(known, key));
        }
        self.probe(hash.unwrap_or_else(|| key::hash(key)), |known| key::are_equal(known, key))
    }

    pub(crate) fn find_str(&self, key: &str) -> Option<usize> {
        let same = |known: &Value| known.as_str() == Some(key);
        if self.slots.is_empty() {
            return self.entries.iter().position(|(known, _)| same(known));
        }
        self.probe(key::hash_str(key), same)
    }

    /// Takes an entry out; those behind it move up.
    pub(crate) fn remove(&mut self, number: usize) -> Option<(Value, V)> {
        if number >= self.entries.len() {
            return None;
        }
        let entry = self.entries.remove(number);
        if !self.slots.is_empty() {
            self.rebuild();
        }
        Some(entry)
    }

    fn probe(&self, hash: Hash, same: impl Fn(&Value) -> bool) -> Option<usize> {
        if hash.nan {
            return None;
        }
        let mask = self.slots.len() - 1;
        let high = high_bits(hash.bits);
        let mut at = position(high, mask);
        loop {
            let slot = *self.slots.get(at)?;
            if slot == 0 {
                return None;
            }
            if slot >> 32 == high {
                let number = entry_number(slot);
                if self.entries.get(number).is_some_and(|(known, _)| same(known)) {
                    return Some(number);
                }
            }
            at = (at + 1) & mask;
        }
    }

    fn index_last(&mut self, hash: Option<Hash>) {
        // At most half full, so that probing ends soon.
        if self.slots.is_empty() {
            self.rebuild();
        } else if self.entries.len() * 2 > self.slots.len() {
            let old = std::mem::take(&mut self.slots);
            self.slots = vec![0; old.len() * 2];
            for slot in old {
                if slot != 0 {
                    self.place(slot >> 32, entry_number(slot));
                }
            }
            self.index_entry(self.entries.len() - 1, hash);
        } else {
            self.index_entry(self.entries.len() - 1, hash);
        }
    }

    fn rebuild(&mut self) {
        let size = (self.entries.len() * 2).next_power_of_two().max(4 * SCANNED);
        self.slots.clear();
        self.slots.resize(size, 0);
        for number in 0..self.entries.len() {
            self.index_entry(number, None);
        }
    }

    fn index_entry(&mut self, number: usize, hash: Option<Hash>) {
        let Some((key, _)) = self.entries.get(number) else { return };
        let hash = hash.unwrap_or_else(|| key::hash(key));
        // Keys with a nan are never found again, but must not pile up in one place either.
        let bits = if hash.nan { key::hash(&Value::from(number)).bits } else { hash.bits };
        self.place(high_bits(bits), number);
    }

    fn place(&mut self, high: u64, number: usize) {
        let mask = self.slots.len() - 1;
        let mut at = position(high, mask);
        while let Some(slot) = self.slots.get_mut(at) {
            if *slot == 0 {
                *slot = (high << 32) | (number as u64 + 1);
                return;
            }
            at = (at + 1) & mask;
        }
    }
}

/// Entries are bounded by the message size (4 GiB at most, several bytes each): 32 bits number them.
fn entry_number(slot: u64) -> usize {
    (slot & 0xffff_ffff) as usize - 1
}

fn high_bits(hash: u64) -> u64 {
    hash >> 32
}

fn position(high: u64, mask: usize) -> usize {
    high as usize & mask
}
