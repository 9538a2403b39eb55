//! The directory behind the nameserver's object: Pyro5's operations on names, over a store.
//!
//! Owns the rules (which arguments go together, what `safe` means, what cannot be removed) and
//! Pyro5's errors for breaking them. Knows nothing of calls and values.

use std::collections::BTreeSet;

use regex::Regex;
use remote::{Exception, NAMESERVER_NAME, Uri};

use crate::nameserver::store::{Entry, MemoryStore};

/// Names and their addresses.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    store: MemoryStore,
}

/// Which names an operation is about.
#[derive(Clone, Debug)]
pub(crate) enum Filter {
    All,
    Prefix(String),
    Regex(Regex),
}

/// Tags that a name must have.
#[derive(Clone, Debug)]
pub(crate) enum Tags {
    All(BTreeSet<String>),
    Any(BTreeSet<String>),
}

impl Directory {
    pub(crate) fn count(&self) -> usize {
        self.store.len()
    }

    pub(crate) fn lookup(&self, name: &str) -> Result<&Entry, Exception> {
        self.store.get(name).ok_or_else(|| unknown(name))
    }

    /// Registers a name; `safe` refuses one that is taken.
    pub(crate) fn register(
        &mut self,
        name: String,
        uri: String,
        safe: bool,
        metadata: BTreeSet<String>,
    ) -> Result<(), Exception> {
        uri.parse::<Uri>().map_err(|error| Exception::pyro_error(error.to_string()))?;
        if safe && self.store.get(&name).is_some() {
            return Err(Exception::naming_error(format!("name already registered: {name}")));
        }
        self.store.set(name, Entry { uri, metadata });
        Ok(())
    }

    pub(crate) fn set_metadata(
        &mut self,
        name: &str,
        metadata: BTreeSet<String>,
    ) -> Result<(), Exception> {
        let uri = self.lookup(name)?.uri.clone();
        self.store.set(name.to_owned(), Entry { uri, metadata });
        Ok(())
    }

    /// Removes a name; the number of names removed. The nameserver's own name stays.
    pub(crate) fn remove(&mut self, name: &str) -> usize {
        usize::from(name != NAMESERVER_NAME && self.store.remove(name))
    }

    /// Removes what `filter` finds; the number of names removed.
    pub(crate) fn remove_all(&mut self, filter: &Filter) -> usize {
        let names: Vec<String> = self.list(filter).map(|(name, _)| name.clone()).collect();
        names.iter().map(|name| self.remove(name)).sum()
    }

    pub(crate) fn list<'a>(
        &'a self,
        filter: &'a Filter,
    ) -> Box<dyn Iterator<Item = (&'a String, &'a Entry)> + 'a> {
        match filter {
            Filter::All => Box::new(self.store.with_prefix("")),
            Filter::Prefix(prefix) => Box::new(self.store.with_prefix(prefix)),
            Filter::Regex(regex) => {
                Box::new(self.store.with_prefix("").filter(|(name, _)| regex.is_match(name)))
            }
        }
    }

    pub(crate) fn tagged<'a>(
        &'a self,
        tags: &'a Tags,
    ) -> impl Iterator<Item = (&'a String, &'a Entry)> {
        self.store.with_prefix("").filter(move |(_, entry)| match tags {
            Tags::All(tags) => tags.is_subset(&entry.metadata),
            Tags::Any(tags) => !tags.is_disjoint(&entry.metadata),
        })
    }
}

impl Filter {
    /// Names that match `pattern` at their beginning, as Python's `re.match` does.
    ///
    /// # Errors
    /// `NamingError` for a pattern that is none. Patterns run in linear time; what would not
    /// (look-around, back-references) is refused.
    pub(crate) fn regex(pattern: &str) -> Result<Self, Exception> {
        let invalid = |reason: String| Exception::naming_error(format!("invalid regex: {reason}"));
        // Parsed alone first, so that an unbalanced pattern cannot close the group around it.
        Regex::new(pattern)
            .and_then(|_| Regex::new(&format!("^(?:{pattern})")))
            .map(Filter::Regex)
            .map_err(|error| invalid(error.to_string()))
    }
}

fn unknown(name: &str) -> Exception {
    Exception::naming_error(format!("unknown name: {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> Directory {
        let mut directory = Directory::default();
        for (name, tags) in [
            (NAMESERVER_NAME, &["class:ns"][..]),
            ("lab.a", &["x", "y"]),
            ("lab.b", &["y"]),
            ("other", &[]),
        ] {
            let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
            directory.register(name.into(), "PYRO:o@h:1".into(), false, tags).unwrap();
        }
        directory
    }

    fn names<'a>(found: impl Iterator<Item = (&'a String, &'a Entry)>) -> Vec<&'a str> {
        found.map(|(name, _)| name.as_str()).collect()
    }

    #[test]
    fn a_regex_matches_from_the_beginning_only() {
        let directory = directory();
        let found = |pattern| names(directory.list(&Filter::regex(pattern).unwrap())).join(" ");
        assert_eq!(found("lab"), "lab.a lab.b");
        assert_eq!(found("ab"), "");
        assert_eq!(found("x|lab"), "lab.a lab.b");
        for broken in ["(", "a)|(b", "(?=a)"] {
            let error = Filter::regex(broken).unwrap_err();
            assert_eq!(error.class, "Pyro5.errors.NamingError", "{broken}");
        }
    }

    #[test]
    fn tags_are_matched_all_or_any() {
        let directory = directory();
        let tags = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect();
        assert_eq!(names(directory.tagged(&Tags::All(tags(&["x", "y"])))), ["lab.a"]);
        assert_eq!(names(directory.tagged(&Tags::Any(tags(&["x", "y"])))), ["lab.a", "lab.b"]);
    }

    #[test]
    fn the_nameservers_own_name_cannot_be_removed() {
        let mut directory = directory();
        assert_eq!(directory.remove(NAMESERVER_NAME), 0);
        assert_eq!(directory.remove_all(&Filter::regex(".*").unwrap()), 3);
        assert_eq!(directory.count(), 1);
    }

    #[test]
    fn safe_registration_keeps_what_is_there() {
        let mut directory = directory();
        let refused =
            directory.register("other".into(), "PYRO:p@h:2".into(), true, BTreeSet::new());
        assert_eq!(refused.unwrap_err().message(), "name already registered: other");
        assert_eq!(directory.lookup("other").unwrap().uri, "PYRO:o@h:1");
    }
}
