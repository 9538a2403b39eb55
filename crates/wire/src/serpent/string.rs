//! String and bytes literals: prefixes, quotes, escapes, and the joining of adjacent ones.

use memchr::memchr2;

use super::decode::Parser;
use crate::error::{DecodeError, DecodeErrorKind};
use crate::value::Value;

const UNTERMINATED: &str = "a string is not terminated on its line";

/// What adjacent literals join to.
enum Literal {
    Str(String),
    Bytes(Vec<u8>),
}

/// How a literal is to be read.
#[derive(Clone, Copy)]
struct LiteralStyle {
    quote: u8,
    triple: bool,
    raw: bool,
    bytes: bool,
}

impl Parser<'_> {
    /// Reads one or more adjacent literals.
    pub(super) fn read_strings(&mut self) -> Result<Value, DecodeError> {
        let mut joined = None;
        loop {
            let start = self.cursor.at;
            let Some(style) = self.read_style()? else { break };
            let content = joined.get_or_insert_with(|| match style.bytes {
                true => Literal::Bytes(Vec::new()),
                false => Literal::Str(String::new()),
            });
            if style.bytes != matches!(content, Literal::Bytes(_)) {
                let kind = DecodeErrorKind::Syntax("cannot mix bytes and nonbytes literals");
                return Err(self.cursor.error_at(start, kind));
            }
            self.read_content(style, content)?;
            self.skip_space();
        }
        match joined {
            Some(Literal::Str(text)) => Ok(Value::Str(text)),
            Some(Literal::Bytes(bytes)) => Ok(Value::Bytes(bytes)),
            None => Err(self.cursor.syntax_error("a value is expected")),
        }
    }

    /// Passes the prefix and the opening quotes; `None`, and nothing passed, if no literal follows.
    fn read_style(&mut self) -> Result<Option<LiteralStyle>, DecodeError> {
        let rest = self.cursor.remaining();
        let quote_at = match rest {
            [b'\'' | b'"', ..] => 0,
            [_, b'\'' | b'"', ..] => 1,
            [_, _, b'\'' | b'"', ..] => 2,
            _ => return Ok(None),
        };
        let (prefix, quotes) = rest.split_at_checked(quote_at).unwrap_or((rest, &[]));
        let (raw, bytes) = match prefix {
            b"" | b"u" | b"U" => (false, false),
            b"r" | b"R" => (true, false),
            b"b" | b"B" => (false, true),
            [b'r' | b'R', b'b' | b'B'] | [b'b' | b'B', b'r' | b'R'] => (true, true),
            [b'f' | b'F', ..] | [_, b'f' | b'F'] => {
                return Err(self.cursor.error(DecodeErrorKind::NotData("an f-string")));
            }
            _ => return Ok(None),
        };
        let Some(&quote) = quotes.first() else { return Ok(None) };
        let triple = quotes.starts_with(&[quote; 3]);
        self.cursor.at += quote_at + if triple { 3 } else { 1 };
        Ok(Some(LiteralStyle { quote, triple, raw, bytes }))
    }

    /// Reads a literal up to and with its closing quotes.
    fn read_content(
        &mut self,
        style: LiteralStyle,
        content: &mut Literal,
    ) -> Result<(), DecodeError> {
        loop {
            let rest = self.cursor.remaining();
            let Some(run) = memchr2(style.quote, b'\\', rest) else {
                self.cursor.at += rest.len();
                return Err(self.cursor.error(DecodeErrorKind::Truncated));
            };
            self.take_run(style, run, content)?;
            let rest = self.cursor.remaining();
            if rest.first() == Some(&b'\\') {
                self.cursor.at += 1;
                if style.raw {
                    self.read_raw_escape(style, content)?
                } else {
                    self.read_escape(content)?
                }
            } else if !style.triple {
                self.cursor.at += 1;
                return Ok(());
            } else if rest.starts_with(&[style.quote; 3]) {
                self.cursor.at += 3;
                return Ok(());
            } else {
                self.cursor.at += 1;
                content.push(style.quote);
            }
        }
    }

    /// Takes the next `len` bytes as they are, line breaks in Python's way.
    fn take_run(
        &mut self,
        style: LiteralStyle,
        len: usize,
        content: &mut Literal,
    ) -> Result<(), DecodeError> {
        let start = self.cursor.at;
        self.cursor.at += len;
        let text = self.cursor.since(start);
        let line_break = memchr2(b'\n', b'\r', text.as_bytes());
        if let (Some(at), false) = (line_break, style.triple) {
            let kind = DecodeErrorKind::Syntax(UNTERMINATED);
            return Err(self.cursor.error_at(start + at, kind));
        }
        let ok = if line_break.is_some() && text.contains('\r') {
            content.push_text(&text.replace("\r\n", "\n").replace('\r', "\n"))
        } else {
            content.push_text(text)
        };
        if ok {
            return Ok(());
        }
        const ASCII: &str = "bytes can only contain ASCII literal characters";
        Err(self.cursor.error_at(start, DecodeErrorKind::Syntax(ASCII)))
    }

    /// In a raw literal the backslash stays, and so does what is behind it, be it a quote.
    fn read_raw_escape(
        &mut self,
        style: LiteralStyle,
        content: &mut Literal,
    ) -> Result<(), DecodeError> {
        content.push(b'\\');
        match self.cursor.peek() {
            Some(byte) if byte == b'\\' || byte == style.quote => {
                self.cursor.at += 1;
                content.push(byte);
                Ok(())
            }
            Some(b'\n' | b'\r') if !style.triple => {
                // Unlike elsewhere, a line break behind a backslash is part of the literal.
                let len = if self.cursor.remaining().starts_with(b"\r\n") { 2 } else { 1 };
                self.cursor.at += len;
                content.push(b'\n');
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Reads what follows a backslash.
    fn read_escape(&mut self, content: &mut Literal) -> Result<(), DecodeError> {
        let start = self.cursor.at - 1;
        let Some(letter) = self.cursor.peek() else {
            return Err(self.cursor.error(DecodeErrorKind::Truncated));
        };
        let is_str = matches!(content, Literal::Str(_));
        self.cursor.at += 1;
        let code = match letter {
            b'\n' => return Ok(()),
            b'\r' => {
                self.cursor.eat(b'\n');
                return Ok(());
            }
            b'\\' | b'\'' | b'"' => letter.into(),
            b'a' => 0x07,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => 0x0a,
            b'r' => 0x0d,
            b't' => 0x09,
            b'v' => 0x0b,
            b'0'..=b'7' => self.read_octal(letter),
            b'x' => self.read_hex_escape(start, 2)?,
            b'u' if is_str => self.read_hex_escape(start, 4)?,
            b'U' if is_str => self.read_hex_escape(start, 8)?,
            b'N' if is_str => {
                let kind = DecodeErrorKind::Syntax("named characters (\\N{...}) are not supported");
                return Err(self.cursor.error_at(start, kind));
            }
            // No escape: the backslash stands for itself.
            _ => {
                self.cursor.at -= 1;
                u32::from(b'\\')
            }
        };
        let kind = match content {
            // Octal escapes reach beyond a byte; Python takes the lower bits.
            Literal::Bytes(bytes) => {
                bytes.push(code as u8);
                return Ok(());
            }
            Literal::Str(text) => match char::from_u32(code) {
                Some(c) => {
                    text.push(c);
                    return Ok(());
                }
                None if code > 0x10_ffff => DecodeErrorKind::Syntax("illegal Unicode character"),
                None => DecodeErrorKind::LoneSurrogate,
            },
        };
        Err(self.cursor.error_at(start, kind))
    }

    fn read_octal(&mut self, first: u8) -> u32 {
        let mut code = u32::from(first & 7);
        for _ in 0..2 {
            let Some(digit @ b'0'..=b'7') = self.cursor.peek() else { break };
            self.cursor.at += 1;
            code = code << 3 | u32::from(digit & 7);
        }
        code
    }

    fn read_hex_escape(&mut self, start: usize, digits: usize) -> Result<u32, DecodeError> {
        self.cursor.read_hex(digits).ok_or_else(|| {
            let kind = DecodeErrorKind::Syntax("a truncated escape of hexadecimal digits");
            self.cursor.error_at(start, kind)
        })
    }
}

impl Literal {
    fn push(&mut self, byte: u8) {
        match self {
            Literal::Str(text) => text.push(char::from(byte)),
            Literal::Bytes(bytes) => bytes.push(byte),
        }
    }

    /// False, and nothing done, for text that bytes cannot take.
    fn push_text(&mut self, text: &str) -> bool {
        match self {
            Literal::Str(string) => string.push_str(text),
            Literal::Bytes(bytes) if text.is_ascii() => bytes.extend_from_slice(text.as_bytes()),
            Literal::Bytes(_) => return false,
        }
        true
    }
}
