//! Python's regular expressions, run in linear time.
//!
//! Owns how a pattern is compiled and matched. [`parse`], with
//! [`groups`] and [`characters`], reads Python's syntax, [`sets`] knows its sets of characters; the machine is `regex-automata`'s. What no machine runs in linear time
//! (look-around, back-references, atomic groups) is refused, in words.
//!
//! One thing is not as in Python: a `$` takes the new line at a name's end that it stands before, so
//! that nothing behind it can match that new line again.

mod characters;
mod groups;
mod parse;
mod sets;

use regex_automata::meta::{Cache, Config, Regex};
use regex_automata::{Anchored, Input};
use regex_syntax::hir::Hir;
use regex_syntax::hir::literal::{ExtractKind, Extractor};
use remote::Exception;

use crate::nameserver::limits;

/// The most memory that a compiled pattern may take, in bytes. A search takes time in proportion to
/// it, for each letter of each name.
const COMPILED: usize = 1024 * 1024;
/// The most memory that a search may take for what it has learned of a pattern, in bytes.
const LEARNED: usize = 2 * 1024 * 1024;

/// A pattern that matches at the beginning of a name, as Python's `re.match` does.
#[derive(Debug)]
pub(crate) struct Pattern {
    regex: Regex,
    prefix: String,
}

/// A pattern at work; kept from one name to the next.
pub(crate) struct Matcher<'a> {
    regex: &'a Regex,
    cache: Cache,
}

impl Pattern {
    /// Compiles a pattern, which may take some milliseconds.
    ///
    /// # Errors
    /// `NamingError` for a pattern that is none, or too large.
    pub(crate) fn new(pattern: &str) -> Result<Self, Exception> {
        limits::check_pattern(pattern)?;
        let syntax = parse::parse(pattern).map_err(|error| invalid(&error.to_string()))?;
        let config = Config::new()
            .nfa_size_limit(Some(COMPILED))
            .onepass_size_limit(Some(COMPILED))
            .hybrid_cache_capacity(LEARNED);
        let regex = Regex::builder().configure(config).build_from_hir(&syntax).map_err(
            |error| match error.size_limit() {
                Some(limit) => invalid(&format!(
                    "it grows beyond the size limit of {} KiB; repeat less",
                    limit / 1024
                )),
                None => invalid(&error.to_string()),
            },
        )?;
        Ok(Pattern { regex, prefix: prefix(&syntax) })
    }

    /// What every name that matches begins with.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Begins to match names.
    pub(crate) fn matcher(&self) -> Matcher<'_> {
        Matcher { regex: &self.regex, cache: self.regex.create_cache() }
    }
}

impl Matcher<'_> {
    /// Whether the beginning of `name` matches.
    pub(crate) fn matches(&mut self, name: &str) -> bool {
        let input = Input::new(name).anchored(Anchored::Yes).earliest(true);
        self.regex.search_half_with(&mut self.cache, &input).is_some()
    }
}

fn prefix(syntax: &Hir) -> String {
    let literals = Extractor::new().kind(ExtractKind::Prefix).extract(syntax);
    let bytes = literals.longest_common_prefix().unwrap_or_default();
    // Letters may have only their first bytes in common.
    let text = bytes.utf8_chunks().next().map(|chunk| chunk.valid());
    text.unwrap_or_default().to_owned()
}

fn invalid(reason: &str) -> Exception {
    Exception::naming_error(format!("invalid regex: {reason}"))
}

#[cfg(test)]
mod tests;
