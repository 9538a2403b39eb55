//! How much a nameserver takes: whoever can reach it must not be able to fill its memory.
//!
//! Owns the bounds and the words of their errors. All are far above what a lab needs.

use std::collections::BTreeSet;
use std::time::Duration;

use remote::{AnswerMemory, Context, Exception};

use crate::store::Entry;

/// The longest name, in bytes.
const NAME: usize = 1024;
/// The longest address, in bytes.
const URI: usize = 2048;
/// The longest tag, in bytes: PyroLab's daemons register whole descriptions.
pub const LONGEST_TAG: usize = 16 * 1024;
/// Tags of one name.
const TAGS: usize = 256;
/// Names in all.
const NAMES: usize = 1_000_000;
/// Memory for all of them, in bytes, as the index counts it.
const MEMORY: usize = 512 * 1024 * 1024;
/// Tags in one question.
const WANTED: usize = 256;
/// The longest pattern, in bytes.
const PATTERN: usize = 4096;
/// Text in one answer, in bytes, as the longest of the serializers writes it.
const ANSWER: usize = 32 * 1024 * 1024;
/// An answer that takes no more memory than this while it is made needs no room for it.
const SMALL: usize = 64 * 1024;
/// What a text takes as a value in an answer, beside its letters.
const PER_TEXT: usize = 80;
/// The time that names are compared with patterns for one request.
const SEARCHING: Duration = Duration::from_secs(5);

/// Refuses an entry that is too large in itself.
pub(crate) fn check_entry(name: &str, entry: &Entry) -> Result<(), Exception> {
    at_most("the name", name.len(), NAME, "bytes")?;
    at_most("the URI", entry.uri.len(), URI, "bytes")?;
    check_each(entry.tags.iter().map(|tag| tag.len()))
}

/// Refuses tags that are too many or too long.
pub(crate) fn check_tags(tags: &BTreeSet<String>) -> Result<(), Exception> {
    check_each(tags.iter().map(String::len))
}

fn check_each(mut tags: impl ExactSizeIterator<Item = usize>) -> Result<(), Exception> {
    at_most("the metadata", tags.len(), TAGS, "tags")?;
    tags.try_for_each(|bytes| at_most("a metadata tag", bytes, LONGEST_TAG, "bytes"))
}

/// Refuses to look for too many tags at once.
pub(crate) fn check_wanted(tags: usize) -> Result<(), Exception> {
    at_most("the question", tags, WANTED, "tags")
}

/// Refuses a pattern that is too long.
pub(crate) fn check_pattern(pattern: &str) -> Result<(), Exception> {
    at_most("the pattern", pattern.len(), PATTERN, "bytes")
}

/// Refuses so many names, and so much memory for them.
pub(crate) fn check_room(names: usize, memory: usize) -> Result<(), Exception> {
    if names > NAMES || memory > MEMORY {
        return Err(Exception::naming_error(format!(
            "the nameserver is full: it takes {NAMES} names and {} MiB of memory for them; remove \
             names that nobody needs (`ferrolab ns remove`)",
            MEMORY / (1024 * 1024)
        )));
    }
    Ok(())
}

/// How long a text may become in an answer: what cannot be printed is written with escapes.
pub(crate) fn written(text: &str) -> usize {
    let written = |byte: u8| match byte {
        0..0x20 | 0x7f => 6,
        b'"' | b'\'' | b'\\' => 2,
        0x80.. => 3,
        _ => 1,
    };
    text.bytes().map(written).sum()
}

/// What one request may take, a batch like a single call.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    names: usize,
    texts: usize,
    /// Bytes of those texts.
    text: usize,
    /// What is left of the time for searches.
    pub(crate) searching: Duration,
    /// For a large answer; `None` where nobody waits for one.
    room: Option<AnswerMemory>,
}

impl Default for Budget {
    fn default() -> Self {
        Budget { names: 0, texts: 0, text: 0, searching: SEARCHING, room: None }
    }
}

impl Budget {
    /// For a request whose answer may be large.
    pub(crate) fn of(context: &Context) -> Self {
        Budget { room: context.answer_memory(), ..Budget::default() }
    }

    /// Takes room for more of the answer; refuses where all of it would not fit into a message.
    pub(crate) fn take(
        &mut self,
        names: usize,
        texts: usize,
        text: usize,
    ) -> Result<(), Exception> {
        self.names += names;
        self.texts += texts;
        self.text = self.text.saturating_add(text);
        if self.text > ANSWER {
            return Err(Exception::naming_error(format!(
                "the answer would be too large: {} names, {} MiB, at most {} MiB; ask for fewer \
                 with a prefix or a regex, or without metadata",
                self.names,
                self.text.div_ceil(1024 * 1024),
                ANSWER / (1024 * 1024)
            )));
        }
        Ok(())
    }

    /// Whether so little was taken that it needs no room in memory.
    pub(crate) fn is_small(&self) -> bool {
        self.memory() <= SMALL
    }

    /// Whether there is room in memory for what was taken.
    pub(crate) fn has_room(&self) -> bool {
        self.is_small() || self.room.as_ref().is_none_or(|room| room.try_reserve(self.memory()))
    }

    /// Waits until there is.
    pub(crate) async fn wait_for_room(&self) -> Result<(), Exception> {
        match &self.room {
            Some(room) if !self.has_room() => room.reserve(self.memory()).await,
            _ => Ok(()),
        }
    }

    /// The room, to go along with the answer.
    pub(crate) fn room(&self) -> Option<AnswerMemory> {
        self.room.clone()
    }

    /// What an answer takes as values and as text.
    fn memory(&self) -> usize {
        self.text.saturating_mul(2).saturating_add(self.texts.saturating_mul(PER_TEXT))
    }
}

fn at_most(what: &str, given: usize, most: usize, unit: &str) -> Result<(), Exception> {
    if given <= most {
        return Ok(());
    }
    let verb = if unit == "tags" { "has" } else { "is" };
    let size = if unit == "tags" { format!("{given} tags") } else { format!("{given} bytes long") };
    Err(Exception::naming_error(format!("{what} {verb} {size}; at most {most} are allowed")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_are_told() {
        let entry = |uri: usize, tags: usize, tag: usize| {
            let metadata = (0..tags).map(|number| format!("{number:0tag$}")).collect();
            Entry::new("u".repeat(uri), metadata)
        };
        let cases = [
            ("n".repeat(NAME), entry(URI, TAGS, 5), None),
            (
                "n".repeat(NAME + 1),
                entry(1, 0, 1),
                Some("the name is 1025 bytes long; at most 1024"),
            ),
            ("n".into(), entry(URI + 1, 0, 1), Some("the URI is 2049 bytes long")),
            ("n".into(), entry(1, TAGS + 1, 1), Some("the metadata has 257 tags; at most 256")),
            ("n".into(), entry(1, 1, LONGEST_TAG + 1), Some("a metadata tag is 16385 bytes long")),
        ];
        for (name, entry, expected) in cases {
            let refused = check_entry(&name, &entry).err().map(|error| error.message());
            match (&refused, expected) {
                (None, None) => {}
                (Some(text), Some(expected)) => assert!(text.contains(expected), "{text}"),
                _ => panic!("{refused:?}, not {expected:?}"),
            }
        }
        assert!(check_room(NAMES + 1, 0).is_err() && check_room(0, MEMORY + 1).is_err());
        assert!(check_room(NAMES, MEMORY).is_ok());
        assert!(check_wanted(WANTED).is_ok() && check_wanted(WANTED + 1).is_err());
        let mut budget = Budget::default();
        assert!(budget.take(1, 1, ANSWER).is_ok() && budget.take(1, 1, 1).is_err());
    }
}
