//! Single characters and sets of them: what stands behind a backslash, and between brackets.

use regex_syntax::hir::{Class, ClassUnicode, Hir, Look};

use super::parse::{Escape, Parser, Result, SyntaxError};
use super::sets::{self, Flags};

impl Parser {
    /// What is behind a backslash.
    pub(super) fn escape(&mut self, flags: Flags, in_class: bool) -> Result<Escape> {
        let start = self.next.saturating_sub(1);
        let Some(c) = self.peek() else {
            return Err(self.wrong("bad escape (end of pattern)", start));
        };
        self.next += 1;
        if let Some(set) = sets::category(c, flags) {
            return Ok(Escape::Set(set));
        }
        let code = match c {
            'a' => 7,
            'f' => 12,
            'n' => 10,
            'r' => 13,
            't' => 9,
            'v' => 11,
            'b' if in_class => 8,
            'A' | 'Z' | 'b' | 'B' if !in_class => return Ok(Escape::Place(place(c, flags))),
            'x' => self.hexadecimal(2, start)?,
            'u' => self.hexadecimal(4, start)?,
            'U' => self.hexadecimal(8, start)?,
            'N' => return Err(SyntaxError::CharacterName),
            '0'..='9' => self.number(c, start, in_class)?,
            c if c.is_ascii_alphabetic() => {
                return Err(self.wrong(&format!("bad escape \\{c}"), start));
            }
            c => u32::from(c),
        };
        Ok(Escape::Char(code))
    }

    /// An octal escape. Any other number refers to a group, which nothing linear can.
    fn number(&mut self, first: char, start: usize, in_class: bool) -> Result<u32> {
        let is_octal = |c: Option<char>| c.is_some_and(|c| c.is_digit(8));
        let more =
            |parser: &Parser, at: usize| is_octal(parser.chars.get(parser.next + at).copied());
        let digits = match first {
            _ if !is_octal(Some(first)) => 0,
            '0' => 1 + usize::from(more(self, 0)) + usize::from(more(self, 0) && more(self, 1)),
            _ if more(self, 0) && more(self, 1) => 3,
            _ if in_class => 1 + usize::from(more(self, 0)),
            _ => 0,
        };
        if digits == 0 {
            return Err(match in_class {
                true => self.wrong(&format!("bad escape \\{first}"), start),
                false => SyntaxError::NotLinear { construct: "\\1" },
            });
        }
        let mut code = 0;
        for c in self.chars.get(start + 1..start + 1 + digits).unwrap_or_default() {
            code = code * 8 + c.to_digit(8).unwrap_or(0);
        }
        self.next = start + 1 + digits;
        match code {
            0..=0o377 => Ok(code),
            _ => Err(self.wrong("octal escape value outside of range 0-0o377", start)),
        }
    }

    fn hexadecimal(&mut self, digits: usize, start: usize) -> Result<u32> {
        let mut code: u32 = 0;
        for _ in 0..digits {
            let Some(digit) = self.peek().and_then(|c| c.to_digit(16)) else {
                return Err(self.wrong("incomplete escape", start));
            };
            code = code.wrapping_mul(16).wrapping_add(digit);
            self.next += 1;
        }
        match code {
            0..=0x10_ffff => Ok(code),
            _ => Err(self.wrong("bad escape: there is no such character", start)),
        }
    }

    /// A set of characters, behind its `[`.
    pub(super) fn class(&mut self, start: usize, flags: Flags) -> Result<Hir> {
        let unterminated = |parser: &Parser| parser.wrong("unterminated character set", start);
        let is_negated = self.eat('^');
        let mut set = ClassUnicode::empty();
        let mut is_empty = true;
        loop {
            let from = self.next;
            match self.peek() {
                None => return Err(unterminated(self)),
                Some(']') if !is_empty => {
                    self.next += 1;
                    break;
                }
                Some(_) => is_empty = false,
            }
            let first = self.class_item(flags)?;
            let is_range = self.peek() == Some('-')
                && self.chars.get(self.next + 1).is_some_and(|c| *c != ']');
            match (first, is_range) {
                (Escape::Char(code), false) => set.union(&sets::range(code, code, flags)),
                (Escape::Set(items), false) => set.union(&items),
                (first, true) => {
                    self.next += 1;
                    let last = self.class_item(flags)?;
                    match (first, last) {
                        (Escape::Char(first), Escape::Char(last)) if first <= last => {
                            set.union(&sets::range(first, last, flags));
                        }
                        _ => return Err(self.wrong("bad character range", from)),
                    }
                }
                (Escape::Place(_), false) => return Err(self.wrong("bad escape", from)),
            }
        }
        if is_negated {
            set.negate();
        }
        Ok(Hir::class(Class::Unicode(set)))
    }

    fn class_item(&mut self, flags: Flags) -> Result<Escape> {
        match self.take() {
            Some('\\') => self.escape(flags, true),
            Some(c) => Ok(Escape::Char(u32::from(c))),
            None => Err(self.wrong("unterminated character set", self.next)),
        }
    }
}

fn place(letter: char, flags: Flags) -> Hir {
    Hir::look(match (letter, flags.ascii) {
        ('A', _) => Look::Start,
        ('Z', _) => Look::End,
        ('b', false) => Look::WordUnicode,
        ('b', true) => Look::WordAscii,
        (_, false) => Look::WordUnicodeNegate,
        (_, true) => Look::WordAsciiNegate,
    })
}
