//! Recorded bytes of real Pyro5, read and written again.
//!
//! record.py in this folder made frames.txt and values.txt; their first line has the versions.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod frames;
mod values;

/// An entry of a recording: its title and its lines, each a word and a text.
struct RecordedEntry {
    title: &'static str,
    lines: Vec<(&'static str, &'static str)>,
}

impl RecordedEntry {
    fn get(&self, word: &str) -> &'static str {
        let found = self.lines.iter().find(|(known, _)| *known == word);
        found.unwrap_or_else(|| panic!("{}: no {word}", self.title)).1
    }
}

fn entries(recording: &'static str) -> Vec<RecordedEntry> {
    let mut entries: Vec<RecordedEntry> = Vec::new();
    for line in recording.lines().filter(|line| !line.starts_with('#')) {
        match line.strip_prefix("  ") {
            None => entries.push(RecordedEntry { title: line, lines: Vec::new() }),
            Some(line) => {
                let parts = line.split_once(' ').unwrap();
                entries.last_mut().unwrap().lines.push(parts);
            }
        }
    }
    assert!(entries.len() > 50);
    entries
}

fn unhex(hex: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(byte).collect()
}
