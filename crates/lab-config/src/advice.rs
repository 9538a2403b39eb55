//! "Did you mean": the known word that is nearest to a misspelt one.
//!
//! Owns the measure of nearness. Must not know where words are written.

use super::problem::{quoted, shortened};
use super::schema::{SECTIONS, Section};

/// Bytes of the longest word and number of the candidates that are compared: advice must be cheap.
const MAX_COMPARED: usize = 64;
const MOST: usize = 1000;

/// The question after a misspelt word, if there is a candidate that it may mean.
pub fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    nearest(word, candidates).map(|near| format!("did you mean `{near}`?"))
}

/// The candidate that is nearly the word, if there is one.
fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let fold = |text: &str| text.trim().to_lowercase().replace(['-', ' '], "_");
    if word.len() > MAX_COMPARED {
        return None;
    }
    let wanted = fold(word);
    candidates
        .into_iter()
        .take(MOST)
        .filter(|candidate| candidate.len() <= MAX_COMPARED)
        .map(|candidate| (strsim::damerau_levenshtein(&wanted, &fold(candidate)), candidate))
        .filter(|(distance, candidate)| distance * 3 <= candidate.len().max(wanted.len()))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Help text for a key that a section does not have.
pub(crate) fn for_key(section: &Section, key: &str) -> String {
    let known = || section.fields.iter().map(|field| field.key);
    let folded = key.to_lowercase();
    if let Some((_, new)) = section.renamed.iter().find(|(old, _)| *old == folded) {
        return format!("write `{new}`");
    }
    if let Some(help) = did_you_mean(key, known()) {
        return help;
    }
    let has = |section: &&&Section| section.fields.iter().any(|field| field.key == folded);
    if let Some(owner) = SECTIONS.iter().find(has) {
        return format!("`{folded}` is a key of {}", owner.one);
    }
    format!("its keys are {}", list(known()))
}

/// Help text for a reference to an entry that is not defined.
pub(crate) fn for_name<'a>(
    kind: &str,
    word: &str,
    defined: impl Iterator<Item = &'a str> + Clone,
) -> String {
    if let Some(help) = did_you_mean(word, defined.clone()) {
        return help;
    }
    if defined.clone().next().is_none() {
        return format!("there are no {kind}s: define `{}` under `{kind}s`", shortened(word));
    }
    format!("the {kind}s are {}", list(defined))
}

/// Words for a sentence; only the first few of many.
fn list<'a>(words: impl Iterator<Item = &'a str>) -> String {
    const FEW: usize = 16;
    let mut text = String::new();
    for (index, word) in words.enumerate() {
        if index == FEW {
            text.push_str(", …");
            break;
        }
        if index > 0 {
            text.push_str(", ");
        }
        text.push_str(&quoted(word));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_near() {
        let words = ["host", "port", "servertype", "threadpool_size"];
        let cases = [
            ("hst", Some("host")),
            ("Host", Some("host")),
            ("prot", Some("port")),
            ("server-type", Some("servertype")),
            ("threadpoolsize", Some("threadpool_size")),
            ("colour", None),
            ("", None),
        ];
        for (word, expected) in cases {
            assert_eq!(nearest(word, words), expected, "{word}");
        }
    }
}
