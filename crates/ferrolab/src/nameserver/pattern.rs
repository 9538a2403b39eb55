//! Python's regular expressions, run in linear time.
//!
//! Owns the translation of what Python writes differently. What cannot run in linear time
//! (look-around, back-references) is refused, in words.

use std::iter::Peekable;
use std::str::Chars;

use regex::{Regex, RegexBuilder};
use remote::Exception;

use crate::nameserver::limits;

/// The most memory that a compiled pattern may take, in bytes. A search takes time in proportion to
/// it, for each letter of each name: this bounds how long one question can keep all others waiting.
const COMPILED: usize = 256 * 1024;

/// A pattern that matches at the beginning of a name, as Python's `re.match` does.
///
/// # Errors
/// `NamingError` for a pattern that is none, or too large.
pub(super) fn compile(pattern: &str) -> Result<Regex, Exception> {
    let invalid = |reason: String| Exception::naming_error(format!("invalid regex: {reason}"));
    limits::check_pattern(pattern)?;
    let build = |text: &str| RegexBuilder::new(text).size_limit(COMPILED).build();
    let translated = translate(pattern);
    // Parsed alone first, so that an unbalanced pattern cannot close the group around it. In
    // verbose mode a comment at its end would swallow the end of the group: a new line ends it.
    build(&translated)
        .and_then(|_| {
            let anchored = build(&format!("^(?:{translated})"));
            anchored.or_else(|_| build(&format!("^(?:{translated}\n)")))
        })
        .map_err(|error| invalid(explain(&translated, &error)))
}

fn explain(pattern: &str, error: &regex::Error) -> String {
    let linear = ["(?=", "(?!", "(?<=", "(?<!", "(?P=", "(?>", "(?("];
    match linear.iter().find(|construct| pattern.contains(**construct)) {
        Some(construct) => format!(
            "`{construct}` is not supported: patterns run in linear time here, without \
             look-around and back-references"
        ),
        None => error.to_string(),
    }
}

/// The same pattern as the `regex` crate writes it.
fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' => escape(&mut rest, &mut out),
            '[' => class(&mut rest, &mut out),
            '{' if !is_repetition(&rest) => out.push_str("\\{"),
            '{' => {
                out.push('{');
                if rest.peek() == Some(&',') {
                    out.push('0');
                }
            }
            '}' if !closes_repetition(&out) => out.push_str("\\}"),
            // Before a last newline, too.
            '$' => out.push_str("(?:\\n?\\z)"),
            other => out.push(other),
        }
    }
    out
}

/// What follows a backslash.
fn escape(rest: &mut Peekable<Chars<'_>>, out: &mut String) {
    match rest.next() {
        Some('Z') => out.push_str("\\z"),
        // Words' edges in one, themselves in the other.
        Some(c @ ('<' | '>')) => out.push(c),
        Some(c) if c.is_ascii() => out.extend(['\\', c]),
        Some(c) => out.push(c),
        None => out.push('\\'),
    }
}

/// A class of characters, behind its `[`: no sets inside of it, no operators.
fn class(rest: &mut Peekable<Chars<'_>>, out: &mut String) {
    out.push('[');
    out.extend(rest.next_if_eq(&'^'));
    if rest.next_if_eq(&']').is_some() {
        out.push_str("\\]");
    }
    while let Some(c) = rest.next() {
        match c {
            ']' => return out.push(']'),
            '\\' => escape(rest, out),
            '[' => out.push_str("\\["),
            '&' | '~' => out.extend(['\\', c]),
            '-' if rest.peek() == Some(&'-') => out.push_str("\\-"),
            other => out.push(other),
        }
    }
}

/// Whether a `{` is followed by a count: `3}`, `3,}`, `,3}`, `3,5}`. Python takes any other as
/// itself.
fn is_repetition(rest: &Peekable<Chars<'_>>) -> bool {
    let mut inner = String::new();
    for c in rest.clone() {
        match c {
            '}' => {
                let digits = |part: &str| part.chars().all(|c| c.is_ascii_digit());
                return match inner.split_once(',') {
                    None => !inner.is_empty() && digits(&inner),
                    Some((least, most)) => digits(least) && digits(most),
                };
            }
            _ => inner.push(c),
        }
        if inner.len() > 12 {
            return false;
        }
    }
    false
}

/// Whether a `}` ends a count that was just written.
fn closes_repetition(out: &str) -> bool {
    let Some((before, count)) = out.rsplit_once('{') else { return false };
    let escaped = before.chars().rev().take_while(|c| *c == '\\').count() % 2 == 1;
    !escaped && !count.is_empty() && count.chars().all(|c| c.is_ascii_digit() || c == ',')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_pythons() {
        // A pattern, what Python's re.match finds, what it does not.
        let cases: &[(&str, &[&str], &[&str])] = &[
            ("lab", &["lab", "laboratory"], &["a.lab", "Lab"]),
            ("x|lab", &["lab", "x"], &["ab"]),
            (r"a$", &["a", "a\n"], &["ab", "a\n\n"]),
            (r"a\Z", &["a"], &["a\n", "ab"]),
            (r"a{2}$", &["aa"], &["a", "aaa"]),
            (r"a{,2}$", &["", "a", "aa"], &["aaa"]),
            (r"a{1,}b", &["ab", "aab"], &["b"]),
            (r"a{x}", &["a{x}"], &["a"]),
            (r"{a}", &["{a}"], &["a"]),
            (r"a}", &["a}"], &["a"]),
            (r"[[a]+$", &["[a[", "a"], &["b"]),
            (r"[a&&b]+$", &["a&b"], &["c"]),
            (r"[]a]+$", &["]a"], &["b"]),
            (r"[^]]", &["a"], &["]"]),
            (r"[a\]]+$", &["a]"], &["b"]),
            (r"\<a\>", &["<a>"], &["a"]),
            (r"\d+\.\w", &["12.é"], &["a.b"]),
            (r"(?i)LAB", &["lab"], &["x"]),
            (r"(?x) l a b  # the lab", &["lab"], &["l a b"]),
            (r"a\#b", &["a#b"], &["ab"]),
            (r"(?P<n>a)b", &["ab"], &["a"]),
            (r".*b", &["ab", "b"], &["a"]),
            ("", &["", "anything"], &[]),
        ];
        for (pattern, matching, others) in cases {
            let regex = compile(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
            for name in *matching {
                assert!(regex.is_match(name), "{pattern} does not match {name:?}");
            }
            for name in *others {
                assert!(!regex.is_match(name), "{pattern} matches {name:?}");
            }
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        let cases = [
            ("(", "unclosed"),
            ("a)|(b", "unopened"),
            ("*", "repetition"),
            ("(?=a)", "`(?=` is not supported"),
            (r"(?P<x>a)(?P=x)", "`(?P=` is not supported"),
            (r"(a)\1", "backreferences"),
            ("((a{500}){500}){500}", "size limit"),
        ];
        for (pattern, expected) in cases {
            let error = compile(pattern).expect_err(pattern);
            assert_eq!(error.class, "Pyro5.errors.NamingError", "{pattern}");
            let message = error.message();
            assert!(
                message.starts_with("invalid regex: ") && message.contains(expected),
                "{message}"
            );
        }
        assert!(compile(&"a".repeat(5000)).is_err());
    }
}
