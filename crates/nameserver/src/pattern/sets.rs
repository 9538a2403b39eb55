//! Sets of characters as Python's regular expressions know them.
//!
//! Owns what `\d`, `\s` and `\w` are in Python, which is not quite what Unicode's annex has for
//! regular expressions, and what becomes of letters where case does not matter.

use std::sync::LazyLock;

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, HirKind};

/// Flags of a pattern or of a part of it, as `re` has them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flags {
    pub(super) ascii: bool,
    pub(super) ignore_case: bool,
    pub(super) multi_line: bool,
    pub(super) dot_all: bool,
    pub(super) verbose: bool,
}

/// Letters and numbers of all kinds, and the underscore.
static WORD: LazyLock<ClassUnicode> = LazyLock::new(|| known(r"[\p{L}\p{N}_]"));
static DIGIT: LazyLock<ClassUnicode> = LazyLock::new(|| known(r"\p{Nd}"));
/// Four control characters separate things too, for Python.
static SPACE: LazyLock<ClassUnicode> = LazyLock::new(|| known(r"[\p{White_Space}\x1c-\x1f]"));

const ASCII_WORD: [(char, char); 4] = [('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')];
const ASCII_DIGIT: [(char, char); 1] = [('0', '9')];
const ASCII_SPACE: [(char, char); 2] = [('\t', '\r'), (' ', ' ')];

/// The set of `\d`, `\D`, `\s`, `\S`, `\w` or `\W`.
pub(super) fn category(letter: char, flags: Flags) -> Option<ClassUnicode> {
    let mut set = match (letter.to_ascii_lowercase(), flags.ascii) {
        ('w', false) => WORD.clone(),
        ('d', false) => DIGIT.clone(),
        ('s', false) => SPACE.clone(),
        ('w', true) => of(&ASCII_WORD),
        ('d', true) => of(&ASCII_DIGIT),
        ('s', true) => of(&ASCII_SPACE),
        _ => return None,
    };
    if letter.is_ascii_uppercase() {
        set.negate();
    }
    Some(set)
}

/// The characters from one code point to another, and their other case where that does not matter.
/// Surrogates are in no name, and left out.
pub(super) fn range(first: u32, last: u32, flags: Flags) -> ClassUnicode {
    let low = char::from_u32(first).or((first <= 0xdfff).then_some('\u{e000}'));
    let high = char::from_u32(last).or((last >= 0xd800).then_some('\u{d7ff}'));
    let mut set = match (low, high) {
        (Some(low), Some(high)) if low <= high => of(&[(low, high)]),
        _ => return ClassUnicode::empty(),
    };
    match (flags.ignore_case, flags.ascii) {
        (false, _) => {}
        (true, true) => other_ascii_case(&mut set),
        (true, false) => other_case(&mut set),
    }
    set
}

fn other_case(set: &mut ClassUnicode) {
    // Fails only without Unicode's tables, which are built in.
    let _ = set.try_case_fold_simple();
    // For Python the Turkish ones are an `i` as well.
    let letters_i = of(&[('I', 'I'), ('i', 'i'), ('\u{130}', '\u{131}')]);
    let mut common = letters_i.clone();
    common.intersect(set);
    if !common.ranges().is_empty() {
        set.union(&letters_i);
    }
}

fn other_ascii_case(set: &mut ClassUnicode) {
    let letters = |first, last| {
        let mut letters = of(&[(first, last)]);
        letters.intersect(set);
        letters
    };
    let shifted = |letters: ClassUnicode, by: fn(&char) -> char| -> Vec<ClassUnicodeRange> {
        let shifted = |range: &ClassUnicodeRange| {
            ClassUnicodeRange::new(by(&range.start()), by(&range.end()))
        };
        letters.iter().map(shifted).collect()
    };
    let lower = shifted(letters('A', 'Z'), char::to_ascii_lowercase);
    let upper = shifted(letters('a', 'z'), char::to_ascii_uppercase);
    set.union(&ClassUnicode::new(lower));
    set.union(&ClassUnicode::new(upper));
}

fn of(ranges: &[(char, char)]) -> ClassUnicode {
    ClassUnicode::new(ranges.iter().map(|(first, last)| ClassUnicodeRange::new(*first, *last)))
}

/// A set that is written in the library's own words.
fn known(pattern: &str) -> ClassUnicode {
    match regex_syntax::parse(pattern).map(|syntax| syntax.into_kind()) {
        Ok(HirKind::Class(Class::Unicode(set))) => set,
        // Not with the patterns above: the tests would say so.
        _ => ClassUnicode::empty(),
    }
}
