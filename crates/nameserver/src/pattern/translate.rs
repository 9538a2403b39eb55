//! Translation of Python's regular expressions into the syntax of crate `regex`.
//!
//! Python (3.11 and later) decides what a pattern means and which patterns are wrong. Constructs
//! that `regex` reads otherwise are written in its syntax: sets of characters, escapes, edges, a
//! `{` that counts nothing. Errors that both have in common are left to `regex`. Groups are only
//! brackets, since no caller asks what a group has matched; so `a*?` becomes `a*`.

use super::classes::{Escape, class, range, read_class, read_escape};
use super::reader::{Flags, Reader, Result, SyntaxError};

/// Nested groups, at most.
const MAX_DEPTH: usize = 100;

/// Constructs that no engine runs in linear time.
const NOT_LINEAR: [&str; 7] = ["(?=", "(?!", "(?<=", "(?<!", "(?>", "(?(", "(?P="];

/// A pattern in the syntax of crate `regex`.
#[derive(Debug)]
pub(super) struct Translated {
    pub(super) regex: String,
    /// Plain text that every match begins with.
    pub(super) prefix: String,
}

/// The kind of item that a `*` would repeat.
#[derive(Clone, Copy, Debug)]
enum Before {
    Nothing,
    Repeated,
    Item,
}

/// A pattern that is being read.
struct Translator<'a> {
    reader: Reader<'a>,
    /// Flags of the whole pattern, and of each open group.
    groups: Vec<Flags>,
    before: Before,
    done: Translated,
    /// The next plain character belongs to the prefix.
    prefix_grows: bool,
}

/// Translates a pattern.
///
/// # Errors
/// Python refuses the pattern, or it cannot run in linear time. Some patterns that Python refuses
/// are left to `regex`, which refuses them too.
pub(super) fn translate(pattern: &str) -> Result<Translated> {
    let mut translator = Translator {
        reader: Reader::new(pattern),
        groups: vec![Flags::default()],
        before: Before::Nothing,
        done: Translated { regex: String::new(), prefix: String::new() },
        prefix_grows: true,
    };
    while let Some(c) = translator.reader.next_char() {
        translator.translate_item(c)?;
    }
    Ok(translator.done)
}

impl<'a> Translator<'a> {
    fn translate_item(&mut self, c: char) -> Result<()> {
        let flags = self.flags();
        match c {
            ' ' | '\t'..='\r' if flags.verbose => {}
            '#' if flags.verbose => {
                self.reader.rest = self.reader.rest.split_once('\n').map_or("", |(_, rest)| rest);
            }
            '\\' => match read_escape(&mut self.reader, flags, false)? {
                Escape::Char(code) => self.push_literal(code),
                Escape::Set(items) => self.push_item(&format!("[{items}]")),
                Escape::Edge(edge) => self.push_edge(edge),
            },
            '[' => {
                let class = read_class(&mut self.reader, flags)?;
                self.push_item(&class);
            }
            '.' if flags.dot_all => self.push_item("(?s:.)"),
            '.' => self.push_item("."),
            '^' if flags.multi_line => self.push_edge("(?m:^)"),
            '^' => self.push_edge(r"\A"),
            '$' if flags.multi_line => self.push_edge("(?m:$)"),
            // Python's matches before a last new line, too.
            '$' => self.push_edge(r"(?:\n?\z)"),
            '(' => self.open_group()?,
            ')' => {
                if self.groups.len() == 1 {
                    return Err(self.reader.wrong("unbalanced parenthesis"));
                }
                self.groups.pop();
                self.push_item(")");
            }
            '|' => {
                self.push_edge("|");
                if self.groups.len() == 1 {
                    self.done.prefix.clear();
                    self.prefix_grows = false;
                }
            }
            '*' | '+' | '?' => self.repeat(c.to_string())?,
            '{' => match self.read_count() {
                Some(count) => self.repeat(count)?,
                None => self.push_literal(u32::from(c)),
            },
            _ => self.push_literal(u32::from(c)),
        }
        Ok(())
    }

    fn flags(&self) -> Flags {
        self.groups.last().copied().unwrap_or_default()
    }

    fn push_item(&mut self, item: &str) {
        self.done.regex.push_str(item);
        self.before = Before::Item;
        self.prefix_grows = false;
    }

    fn push_edge(&mut self, edge: &str) {
        self.done.regex.push_str(edge);
        self.before = Before::Nothing;
    }

    fn push_literal(&mut self, code: u32) {
        let flags = self.flags();
        let is_plain = self.prefix_grows && self.groups.len() == 1 && !flags.ignore_case;
        self.push_item(&class("", &range(code, code, flags), flags));
        if let (true, Some(c)) = (is_plain, char::from_u32(code)) {
            self.done.prefix.push(c);
            self.prefix_grows = true;
        }
    }

    fn repeat(&mut self, count: String) -> Result<()> {
        match self.before {
            Before::Nothing => return Err(self.reader.wrong("nothing to repeat")),
            Before::Repeated => return Err(self.reader.wrong("multiple repeat")),
            Before::Item => {}
        }
        if self.reader.rest.starts_with('+') {
            let construct = "possessive repeat (`*+`, `++`, `?+`)";
            return Err(SyntaxError::NotLinear { construct });
        }
        self.reader.eat('?');
        if self.prefix_grows {
            self.done.prefix.pop();
        }
        self.push_item(&count);
        self.before = Before::Repeated;
        Ok(())
    }

    /// A count after its `{`; `None` for a `{` that is plain text.
    fn read_count(&mut self) -> Option<String> {
        let (inside, rest) = self.reader.rest.split_once('}')?;
        let (least, most) = inside.split_once(',').unwrap_or((inside, inside));
        let are_digits = [least, most].iter().all(|n| n.bytes().all(|b| b.is_ascii_digit()));
        if inside.is_empty() || !are_digits {
            return None;
        }
        self.reader.rest = rest;
        Some(format!("{{{},{most}}}", if least.is_empty() { "0" } else { least }))
    }

    /// A group, a comment or flags, after its `(`.
    fn open_group(&mut self) -> Result<()> {
        let is_not_linear = |construct: &&str| {
            construct.strip_prefix('(').is_some_and(|rest| self.reader.rest.starts_with(rest))
        };
        if let Some(construct) = NOT_LINEAR.into_iter().find(is_not_linear) {
            return Err(SyntaxError::NotLinear { construct });
        }
        let (mut opening, mut flags) = ("(?:".to_owned(), self.flags());
        if self.reader.eat('?') {
            if self.reader.eat('#') {
                let Some((_, rest)) = self.reader.rest.split_once(')') else {
                    return Err(self.reader.wrong("missing ), unterminated comment"));
                };
                self.reader.rest = rest;
                return Ok(());
            }
            if self.reader.eat('P') {
                opening = format!("(?P<{}>", self.read_name()?);
            } else if !self.reader.eat(':') {
                match self.read_flags()? {
                    (inner, ':') => flags = inner,
                    (whole, _) => {
                        if !self.done.regex.is_empty() {
                            let problem = "global flags not at the start of the expression";
                            return Err(self.reader.wrong(problem));
                        }
                        self.groups = vec![whole];
                        return Ok(());
                    }
                }
            }
        }
        if self.groups.len() > MAX_DEPTH {
            return Err(self.reader.wrong(&format!("brackets more than {MAX_DEPTH} deep")));
        }
        self.groups.push(flags);
        self.push_item(&opening);
        self.before = Before::Nothing;
        Ok(())
    }

    /// A group's name after its `?P`. A name that is there twice is refused by `regex`.
    fn read_name(&mut self) -> Result<&'a str> {
        let Some((name, rest)) =
            self.reader.rest.strip_prefix('<').and_then(|rest| rest.split_once('>'))
        else {
            return Err(self.reader.wrong("unknown extension ?P, or unterminated name"));
        };
        let is_letter = |c: char| c == '_' || c.is_alphabetic();
        if !name.starts_with(is_letter) || !name.chars().all(|c| is_letter(c) || c.is_numeric()) {
            return Err(self.reader.wrong(&format!("bad character in group name '{name}'")));
        }
        self.reader.rest = rest;
        Ok(name)
    }

    /// Flags after their `(?`, and what ends them: `)` for the whole pattern, `:` for a group.
    fn read_flags(&mut self) -> Result<(Flags, char)> {
        let letters = self.reader.rest.split([':', ')']).next().unwrap_or_default();
        self.reader.rest = self.reader.rest.strip_prefix(letters).unwrap_or_default();
        let end = self.reader.next_char();
        let (on, off) = letters.split_once('-').unwrap_or((letters, ""));
        let has_minus = letters.contains('-');
        let mut flags = self.flags();
        let mut set = |letter: char, is_on: bool| {
            match letter {
                'a' => flags.ascii = is_on,
                'i' => flags.ignore_case = is_on,
                'm' => flags.multi_line = is_on,
                's' => flags.dot_all = is_on,
                'u' => flags.ascii = !is_on,
                'x' => flags.verbose = is_on,
                _ => return false,
            }
            true
        };
        let are_flags = on.chars().all(|c| set(c, true)) && off.chars().all(|c| set(c, false));
        let is_wrong = letters.is_empty()
            || has_minus && (off.is_empty() || end == Some(')'))
            || on.contains('a') && on.contains('u')
            || off.contains(['a', 'u'])
            || on.chars().any(|c| off.contains(c));
        match end {
            Some(end) if are_flags && !is_wrong => Ok((flags, end)),
            _ => Err(self.reader.wrong(&format!("unknown extension or bad flags '?{letters}'"))),
        }
    }
}
