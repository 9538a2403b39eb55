//! Python's `set` and `frozenset`: members unique under Python's equality.
//!
//! A set keeps a running sum of its members' hashes. A frozenset nested n levels deep is therefore
//! hashed once, not n times.

use crate::key::{self, Hash};
use crate::table::Table;
use crate::value::Value;

/// The members of a `set` or a `frozenset`.
///
/// The order of a set has no meaning in Python. Here it is the order of insertion, so that equal
/// inputs give equal bytes.
#[derive(Clone, Default)]
pub struct Set {
    // Boxed, so that a `Value` stays at four words.
    members: Option<Box<Members>>,
}

#[derive(Clone, Default)]
struct Members {
    table: Table<()>,
    /// Wrapping sum of the members' hashes.
    hash_sum: u64,
    /// Whether a member is or contains a nan.
    nan: bool,
}

impl Set {
    /// An empty set.
    pub const fn new() -> Set {
        Set { members: None }
    }

    /// An empty set with space for `capacity` members.
    pub fn with_capacity(capacity: usize) -> Set {
        match capacity {
            0 => Set::new(),
            _ => {
                let table = Table::with_capacity(capacity);
                Set { members: Some(Box::new(Members { table, hash_sum: 0, nan: false })) }
            }
        }
    }

    /// Adds a member. False, and nothing changed, if the set has an equal one.
    pub fn insert(&mut self, member: impl Into<Value>) -> bool {
        let member = member.into();
        let hash = key::hash(&member);
        let members = self.members.get_or_insert_default();
        if members.table.find(&member, Some(hash)).is_some() {
            return false;
        }
        members.table.insert_hashed(member, (), Some(hash));
        members.hash_sum = members.hash_sum.wrapping_add(hash.bits);
        members.nan |= hash.nan;
        true
    }

    /// Whether the set has a member equal to `value`.
    pub fn contains(&self, value: &Value) -> bool {
        self.members.as_ref().is_some_and(|members| members.table.find(value, None).is_some())
    }

    /// The number of members.
    pub fn len(&self) -> usize {
        self.entries().len()
    }

    /// Whether the set has no members.
    pub fn is_empty(&self) -> bool {
        self.entries().is_empty()
    }

    /// The members in the order of insertion.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Value> {
        self.entries().iter().map(|(member, ())| member)
    }

    /// The members as a list.
    pub fn into_vec(self) -> Vec<Value> {
        self.into_iter().collect()
    }

    /// Bytes on the heap, without what the members own.
    #[inline]
    pub(crate) fn heap_bytes(&self) -> usize {
        self.members.as_ref().map_or(0, |members| size_of::<Members>() + members.table.heap_bytes())
    }

    /// [`Set::heap_bytes`] of a new set of this capacity.
    pub(crate) fn heap_bytes_for(capacity: usize) -> usize {
        match capacity {
            0 => 0,
            _ => size_of::<Members>()
                .saturating_add(capacity.saturating_mul(size_of::<(Value, ())>())),
        }
    }

    /// The hash of a frozenset with these members; their order makes no difference.
    pub(crate) fn hash(&self) -> Hash {
        self.members.as_ref().map_or(Hash { bits: 0, nan: false }, |members| Hash {
            bits: members.hash_sum ^ members.table.entries.len() as u64,
            nan: members.nan,
        })
    }

    fn entries(&self) -> &[(Value, ())] {
        self.members.as_ref().map_or(&[], |members| &members.table.entries)
    }
}

impl PartialEq for Set {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self.hash().bits == other.hash().bits
            && self.iter().all(|member| other.contains(member))
    }
}

impl std::fmt::Debug for Set {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl IntoIterator for Set {
    type Item = Value;
    type IntoIter = std::iter::Map<std::vec::IntoIter<(Value, ())>, fn((Value, ())) -> Value>;

    fn into_iter(self) -> Self::IntoIter {
        let entries = self.members.map(|members| members.table.entries).unwrap_or_default();
        entries.into_iter().map(|(member, ())| member)
    }
}

impl<V: Into<Value>> FromIterator<V> for Set {
    fn from_iter<I: IntoIterator<Item = V>>(members: I) -> Self {
        let mut set = Set::new();
        for member in members {
            set.insert(member);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_members_are_one_member() {
        let mut set: Set = [1, 2, 3, 2].into_iter().collect();
        assert_eq!(set.len(), 3);
        assert!(!set.insert(1.0));
        assert!(!set.insert(true));
        assert!(set.insert("1"));
        assert_eq!(set.into_vec(), [1.into(), 2.into(), 3.into(), Value::from("1")]);
    }

    #[test]
    fn equality_ignores_order() {
        for size in [3, 300] {
            let up: Set = (0..size).collect();
            let down: Set = (0..size).rev().collect();
            assert_eq!(up, down);
            assert_ne!(up, (1..=size).collect());
        }
    }

    #[test]
    fn nested_frozensets_are_hashed_once_per_level() {
        let mut value = Value::from(1);
        for _ in 0..150 {
            let pair = [value.clone(), Value::from("x")];
            value = Value::FrozenSet(pair.into_iter().collect());
        }
        let again = Value::FrozenSet([value.clone(), value].into_iter().collect());
        assert!(matches!(again, Value::FrozenSet(set) if set.len() == 1));
    }
}
