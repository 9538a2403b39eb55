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
use regex_syntax::hir::literal::{ExtractKind, Extractor};
use regex_syntax::hir::{Dot, Hir, HirKind, Repetition};
use remote::Exception;

use crate::limits;

/// The most memory that a compiled pattern may take, in bytes. A search takes time in proportion to
/// it, for each letter of each name.
const COMPILED: usize = 512 * 1024;
/// The most memory that a search may take for what it has learned of a pattern, in bytes.
const LEARNED: usize = 2 * 1024 * 1024;

/// A pattern that matches at the beginning of a name, as Python's `re.match` does.
#[derive(Debug)]
pub(crate) struct Pattern {
    regex: Regex,
    prefix: String,
    /// What stands behind a `.*` at the beginning: to look for that anywhere is much quicker, and
    /// the same for names of one line.
    anywhere: Option<Regex>,
}

/// A pattern at work; kept from one name to the next.
pub(crate) struct Matcher<'a> {
    regex: &'a Regex,
    cache: Cache,
    anywhere: Option<(&'a Regex, Cache)>,
}

impl Pattern {
    /// Compiles a pattern, which may take some milliseconds.
    ///
    /// # Errors
    /// `NamingError` for a pattern that is none, or too large.
    pub(crate) fn new(pattern: &str) -> Result<Self, Exception> {
        limits::check_pattern(pattern)?;
        let syntax = parse::parse(pattern).map_err(|error| invalid(&error.to_string()))?;
        Ok(Pattern {
            regex: build(&syntax)?,
            prefix: prefix(&syntax),
            anywhere: behind_anything(&syntax).map(|rest| build(&rest)).transpose()?,
        })
    }

    /// What every name that matches begins with.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Begins to match names.
    pub(crate) fn matcher(&self) -> Matcher<'_> {
        let anywhere = self.anywhere.as_ref().map(|regex| (regex, regex.create_cache()));
        Matcher { regex: &self.regex, cache: self.regex.create_cache(), anywhere }
    }
}

impl Matcher<'_> {
    /// Whether the beginning of `name` matches.
    pub(crate) fn matches(&mut self, name: &str) -> bool {
        let input = Input::new(name).earliest(true);
        if let Some((anywhere, cache)) = &mut self.anywhere
            && memchr::memchr(b'\n', name.as_bytes()).is_none()
        {
            return anywhere.search_half_with(cache, &input).is_some();
        }
        let input = input.anchored(Anchored::Yes);
        self.regex.search_half_with(&mut self.cache, &input).is_some()
    }
}

fn build(syntax: &Hir) -> Result<Regex, Exception> {
    let config = Config::new()
        .nfa_size_limit(Some(COMPILED))
        .onepass_size_limit(Some(COMPILED))
        .hybrid_cache_capacity(LEARNED);
    Regex::builder().configure(config).build_from_hir(syntax).map_err(|error| {
        match error.size_limit() {
            Some(limit) => invalid(&format!(
                "it grows beyond the size limit of {} KiB; repeat less",
                limit / 1024
            )),
            None => invalid(&error.to_string()),
        }
    })
}

/// What stands behind a `.*` at the beginning, where there is one.
fn behind_anything(syntax: &Hir) -> Option<Hir> {
    let HirKind::Concat(parts) = syntax.kind() else { return None };
    let (first, rest) = parts.split_first()?;
    match first.kind() {
        HirKind::Repetition(Repetition { min: 0, max: None, sub, .. })
            if **sub == Hir::dot(Dot::AnyCharExceptLF) || **sub == Hir::dot(Dot::AnyChar) =>
        {
            Some(Hir::concat(rest.to_vec()))
        }
        _ => None,
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
