//! A value that has its serializer's bytes already.
//!
//! Its payload has two parts: a short beginning, and the rest in the buffer where it was made.
//! Copying megabytes after a header would take as long as sending them; most of that is allocating
//! the copy.

use std::io::IoSlice;
use std::sync::Arc;

use wire::packed;
use wire::serializer::Serializer;
use wire::value::{Array, Value};
use wire::{DecodeError, Limits};

/// Bytes from which on a second part of a message is worth the effort.
pub(crate) const LARGE: usize = 64 * 1024;

/// A value in the form of one serializer.
#[derive(Debug, PartialEq)]
pub struct Serialized {
    pub(crate) serializer: Serializer,
    /// Whether it has arrays as packed bytes, for clients that know them.
    pub(crate) is_packed: bool,
    pub(crate) begin: Vec<u8>,
    pub(crate) rest: Behind,
}

impl Serialized {
    /// The value whose bytes `buffer` holds from `from` on, as the serializer would write them.
    pub fn value(serializer: Serializer, buffer: Vec<u8>, from: usize) -> Self {
        let rest = Behind { buffer, from };
        Serialized { serializer, is_packed: false, begin: Vec::new(), rest }
    }

    /// The value with arrays whose packed bytes `buffer` holds from `from` on; else the buffer
    /// again.
    ///
    /// # Errors
    /// The table of segments is not that of the bytes.
    pub fn packed(buffer: Vec<u8>, from: usize) -> Result<Self, Vec<u8>> {
        if !packed::has_valid_table(buffer.get(from..).unwrap_or_default()) {
            return Err(buffer);
        }
        let (serializer, rest) = (Serializer::Marshal, Behind { buffer, from });
        Ok(Serialized { serializer, is_packed: true, begin: Vec::new(), rest })
    }

    /// A large array whose elements are not copied; else the array again.
    ///
    /// # Errors
    /// The array is small, or a masked one.
    pub(crate) fn array(array: Arc<Array>) -> Result<Self, Arc<Array>> {
        if array.data().len() < LARGE {
            return Err(array);
        }
        let (begin, buffer) = packed::split(array)?;
        let (serializer, rest) = (Serializer::Marshal, Behind { buffer, from: 0 });
        Ok(Serialized { serializer, is_packed: true, begin, rest })
    }

    /// The value itself.
    ///
    /// # Errors
    /// The bytes are not a value.
    pub fn read(&self) -> Result<Value, DecodeError> {
        let bytes = [&self.begin, self.rest.bytes()].concat();
        // It has its memory already.
        let limits = Limits { memory: usize::MAX, ..Limits::default() };
        if self.is_packed {
            return packed::decode_counted(&bytes, &limits).map(|(value, _)| value);
        }
        self.serializer.decode(&bytes, &limits)
    }

    /// The `bytes` that `buffer` holds from `from` on, where they are many and stand in a message
    /// as they are; else the buffer again.
    ///
    /// # Errors
    /// The bytes are few, or stand in a message in another form.
    pub fn bytes(serializer: Serializer, buffer: Vec<u8>, from: usize) -> Result<Self, Vec<u8>> {
        let length = buffer.len().saturating_sub(from);
        let mut begin = Vec::new();
        if length < LARGE || !serializer.encode_bytes_head(length, &mut begin) {
            return Err(buffer);
        }
        Ok(Serialized { serializer, is_packed: false, begin, rest: Behind { buffer, from } })
    }
}

/// The end of a message, in a separate buffer.
#[derive(Debug, PartialEq)]
pub(crate) struct Behind {
    buffer: Vec<u8>,
    /// The bytes before this have been sent, or are no part of it.
    from: usize,
}

impl Behind {
    pub(crate) fn bytes(&self) -> &[u8] {
        self.buffer.get(self.from..).unwrap_or_default()
    }
}

/// A message that is being sent.
#[derive(Debug)]
pub(crate) struct Sending<'a> {
    first: &'a mut Vec<u8>,
    sent: usize,
    behind: Option<Behind>,
}

impl<'a> Sending<'a> {
    pub(crate) fn new(first: &'a mut Vec<u8>, behind: Option<Behind>) -> Self {
        Sending { first, sent: 0, behind }
    }

    /// The bytes that are left to be sent.
    pub(crate) fn left(&self) -> [IoSlice<'_>; 2] {
        let first = self.first.get(self.sent..).unwrap_or_default();
        let behind = self.behind.as_ref().map(Behind::bytes).unwrap_or_default();
        [IoSlice::new(first), IoSlice::new(behind)]
    }

    /// How many bytes that are.
    pub(crate) fn len(&self) -> usize {
        self.left().iter().map(|part| part.len()).sum()
    }

    /// As many bytes have been sent.
    pub(crate) fn advance(&mut self, bytes: usize) {
        let of_first = bytes.min(self.first.len().saturating_sub(self.sent));
        self.sent += of_first;
        if let Some(behind) = &mut self.behind {
            behind.from += bytes - of_first;
        }
    }

    /// Releases the memory of the bytes that have been sent.
    pub(crate) fn give_back(&mut self) {
        self.first.drain(..self.sent.min(self.first.len()));
        self.first.shrink_to_fit();
        self.sent = 0;
        if let Some(behind) = &mut self.behind {
            behind.buffer.drain(..behind.from.min(behind.buffer.len()));
            behind.buffer.shrink_to_fit();
            behind.from = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_in_two_parts_is_sent_in_steps_of_any_size() {
        let whole: Vec<u8> = (0..=255).collect();
        for step in [1, 3, 100, 256] {
            let mut first = whole[..100].to_vec();
            let buffer = [b"no part of it", &whole[100..]].concat();
            let mut sending = Sending::new(&mut first, Some(Behind { buffer, from: 13 }));
            let mut taken = Vec::new();
            while sending.len() > 0 {
                let next: Vec<u8> =
                    sending.left().iter().flat_map(|part| part.to_vec()).take(step).collect();
                sending.advance(next.len());
                taken.extend(next);
                if taken.len() % 7 == 0 {
                    sending.give_back();
                }
            }
            assert_eq!(taken, whole, "{step}");
        }
    }

    #[test]
    fn large_bytes_have_the_form_that_their_serializer_gives_them() {
        for serializer in Serializer::ALL {
            for length in [0, LARGE - 1, LARGE, 70_000] {
                let value = wire::value::Value::Bytes(vec![7; length]);
                let mut encoded = Vec::new();
                // json has no bytes at all.
                let _ = serializer.encode(&value, &mut encoded);
                let buffer = [vec![1; 5], vec![7; length]].concat();
                match Serialized::bytes(serializer, buffer, 5) {
                    Ok(it) => assert_eq!([&it.begin, it.rest.bytes()].concat(), encoded),
                    Err(buffer) => {
                        assert_eq!(buffer.len(), 5 + length);
                        let as_they_are = [Serializer::Marshal, Serializer::Msgpack];
                        assert!(length < LARGE || !as_they_are.contains(&serializer));
                    }
                }
            }
        }
    }
}
