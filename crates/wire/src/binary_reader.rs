//! Reader of binary formats whose containers announce the number of their items: marshal, msgpack.
//!
//! An item takes at least one byte. So the items that all open containers have announced and not
//! yet read cannot be more than the bytes left, or the data is truncated. A container may therefore
//! allocate space for all its items at once: all containers together allocate at most the size of a
//! value for each byte of input. `budget` limits the memory in all.
//!
//! An error is at the position of the reader.

use crate::error::{DecodeErrorKind, Result};
use crate::surrogate_text::SurrogateText;

/// Position in binary data.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    data: &'a [u8],
    at: usize,
    /// Items announced by open containers and not yet read.
    announced: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Reader { data, at: 0, announced: 0 }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.at >= self.data.len()
    }

    /// Moves to the position of an error.
    pub(crate) fn fail_at(&mut self, at: usize, kind: DecodeErrorKind) -> DecodeErrorKind {
        self.at = at;
        kind
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.data.get(self.at).copied()
    }

    pub(crate) fn read_byte(&mut self) -> Result<u8> {
        let Some(byte) = self.peek() else { return Err(self.truncated()) };
        self.at += 1;
        Ok(byte)
    }

    pub(crate) fn read_bytes(&mut self, len: usize) -> Result<&'a [u8]> {
        let bytes = self.data.get(self.at..).and_then(|rest| rest.get(..len));
        let Some(bytes) = bytes else { return Err(self.truncated()) };
        self.at += len;
        Ok(bytes)
    }

    pub(crate) fn read_array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let array = self.data.get(self.at..).and_then(|rest| rest.first_chunk());
        let Some(array) = array else { return Err(self.truncated()) };
        self.at += N;
        Ok(*array)
    }

    /// Reads UTF-8 text. The surrogates that Python's `str` can hold are a separate error.
    pub(crate) fn read_text(&mut self, len: usize) -> Result<&'a str> {
        let start = self.at;
        let bytes = self.read_bytes(len)?;
        std::str::from_utf8(bytes).map_err(|error| {
            let at = error.valid_up_to();
            let surrogate = matches!(bytes.get(at..), Some([0xed, 0xa0..=0xbf, 0x80..=0xbf, ..]));
            let kind =
                if surrogate { DecodeErrorKind::LoneSurrogate } else { DecodeErrorKind::Utf8 };
            self.fail_at(start + at, kind)
        })
    }

    /// Reads the text at `start` again, as one with lone surrogates; `None` for other bytes.
    pub(crate) fn read_surrogate_text(
        &mut self,
        start: usize,
        len: usize,
    ) -> Option<SurrogateText> {
        let bytes = self.data.get(start..start.checked_add(len)?)?;
        let text = SurrogateText::from_bytes(bytes.to_vec())?;
        self.at = start + len;
        Some(text)
    }

    /// Takes note of the items that a container announces, and checks that the data can hold them.
    pub(crate) fn announce_items(&mut self, items: usize) -> Result<()> {
        let left = self.data.len() - self.at.min(self.data.len());
        if items > left.saturating_sub(self.announced) {
            return Err(self.truncated());
        }
        self.announced += items;
        Ok(())
    }

    /// Takes note that one of the announced items is being read.
    pub(crate) fn begin_item(&mut self) {
        self.announced = self.announced.saturating_sub(1);
    }

    /// Takes the next announced items while they have `N` bytes each and `read` returns a value for
    /// them, at most `most` items.
    pub(crate) fn take_uniform<T, const N: usize>(
        &mut self,
        most: usize,
        read: impl Fn([u8; N]) -> Option<T>,
    ) -> impl Iterator<Item = T> {
        let entries = self.data.get(self.at..).unwrap_or_default().as_chunks::<N>().0;
        let entries = entries.iter().take(most);
        entries.map_while(move |entry| read(*entry)).inspect(|_| {
            self.at += N;
            self.announced = self.announced.saturating_sub(1);
        })
    }

    /// Moves to another position and returns the state for [`Reader::resume`].
    pub(crate) fn jump(&mut self, at: usize) -> (usize, usize) {
        let here = (self.at, self.announced);
        (self.at, self.announced) = (at, 0);
        here
    }

    /// Returns to where [`Reader::jump`] was called.
    pub(crate) fn resume(&mut self, (at, announced): (usize, usize)) {
        (self.at, self.announced) = (at, announced);
    }

    fn truncated(&mut self) -> DecodeErrorKind {
        self.fail_at(self.data.len(), DecodeErrorKind::Truncated)
    }
}
