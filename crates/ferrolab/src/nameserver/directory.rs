//! The directory behind the nameserver's object: Pyro5's operations on names, over a store.
//!
//! Owns the rules (what `safe` means, what cannot be removed, how much is taken) and Pyro5's
//! errors for breaking them. Knows nothing of calls and values.

use std::collections::BTreeSet;
use std::sync::Arc;

use regex::Regex;
use remote::{Exception, NAMESERVER_NAME, Uri};

use crate::nameserver::store::{Changed, Entry, Index, Named, Store};
use crate::nameserver::{limits, pattern};

/// Names and their addresses.
pub(crate) struct Directory {
    store: Store,
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
    pub(crate) fn new(store: Store) -> Self {
        Directory { store }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn count(&self) -> usize {
        self.store.read().len()
    }

    pub(crate) fn lookup(&self, name: &str) -> Result<Arc<Entry>, Exception> {
        self.store.read().get(name).cloned().ok_or_else(|| unknown(name))
    }

    pub(crate) fn list(&self, filter: &Filter) -> Vec<Named> {
        matching(&self.store.read(), filter)
    }

    pub(crate) fn tagged(&self, tags: &Tags) -> Vec<Named> {
        let index = self.store.read();
        match tags {
            Tags::All(tags) => index.with_all(tags),
            Tags::Any(tags) => index.with_any(tags),
        }
    }

    /// Registers a name; `safe` refuses one that is taken.
    pub(crate) fn register(
        &self,
        name: String,
        uri: String,
        safe: bool,
        metadata: BTreeSet<String>,
    ) -> Changed {
        let entry = Entry { uri, metadata };
        let checked = entry
            .uri
            .parse::<Uri>()
            .map_err(|error| Exception::pyro_error(error.to_string()))
            .and_then(|_| limits::check_entry(&name, &entry));
        if let Err(exception) = checked {
            return Changed::Now(Err(exception));
        }
        self.store.change(Box::new(move |names| {
            let index = names.index();
            match index.get(&name) {
                Some(_) if safe => {
                    let message = format!("name already registered: {name}");
                    return Err(Exception::naming_error(message));
                }
                Some(_) => {}
                None => {
                    limits::check_room(index.len(), index.bytes(), name.len() + entry.bytes())?;
                }
            }
            names.set(&name, entry);
            Ok(1)
        }))
    }

    pub(crate) fn set_metadata(&self, name: String, metadata: BTreeSet<String>) -> Changed {
        if let Err(exception) = limits::check_tags(&metadata) {
            return Changed::Now(Err(exception));
        }
        self.store.change(Box::new(move |names| {
            let index = names.index();
            let uri = index.get(&name).ok_or_else(|| unknown(&name))?.uri.clone();
            let entry = Entry { uri, metadata };
            limits::check_room(0, index.bytes(), entry.bytes())?;
            names.set(&name, entry);
            Ok(1)
        }))
    }

    /// Removes a name; the number of names removed. The nameserver's own name stays.
    pub(crate) fn remove(&self, name: String) -> Changed {
        self.store.change(Box::new(move |names| {
            Ok(usize::from(name != NAMESERVER_NAME && names.remove(&name)))
        }))
    }

    /// Removes what `filter` finds; the number of names removed. The nameserver's own name stays.
    pub(crate) fn remove_all(&self, filter: Filter) -> Changed {
        self.store.change(Box::new(move |names| {
            let mut found = matching(names.index(), &filter);
            found.retain(|(name, _)| **name != *NAMESERVER_NAME);
            Ok(found.iter().filter(|(name, _)| names.remove(name)).count())
        }))
    }

    /// Removes a name unless it points elsewhere by now.
    pub(crate) fn drop_if_still_at(&self, name: Arc<str>, uri: String) -> Changed {
        self.store.change(Box::new(move |names| {
            let is_still_there = names.index().get(&name).is_some_and(|entry| entry.uri == uri);
            Ok(usize::from(is_still_there && names.remove(&name)))
        }))
    }
}

impl Filter {
    /// Names that match `pattern` at their beginning, as Python's `re.match` does.
    ///
    /// # Errors
    /// `NamingError` for a pattern that is none.
    pub(crate) fn regex(pattern: &str) -> Result<Self, Exception> {
        pattern::compile(pattern).map(Filter::Regex)
    }
}

fn matching(index: &Index, filter: &Filter) -> Vec<Named> {
    let named = |(name, entry): (&Arc<str>, &Arc<Entry>)| (Arc::clone(name), Arc::clone(entry));
    match filter {
        Filter::All => index.with_prefix("").map(named).collect(),
        Filter::Prefix(prefix) => index.with_prefix(prefix).map(named).collect(),
        Filter::Regex(regex) => {
            index.with_prefix("").filter(|(name, _)| regex.is_match(name)).map(named).collect()
        }
    }
}

fn unknown(name: &str) -> Exception {
    Exception::naming_error(format!("unknown name: {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(changed: Changed) -> Result<usize, Exception> {
        match changed {
            Changed::Now(outcome) => outcome,
            Changed::Later(_) => panic!("names in memory are changed at once"),
        }
    }

    fn directory() -> Directory {
        let directory = Directory::new(Store::memory());
        for (name, tags) in [
            (NAMESERVER_NAME, &["class:ns"][..]),
            ("lab.a", &["x", "y"]),
            ("lab.b", &["y"]),
            ("other", &[]),
        ] {
            let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
            done(directory.register(name.into(), "PYRO:o@h:1".into(), false, tags)).unwrap();
        }
        directory
    }

    #[test]
    fn the_nameservers_own_name_cannot_be_removed() {
        let directory = directory();
        assert_eq!(done(directory.remove(NAMESERVER_NAME.into())), Ok(0));
        assert_eq!(done(directory.remove_all(Filter::regex(".*").unwrap())), Ok(3));
        assert_eq!(directory.count(), 1);
    }

    #[test]
    fn safe_registration_keeps_what_is_there() {
        let directory = directory();
        let refused =
            done(directory.register("other".into(), "PYRO:p@h:2".into(), true, BTreeSet::new()));
        assert_eq!(refused.unwrap_err().message(), "name already registered: other");
        assert_eq!(directory.lookup("other").unwrap().uri, "PYRO:o@h:1");
    }

    #[test]
    fn a_name_that_points_elsewhere_by_now_is_not_dropped() {
        let directory = directory();
        assert_eq!(done(directory.drop_if_still_at("other".into(), "PYRO:p@h:2".into())), Ok(0));
        assert_eq!(done(directory.drop_if_still_at("other".into(), "PYRO:o@h:1".into())), Ok(1));
        assert_eq!(done(directory.drop_if_still_at("other".into(), "PYRO:o@h:1".into())), Ok(0));
    }
}
