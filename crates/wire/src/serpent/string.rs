//! String and bytes literals of serpent: prefixes, quotes, escapes, and adjacent literals, which
//! Python joins.

use memchr::memchr2;

use super::decode::Parser;
use crate::error::{DecodeErrorKind, Result};
use crate::value::{SurrogateText, Value};

const UNTERMINATED: &str = "a string is not terminated on its line";

/// The content of adjacent literals.
enum Literal {
    Str(String),
    SurrogateStr(SurrogateText),
    Bytes(Vec<u8>),
}

/// The prefix and quotes of a literal.
#[derive(Clone, Copy)]
struct LiteralStyle {
    quote: u8,
    triple: bool,
    raw: bool,
    bytes: bool,
}

impl Parser<'_> {
    /// Reads one or more adjacent literals.
    pub(super) fn read_strings(&mut self) -> Result<Value> {
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
                return Err(self.cursor.fail_at(start, kind));
            }
            self.read_content(style, content)?;
            self.skip_space();
        }
        match joined {
            Some(Literal::Str(text)) => Ok(Value::Str(text)),
            Some(Literal::SurrogateStr(text)) => Ok(Value::SurrogateStr(text)),
            Some(Literal::Bytes(bytes)) => Ok(Value::Bytes(bytes)),
            None => Err(self.cursor.syntax_error("a value is expected")),
        }
    }

    /// Skips the prefix and the opening quotes. `None`, and nothing skipped, if no literal follows.
    fn read_style(&mut self) -> Result<Option<LiteralStyle>> {
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
                return Err(DecodeErrorKind::NotData("an f-string"));
            }
            _ => return Ok(None),
        };
        let Some(&quote) = quotes.first() else { return Ok(None) };
        let triple = quotes.starts_with(&[quote; 3]);
        self.cursor.at += quote_at + if triple { 3 } else { 1 };
        Ok(Some(LiteralStyle { quote, triple, raw, bytes }))
    }

    /// Reads the content of a literal and its closing quotes.
    fn read_content(&mut self, style: LiteralStyle, content: &mut Literal) -> Result<()> {
        loop {
            let rest = self.cursor.remaining();
            let Some(run) = memchr2(style.quote, b'\\', rest) else {
                self.cursor.at += rest.len();
                return Err(DecodeErrorKind::Truncated);
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

    /// Takes the next `len` bytes, which have no escapes. Every line break becomes `\n`, as in Python.
    fn take_run(&mut self, style: LiteralStyle, len: usize, content: &mut Literal) -> Result<()> {
        let start = self.cursor.at;
        self.cursor.at += len;
        let text = self.cursor.since(start);
        let line_break = memchr2(b'\n', b'\r', text.as_bytes());
        if let (Some(at), false) = (line_break, style.triple) {
            let kind = DecodeErrorKind::Syntax(UNTERMINATED);
            return Err(self.cursor.fail_at(start + at, kind));
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
        Err(self.cursor.fail_at(start, DecodeErrorKind::Syntax(ASCII)))
    }

    /// Takes a backslash of a raw literal and the character after it, even a quote.
    fn read_raw_escape(&mut self, style: LiteralStyle, content: &mut Literal) -> Result<()> {
        content.push(b'\\');
        match self.cursor.peek() {
            Some(byte) if byte == b'\\' || byte == style.quote => {
                self.cursor.at += 1;
                content.push(byte);
                Ok(())
            }
            Some(b'\n' | b'\r') if !style.triple => {
                // Only in a raw literal is a line break after a backslash part of the content.
                let len = if self.cursor.remaining().starts_with(b"\r\n") { 2 } else { 1 };
                self.cursor.at += len;
                content.push(b'\n');
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Reads an escape after its backslash.
    fn read_escape(&mut self, content: &mut Literal) -> Result<()> {
        let start = self.cursor.at - 1;
        let Some(letter) = self.cursor.peek() else {
            return Err(DecodeErrorKind::Truncated);
        };
        let is_str = !matches!(content, Literal::Bytes(_));
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
            b'u' if is_str => self.read_short_escape(start)?,
            b'U' if is_str => self.read_hex_escape(start, 8)?,
            b'N' if is_str => {
                let kind = DecodeErrorKind::Syntax("named characters (\\N{...}) are not supported");
                return Err(self.cursor.fail_at(start, kind));
            }
            // An unknown escape: the backslash itself.
            _ => {
                self.cursor.at -= 1;
                u32::from(b'\\')
            }
        };
        if content.push_code(code) {
            return Ok(());
        }
        Err(self.cursor.fail_at(start, DecodeErrorKind::Syntax("illegal Unicode character")))
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

    /// Reads the digits of `\u`, and a second escape that makes a surrogate pair of both.
    fn read_short_escape(&mut self, start: usize) -> Result<u32> {
        let high = self.read_hex_escape(start, 4)?;
        let end = self.cursor.at;
        if let 0xd800..=0xdbff = high
            && self.cursor.eat_word("\\u")
            && let Some(low @ 0xdc00..=0xdfff) = self.cursor.read_hex(4)
        {
            return Ok(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00));
        }
        self.cursor.at = end;
        Ok(high)
    }

    fn read_hex_escape(&mut self, start: usize, digits: usize) -> Result<u32> {
        self.cursor.read_hex(digits).ok_or_else(|| {
            let kind = DecodeErrorKind::Syntax("a truncated escape of hexadecimal digits");
            self.cursor.fail_at(start, kind)
        })
    }
}

impl Literal {
    fn push(&mut self, byte: u8) {
        match self {
            Literal::Str(text) => text.push(char::from(byte)),
            Literal::SurrogateStr(text) => text.push_str(char::from(byte).encode_utf8(&mut [0; 4])),
            Literal::Bytes(bytes) => bytes.push(byte),
        }
    }

    /// Appends the character or the byte of an escape. False for a number that is no character.
    fn push_code(&mut self, code: u32) -> bool {
        match (&mut *self, char::from_u32(code)) {
            // An octal escape may exceed a byte; Python takes the low 8 bits.
            (Literal::Bytes(bytes), _) => bytes.push(code as u8),
            (Literal::Str(text), Some(c)) => text.push(c),
            (Literal::SurrogateStr(text), Some(c)) => text.push_str(c.encode_utf8(&mut [0; 4])),
            (content, None) => {
                let Ok(surrogate @ 0xd800..=0xdfff) = u16::try_from(code) else { return false };
                match content {
                    Literal::SurrogateStr(text) => text.push_surrogate(surrogate),
                    Literal::Str(text) => {
                        let before = std::mem::take(text);
                        *content = Literal::SurrogateStr(SurrogateText::begin(before, surrogate));
                    }
                    Literal::Bytes(_) => return false,
                }
            }
        }
        true
    }

    /// Appends text. False, and nothing appended, for text outside ASCII in a bytes literal.
    fn push_text(&mut self, text: &str) -> bool {
        match self {
            Literal::Str(string) => string.push_str(text),
            Literal::SurrogateStr(string) => string.push_str(text),
            Literal::Bytes(bytes) if text.is_ascii() => bytes.extend_from_slice(text.as_bytes()),
            Literal::Bytes(_) => return false,
        }
        true
    }
}
