//! Pyro5's operations on names: questions over the names as they are, and changes to be made.
//!
//! Owns the rules (what `safe` means, what cannot be removed, how much is taken) and Pyro5's
//! errors for breaking them. Knows nothing of calls and values, nor of where names are kept.

use std::collections::BTreeSet;
use std::sync::Arc;

use regex::Regex;
use remote::{Exception, NAMESERVER_NAME, Uri};

use crate::nameserver::store::{Change, Entry, Index, Named};
use crate::nameserver::{limits, pattern};

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

/// The entry of a name.
pub(crate) fn lookup(names: &Index, name: &str) -> Result<Arc<Entry>, Exception> {
    names.get(name).cloned().ok_or_else(|| unknown(name))
}

/// The names that `filter` finds.
pub(crate) fn list(names: &Index, filter: &Filter) -> Vec<Named> {
    let named = |(name, entry): (&Arc<str>, &Arc<Entry>)| (Arc::clone(name), Arc::clone(entry));
    match filter {
        Filter::All => names.with_prefix("").map(named).collect(),
        Filter::Prefix(prefix) => names.with_prefix(prefix).map(named).collect(),
        Filter::Regex(regex) => {
            names.with_prefix("").filter(|(name, _)| regex.is_match(name)).map(named).collect()
        }
    }
}

/// The names that have the tags.
pub(crate) fn tagged(names: &Index, tags: &Tags) -> Vec<Named> {
    match tags {
        Tags::All(tags) => names.with_all(tags),
        Tags::Any(tags) => names.with_any(tags),
    }
}

/// Registers a name; `safe` refuses one that is taken.
pub(crate) fn register(
    name: String,
    uri: String,
    safe: bool,
    metadata: BTreeSet<String>,
) -> Result<Change, Exception> {
    uri.parse::<Uri>().map_err(|error| Exception::pyro_error(error.to_string()))?;
    let entry = Entry { uri, metadata };
    limits::check_entry(&name, &entry)?;
    Ok(Box::new(move |names| {
        let index = names.index();
        match index.get(&name) {
            Some(_) if safe => {
                return Err(Exception::naming_error(format!("name already registered: {name}")));
            }
            // What it has counts no more; another name is not needed.
            Some(old) => {
                let rest = index.bytes().saturating_sub(old.bytes());
                limits::check_room(0, rest, entry.bytes())?;
            }
            None => limits::check_room(index.len(), index.bytes(), name.len() + entry.bytes())?,
        }
        names.set(&name, entry);
        Ok(1)
    }))
}

/// Gives a name other tags.
pub(crate) fn set_metadata(name: String, metadata: BTreeSet<String>) -> Result<Change, Exception> {
    limits::check_tags(&metadata)?;
    Ok(Box::new(move |names| {
        let index = names.index();
        let old = index.get(&name).ok_or_else(|| unknown(&name))?;
        let rest = index.bytes().saturating_sub(old.bytes());
        let entry = Entry { uri: old.uri.clone(), metadata };
        limits::check_room(0, rest, entry.bytes())?;
        names.set(&name, entry);
        Ok(1)
    }))
}

/// Removes a name; the number of names removed. The nameserver's own name stays.
pub(crate) fn remove(name: String) -> Change {
    Box::new(move |names| Ok(usize::from(name != NAMESERVER_NAME && names.remove(&name))))
}

/// Removes what `filter` finds; the number of names removed. The nameserver's own name stays.
pub(crate) fn remove_all(filter: Filter) -> Change {
    Box::new(move |names| {
        let mut found = list(names.index(), &filter);
        found.retain(|(name, _)| **name != *NAMESERVER_NAME);
        Ok(found.iter().filter(|(name, _)| names.remove(name)).count())
    })
}

/// Removes a name unless it points elsewhere by now.
pub(crate) fn drop_if_still_at(name: Arc<str>, uri: String) -> Change {
    Box::new(move |names| {
        let is_still_there = names.index().get(&name).is_some_and(|entry| entry.uri == uri);
        Ok(usize::from(is_still_there && names.remove(&name)))
    })
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

fn unknown(name: &str) -> Exception {
    Exception::naming_error(format!("unknown name: {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nameserver::store::{Changed, Store};

    fn done(store: &Store, change: Change) -> Result<usize, Exception> {
        match store.change(change) {
            Changed::Now(outcome) => outcome,
            Changed::Later(_) => panic!("names in memory are changed at once"),
        }
    }

    fn store() -> Store {
        let store = Store::memory();
        for (name, tags) in [
            (NAMESERVER_NAME, &["class:ns"][..]),
            ("lab.a", &["x", "y"]),
            ("lab.b", &["y"]),
            ("other", &[]),
        ] {
            let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
            let change = register(name.into(), "PYRO:o@h:1".into(), false, tags).unwrap();
            done(&store, change).unwrap();
        }
        store
    }

    #[test]
    fn the_nameservers_own_name_cannot_be_removed() {
        let store = store();
        assert_eq!(done(&store, remove(NAMESERVER_NAME.into())), Ok(0));
        assert_eq!(done(&store, remove_all(Filter::regex(".*").unwrap())), Ok(3));
        assert_eq!(store.read().len(), 1);
    }

    #[test]
    fn safe_registration_keeps_what_is_there() {
        let store = store();
        let change = register("other".into(), "PYRO:p@h:2".into(), true, BTreeSet::new()).unwrap();
        let refused = done(&store, change).unwrap_err();
        assert_eq!(refused.message(), "name already registered: other");
        assert_eq!(lookup(&store.read(), "other").unwrap().uri, "PYRO:o@h:1");
    }

    #[test]
    fn a_name_that_points_elsewhere_by_now_is_not_dropped() {
        let store = store();
        let drop = |uri: &str| done(&store, drop_if_still_at("other".into(), uri.into()));
        assert_eq!(drop("PYRO:p@h:2"), Ok(0));
        assert_eq!(drop("PYRO:o@h:1"), Ok(1));
        assert_eq!(drop("PYRO:o@h:1"), Ok(0));
    }
}
