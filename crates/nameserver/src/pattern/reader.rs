//! A pattern that is being read, and what can be wrong with it.

/// Reason for refusing a pattern.
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

/// Flags of a pattern or a group.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flags {
    pub(super) ascii: bool,
    pub(super) ignore_case: bool,
    pub(super) multi_line: bool,
    pub(super) dot_all: bool,
    pub(super) verbose: bool,
}

/// A pattern and its part that is still to be read.
pub(super) struct Reader<'a> {
    pattern: &'a str,
    pub(super) rest: &'a str,
}

impl<'a> Reader<'a> {
    pub(super) fn new(pattern: &'a str) -> Self {
        Reader { pattern, rest: pattern }
    }

    pub(super) fn next_char(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.eat(c).then_some(c)
    }

    pub(super) fn eat(&mut self, wanted: char) -> bool {
        let after = self.rest.strip_prefix(wanted);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    /// An error at the character that was read last.
    pub(super) fn wrong(&self, problem: &str) -> SyntaxError {
        let read = self.pattern.chars().count() - self.rest.chars().count();
        SyntaxError::Wrong { problem: problem.to_owned(), position: read.saturating_sub(1) }
    }
}
