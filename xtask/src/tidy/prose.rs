//! Turns of phrase that `docs/style.md` rules out, and comments that are too wide.
//!
//! Owns the phrases and the reading of a comment as sentences, across its line breaks. Reads only
//! comments, docstrings and the pages about the code: messages to users have their own tests.

use crate::source::Source;

/// A phrase that is ruled out, with the plain words for it.
struct Phrase {
    /// Words in order, alternatives divided by `|`; a final `.` wants the end of a clause there.
    words: &'static str,
    /// The phrase is allowed if the word before it or one of the next two begins like one of these.
    unless: &'static [&'static str],
    plain: &'static str,
}

const PHRASES: &[Phrase] = &[
    Phrase {
        words: "whoever",
        unless: &[],
        plain: "name the actor: the client, the caller, the process",
    },
    Phrase { words: "is|are|was|were none", unless: &["of"], plain: "does not exist; is not one" },
    Phrase { words: "told of", unless: &[], plain: "hears of; is reported" },
    Phrase { words: "to rest", unless: &[], plain: "runs the safe state" },
    Phrase { words: "no more.", unless: &[], plain: "no longer" },
    Phrase {
        words: "no more what|until|before|when|whoever|the|a|its|as|it|has",
        unless: &[],
        plain: "no longer",
    },
    Phrase { words: "of its|their|his|our own", unless: &[], plain: "its own X" },
    Phrase {
        words: "behind it|its|them|that|those|this|which|the|a|an",
        unless: &["left", "leav", "nat", "proxy", "firewall", "router", "listener", "lab", "lock"],
        plain: "after",
    },
    Phrase {
        words: "goes when|where|with|for|if",
        unless: &[],
        plain: "is closed; is removed; is disconnected",
    },
];

/// Words that begin a sentence in place of its subject.
const RELATIVE: [&str; 4] = ["Who", "Whoever", "What", "Whatever"];
const MAX_COMMENT_WIDTH: usize = 100;
/// The pages that describe the code and follow the same style.
const PAGES: [&str; 3] = ["ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"];

/// Lines whose comment has a phrase that is ruled out, with the plain words for it.
pub(super) fn phrases(source: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for block in blocks(source) {
        for at in 0..block.len() {
            if begins_with_clause(&block, at) {
                let text = block[at].text;
                found.push((block[at].line, format!("`{text} …` as a subject: begin with a noun")));
            }
            for phrase in PHRASES {
                if let Some(words) = matched(&block, at, phrase) {
                    found.push((block[at].line, format!("`{words}`: {}", phrase.plain)));
                }
            }
        }
    }
    found
}

/// Lines that a comment makes wider than [`MAX_COMMENT_WIDTH`].
pub(super) fn wide_comments(source: &Source) -> Vec<(usize, String)> {
    let wide = |(index, (line, comment)): (usize, (&str, &str))| {
        let width = line.chars().count();
        // An address or recorded bytes cannot be broken.
        let breakable = comment.split_whitespace().all(|word| word.len() < MAX_COMMENT_WIDTH / 2);
        let comments = !comment.trim().is_empty();
        (comments && breakable && width > MAX_COMMENT_WIDTH)
            .then(|| (index + 1, format!("{width} columns")))
    };
    source.lines().zip(source.comment_lines()).enumerate().filter_map(wide).collect()
}

/// A word of a comment, without the marks around it.
struct Word<'a> {
    line: usize,
    text: &'a str,
    /// It is the first one of a sentence, a list's entry or a table's cell.
    begins: bool,
    /// The mark that follows it and ends a clause or a sentence; a blank if no such mark does.
    mark: char,
}

/// The comments of a file, each as its words; code in backticks and examples are left out.
fn blocks(source: &Source) -> Vec<Vec<Word<'_>>> {
    let page = PAGES.contains(&source.path.as_str());
    let lines: Box<dyn Iterator<Item = &str>> =
        if page { Box::new(source.lines()) } else { Box::new(source.comment_lines()) };
    let mut blocks = vec![Vec::new()];
    let (mut example, mut in_code) = (false, false);
    for (index, line) in lines.enumerate() {
        let text = line.trim_start();
        let indented = page && line.starts_with("    ");
        let text = text.trim_start_matches(['/', '!', '#']).trim();
        if text.starts_with("```") {
            example = !example;
        }
        if text.is_empty() || text.starts_with("```") {
            (example, in_code) = (example && !line.trim().is_empty(), false);
            blocks.push(Vec::new());
            continue;
        }
        if example || indented {
            continue;
        }
        let Some(block) = blocks.last_mut() else { continue };
        let mut begins = block.last().is_none_or(|word: &Word| ".!?".contains(word.mark));
        for token in text.split_whitespace() {
            let code = in_code || token.contains('`');
            in_code ^= token.matches('`').count() % 2 == 1;
            let word = token.trim_matches(|c: char| !c.is_alphanumeric());
            if word.is_empty() && !code {
                begins |= ["-", "*", "|"].contains(&token);
                continue;
            }
            let mark = token.trim_end_matches(['"', '\'', ')', '*', '_']).chars().last();
            let mark = mark.filter(|c| ".!?:;,".contains(*c)).unwrap_or(' ');
            block.push(Word { line: index + 1, text: if code { "" } else { word }, begins, mark });
            begins = ".!?".contains(mark);
        }
    }
    blocks
}

/// Whether a relative clause stands where a statement's subject belongs; questions may ask.
fn begins_with_clause(block: &[Word], at: usize) -> bool {
    let end = block[at..].iter().find(|word| ".!?".contains(word.mark));
    block[at].begins
        && RELATIVE.contains(&block[at].text)
        && block[at].mark == ' '
        && end.is_none_or(|word| word.mark != '?')
}

/// The words at `at`, if they are the phrase.
fn matched(block: &[Word], at: usize, phrase: &Phrase) -> Option<String> {
    let wanted: Vec<_> = phrase.words.trim_end_matches('.').split(' ').collect();
    let (found, next) = block[at..].split_at_checked(wanted.len())?;
    let (last, before) = found.split_last()?;
    let all = found.iter().zip(&wanted).all(|(word, wanted)| {
        wanted.split('|').any(|wanted| word.text.eq_ignore_ascii_case(wanted))
    });
    let unbroken = before.iter().all(|word| word.mark == ' ');
    let ends = !phrase.words.ends_with('.') || last.mark != ' ';
    let previous = &block[at.saturating_sub(1)..at];
    let allowed = previous.iter().chain(next.iter().take(2)).any(|word| {
        phrase.unless.iter().any(|unless| word.text.to_lowercase().starts_with(unless))
    });
    let found = || found.iter().map(|word| word.text).collect::<Vec<_>>().join(" ");
    (all && unbroken && ends && !allowed).then(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<usize> {
        phrases(&Source::new("a.rs", text)).into_iter().map(|(line, _)| line).collect()
    }

    #[test]
    fn phrases_are_found_in_comments_only() {
        let cases: &[(&str, &[usize])] = &[
            ("// The client, whoever it is.\n", &[1]),
            ("f(\"whoever\"); // fine\n", &[]),
            ("/// Nothing: there is\n/// none.\n", &[1]),
            ("/// It is none of ours.\n", &[]),
            ("// It drives no more.\n// It takes no more than 2.\n", &[1]),
            ("// The space behind it.\n// A host behind a NAT.\n// Left behind it.\n", &[1]),
            ("//! What a worker does.\n//! It is what a worker does.\n", &[1]),
            ("// Done. Who reads is served.\n// - What it has\n", &[1, 2]),
            ("// What is this? A question.\n", &[]),
            ("// `What` is a type, `is none` too.\n", &[]),
            ("/// ```\n/// // What a thing\n/// ```\n", &[]),
            ("// It is told. Of its own it knows.\n", &[1]),
        ];
        for (text, expected) in cases {
            assert_eq!(lines(text), *expected, "{text}");
        }
    }

    #[test]
    fn docstrings_and_the_pages_are_read() {
        let found = |path: &str, text: &str| !phrases(&Source::new(path, text)).is_empty();
        assert!(found("a.py", "def f():\n    \"\"\"What it does.\"\"\"\n"));
        assert!(!found("a.py", "x = \"\"\"What it says.\"\"\"\n"));
        assert!(found("ARCHITECTURE.md", "| `a` | what is told of it |\n"));
        assert!(!found("README.md", "What is told of it.\n"));
    }

    #[test]
    fn width_counts_where_there_is_a_comment() {
        let wide = |text: &str| wide_comments(&Source::new("a.rs", text)).len();
        let words = "word ".repeat(20);
        assert_eq!(wide(&format!("// {words}")), 1);
        assert_eq!(wide(&format!("f(\"{words}\")")), 0);
        assert_eq!(wide(&format!("// {}", "x".repeat(120))), 0);
    }
}
