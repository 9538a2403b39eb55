//! A file as the rules read it.
//!
//! Owns telling code from comments and strings, and tests from the rest. The rules for code read a
//! text in which comments and strings are blanks, the rules for comments one in which all else is;
//! every line keeps its number in both.

use std::ops::Range;

/// A text file of the workspace.
pub(crate) struct Source {
    /// Relative to the workspace, with `/`.
    pub(crate) path: String,
    text: String,
    code: String,
    comments: String,
    tests: Vec<Range<usize>>,
}

impl Source {
    pub(crate) fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        let (path, text) = (path.into(), text.into());
        let (code, comments) = match extension(&path) {
            "rs" => split_rust(&text),
            "py" => split_python(&text),
            _ => Default::default(),
        };
        let tests = test_modules(&code);
        Source { path, text, code, comments, tests }
    }

    pub(crate) fn extension(&self) -> &str {
        extension(&self.path)
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        self.text.lines()
    }

    /// The lines without comments and without what is in strings, numbered from 1.
    pub(crate) fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// The lines with nothing but their comments, and Python's docstrings.
    pub(crate) fn comment_lines(&self) -> impl Iterator<Item = &str> {
        self.comments.lines()
    }

    /// Whether the line, numbered from 1, is never part of what is shipped.
    pub(crate) fn is_test(&self, line: usize) -> bool {
        self.is_test_file() || self.tests.iter().any(|range| range.contains(&line))
    }

    /// Whether the file is a test, a build script or a tool, as a whole.
    pub(crate) fn is_test_file(&self) -> bool {
        is_test_file(&self.path)
    }

    /// The function that the line, numbered from 1, stands in: the nearest `fn` or `def` above.
    pub(crate) fn function(&self, line: usize) -> Option<&str> {
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
pub(crate) fn has_word(line: &str, word: &str) -> bool {
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

/// As [`split_rust`]. A triple-quoted text is not code, and is a comment if it begins a line.
fn split_python(text: &str) -> (String, String) {
    split(text, |chars, at| {
        let begins_line = || chars[..at].iter().rev().find(|c| !" \t".contains(**c)) == Some(&'\n');
        match &chars[at..] {
            rest @ ['#', ..] => Part::comment(at, rest.iter().take_while(|c| **c != '\n').count()),
            rest @ [a @ ('"' | '\''), b, c, ..] if a == b && b == c => {
                Part { end: at + triple_quoted(rest), kept: 3, comment: at == 0 || begins_line() }
            }
            rest @ [quote @ ('"' | '\''), ..] => Part::literal(at, quoted(rest, *quote), 1),
            _ => Part::code(at),
        }
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

/// The code, with blanks for comments and the insides of literals, and the comments, with blanks
/// for all else; line breaks stay in both.
fn split_rust(text: &str) -> (String, String) {
    split(text, literal_or_comment)
}

/// A comment or a literal at some place of a text.
struct Part {
    /// Where it ends: at the same place if there is no such thing.
    end: usize,
    /// How many characters of its edges are code.
    kept: usize,
    comment: bool,
}

impl Part {
    fn code(at: usize) -> Self {
        Part { end: at, kept: 0, comment: false }
    }

    fn comment(at: usize, length: usize) -> Self {
        Part { end: at + length, kept: 0, comment: true }
    }

    fn literal(at: usize, length: usize, kept: usize) -> Self {
        Part { end: at + length, kept, comment: false }
    }
}

/// Divides a text by the parts that `part` finds.
fn split(text: &str, part: impl Fn(&[char], usize) -> Part) -> (String, String) {
    let chars: Vec<char> = text.chars().collect();
    let (mut code, mut comments) = (String::new(), String::new());
    let mut at = 0;
    while at < chars.len() {
        let Part { end, kept, comment } = part(&chars, at);
        let end = end.min(chars.len());
        if end == at {
            code.push(chars[at]);
            comments.push(if chars[at] == '\n' { '\n' } else { ' ' });
            at += 1;
            continue;
        }
        for (index, character) in (at..end).zip(&chars[at..end]) {
            let edge = index < at + kept || index + kept >= end;
            let keep = |kept: bool| if kept || *character == '\n' { *character } else { ' ' };
            code.push(keep(edge));
            comments.push(keep(comment && !edge));
        }
        at = end;
    }
    (code, comments)
}

fn literal_or_comment(chars: &[char], at: usize) -> Part {
    let rest = &chars[at..];
    if at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_') && rest[0] != '"' {
        return Part::code(at); // inside of a name, where r and ' begin nothing
    }
    match rest {
        ['/', '/', ..] => Part::comment(at, rest.iter().take_while(|c| **c != '\n').count()),
        ['/', '*', ..] => Part::comment(at, block_comment(rest)),
        ['"', ..] => Part::literal(at, quoted(rest, '"'), 1),
        ['r', '"' | '#', ..] | ['b', 'r', '"' | '#', ..] => match raw_string(rest) {
            Some(length) => Part::literal(at, length, 0),
            None => Part::code(at),
        },
        ['\'', '\\', ..] => Part::literal(at, quoted(rest, '\''), 1),
        ['\'', _, '\'', ..] => Part::literal(at, 3, 1),
        _ => Part::code(at), // code, or a lifetime
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
            assert_eq!(split_rust(text).0, code, "{text}");
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
            assert_eq!(split_python(text).0, code, "{text}");
        }
    }

    #[test]
    fn only_comments_are_left() {
        assert_eq!(split_rust("a(\"//\"); // b\n'c' /* d */").1, "         // b\n    /* d */");
        let python = "\"\"\"a\"\"\"\nb = '''c''' # d\n  '''e\nf'''";
        assert_eq!(split_python(python).1, "   a   \n            # d\n     e\nf   ");
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
