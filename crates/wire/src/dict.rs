//! Python's `dict`: insertion-ordered, keys unique under Python's equality.
//!
//! The public interface; `table` stores the entries and finds the keys.

use crate::table::Table;
use crate::value::Value;

/// A `dict`.
///
/// Inserting an equal key (`1 == 1.0 == True`) replaces the value and keeps the first key and its
/// position. The serializers refuse a `list`, `set` or `dict` as a key; this type accepts it.
#[derive(Clone, Default)]
pub struct Dict {
    // Boxed, so that a `Value` stays at four words.
    table: Option<Box<Table<Value>>>,
}

impl Dict {
    /// An empty dict.
    pub const fn new() -> Dict {
        Dict { table: None }
    }

    /// An empty dict with space for `capacity` entries.
    pub fn with_capacity(capacity: usize) -> Dict {
        match capacity {
            0 => Dict::new(),
            _ => Dict { table: Some(Box::new(Table::with_capacity(capacity))) },
        }
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.entries().len()
    }

    /// Whether the dict has no entries.
    pub fn is_empty(&self) -> bool {
        self.entries().is_empty()
    }

    /// Sets the value of a key and returns its previous value.
    pub fn insert(&mut self, key: impl Into<Value>, value: impl Into<Value>) -> Option<Value> {
        self.table.get_or_insert_default().insert(key.into(), value.into())
    }

    /// The value of a `str` key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let table = self.table.as_ref()?;
        Some(&table.entries.get(table.find_str(key)?)?.1)
    }

    /// The value of a `str` key, to be changed.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        let table = self.table.as_mut()?;
        let number = table.find_str(key)?;
        Some(&mut table.entries.get_mut(number)?.1)
    }

    /// The value of any key.
    pub fn get_value(&self, key: &Value) -> Option<&Value> {
        let table = self.table.as_ref()?;
        Some(&table.entries.get(table.find(key, None)?)?.1)
    }

    /// Removes the entry of a `str` key and returns its value.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let table = self.table.as_mut()?;
        let number = table.find_str(key)?;
        Some(table.remove(number)?.1)
    }

    /// Whether the dict has a `str` key.
    pub fn contains(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// The entries in the order of their insertion.
    pub fn iter(&self) -> Iter<'_> {
        Iter { entries: self.entries().iter() }
    }

    /// The keys in the order of their insertion.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &Value> {
        self.entries().iter().map(|(key, _)| key)
    }

    /// The values in the order of insertion of their keys.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &Value> {
        self.entries().iter().map(|(_, value)| value)
    }

    /// The `"__class__"` entry, which a class dict has: the form in which an instance travels.
    pub fn class(&self) -> Option<&str> {
        self.get("__class__")?.as_str()
    }

    /// Bytes on the heap, without what the keys and values own.
    #[inline]
    pub(crate) fn heap_bytes(&self) -> usize {
        self.table.as_ref().map_or(0, |table| size_of::<Table<Value>>() + table.heap_bytes())
    }

    /// [`Dict::heap_bytes`] of a new dict of this capacity.
    pub(crate) fn heap_bytes_for(capacity: usize) -> usize {
        match capacity {
            0 => 0,
            _ => size_of::<Table<Value>>().saturating_add(capacity.saturating_mul(size_of::<(
                Value,
                Value,
            )>(
            ))),
        }
    }

    fn entries(&self) -> &[(Value, Value)] {
        self.table.as_ref().map_or(&[], |table| &table.entries)
    }
}

impl PartialEq for Dict {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self.iter().all(|(key, value)| other.get_value(key) == Some(value))
    }
}

impl std::fmt::Debug for Dict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// The entries of a [`Dict`], in order.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    entries: std::slice::Iter<'a, (Value, Value)>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a Value, &'a Value);

    fn next(&mut self) -> Option<Self::Item> {
        self.entries.next().map(|(key, value)| (key, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.entries.size_hint()
    }
}

impl ExactSizeIterator for Iter<'_> {}

impl<'a> IntoIterator for &'a Dict {
    type Item = (&'a Value, &'a Value);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl IntoIterator for Dict {
    type Item = (Value, Value);
    type IntoIter = std::vec::IntoIter<(Value, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.table.map(|table| table.entries).unwrap_or_default().into_iter()
    }
}

impl<K: Into<Value>, V: Into<Value>> FromIterator<(K, V)> for Dict {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut dict = Dict::new();
        dict.extend(entries);
        dict
    }
}

impl<K: Into<Value>, V: Into<Value>> Extend<(K, V)> for Dict {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        for (key, value) in entries {
            self.insert(key, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_keys_are_one_key() {
        let equal = [
            (Value::Int(1), Value::Float(1.0)),
            (Value::Bool(true), Value::Int(1)),
            (Value::Complex { re: 2.0, im: 0.0 }, Value::Int(2)),
            (Value::Float(-0.0), Value::Bool(false)),
            (Value::Float(2f64.powi(64)), Value::int(num_bigint::BigInt::from(1u128 << 64))),
            (Value::Tuple(vec![Value::Int(1)]), Value::Tuple(vec![Value::Bool(true)])),
        ];
        for (first, second) in equal {
            // Both a short table, which is scanned, and a long one, which has an index.
            for others in [0, 100] {
                let mut dict: Dict = (0..others).map(|i| (format!("k{i}"), i)).collect();
                assert_eq!(dict.insert(first.clone(), "a"), None);
                assert_eq!(dict.insert(second.clone(), "b"), Some(Value::from("a")));
                assert_eq!(dict.iter().last(), Some((&first, &Value::from("b"))));
            }
        }
    }

    #[test]
    fn different_keys_stay_apart() {
        let keys = [
            Value::None,
            Value::from("1"),
            Value::bytes(*b"1"),
            Value::Int(1),
            Value::Float(1.5),
            Value::Complex { re: 1.0, im: 1.0 },
            Value::Tuple(vec![Value::Int(1)]),
            Value::FrozenSet([Value::Int(1)].into_iter().collect()),
            Value::Float(f64::NAN),
            Value::Float(f64::NAN),
            Value::Float(f64::INFINITY),
        ];
        let dict: Dict = keys.iter().map(|key| (key.clone(), 0)).collect();
        assert_eq!(dict.len(), keys.len());
    }

    #[test]
    fn a_large_dict_keeps_its_order_and_finds_its_keys() {
        let mut dict: Dict = (0..10_000).map(|i| (format!("key {i}"), i)).collect();
        assert_eq!(dict.remove("key 17"), Some(Value::Int(17)));
        assert!(!dict.contains("key 17"));
        assert_eq!(dict.get("key 9999"), Some(&Value::Int(9999)));
        assert_eq!(dict.keys().nth(17), Some(&Value::from("key 18")));
        assert_eq!(dict.len(), 9_999);
    }

    #[test]
    fn many_nan_keys_cost_no_scan_each() {
        let dict: Dict = (0..50_000).map(|i| (f64::NAN, i)).collect();
        assert_eq!(dict.len(), 50_000);
        let nested = |_| Value::FrozenSet([Value::Float(f64::NAN)].into_iter().collect());
        assert_eq!((0..50_000).map(|i| (nested(i), i)).collect::<Dict>().len(), 50_000);
    }

    #[test]
    fn equality_ignores_order() {
        let a: Dict = [("x", 1), ("y", 2)].into_iter().collect();
        let b: Dict = [("y", 2), ("x", 1)].into_iter().collect();
        assert_eq!(a, b);
        assert_ne!(a, [("x", 1)].into_iter().collect());
        assert_eq!(Dict::new(), Dict::with_capacity(4));
    }
}
