//! Memory budget for the values of one message.
//!
//! The decoder pays for a container's capacity before it allocates it, and for the heap memory of a
//! string, bytes or large int when it puts the value into a container. The length of the data is no
//! bound: three bytes of msgpack make a dict of 150 bytes, and compression shortens them further.

use crate::error::DecodeErrorKind;
use crate::value::{Dict, Set, Value};

const VALUE_BYTES: usize = size_of::<Value>();
/// Largest capacity, in entries, of a dict whose length the format does not announce. Such a dict
/// gets the capacity of the dict before it, because the rows of a table are alike.
const MAX_PREALLOCATED_ENTRIES: usize = 16;

/// Bytes of memory that a decoder may still allocate for values.
#[derive(Debug)]
pub(crate) struct Budget {
    /// Bytes.
    limit: usize,
    /// Bytes.
    left: usize,
    /// Entries of the last dict whose length was not announced.
    last_dict_len: usize,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Self {
        Budget { limit, left: limit, last_dict_len: 0 }
    }

    /// Bytes paid so far.
    pub(crate) fn spent(&self) -> usize {
        self.limit - self.left
    }

    /// Returns all that was paid since [`Budget::spent`] gave `spent`: those values are dropped.
    pub(crate) fn refund_to(&mut self, spent: usize) {
        self.left = self.limit.saturating_sub(spent);
    }

    /// Pays for an empty list of this capacity.
    pub(crate) fn new_list(&mut self, len: usize) -> Result<Vec<Value>, DecodeErrorKind> {
        self.pay(len.saturating_mul(VALUE_BYTES))?;
        Ok(Vec::with_capacity(len))
    }

    /// Pays for an empty dict of this capacity.
    pub(crate) fn new_dict(&mut self, len: usize) -> Result<Dict, DecodeErrorKind> {
        self.pay(Dict::heap_bytes_for(len))?;
        Ok(Dict::with_capacity(len))
    }

    /// Pays for an empty dict whose length the format does not announce. When the dict is complete,
    /// [`Budget::note_dict_len`] takes note of its length for the next one.
    pub(crate) fn new_dict_of_unknown_len(&mut self) -> Result<Dict, DecodeErrorKind> {
        self.new_dict(self.last_dict_len)
    }

    pub(crate) fn note_dict_len(&mut self, dict: &Dict) {
        self.last_dict_len = dict.len().min(MAX_PREALLOCATED_ENTRIES);
    }

    /// Pays for an empty set of this capacity.
    pub(crate) fn new_set(&mut self, len: usize) -> Result<Set, DecodeErrorKind> {
        self.pay(Set::heap_bytes_for(len))?;
        Ok(Set::with_capacity(len))
    }

    #[inline]
    pub(crate) fn push_item(
        &mut self,
        items: &mut Vec<Value>,
        item: Value,
    ) -> Result<(), DecodeErrorKind> {
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
    pub(crate) fn insert_entry(
        &mut self,
        dict: &mut Dict,
        key: Value,
        value: Value,
    ) -> Result<(), DecodeErrorKind> {
        self.pay_for_owned(&key)?;
        self.pay_for_owned(&value)?;
        let before = dict.heap_bytes();
        dict.insert(key, value);
        self.pay(dict.heap_bytes().saturating_sub(before))
    }

    #[inline]
    pub(crate) fn insert_member(
        &mut self,
        set: &mut Set,
        member: Value,
    ) -> Result<(), DecodeErrorKind> {
        self.pay_for_owned(&member)?;
        let before = set.heap_bytes();
        set.insert(member);
        self.pay(set.heap_bytes().saturating_sub(before))
    }

    /// Pays for the heap memory of a value that is no container. Containers are paid for as they
    /// grow.
    #[inline]
    fn pay_for_owned(&mut self, value: &Value) -> Result<(), DecodeErrorKind> {
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
    fn pay(&mut self, bytes: usize) -> Result<(), DecodeErrorKind> {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(DecodeErrorKind::Memory(self.limit)),
        }
    }
}
