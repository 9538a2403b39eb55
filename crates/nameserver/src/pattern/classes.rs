//! Escapes and sets of characters, from Python's words to those of crate `regex`.

use super::reader::{Flags, Reader, Result, SyntaxError};

/// The meaning of an escape.
pub(super) enum Escape {
    Char(u32),
    /// A set, as items of a bracketed class.
    Set(String),
    /// A position, as an assertion.
    Edge(&'static str),
}

/// An escape after its backslash.
pub(super) fn read_escape(reader: &mut Reader<'_>, flags: Flags, in_class: bool) -> Result<Escape> {
    let digits = reader.rest;
    let Some(c) = reader.next_char() else {
        return Err(reader.wrong("bad escape (end of pattern)"));
    };
    Ok(match c {
        'w' | 'W' | 'd' | 'D' | 's' | 'S' => Escape::Set(category(c, flags)),
        'A' if !in_class => Escape::Edge(r"\A"),
        'Z' if !in_class => Escape::Edge(r"\z"),
        'b' if !in_class && flags.ascii => Escape::Edge(r"(?-u:\b)"),
        'b' if !in_class => Escape::Edge(r"\b"),
        'B' if !in_class && flags.ascii => Escape::Edge(r"(?-u:\B)"),
        'B' if !in_class => Escape::Edge(r"\B"),
        'N' => return Err(SyntaxError::CharacterName),
        'x' => Escape::Char(read_hexadecimal(reader, 2)?),
        'u' => Escape::Char(read_hexadecimal(reader, 4)?),
        'U' => Escape::Char(read_hexadecimal(reader, 8)?),
        '0'..='9' => {
            let octal = digits.bytes().take(3).take_while(|b| (b'0'..=b'7').contains(b));
            let length = octal.count();
            if in_class && length == 0 {
                return Err(reader.wrong(&format!("bad escape \\{c}")));
            }
            if !in_class && c != '0' && length < 3 {
                return Err(SyntaxError::NotLinear { construct: "\\1" });
            }
            let (octal, rest) = digits.split_at_checked(length).unwrap_or((digits, ""));
            reader.rest = rest;
            match u32::from_str_radix(octal, 8) {
                Ok(code @ 0..=0o377) => Escape::Char(code),
                _ => return Err(reader.wrong("octal escape value outside of range 0-0o377")),
            }
        }
        'a' => Escape::Char(7),
        'b' => Escape::Char(8),
        't' => Escape::Char(9),
        'n' => Escape::Char(10),
        'v' => Escape::Char(11),
        'f' => Escape::Char(12),
        'r' => Escape::Char(13),
        c if c.is_ascii_alphabetic() => return Err(reader.wrong(&format!("bad escape \\{c}"))),
        c => Escape::Char(u32::from(c)),
    })
}

fn read_hexadecimal(reader: &mut Reader<'_>, length: usize) -> Result<u32> {
    let digits = reader.rest.get(..length).unwrap_or_default();
    let is_whole = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
    match u32::from_str_radix(digits, 16) {
        Ok(code @ 0..=0x10_ffff) if is_whole => {
            reader.rest = reader.rest.get(length..).unwrap_or_default();
            Ok(code)
        }
        Ok(_) if is_whole => Err(reader.wrong("bad escape: there is no such character")),
        _ => Err(reader.wrong("incomplete escape")),
    }
}

/// A set of characters after its `[`.
pub(super) fn read_class(reader: &mut Reader<'_>, flags: Flags) -> Result<String> {
    let negation = if reader.eat('^') { "^" } else { "" };
    let (mut items, mut is_first) = (String::new(), true);
    while is_first || !reader.eat(']') {
        is_first = false;
        let first = class_item(reader, flags)?;
        let is_range = reader.rest.starts_with('-') && !reader.rest.starts_with("-]");
        let last = match is_range && reader.eat('-') {
            true => Some(class_item(reader, flags)?),
            false => None,
        };
        match (first, last) {
            (Escape::Char(code), None) => items += &range(code, code, flags),
            (Escape::Set(set), None) => items += &set,
            (Escape::Char(first), Some(Escape::Char(last))) if first <= last => {
                items += &range(first, last, flags);
            }
            _ => return Err(reader.wrong("bad character range")),
        }
    }
    Ok(class(negation, &items, flags))
}

fn class_item(reader: &mut Reader<'_>, flags: Flags) -> Result<Escape> {
    match reader.next_char() {
        Some('\\') => read_escape(reader, flags, true),
        Some(c) => Ok(Escape::Char(u32::from(c))),
        None => Err(reader.wrong("unterminated character set")),
    }
}

/// A bracketed class.
pub(super) fn class(negation: &str, items: &str, flags: Flags) -> String {
    // Nothing is in both of these.
    let items = if items.is_empty() { "a&&b" } else { items };
    match flags.ignore_case && !flags.ascii {
        true => format!("(?i:[{negation}{items}])"),
        false => format!("[{negation}{items}]"),
    }
}

/// `\d`, `\s`, `\w` and their opposites as Python has them, as items of a class.
fn category(letter: char, flags: Flags) -> String {
    let items = match (letter.to_ascii_lowercase(), flags.ascii) {
        ('d', true) => "0-9",
        ('d', false) => r"\p{Nd}",
        ('s', true) => r"\x09-\x0d\x20",
        // Four control characters separate words too, for Python.
        ('s', false) => r"\p{White_Space}\x1c-\x1f",
        (_, true) => "0-9A-Za-z_",
        (_, false) => r"\p{L}\p{N}_",
    };
    if letter.is_ascii_uppercase() { format!("[^{items}]") } else { items.to_owned() }
}

/// The characters from one code point to another as items of a class, with those other cases that
/// `regex` does not add itself. Surrogates are left out: no name has them.
pub(super) fn range(first: u32, last: u32, flags: Flags) -> String {
    let outside =
        |code: u32, other: u32| if (0xd800..0xe000).contains(&code) { other } else { code };
    let (first, last) = (outside(first, 0xe000), outside(last, 0xd7ff));
    let part = |low: char, high: char| {
        let (low, high) = (first.max(u32::from(low)), last.min(u32::from(high)));
        (low <= high).then_some((low, high))
    };
    let item = |(low, high): (u32, u32)| format!("\\x{{{low:x}}}-\\x{{{high:x}}}");
    let mut items = part('\0', char::MAX).map(item).unwrap_or_default();
    if flags.ignore_case && flags.ascii {
        let upper = part('A', 'Z').map(|(low, high)| (low + 32, high + 32));
        let lower = part('a', 'z').map(|(low, high)| (low - 32, high - 32));
        items.extend(upper.into_iter().chain(lower).map(item));
    } else if flags.ignore_case
        && ['I', 'i', '\u{130}', '\u{131}'].iter().any(|c| part(*c, *c).is_some())
    {
        // For Python the Turkish ones are an `i` as well.
        items += "Ii\u{130}\u{131}";
    }
    items
}
