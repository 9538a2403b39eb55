//! Limits of a nameserver: a client that can reach it must not be able to fill its memory.
//!
//! Owns the limits and the texts of their errors. All are far above a lab's needs.

use std::collections::BTreeSet;
use std::time::Duration;

use remote::{AnswerMemory, Context, Exception, Limit};

use crate::store::{Entry, Pace, Share, Transaction};

/// Bytes of a name.
const MAX_NAME: usize = 1024;
/// Bytes of a URI.
const MAX_URI: usize = 2048;
/// Bytes of a tag: PyroLab's daemons register whole descriptions.
pub const MAX_TAG_BYTES: usize = 16 * 1024;
/// Tags of one name.
const MAX_TAGS: usize = 256;
/// Names in all.
const MAX_NAMES: usize = 1_000_000;
/// Memory for all names, in bytes, as the index counts it.
const MAX_MEMORY: usize = 512 * 1024 * 1024;
/// Names that one address may have registered: more than 1,000 hosts with 100 names each, which may
/// reach the nameserver through one router.
const MAX_NAMES_OF_ADDRESS: usize = 250_000;
/// Memory for the names of one address, in bytes.
const MAX_MEMORY_OF_ADDRESS: usize = 256 * MIB;
/// Names that one address may register at once (all hosts of a facility, after a power cut), and in
/// each second.
const NAMES_PACE: Pace = Pace { at_once: 100_000.0, each_second: 1000.0 };
/// The same as memory, in bytes.
const MEMORY_PACE: Pace = Pace { at_once: (128 * MIB) as f64, each_second: MIB as f64 };
/// Bytes of a mebibyte.
const MIB: usize = 1024 * 1024;
/// Tags in one question.
const MAX_WANTED_TAGS: usize = 256;
/// Bytes of a pattern.
const MAX_PATTERN: usize = 4096;
/// Text in one answer, in bytes, as the longest of the serializers writes it.
const MAX_ANSWER: usize = 32 * 1024 * 1024;
/// Memory for an answer that needs no reservation and no blocking thread, in bytes.
pub(crate) const SMALL_ANSWER: usize = 64 * 1024;
/// Memory for a text as a value in an answer, beside its letters, in bytes.
const PER_TEXT: usize = 80;
/// Time for the searches of one request.
const SEARCH_TIME: Duration = Duration::from_secs(5);

/// Refuses an entry that is too large; `tags` are their lengths in bytes.
pub(crate) fn check_entry(
    name: &str,
    uri: &str,
    tags: impl ExactSizeIterator<Item = usize>,
) -> Result<(), Exception> {
    at_most("the name", name.len(), MAX_NAME, "bytes")?;
    at_most("the URI", uri.len(), MAX_URI, "bytes")?;
    check_each(tags)
}

/// Refuses tags that are too many or too long.
pub(crate) fn check_tags(tags: &BTreeSet<String>) -> Result<(), Exception> {
    check_each(tags.iter().map(String::len))
}

fn check_each(mut tags: impl ExactSizeIterator<Item = usize>) -> Result<(), Exception> {
    at_most("the metadata", tags.len(), MAX_TAGS, "tags")?;
    tags.try_for_each(|bytes| at_most("a metadata tag", bytes, MAX_TAG_BYTES, "bytes"))
}

/// Refuses to look for too many tags at once.
pub(crate) fn check_wanted(tags: usize) -> Result<(), Exception> {
    at_most("the question", tags, MAX_WANTED_TAGS, "tags")
}

/// Refuses a pattern that is too long.
pub(crate) fn check_pattern(pattern: &str) -> Result<(), Exception> {
    at_most("the pattern", pattern.len(), MAX_PATTERN, "bytes")
}

/// Refuses so many names, and so much memory for them.
pub(crate) fn check_room(names: usize, memory: usize) -> Result<(), Exception> {
    if names > MAX_NAMES || memory > MAX_MEMORY {
        return Err(Exception::naming_error(format!(
            "the nameserver is full: it takes {MAX_NAMES} names and {} MiB of memory for them; remove \
             names that nobody needs (`ferrolab ns remove`)",
            MAX_MEMORY / (1024 * 1024)
        )));
    }
    Ok(())
}

/// Refuses an entry whose address has too many names, or sends them too fast.
pub(crate) fn check_share(
    names: &mut Transaction<'_>,
    name: &str,
    entry: &Entry,
) -> Result<(), Exception> {
    let Some(address) = names.writer() else { return Ok(()) };
    let Share { names: count, bytes } = names.index().share_with(address, name, entry);
    if count > MAX_NAMES_OF_ADDRESS || bytes > MAX_MEMORY_OF_ADDRESS {
        return Err(Exception::naming_error(format!(
            "{address} has registered as much as one address may: {MAX_NAMES_OF_ADDRESS} names and \
             {} MiB of memory for them; remove names that nobody needs (`ferrolab ns remove`)",
            MAX_MEMORY_OF_ADDRESS / MIB
        )));
    }
    if address.is_loopback() {
        return Ok(());
    }
    names.pass(address, name, entry, [NAMES_PACE, MEMORY_PACE]).map_err(|wait| {
        Exception::naming_error(format!(
            "{address} registers names too fast: one address may register {} at once ({} MiB), \
             then {} each second ({} MiB); try again in {} s",
            NAMES_PACE.at_once,
            MEMORY_PACE.at_once as usize / MIB,
            NAMES_PACE.each_second,
            MEMORY_PACE.each_second as usize / MIB,
            wait.as_secs() + 1
        ))
    })
}

/// The limits of a nameserver, as rows of the table of all limits.
pub fn limits() -> Vec<Limit> {
    let rows = [
        (
            "names in a nameserver",
            format!("{MAX_NAMES}, {} MiB of memory for them", MAX_MEMORY / MIB),
            "memory and disk of the nameserver",
            "`NamingError`: \"the nameserver is full\"",
        ),
        (
            "names in a nameserver from one address",
            format!(
                "{MAX_NAMES_OF_ADDRESS}, {} MiB of memory for them",
                MAX_MEMORY_OF_ADDRESS / MIB
            ),
            "the nameserver's memory, against one client that fills it",
            "`NamingError`: \"has registered as much as one address may\"",
        ),
        (
            "registrations from one address of another host",
            format!(
                "{} at once, then {} each second; {} MiB, then {} MiB",
                NAMES_PACE.at_once,
                NAMES_PACE.each_second,
                MEMORY_PACE.at_once as usize / MIB,
                MEMORY_PACE.each_second as usize / MIB
            ),
            "the nameserver's disk and time; renewals of what is registered do not count",
            "`NamingError`: \"registers names too fast\", and when to try again",
        ),
    ];
    let limit = |(name, default, protects, told): (_, _, _, &str)| Limit {
        name,
        default,
        protects,
        client_sees: told.to_owned(),
    };
    rows.into_iter().map(limit).collect()
}

/// The most bytes that a text takes in an answer: unprintable characters become escapes.
pub(crate) fn written(text: &str) -> usize {
    let written = |byte: u8| match byte {
        0..0x20 | 0x7f => 6,
        b'"' | b'\'' | b'\\' => 2,
        0x80.. => 3,
        _ => 1,
    };
    text.bytes().map(written).sum()
}

/// The part of its limits that one request has left; a batch has as much as a single call.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    /// Names in the answer.
    names: usize,
    texts: usize,
    /// Bytes of those texts.
    text: usize,
    /// Time that is left for searches.
    pub(crate) searching: Duration,
    /// Memory for a large answer; `None` where no client waits for one.
    answer_memory: Option<AnswerMemory>,
}

impl Default for Budget {
    fn default() -> Self {
        Budget { names: 0, texts: 0, text: 0, searching: SEARCH_TIME, answer_memory: None }
    }
}

impl Budget {
    /// The budget of a request.
    pub(crate) fn of(context: &Context) -> Self {
        Budget { answer_memory: context.answer_memory(), ..Budget::default() }
    }

    /// Counts more of the answer; refuses an answer that would not fit into a message.
    pub(crate) fn take(
        &mut self,
        names: usize,
        texts: usize,
        text: usize,
    ) -> Result<(), Exception> {
        self.names += names;
        self.texts += texts;
        self.text = self.text.saturating_add(text);
        if self.text > MAX_ANSWER {
            return Err(Exception::naming_error(format!(
                "the answer would be too large: {} names, {} MiB, at most {} MiB; ask for fewer \
                 with a prefix or a regex, or without metadata",
                self.names,
                self.text.div_ceil(1024 * 1024),
                MAX_ANSWER / (1024 * 1024)
            )));
        }
        Ok(())
    }

    /// Reserves memory for the answer so far, if others leave as much.
    pub(crate) fn try_reserve(&self) -> bool {
        let memory = self.memory();
        memory <= SMALL_ANSWER
            || self.answer_memory.as_ref().is_none_or(|answer| answer.try_reserve(memory))
    }

    /// Waits until memory for the answer so far is reserved.
    pub(crate) async fn reserve(&self) -> Result<(), Exception> {
        match &self.answer_memory {
            Some(answer) if !self.try_reserve() => answer.reserve(self.memory()).await,
            _ => Ok(()),
        }
    }

    /// The reservation, to go along with the answer.
    pub(crate) fn answer_memory(&self) -> Option<AnswerMemory> {
        self.answer_memory.clone()
    }

    /// Bytes that the answer so far takes as values and as text.
    pub(crate) fn memory(&self) -> usize {
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
            ("n".repeat(MAX_NAME), entry(MAX_URI, MAX_TAGS, 5), None),
            (
                "n".repeat(MAX_NAME + 1),
                entry(1, 0, 1),
                Some("the name is 1025 bytes long; at most 1024"),
            ),
            ("n".into(), entry(MAX_URI + 1, 0, 1), Some("the URI is 2049 bytes long")),
            ("n".into(), entry(1, MAX_TAGS + 1, 1), Some("the metadata has 257 tags; at most 256")),
            (
                "n".into(),
                entry(1, 1, MAX_TAG_BYTES + 1),
                Some("a metadata tag is 16385 bytes long"),
            ),
        ];
        for (name, entry, expected) in cases {
            let refused = check_entry(&name, &entry.uri, entry.tags.iter().map(|tag| tag.len()))
                .err()
                .map(|error| error.message());
            match (&refused, expected) {
                (None, None) => {}
                (Some(text), Some(expected)) => assert!(text.contains(expected), "{text}"),
                _ => panic!("{refused:?}, not {expected:?}"),
            }
        }
        assert!(check_room(MAX_NAMES + 1, 0).is_err() && check_room(0, MAX_MEMORY + 1).is_err());
        assert!(check_room(MAX_NAMES, MAX_MEMORY).is_ok());
        assert!(
            check_wanted(MAX_WANTED_TAGS).is_ok() && check_wanted(MAX_WANTED_TAGS + 1).is_err()
        );
        let mut budget = Budget::default();
        assert!(budget.take(1, 1, MAX_ANSWER).is_ok() && budget.take(1, 1, 1).is_err());
    }
}
