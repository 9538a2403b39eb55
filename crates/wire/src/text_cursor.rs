//! Reading text formats: a position in text that is known to be UTF-8.

use crate::error::{DecodeError, DecodeErrorKind};
use crate::serializer::Serializer;

#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    text: &'a str,
    pub(crate) at: usize,
    depth_left: usize,
    depth: usize,
    serializer: Serializer,
}

impl<'a> Cursor<'a> {
    /// # Errors
    /// Data that is no UTF-8.
    pub(crate) fn new(
        serializer: Serializer,
        data: &'a [u8],
        depth: usize,
    ) -> Result<Self, DecodeError> {
        match std::str::from_utf8(data) {
            Ok(text) => Ok(Cursor { text, at: 0, depth_left: depth, depth, serializer }),
            Err(error) => Err(DecodeError {
                serializer,
                at: error.valid_up_to(),
                kind: DecodeErrorKind::Utf8,
            }),
        }
    }

    pub(crate) fn text(&self) -> &'a str {
        self.text
    }

    /// What is still to be read.
    pub(crate) fn remaining(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Passes `byte` if it is next.
    #[inline]
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let next = self.peek() == Some(byte);
        self.at += usize::from(next);
        next
    }

    /// Passes `word` if it is next.
    pub(crate) fn eat_word(&mut self, word: &str) -> bool {
        let next = self.remaining().starts_with(word.as_bytes());
        self.at += if next { word.len() } else { 0 };
        next
    }

    /// The text from `start` to the position.
    pub(crate) fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// Goes one container deeper; back with [`Cursor::leave_container`].
    pub(crate) fn enter_container(&mut self) -> Result<(), DecodeError> {
        match self.depth_left.checked_sub(1) {
            Some(left) => {
                self.depth_left = left;
                Ok(())
            }
            None => Err(self.error(DecodeErrorKind::TooDeep(self.depth))),
        }
    }

    pub(crate) fn leave_container(&mut self) {
        self.depth_left += 1;
    }

    /// An error at the position; at its end the data is truncated, whatever else was expected.
    pub(crate) fn syntax_error(&self, expected: &'static str) -> DecodeError {
        if self.at >= self.text.len() {
            return self.error(DecodeErrorKind::Truncated);
        }
        self.error(DecodeErrorKind::Syntax(expected))
    }

    pub(crate) fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        self.error_at(self.at, kind)
    }

    pub(crate) fn error_at(&self, at: usize, kind: DecodeErrorKind) -> DecodeError {
        DecodeError { serializer: self.serializer, at, kind }
    }

    /// Reads so many hexadecimal digits.
    pub(crate) fn read_hex(&mut self, digits: usize) -> Option<u32> {
        let text = self.remaining().get(..digits)?;
        let mut number = 0;
        for &byte in text {
            number = number << 4 | char::from(byte).to_digit(16)?;
        }
        self.at += digits;
        Some(number)
    }
}
