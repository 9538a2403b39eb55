//! Budget of one message: the memory of its values, and the depth of their nesting.
//!
//! The decoder pays for a container's capacity before it allocates it, and for the heap memory of a
//! string, bytes or large int when it puts the value into a container. The length of the data is no
//! bound: three bytes of msgpack make a dict of 150 bytes, and compression shortens them further.

use crate::error::{DecodeErrorKind, Result};
use crate::limits::Limits;
use crate::value::{Dict, Set, Value};

/// Size of a [`Value`] in bytes.
pub(crate) const VALUE_BYTES: usize = size_of::<Value>();
/// Bytes that Python takes for an item of a container beside its content: a pointer, with the spare
/// room of a growing list.
const PYTHON_ITEM_BYTES: usize = 9;
/// Bytes of a number that Python allocates: an int beyond its small ones, or a float.
const PYTHON_NUMBER_BYTES: usize = 32;
/// Bytes of a str or bytes in Python beside its content.
const PYTHON_TEXT_BYTES: usize = 64;
/// Bytes of an empty list or tuple in Python, with what its garbage collector adds.
const PYTHON_LIST_BYTES: usize = 64;
/// Bytes of an empty dict in Python.
const PYTHON_EMPTY_DICT_BYTES: usize = 64;
/// Bytes of a dict with an entry in Python, which has room for five.
const PYTHON_DICT_BYTES: usize = 240;
/// Bytes of a set in Python, which has room for four members.
const PYTHON_SET_BYTES: usize = 224;
/// Bytes for each further entry of a dict or member of a set in Python.
const PYTHON_ENTRY_BYTES: usize = 40;
/// Largest capacity, in entries, of a dict whose length the format does not announce. Such a dict
/// gets the capacity of the dict before it, because the rows of a table are alike.
const MAX_PREALLOCATED_ENTRIES: usize = 16;

/// The memory and depth that a decoder may still use.
#[derive(Debug)]
pub(crate) struct DecodeBudget {
    /// Limit on the memory, in bytes.
    limit: usize,
    /// Memory left, in bytes.
    left: usize,
    /// Limit on the levels of nested containers.
    depth: usize,
    /// Levels left.
    depth_left: usize,
    /// Memory that the same values take in Python, in bytes. Nothing is allocated for it here.
    in_python: usize,
    /// Entries of the last dict whose length was not announced.
    last_dict_len: usize,
}

/// Memory for the values of one message, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ValueMemory {
    /// Bytes that they take here, as [`Limits::memory`] counts it.
    pub here: usize,
    /// Bytes that they take as objects in Python, roughly.
    pub in_python: usize,
}

impl ValueMemory {
    /// The larger of the two.
    pub fn most(self) -> usize {
        self.here.max(self.in_python)
    }
}

impl DecodeBudget {
    pub(crate) fn new(limits: &Limits) -> Self {
        let Limits { memory, depth, .. } = *limits;
        DecodeBudget {
            limit: memory,
            left: memory,
            depth,
            depth_left: depth,
            in_python: 0,
            last_dict_len: 0,
        }
    }

    /// Enters a container; [`DecodeBudget::leave_container`] leaves it.
    pub(crate) fn enter_container(&mut self) -> Result<()> {
        let left = self.depth_left.checked_sub(1);
        self.depth_left = left.ok_or(DecodeErrorKind::TooDeep(self.depth))?;
        Ok(())
    }

    pub(crate) fn leave_container(&mut self) {
        self.depth_left += 1;
    }

    /// Bytes paid so far.
    pub(crate) fn spent(&self) -> usize {
        self.limit - self.left
    }

    /// Memory of the values decoded so far.
    pub(crate) fn memory(&self) -> ValueMemory {
        ValueMemory { here: self.spent(), in_python: self.in_python }
    }

    /// Returns all that was paid since [`DecodeBudget::spent`] gave `spent`: those values are
    /// dropped.
    pub(crate) fn refund_to(&mut self, spent: usize) {
        self.left = self.limit.saturating_sub(spent);
    }

    /// Pays for an empty list of this capacity.
    pub(crate) fn new_list(&mut self, len: usize) -> Result<Vec<Value>> {
        self.pay(len.saturating_mul(VALUE_BYTES))?;
        Ok(Vec::with_capacity(len))
    }

    /// Pays for an empty dict of this capacity.
    pub(crate) fn new_dict(&mut self, len: usize) -> Result<Dict> {
        self.pay(Dict::heap_bytes_for(len))?;
        Ok(Dict::with_capacity(len))
    }

    /// Pays for an empty dict whose length the format does not announce. When the dict is complete,
    /// [`DecodeBudget::note_dict_len`] takes note of its length for the next one.
    pub(crate) fn new_dict_of_unknown_len(&mut self) -> Result<Dict> {
        self.new_dict(self.last_dict_len)
    }

    pub(crate) fn note_dict_len(&mut self, dict: &Dict) {
        self.last_dict_len = dict.len().min(MAX_PREALLOCATED_ENTRIES);
    }

    /// Pays for an empty set of this capacity.
    pub(crate) fn new_set(&mut self, len: usize) -> Result<Set> {
        self.pay(Set::heap_bytes_for(len))?;
        Ok(Set::with_capacity(len))
    }

    #[inline]
    pub(crate) fn push_item(&mut self, items: &mut Vec<Value>, item: Value) -> Result<()> {
        if items.len() == items.capacity() {
            // Doubles the capacity, as a `Vec` does by itself, but pays first.
            let more = items.capacity().max(4);
            self.pay(more.saturating_mul(VALUE_BYTES))?;
            items.reserve_exact(more);
        }
        self.pay_for_owned(&item)?;
        self.in_python = self.in_python.saturating_add(PYTHON_ITEM_BYTES);
        items.push(item);
        Ok(())
    }

    #[inline]
    pub(crate) fn insert_entry(&mut self, dict: &mut Dict, key: Value, value: Value) -> Result<()> {
        self.pay_for_owned(&key)?;
        self.pay_for_owned(&value)?;
        let before = dict.heap_bytes();
        dict.insert(key, value);
        if dict.len() > 5 {
            self.in_python = self.in_python.saturating_add(PYTHON_ENTRY_BYTES);
        }
        self.pay(dict.heap_bytes().saturating_sub(before))
    }

    #[inline]
    pub(crate) fn insert_member(&mut self, set: &mut Set, member: Value) -> Result<()> {
        self.pay_for_owned(&member)?;
        let before = set.heap_bytes();
        set.insert(member);
        if set.len() > 4 {
            self.in_python = self.in_python.saturating_add(PYTHON_ENTRY_BYTES);
        }
        self.pay(set.heap_bytes().saturating_sub(before))
    }

    /// Pays for the heap memory of a value that is no container. Containers are paid for as they
    /// grow. Its memory in Python is only counted.
    #[inline]
    fn pay_for_owned(&mut self, value: &Value) -> Result<()> {
        let (here, in_python) = match value {
            Value::None | Value::Bool(_) | Value::Int(-5..=256) => return Ok(()),
            Value::Int(_) | Value::Float(_) | Value::Complex { .. } => (0, PYTHON_NUMBER_BYTES),
            Value::Str(text) => (text.capacity(), PYTHON_TEXT_BYTES + text.len()),
            Value::SurrogateStr(text) => (text.len(), PYTHON_TEXT_BYTES + text.len()),
            Value::Bytes(bytes) => (bytes.capacity(), PYTHON_TEXT_BYTES + bytes.len()),
            Value::BigInt(int) => {
                let digits = usize::try_from(int.bits() / 8).unwrap_or(usize::MAX);
                let bytes = digits.saturating_add(2 * VALUE_BYTES);
                (bytes, bytes)
            }
            Value::Array(array) => (array.memory(), PYTHON_TEXT_BYTES + array.memory()),
            Value::List(_) | Value::Tuple(_) => (0, PYTHON_LIST_BYTES),
            Value::Dict(dict) if dict.is_empty() => (0, PYTHON_EMPTY_DICT_BYTES),
            Value::Dict(_) => (0, PYTHON_DICT_BYTES),
            Value::Set(_) | Value::FrozenSet(_) => (0, PYTHON_SET_BYTES),
        };
        self.in_python = self.in_python.saturating_add(in_python);
        if here == 0 { Ok(()) } else { self.pay(here) }
    }

    #[inline]
    fn pay(&mut self, bytes: usize) -> Result<()> {
        let left = self.left.checked_sub(bytes);
        self.left = left.ok_or(DecodeErrorKind::Memory(self.limit))?;
        Ok(())
    }
}
