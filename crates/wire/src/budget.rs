//! What the values of one message may cost in memory.
//!
//! Owns the counting: a value is paid for where it is put into its container, with what it owns
//! beside itself, and a container's room when it is made. A short code can stand for a large value
//! (three bytes of msgpack for a dict that takes a hundred and fifty), and compressed it is shorter
//! still, so the length of the data says little of what it will take.

use crate::error::DecodeErrorKind;
use crate::value::{Dict, Set, Value};

const VALUE_BYTES: usize = size_of::<Value>();
/// Dicts are made with room for as many entries as the last one had, up to this: the rows of a
/// table are alike.
const MAX_PREALLOCATED_ENTRIES: usize = 16;

#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    left: usize,
    last_dict: usize,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Self {
        Budget { limit, left: limit, last_dict: 0 }
    }

    /// What has been paid so far; for [`Budget::refund_to`].
    pub(crate) fn spent(&self) -> usize {
        self.limit - self.left
    }

    /// Gives back what has been paid since `spent`: it is all dropped.
    pub(crate) fn refund_to(&mut self, spent: usize) {
        self.left = self.limit.saturating_sub(spent);
    }

    /// A list with room for all of its items.
    pub(crate) fn new_list(&mut self, len: usize) -> Result<Vec<Value>, DecodeErrorKind> {
        self.pay(len.saturating_mul(VALUE_BYTES))?;
        Ok(Vec::with_capacity(len))
    }

    /// A dict with room for all of its entries.
    pub(crate) fn new_dict(&mut self, len: usize) -> Result<Dict, DecodeErrorKind> {
        self.pay(Dict::heap_bytes_for(len))?;
        Ok(Dict::with_capacity(len))
    }

    /// A dict of which nobody says how many entries it will have; [`Budget::note_dict_len`] ends it.
    pub(crate) fn new_dict_of_unknown_len(&mut self) -> Result<Dict, DecodeErrorKind> {
        self.new_dict(self.last_dict)
    }

    pub(crate) fn note_dict_len(&mut self, dict: &Dict) {
        self.last_dict = dict.len().min(MAX_PREALLOCATED_ENTRIES);
    }

    /// A set with room for all of its members.
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
            // As a `Vec` grows by itself, but paid for before.
            let room = items.capacity().max(4);
            self.pay(room.saturating_mul(VALUE_BYTES))?;
            items.reserve_exact(room);
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

    /// Pays for what a value owns beside itself; containers have paid already.
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
