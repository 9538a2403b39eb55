//! Cursor over UTF-8 text, for the decoders of serpent and json. Their errors carry no position:
//! the cursor's position at the failure is the error's.

use crate::error::{DecodeErrorKind, Decoded};

/// Position in text.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    text: &'a str,
    /// Position in bytes.
    pub(crate) at: usize,
}

impl<'a> Cursor<'a> {
    /// # Errors
    /// Data that is not UTF-8.
    pub(crate) fn new(data: &'a [u8]) -> Decoded<Self> {
        match std::str::from_utf8(data) {
            Ok(text) => Ok(Cursor { text, at: 0 }),
            Err(error) => Err((error.valid_up_to(), DecodeErrorKind::Utf8)),
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

    /// A syntax error, or at the end of the text the error that it is truncated.
    pub(crate) fn syntax_error(&self, expected: &'static str) -> DecodeErrorKind {
        if self.at >= self.text.len() {
            return DecodeErrorKind::Truncated;
        }
        DecodeErrorKind::Syntax(expected)
    }

    /// Moves to the position of an error.
    pub(crate) fn fail_at(&mut self, at: usize, kind: DecodeErrorKind) -> DecodeErrorKind {
        self.at = at;
        kind
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
