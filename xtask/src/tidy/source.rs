//! A file as the rules read it.
//!
//! Owns telling code from comments and strings, and tests from what is shipped. A word in a
//! comment or in a message breaks no rule, so the rules for code read a text in which both are
//! blanks and every line keeps its number.

use std::ops::Range;

/// A text file of the workspace.
pub(super) struct Source {
    /// Relative to the workspace, with `/`.
    pub(super) path: String,
    text: String,
    code: String,
    tests: Vec<Range<usize>>,
}

impl Source {
    pub(super) fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        let (path, text) = (path.into(), text.into());
        let code = match extension(&path) {
            "rs" => blank_rust(&text),
            "py" => blank_python(&text),
            _ => String::new(),
        };
        let tests = test_modules(&code);
        Source { path, text, code, tests }
    }

    pub(super) fn extension(&self) -> &str {
        extension(&self.path)
    }

    pub(super) fn lines(&self) -> impl Iterator<Item = &str> {
        self.text.lines()
    }

    /// The lines without comments and without what is in strings, numbered from 1.
    pub(super) fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// Whether the line, numbered from 1, is never part of what is shipped.
    pub(super) fn is_test(&self, line: usize) -> bool {
        self.is_test_file() || self.tests.iter().any(|range| range.contains(&line))
    }

    /// Whether the file is a test, a build script or a tool, as a whole.
    pub(super) fn is_test_file(&self) -> bool {
        is_test_file(&self.path)
    }

    /// The function that the line, numbered from 1, stands in: the nearest `fn` or `def` above.
    pub(super) fn function(&self, line: usize) -> Option<&str> {
        let keyword = if self.extension() == "py" { "def " } else { "fn " };
        let above: Vec<_> = self.code.lines().take(line).collect();
        above.into_iter().rev().find_map(|text| {
            let (before, behind) = text.split_once(keyword)?;
            if before.ends_with(|c: char| c.is_alphanumeric() || c == '_') {
                return None;
            }
            behind.split(|c: char| !(c.is_alphanumeric() || c == '_')).next()
        })
    }
}

/// Whether `word` stands in `line` on its own, not as a part of a longer name.
pub(super) fn has_word(line: &str, word: &str) -> bool {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].ends_with(part_of_name) && !line[at + word.len()..].starts_with(part_of_name)
    })
}

fn extension(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(_, extension)| extension)
}

fn is_test_file(path: &str) -> bool {
    let folders = ["tests/", "benches/", "xtask/", "fuzz/"];
    folders.iter().any(|folder| path.starts_with(folder) || path.contains(&format!("/{folder}")))
        || ["build.rs", "tests.rs"].contains(&path.rsplit('/').next().unwrap_or_default())
}

/// The line ranges of `#[cfg(test)]` items in blanked Rust code.
fn test_modules(code: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut from = 0;
    while let Some(found) = code[from..].find("#[cfg(test)]") {
        let start = from + found;
        let end = item_end(code, start);
        ranges.push(line_of(code, start)..line_of(code, end) + 1);
        from = end.max(start + 1);
    }
    ranges
}

/// Where the item that begins at `start` ends: at its closing brace, or at `;` where it has none.
fn item_end(code: &str, start: usize) -> usize {
    let mut depth = 0_usize;
    for (offset, character) in code[start..].char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth <= 1 => return start + offset,
            '}' => depth -= 1,
            ';' if depth == 0 => return start + offset,
            _ => {}
        }
    }
    code.len()
}

fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// As [`blank_rust`]: what a triple-quoted text says is not done by the file that holds it.
fn blank_python(text: &str) -> String {
    blank(text, |chars, at| match &chars[at..] {
        rest @ ['#', ..] => (at + rest.iter().take_while(|c| **c != '\n').count(), 0),
        rest @ [a @ ('"' | '\''), b, c, ..] if a == b && b == c => (at + triple_quoted(rest), 3),
        rest @ [quote @ ('"' | '\''), ..] => (at + quoted(rest, *quote), 1),
        _ => (at, 0),
    })
}

fn triple_quoted(rest: &[char]) -> usize {
    let mut at = 3;
    while at < rest.len() {
        match &rest[at..] {
            ['\\', ..] => at += 2,
            [a, b, c, ..] if [a, b, c] == [&rest[0]; 3] => return at + 3,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Replaces comments and the insides of literals by blanks; line breaks stay.
fn blank_rust(text: &str) -> String {
    blank(text, literal_or_comment)
}

/// Replaces by blanks what `skip` finds: it tells where the comment or literal that begins at a
/// place ends (at the same place if none does), and how many characters of its edges stay.
fn blank(text: &str, skip: impl Fn(&[char], usize) -> (usize, usize)) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let (end, kept) = skip(&chars, at);
        let end = end.min(chars.len());
        if end == at {
            out.push(chars[at]);
            at += 1;
            continue;
        }
        for (index, character) in (at..end).zip(&chars[at..end]) {
            let keep = *character == '\n' || index < at + kept || index + kept >= end;
            out.push(if keep { *character } else { ' ' });
        }
        at = end;
    }
    out
}

fn literal_or_comment(chars: &[char], at: usize) -> (usize, usize) {
    let rest = &chars[at..];
    if at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_') && rest[0] != '"' {
        return (at, 0); // inside of a name, where r and ' begin nothing
    }
    match rest {
        ['/', '/', ..] => (at + rest.iter().take_while(|c| **c != '\n').count(), 0),
        ['/', '*', ..] => (at + block_comment(rest), 0),
        ['"', ..] => (at + quoted(rest, '"'), 1),
        ['r', '"' | '#', ..] | ['b', 'r', '"' | '#', ..] => match raw_string(rest) {
            Some(length) => (at + length, 0),
            None => (at, 0),
        },
        ['\'', '\\', ..] => (at + quoted(rest, '\''), 1),
        ['\'', _, '\'', ..] => (at + 3, 1),
        _ => (at, 0), // code, or a lifetime
    }
}

fn block_comment(rest: &[char]) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while at < rest.len() {
        match &rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] if depth == 1 => return at + 2,
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    at
}

fn quoted(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            c if c == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

fn raw_string(rest: &[char]) -> Option<usize> {
    let prefix = rest.iter().take_while(|c| matches!(c, 'b' | 'r')).count();
    let hashes = rest[prefix..].iter().take_while(|c| **c == '#').count();
    let open = prefix + hashes;
    if rest.get(open) != Some(&'"') {
        return None; // r#keyword
    }
    let closes = |at: usize| {
        rest[at] == '"'
            && rest[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes
    };
    let end = (open + 1..rest.len()).find(|at| closes(*at));
    Some(end.map_or(rest.len(), |at| at + 1 + hashes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_is_left() {
        let cases = [
            ("a // b", "a     "),
            ("a /* b /* c */ d */ e", "a                   e"),
            (r#"f("b \" c", d)"#, r#"f("      ", d)"#),
            ("r#\"b \" c\"# d", "           d"),
            ("br\"b\" r#fn x", "      r#fn x"),
            ("'\"' b 'x' c '\\'' d", "' ' b ' ' c '  ' d"),
            ("fn f<'a>(x: &'a str) -> \"b\"", "fn f<'a>(x: &'a str) -> \" \""),
            ("\"a\nb\"", "\" \n \""),
            ("for\"x\"", "for\" \""),
        ];
        for (text, code) in cases {
            assert_eq!(blank_rust(text), code, "{text}");
        }
    }

    #[test]
    fn only_python_code_is_left() {
        let cases = [
            ("a # b", "a    "),
            ("a = 'b # \\' c' + d", "a = '        ' + d"),
            ("a = \"\"\"b\n'c' # d\n\"\"\" + e", "a = \"\"\" \n       \n\"\"\" + e"),
            ("a = '' + b", "a = '' + b"),
        ];
        for (text, code) in cases {
            assert_eq!(blank_python(text), code, "{text}");
        }
    }

    #[test]
    fn tests_are_told_from_the_rest() {
        let text = "fn a() { b(); }\n#[cfg(test)]\nmod tests {\n fn c() { d(); }\n}\nfn e() {}\n#[cfg(test)]\nuse f;\nfn g() {}\n";
        let source = Source::new("crates/x/src/y.rs", text);
        let tested: Vec<_> = (1..=9).filter(|line| source.is_test(*line)).collect();
        assert_eq!(tested, [2, 3, 4, 5, 7, 8]);
        assert!(Source::new("crates/x/tests/y.rs", text).is_test(1));
        assert!(Source::new("crates/x/src/y/tests.rs", text).is_test(1));
        assert!(Source::new("tests/harness/lab.py", "").is_test(1));
    }

    #[test]
    fn the_function_around_a_line() {
        let rust = Source::new("a.rs", "fn one() {}\npub async fn two<T>(x: T) {\n  x\n}\n");
        assert_eq!(rust.function(3), Some("two"));
        assert_eq!(rust.function(1), Some("one"));
        let python = Source::new("a.py", "x = 1\ndef wait_for(condition):\n    pass\n");
        assert_eq!(python.function(3), Some("wait_for"));
        assert_eq!(python.function(1), None);
    }

    #[test]
    fn words() {
        assert!(has_word("use clap::Parser;", "clap"));
        assert!(has_word("`wire`", "wire"));
        assert!(!has_word("use clapper;", "clap"));
        assert!(!has_word("serde_saphyr_x", "serde_saphyr"));
    }
}
