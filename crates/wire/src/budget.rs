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
    /// Entries of the last dict whose length was not announced.
    last_dict_len: usize,
}

impl DecodeBudget {
    pub(crate) fn new(limits: &Limits) -> Self {
        let Limits { memory, depth, .. } = *limits;
        DecodeBudget { limit: memory, left: memory, depth, depth_left: depth, last_dict_len: 0 }
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
        items.push(item);
        Ok(())
    }

    #[inline]
    pub(crate) fn insert_entry(&mut self, dict: &mut Dict, key: Value, value: Value) -> Result<()> {
        self.pay_for_owned(&key)?;
        self.pay_for_owned(&value)?;
        let before = dict.heap_bytes();
        dict.insert(key, value);
        self.pay(dict.heap_bytes().saturating_sub(before))
    }

    #[inline]
    pub(crate) fn insert_member(&mut self, set: &mut Set, member: Value) -> Result<()> {
        self.pay_for_owned(&member)?;
        let before = set.heap_bytes();
        set.insert(member);
        self.pay(set.heap_bytes().saturating_sub(before))
    }

    /// Pays for the heap memory of a value that is no container. Containers are paid for as they
    /// grow.
    #[inline]
    fn pay_for_owned(&mut self, value: &Value) -> Result<()> {
        match value {
            Value::Str(text) => self.pay(text.capacity()),
            Value::Bytes(bytes) => self.pay(bytes.capacity()),
            Value::BigInt(int) => {
                let digits = usize::try_from(int.bits() / 8).unwrap_or(usize::MAX);
                self.pay(digits.saturating_add(2 * VALUE_BYTES))
            }
            _ => Ok(()),
        }
    }

    #[inline]
    fn pay(&mut self, bytes: usize) -> Result<()> {
        let left = self.left.checked_sub(bytes);
        self.left = left.ok_or(DecodeErrorKind::Memory(self.limit))?;
        Ok(())
    }
}
