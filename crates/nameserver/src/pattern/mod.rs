//! Python's regular expressions for names, run in linear time by crate `regex`.
//!
//! [`translate`] writes a pattern in the syntax of `regex`. Constructs that no engine runs in
//! linear time (look-around, back-references, atomic groups) are refused in words.
//!
//! Two differences from Python: a `$` takes the new line at a name's end that it stands before, so
//! that nothing after it can match that new line again; `\b` follows Unicode's definition of words.

mod classes;
mod reader;
mod translate;

use regex::{Regex, RegexBuilder};
use remote::Exception;

use crate::limits;
use translate::{Translated, translate};

/// The most memory that a compiled pattern may take, in bytes. A search takes time in proportion to
/// it, for each letter of each name.
const MAX_COMPILED: usize = 512 * 1024;
/// The most memory that the engine may take for its cache of a pattern's states, in bytes.
const MAX_CACHE: usize = 2 * 1024 * 1024;

/// A pattern that matches at the beginning of a name, as Python's `re.match` does.
#[derive(Debug)]
pub(crate) struct Pattern {
    regex: Regex,
    prefix: String,
}

impl Pattern {
    /// Compiles a pattern, which may take some milliseconds.
    ///
    /// # Errors
    /// `NamingError` for a pattern that is invalid, not supported or too large.
    pub(crate) fn new(pattern: &str) -> Result<Self, Exception> {
        limits::check_pattern(pattern)?;
        let translated = translate(pattern).map_err(|error| invalid(&error.to_string()))?;
        let Translated { regex, prefix } = translated;
        let regex = RegexBuilder::new(&format!(r"\A(?:{regex})"))
            .size_limit(MAX_COMPILED)
            .dfa_size_limit(MAX_CACHE)
            .build();
        Ok(Pattern { regex: regex.map_err(|error| reject(&error))?, prefix })
    }

    /// Plain text that every name that matches begins with.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether the beginning of `name` matches.
    pub(crate) fn matches(&self, name: &str) -> bool {
        self.regex.is_match(name)
    }
}

fn reject(error: &regex::Error) -> Exception {
    match error {
        regex::Error::CompiledTooBig(limit) => {
            invalid(&format!("it grows beyond the size limit of {} KiB; repeat less", limit / 1024))
        }
        // The last line has the reason; those before show the translated pattern.
        other => {
            let text = other.to_string();
            invalid(text.rsplit("error: ").next().unwrap_or(&text))
        }
    }
}

fn invalid(reason: &str) -> Exception {
    Exception::naming_error(format!("invalid regex: {reason}"))
}

#[cfg(test)]
mod tests;
