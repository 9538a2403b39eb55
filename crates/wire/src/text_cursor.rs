//! Cursor over the text formats, serpent and json: a position in UTF-8 text and the nesting depth.

use crate::error::{DecodeError, DecodeErrorKind};
use crate::serializer::Serializer;

/// Position in text.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    text: &'a str,
    /// Position in bytes.
    pub(crate) at: usize,
    /// Levels of containers that may still be entered.
    depth_left: usize,
    /// Limit on the levels of nested containers.
    depth: usize,
    serializer: Serializer,
}

impl<'a> Cursor<'a> {
    /// # Errors
    /// Data that is not UTF-8.
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

    /// The bytes from the position on.
    pub(crate) fn remaining(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Skips `byte` if it is next.
    #[inline]
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let next = self.peek() == Some(byte);
        self.at += usize::from(next);
        next
    }

    /// Skips `word` if it is next.
    pub(crate) fn eat_word(&mut self, word: &str) -> bool {
        let next = self.remaining().starts_with(word.as_bytes());
        self.at += if next { word.len() } else { 0 };
        next
    }

    /// The text from `start` to the position.
    pub(crate) fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// Enters a container; [`Cursor::leave_container`] leaves it.
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

    /// A syntax error at the position. At the end of the data the error is that it is truncated.
    pub(crate) fn syntax_error(&self, expected: &'static str) -> DecodeError {
        if self.at >= self.text.len() {
            return self.error(DecodeErrorKind::Truncated);
        }
        self.error(DecodeErrorKind::Syntax(expected))
    }

    /// An error at the current position.
    pub(crate) fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        self.error_at(self.at, kind)
    }

    pub(crate) fn error_at(&self, at: usize, kind: DecodeErrorKind) -> DecodeError {
        DecodeError { serializer: self.serializer, at, kind }
    }

    /// Reads a number of this many hexadecimal digits.
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
