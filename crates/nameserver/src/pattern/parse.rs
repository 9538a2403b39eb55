//! From the text of one of Python's regular expressions to what it means.
//!
//! Owns the syntax: what Python (3.11 and later) accepts and refuses, and in nearly the same words.
//! Groups are only brackets here, since nobody asks what a group has matched; so `a*?` is `a*`.

use regex_syntax::hir::{Class, ClassUnicode, Dot, Hir, Look, Repetition};

use super::sets::{self, Flags};

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

pub(super) type Result<T> = std::result::Result<T, SyntaxError>;

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

/// A pattern and how far it is read.
pub(super) struct Parser {
    pub(super) chars: Vec<char>,
    pub(super) next: usize,
    /// Those of the whole pattern.
    pub(super) flags: Flags,
    /// Of groups.
    pub(super) names: Vec<String>,
}

/// What stands before a `*`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    Repeated,
    Item,
}

/// What an escape stands for.
pub(super) enum Escape {
    Char(u32),
    Set(ClassUnicode),
    Place(Hir),
}

/// What begins with `(`.
pub(super) enum Opened {
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

    pub(super) fn digits(&mut self) -> String {
        let mut digits = String::new();
        while let Some(c) = self.peek().filter(char::is_ascii_digit) {
            digits.push(c);
            self.next += 1;
        }
        digits
    }

    pub(super) fn skip_line(&mut self) {
        while let Some(c) = self.take() {
            if c == '\n' {
                return;
            }
        }
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.chars.get(self.next).copied()
    }

    pub(super) fn take(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.next += 1;
        Some(c)
    }

    pub(super) fn eat(&mut self, wanted: char) -> bool {
        let is_there = self.peek() == Some(wanted);
        self.next += usize::from(is_there);
        is_there
    }

    pub(super) fn wrong(&self, problem: &str, position: usize) -> SyntaxError {
        SyntaxError::Wrong { problem: problem.to_owned(), position }
    }
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
