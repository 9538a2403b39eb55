//! From the text of one of Python's regular expressions to what it means.
//!
//! Owns the syntax: what Python (3.11 and later) accepts and refuses, and in nearly the same words.
//! Groups are only brackets here, since nobody asks what a group has matched; so `a*?` is `a*`.

use regex_syntax::hir::{Class, ClassUnicode, Dot, Hir, Look, Repetition};

use super::sets;

/// Brackets in brackets, at most: each is a call within a call.
const DEPTH: usize = 100;
/// What is repeated more often than this is too large in any case.
const REPEATED: u32 = 100_000;

/// What is wrong with a pattern.
#[derive(Debug, thiserror::Error)]
pub(super) enum SyntaxError {
    #[error("{problem} at position {position}")]
    Wrong { problem: String, position: usize },
    #[error(
        "`{construct}` is not supported: patterns run in linear time here, without look-around, \
         back-references and atomic groups"
    )]
    NotLinear { construct: &'static str },
    #[error(r"`\N{{…}}` is not supported: write the character itself, or its number as `\uXXXX`")]
    CharacterName,
}

type Result<T> = std::result::Result<T, SyntaxError>;

/// How a pattern, or a part of it, is to be read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flags {
    pub(super) ascii: bool,
    pub(super) ignore_case: bool,
    multi_line: bool,
    dot_all: bool,
    verbose: bool,
}

/// What a pattern means.
pub(super) fn parse(pattern: &str) -> Result<Hir> {
    let chars = pattern.chars().collect();
    let mut parser = Parser { chars, next: 0, flags: Flags::default(), names: Vec::new() };
    let meaning = parser.alternatives(None, 0)?;
    match parser.peek() {
        None => Ok(meaning),
        Some(_) => Err(parser.wrong("unbalanced parenthesis", parser.next)),
    }
}

struct Parser {
    chars: Vec<char>,
    next: usize,
    /// Those of the whole pattern.
    flags: Flags,
    /// Of groups.
    names: Vec<String>,
}

/// What stands before a `*`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    Repeated,
    Item,
}

/// What an escape stands for.
enum Escape {
    Char(u32),
    Set(ClassUnicode),
    Place(Hir),
}

/// What begins with `(`.
enum Opened {
    Group(Flags),
    /// A comment, or flags for the whole pattern.
    Nothing,
}

impl Parser {
    /// Alternatives up to a `)` or the end; `flags` are the whole pattern's if absent.
    fn alternatives(&mut self, flags: Option<Flags>, depth: usize) -> Result<Hir> {
        let mut found = Vec::new();
        loop {
            let is_first = depth == 0 && found.is_empty();
            found.push(self.sequence(flags, is_first, depth)?);
            if !self.eat('|') {
                return Ok(Hir::alternation(found));
            }
        }
    }

    fn sequence(&mut self, flags: Option<Flags>, is_first: bool, depth: usize) -> Result<Hir> {
        let mut items: Vec<Hir> = Vec::new();
        let mut before = Before::Nothing;
        while let Some(c) = self.peek() {
            let flags = flags.unwrap_or(self.flags);
            let start = self.next;
            if matches!(c, '|' | ')') {
                break;
            }
            self.next += 1;
            let item = match c {
                ' ' | '\t'..='\r' if flags.verbose => continue,
                '#' if flags.verbose => {
                    self.skip_line();
                    continue;
                }
                '\\' => match self.escape(flags, false)? {
                    Escape::Char(code) => one(code, flags),
                    Escape::Set(set) => Hir::class(Class::Unicode(set)),
                    Escape::Place(place) => {
                        items.push(place);
                        before = Before::Nothing;
                        continue;
                    }
                },
                '[' => self.class(start, flags)?,
                '.' if flags.dot_all => Hir::dot(Dot::AnyChar),
                '.' => Hir::dot(Dot::AnyCharExceptLF),
                '^' | '$' => {
                    items.push(edge(c, flags));
                    before = Before::Nothing;
                    continue;
                }
                '(' => match self.open(start, flags, is_first && items.is_empty())? {
                    Opened::Nothing => continue,
                    Opened::Group(flags) => {
                        if depth >= DEPTH {
                            let problem = format!("brackets more than {DEPTH} deep");
                            return Err(self.wrong(&problem, start));
                        }
                        let group = self.alternatives(Some(flags), depth + 1)?;
                        if !self.eat(')') {
                            return Err(self.wrong("missing ), unterminated subpattern", start));
                        }
                        group
                    }
                },
                '*' | '+' | '?' | '{' => match self.count(c, start)? {
                    None => one(u32::from('{'), flags),
                    Some((min, max)) => {
                        let item = match (before, items.pop()) {
                            (Before::Item, Some(item)) => item,
                            (Before::Repeated, _) => {
                                return Err(self.wrong("multiple repeat", start));
                            }
                            _ => return Err(self.wrong("nothing to repeat", start)),
                        };
                        if self.peek() == Some('+') {
                            let construct = "possessive repeat (`*+`, `++`, `?+`)";
                            return Err(SyntaxError::NotLinear { construct });
                        }
                        // As few as possible or as many: it is found either way.
                        self.eat('?');
                        let sub = Box::new(item);
                        items.push(Hir::repetition(Repetition { min, max, greedy: true, sub }));
                        before = Before::Repeated;
                        continue;
                    }
                },
                other => one(u32::from(other), flags),
            };
            items.push(item);
            before = Before::Item;
        }
        Ok(Hir::concat(items))
    }

    /// How often, behind its first character; `None` for a `{` that is only that.
    fn count(&mut self, c: char, start: usize) -> Result<Option<(u32, Option<u32>)>> {
        match c {
            '*' => return Ok(Some((0, None))),
            '+' => return Ok(Some((1, None))),
            '?' => return Ok(Some((0, Some(1)))),
            _ => {}
        }
        if self.peek() == Some('}') {
            return Ok(None);
        }
        let behind = self.next;
        let least = self.digits();
        let most = if self.eat(',') { self.digits() } else { least.clone() };
        if !self.eat('}') {
            self.next = behind;
            return Ok(None);
        }
        let number = |digits: &str| match digits.parse::<u32>() {
            Ok(number) if number <= REPEATED => Ok(number),
            _ => Err(self.wrong("the repetition number is too large", start)),
        };
        let min = if least.is_empty() { 0 } else { number(&least)? };
        let max = if most.is_empty() { None } else { Some(number(&most)?) };
        match max {
            Some(max) if max < min => Err(self.wrong("min repeat greater than max repeat", start)),
            _ => Ok(Some((min, max))),
        }
    }

    /// What is behind a backslash.
    fn escape(&mut self, flags: Flags, in_class: bool) -> Result<Escape> {
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
    fn class(&mut self, start: usize, flags: Flags) -> Result<Hir> {
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

    /// What follows a `(`.
    fn open(&mut self, start: usize, outer: Flags, may_set_flags: bool) -> Result<Opened> {
        if !self.eat('?') {
            return Ok(Opened::Group(outer));
        }
        let not_linear = |construct| Err(SyntaxError::NotLinear { construct });
        match self.take() {
            None => Err(self.wrong("unexpected end of pattern", start)),
            Some(':') => Ok(Opened::Group(outer)),
            Some('#') => match self.chars.iter().skip(self.next).position(|c| *c == ')') {
                None => Err(self.wrong("missing ), unterminated comment", start)),
                Some(length) => {
                    self.next += length + 1;
                    Ok(Opened::Nothing)
                }
            },
            Some('P') => match self.take() {
                Some('<') => self.group_name(start).map(|()| Opened::Group(outer)),
                Some('=') => not_linear("(?P="),
                _ => Err(self.wrong("unknown extension ?P", start)),
            },
            Some('=') => not_linear("(?="),
            Some('!') => not_linear("(?!"),
            Some('<') => match self.take() {
                Some('=') => not_linear("(?<="),
                Some('!') => not_linear("(?<!"),
                _ => Err(self.wrong("unknown extension ?<", start)),
            },
            Some('>') => not_linear("(?>"),
            Some('(') => not_linear("(?("),
            Some(c) if c == '-' || flag(&mut Flags::default(), c, true).is_some() => {
                self.next -= 1;
                self.read_flags(start, outer, may_set_flags)
            }
            Some(c) => Err(self.wrong(&format!("unknown extension ?{c}"), start)),
        }
    }

    /// A group's name, behind its `<`: as any of Python's.
    fn group_name(&mut self, start: usize) -> Result<()> {
        let mut name = String::new();
        loop {
            match self.take() {
                Some('>') => break,
                Some(c) => name.push(c),
                None => return Err(self.wrong("missing >, unterminated name", start)),
            }
        }
        let is_letter = |c: char| c == '_' || c.is_alphabetic();
        let is_name =
            name.starts_with(is_letter) && name.chars().all(|c| is_letter(c) || c.is_numeric());
        if !is_name {
            return Err(self.wrong(&format!("bad character in group name '{name}'"), start));
        }
        if self.names.contains(&name) {
            return Err(self.wrong(&format!("redefinition of group name '{name}'"), start));
        }
        self.names.push(name);
        Ok(())
    }

    /// Flags for the whole pattern, as `i)`, or for a group, as `i-m:`.
    fn read_flags(&mut self, start: usize, outer: Flags, may_set: bool) -> Result<Opened> {
        let (mut inner, mut whole) = (outer, self.flags);
        let (mut on, mut off) = (String::new(), String::new());
        let mut is_on = true;
        loop {
            let Some(c) = self.take() else { return Err(self.wrong("missing -, : or )", start)) };
            match c {
                ')' if is_on => {
                    if !may_set {
                        let problem = "global flags not at the start of the expression";
                        return Err(self.wrong(problem, start));
                    }
                    self.flags = whole;
                    self.one_alphabet(&on, start)?;
                    return Ok(Opened::Nothing);
                }
                ':' if is_on || !off.is_empty() => break,
                '-' if is_on => is_on = false,
                'a' | 'u' if !is_on => {
                    let problem = "bad inline flags: cannot turn off flags 'a', 'u' and 'L'";
                    return Err(self.wrong(problem, start));
                }
                c => {
                    flag(&mut whole, c, is_on);
                    if flag(&mut inner, c, is_on).is_none() {
                        return Err(self.wrong(&format!("unknown flag {c}"), start));
                    }
                    if is_on { on.push(c) } else { off.push(c) }
                }
            }
        }
        self.one_alphabet(&on, start)?;
        if on.chars().any(|c| off.contains(c)) {
            return Err(self.wrong("bad inline flags: flag turned on and off", start));
        }
        Ok(Opened::Group(inner))
    }

    fn one_alphabet(&self, on: &str, start: usize) -> Result<()> {
        match on.contains('a') && on.contains('u') {
            false => Ok(()),
            true => Err(self.wrong("bad inline flags: flags 'a' and 'u' are incompatible", start)),
        }
    }

    fn digits(&mut self) -> String {
        let mut digits = String::new();
        while let Some(c) = self.peek().filter(char::is_ascii_digit) {
            digits.push(c);
            self.next += 1;
        }
        digits
    }

    fn skip_line(&mut self) {
        while let Some(c) = self.take() {
            if c == '\n' {
                return;
            }
        }
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.next).copied()
    }

    fn take(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.next += 1;
        Some(c)
    }

    fn eat(&mut self, wanted: char) -> bool {
        let is_there = self.peek() == Some(wanted);
        self.next += usize::from(is_there);
        is_there
    }

    fn wrong(&self, problem: &str, position: usize) -> SyntaxError {
        SyntaxError::Wrong { problem: problem.to_owned(), position }
    }
}

/// Turns a flag on or off; `None` for what is none.
fn flag(flags: &mut Flags, letter: char, on: bool) -> Option<()> {
    match letter {
        'a' => flags.ascii = on,
        'i' => flags.ignore_case = on,
        'm' => flags.multi_line = on,
        's' => flags.dot_all = on,
        'u' => flags.ascii = !on,
        'x' => flags.verbose = on,
        _ => return None,
    }
    Some(())
}

fn one(code: u32, flags: Flags) -> Hir {
    Hir::class(Class::Unicode(sets::range(code, code, flags)))
}

fn edge(c: char, flags: Flags) -> Hir {
    match (c, flags.multi_line) {
        ('^', false) => Hir::look(Look::Start),
        ('^', true) => Hir::look(Look::StartLF),
        (_, true) => Hir::look(Look::EndLF),
        // Before a last new line, too.
        (_, false) => {
            let sub = Box::new(Hir::literal(*b"\n"));
            let line = Repetition { min: 0, max: Some(1), greedy: true, sub };
            Hir::concat(vec![Hir::repetition(line), Hir::look(Look::End)])
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
