//! What stands behind an opening bracket: names, comments and flags of groups.

use super::parse::{Opened, Parser, Result, SyntaxError};
use super::sets::Flags;

impl Parser {
    /// What follows a `(`.
    pub(super) fn open(
        &mut self,
        start: usize,
        outer: Flags,
        may_set_flags: bool,
    ) -> Result<Opened> {
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
