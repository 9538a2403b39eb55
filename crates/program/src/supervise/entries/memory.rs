//! Decisions by hand (start, stop), kept over restarts of the supervisor and the host.
//!
//! Owns their file, and the one rule: the last decision by hand overrides the configuration's
//! `autolaunch`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::files::{self, FileError};
use crate::state_file;

/// Decisions of people, by entry (`daemon bench`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Memory {
    started: BTreeSet<String>,
    stopped: BTreeSet<String>,
    /// New names, and those that their files still have.
    renamed: BTreeMap<String, String>,
}

impl Memory {
    /// As [`Memory::rename`], in the file, while no supervisor runs.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn rename_in(path: &Path, old: &str, new: &str) -> Result<(), FileError> {
        // An unreadable file is reported at the next start, and kept until then.
        let Some(mut memory) = Memory::look(path) else { return Ok(()) };
        match memory.rename(old, new) {
            true => memory.save(path),
            false => Ok(()),
        }
    }

    /// Reads the file; without one nothing was decided. A file that makes no sense counts as
    /// none and is set aside, and the second value says so.
    pub(super) fn load(path: &Path) -> (Memory, Option<String>) {
        match state_file::read(path) {
            Ok(memory) => (memory.unwrap_or_default(), None),
            Err(unusable) => {
                let text = format!("what was started and stopped by hand is forgotten: {unusable}");
                (Memory::default(), Some(text))
            }
        }
    }

    /// As [`Memory::load`], for a command that only looks.
    pub(super) fn look(path: &Path) -> Option<Memory> {
        state_file::peek(path).map(Option::unwrap_or_default).ok()
    }

    /// Writes the file.
    pub(super) fn save(&self, path: &Path) -> Result<(), FileError> {
        // Sets of text always have a JSON form.
        files::replace_private(path, &serde_json::to_vec_pretty(self).unwrap_or_default())
    }

    /// Whether an entry is to run.
    pub(super) fn wants(&self, id: &str, autolaunch: bool) -> bool {
        self.started.contains(id) || autolaunch && !self.stopped.contains(id)
    }

    /// Remembers a decision; false if that is nothing new.
    pub(super) fn decide(&mut self, id: &str, run: bool) -> bool {
        let (to, from) = match run {
            true => (&mut self.started, &mut self.stopped),
            false => (&mut self.stopped, &mut self.started),
        };
        let taken = from.remove(id);
        to.insert(id.to_owned()) || taken
    }

    /// Copies the decision about one entry to another, which will also get its files; false if
    /// nothing changes. The old one stays until the next [`Memory::retain`]: the entry may have its
    /// old name for a while yet.
    pub(super) fn rename(&mut self, old: &str, new: &str) -> bool {
        let first = self.renamed.remove(old).unwrap_or_else(|| old.to_owned());
        let moved = match first == new {
            true => true,
            false => self.renamed.insert(new.to_owned(), first.clone()) != Some(first),
        };
        self.copy(old, new) | moved
    }

    /// The entries that have new names now, old and new; each is told once.
    pub(super) fn take_renamed(&mut self, known: impl Fn(&str) -> bool) -> Vec<(String, String)> {
        let done = |new: &str, old: &str| known(new) && !known(old);
        let taken = self.renamed.iter().filter(|(new, old)| done(new, old));
        let taken = taken.map(|(new, old)| (old.clone(), new.clone())).collect();
        self.renamed.retain(|new, old| !done(new, old));
        taken
    }

    fn copy(&mut self, old: &str, new: &str) -> bool {
        match (self.started.contains(old), self.stopped.contains(old)) {
            (true, _) => self.decide(new, true),
            (_, true) => self.decide(new, false),
            (false, false) => self.started.remove(new) | self.stopped.remove(new),
        }
    }

    /// The new name of an entry whose files still have this one.
    pub(super) fn renamed_from(&self, old: &str) -> Option<&str> {
        self.renamed.iter().find(|(_, first)| *first == old).map(|(new, _)| new.as_str())
    }

    /// Forgets all entries but these; false if there was nothing to forget. An entry that was
    /// renamed since its file was read is not known yet, and its old name is.
    pub(super) fn retain(&mut self, known: impl Fn(&str) -> bool) -> bool {
        let count =
            |memory: &Memory| memory.started.len() + memory.stopped.len() + memory.renamed.len();
        let before = count(self);
        self.renamed.retain(|new, old| known(new) || known(old));
        let renamed = &self.renamed;
        let stays = |id: &String| known(id) || renamed.contains_key(id);
        self.started.retain(stays);
        self.stopped.retain(stays);
        before != count(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_counts_more_than_autolaunch() {
        let mut memory = Memory::default();
        assert!(memory.wants("a", true) && !memory.wants("a", false));
        assert!(memory.decide("a", false));
        assert!(!memory.decide("a", false), "nothing new");
        assert!(!memory.wants("a", true));
        assert!(memory.decide("a", true));
        assert!(memory.wants("a", false));
        assert!(memory.copy("a", "c") && !memory.copy("a", "c"), "renamed");
        assert!(memory.wants("c", false) && memory.wants("a", false));
        assert!(memory.copy("unknown", "c"), "whatever had that name before is forgotten");
        assert!(!memory.wants("c", false));
        assert!(memory.retain(|id| id == "b") && !memory.retain(|id| id == "b"));
        assert_eq!(memory, Memory::default());
    }

    #[test]
    fn files_follow_through_several_names() {
        let mut memory = Memory::default();
        assert!(memory.rename("a", "b") && memory.rename("b", "c") && memory.rename("x", "y"));
        assert!(!memory.rename("x", "y"), "nothing new");
        assert_eq!(memory.take_renamed(|id| "ac".contains(id)), [], "the old one is still there");
        let known = |id: &str| id == "c";
        assert_eq!(memory.take_renamed(known), [("a".to_owned(), "c".to_owned())]);
        assert_eq!(memory.take_renamed(known), []);
        assert!(memory.rename("y", "x"), "and back");
        assert_eq!(memory.take_renamed(|id| id == "x"), []);
        assert_eq!(memory, Memory::default());
    }

    #[test]
    fn a_name_that_is_newer_than_the_file_in_force_is_kept() {
        let mut memory = Memory::default();
        memory.decide("a", true);
        assert!(memory.rename("a", "b"));
        assert_eq!(memory.renamed_from("a"), Some("b"));
        assert!(!memory.retain(|id| id == "a"), "read before it was renamed");
        assert!(memory.wants("b", false));
        assert_eq!(memory.take_renamed(|id| id == "b"), [("a".to_owned(), "b".to_owned())]);
        assert_eq!(memory.renamed_from("a"), None);
        assert!(memory.rename("b", "c"));
        assert!(memory.retain(|id| id == "d"), "a rename that came to nothing is forgotten too");
        assert_eq!(memory, Memory::default());
    }

    #[test]
    fn a_file_keeps_it_and_a_torn_one_is_told_of() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("by-hand.json");
        assert_eq!(Memory::load(&path), (Memory::default(), None));
        let mut memory = Memory::default();
        memory.decide("daemon a", true);
        memory.decide("daemon b", false);
        memory.save(&path).unwrap();
        assert_eq!(Memory::load(&path), (memory, None));
        files::replace(&path, b"{\"started\": [").unwrap();
        let (memory, problem) = Memory::load(&path);
        assert_eq!(memory, Memory::default());
        assert!(problem.unwrap().contains("by-hand.json"));
    }
}
