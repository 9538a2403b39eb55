//! Pyro5's operations on names: questions and changes.
//!
//! Owns the rules (`safe`, the name that cannot be removed, the limits) and Pyro5's errors for
//! breaking them. Must not know calls, values and the stores.

use std::collections::BTreeSet;
use std::sync::Arc;

use remote::{Exception, NAMESERVER_NAME, Uri};

use crate::limits;
use crate::store::{Change, Entry, Index, Named, Transaction};

/// Names that a question asks for.
#[derive(Clone, Debug)]
pub(crate) enum Which {
    /// Names that begin with this; all for "".
    Prefix(String),
    /// Names that have all of these tags.
    All(BTreeSet<String>),
    /// Names that have at least one of these tags.
    Any(BTreeSet<String>),
}

impl Which {
    /// The names; `None` if there are more than `most` to look at.
    pub(crate) fn find(&self, names: &Index, most: usize) -> Option<Vec<Named>> {
        match self {
            Which::Prefix(prefix) => {
                let few = names.with_prefix(prefix).take(most.saturating_add(1));
                let found: Vec<Named> =
                    few.map(|(name, entry)| (Arc::clone(name), Arc::clone(entry))).collect();
                (found.len() <= most).then_some(found)
            }
            Which::All(tags) => names.with_all(tags, most),
            Which::Any(tags) => names.with_any(tags, most),
        }
    }

    /// The prefix that all such names have.
    pub(crate) fn prefix(&self) -> &str {
        match self {
            Which::Prefix(prefix) => prefix,
            Which::All(_) | Which::Any(_) => "",
        }
    }

    /// Whether a name that begins with the prefix is one of them.
    pub(crate) fn is(&self, entry: &Entry) -> bool {
        match self {
            Which::Prefix(_) => true,
            Which::All(tags) => !tags.is_empty() && tags.iter().all(|tag| entry.has(tag)),
            // Iterates over the shorter of both.
            Which::Any(tags) if entry.tags.len() < tags.len() => {
                entry.tags.iter().any(|tag| tags.contains(&**tag))
            }
            Which::Any(tags) => tags.iter().any(|tag| entry.has(tag)),
        }
    }
}

/// The entry of a name.
pub(crate) fn lookup(names: &Index, name: &str) -> Result<Arc<Entry>, Exception> {
    names.get(name).cloned().ok_or_else(|| unknown(name))
}

/// The names that begin with `prefix`; all for "".
pub(crate) fn list(names: &Index, prefix: &str) -> Vec<Named> {
    let named = |(name, entry): (&Arc<str>, &Arc<Entry>)| (Arc::clone(name), Arc::clone(entry));
    names.with_prefix(prefix).map(named).collect()
}

/// Registers a name; `safe` refuses one that is taken.
pub fn register(
    name: String,
    uri: String,
    safe: bool,
    metadata: BTreeSet<String>,
) -> Result<Change, Exception> {
    uri.parse::<Uri>().map_err(|error| Exception::pyro_error(error.to_string()))?;
    limits::check_entry(&name, &uri, metadata.iter().map(String::len))?;
    let entry = Entry::new(uri, metadata);
    Ok(Box::new(move |names| {
        if safe && names.index().get(&name).is_some() {
            return Err(Exception::naming_error(format!("name already registered: {name}")));
        }
        put(names, &name, entry)?;
        Ok(1)
    }))
}

/// Puts an entry in place of what the name has, where the limits allow it.
pub(crate) fn put(
    names: &mut Transaction<'_>,
    name: &str,
    mut entry: Entry,
) -> Result<(), Exception> {
    names.check(name, Some(&entry.uri))?;
    entry.owner = names.owner(name, &entry.uri);
    limits::check_entry(name, &entry.uri, entry.tags.iter().map(|tag| tag.len()))?;
    let index = names.index();
    let count = index.len() + usize::from(index.get(name).is_none());
    limits::check_room(count, index.bytes_with(name, &entry))?;
    limits::check_share(names, name, &entry)?;
    names.set(name, entry);
    Ok(())
}

/// Replaces a name's tags.
pub(crate) fn set_metadata(name: String, metadata: BTreeSet<String>) -> Result<Change, Exception> {
    limits::check_tags(&metadata)?;
    Ok(Box::new(move |names| {
        names.check(&name, names.index().get(&name).map(|known| &*known.uri))?;
        let index = names.index();
        let old = index.get(&name).ok_or_else(|| unknown(&name))?;
        let entry = old.with_tags(metadata);
        limits::check_room(index.len(), index.bytes_with(&name, &entry))?;
        limits::check_share(names, &name, &entry)?;
        names.set(&name, entry);
        Ok(1)
    }))
}

/// Removes a name, but not the nameserver's own; the number of names removed.
pub(crate) fn remove(name: String) -> Change {
    Box::new(move |names| {
        if name == NAMESERVER_NAME {
            return Ok(0);
        }
        remove_each(names, [Arc::from(name)].into_iter())
    })
}

/// Removes the names that begin with `prefix`, but not the nameserver's own; the number of names
/// removed.
pub(crate) fn remove_all(prefix: String) -> Change {
    Box::new(move |names| {
        let found = list(names.index(), &prefix).into_iter().map(|(name, _)| name);
        remove_each(names, found)
    })
}

/// Removes names that a search has found, but not the nameserver's own; the number of names that
/// were still there.
pub(crate) fn remove_found(found: Vec<Named>) -> Change {
    Box::new(move |names| remove_each(names, found.into_iter().map(|(name, _)| name)))
}

/// Removes names, all or none; how many of them were there.
fn remove_each(
    names: &mut Transaction<'_>,
    found: impl Iterator<Item = Arc<str>>,
) -> Result<usize, Exception> {
    let mut removed = 0;
    for name in found.filter(|name| **name != *NAMESERVER_NAME) {
        if names.index().get(&name).is_some() {
            names.check(&name, None)?;
        }
        removed += usize::from(names.remove(&name));
    }
    Ok(removed)
}

/// Removes a name unless it has been registered again meanwhile, also with the same URI.
pub(crate) fn drop_if_still(name: Arc<str>, registration: u64) -> Change {
    Box::new(move |names| {
        let entry = names.index().get(&name);
        let is_the_same = entry.is_some_and(|entry| entry.registration == registration);
        Ok(usize::from(is_the_same && names.remove(&name)))
    })
}

fn unknown(name: &str) -> Exception {
    Exception::naming_error(format!("unknown name: {name}"))
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, SocketAddr};

    use remote::Peer;

    use super::*;
    use crate::change_log::ChangeLog;
    use crate::store::{Changed, Store};

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
        assert_eq!(done(&store, remove_all(String::new())), Ok(3));
        assert_eq!(store.read().len(), 1);
    }

    #[test]
    fn safe_registration_keeps_what_is_there() {
        let store = store();
        let change = register("other".into(), "PYRO:p@h:2".into(), true, BTreeSet::new()).unwrap();
        let refused = done(&store, change).unwrap_err();
        assert_eq!(refused.message(), "name already registered: other");
        assert_eq!(&*lookup(&store.read(), "other").unwrap().uri, "PYRO:o@h:1");
    }

    #[test]
    fn one_address_may_register_many_names_at_once_and_then_waits() {
        let peer = |text: &str| Peer::Tcp(text.parse().unwrap());
        let log = ChangeLog::default();
        let each = |by: &Peer, from: usize, count: usize| -> Result<usize, String> {
            let store = Store::memory();
            let named = |number| {
                let name = format!("t.{number}");
                register(name, "PYRO:o@h:1".into(), false, BTreeSet::new()).unwrap()
            };
            let all = move |names: &mut Transaction<'_>| -> Result<usize, Exception> {
                (from..from + count).try_for_each(|number| named(number)(names).map(drop))?;
                // The same once more is no news.
                (from..from + count).try_for_each(|number| named(number)(names).map(drop))?;
                Ok(count)
            };
            let made = done(&store, log.watch(Box::new(all), by.clone()));
            made.map_err(|refused| refused.message())
        };
        let [far, near] = ["10.0.0.7:1", "127.0.0.1:1"].map(peer);
        // A thousand hosts with a hundred names each, behind one router.
        assert_eq!(each(&far, 0, 100_000), Ok(100_000));
        let refused = each(&far, 0, 110_000).unwrap_err();
        assert!(refused.contains("10.0.0.7 registers names too fast"), "{refused}");
        assert!(refused.contains("try again in "), "{refused}");
        assert_eq!(each(&near, 0, 110_000), Ok(110_000), "this host's own names");
        let refused = each(&near, 0, 250_001).unwrap_err();
        assert!(refused.contains("127.0.0.1 has registered as much as one address"), "{refused}");
    }

    #[test]
    fn shares_follow_who_has_written_a_name() {
        let store = store();
        let log = ChangeLog::default();
        let peers = ["10.0.0.7", "10.0.0.8"].map(|ip| ip.parse::<IpAddr>().unwrap());
        let by =
            |number: usize, change| log.watch(change, Peer::Tcp(SocketAddr::new(peers[number], 1)));
        let names = || peers.map(|peer| store.read().share_of(peer).names);
        let named = |name: &str, tags: BTreeSet<String>| {
            register(name.into(), "PYRO:o@h:2".into(), false, tags).unwrap()
        };
        done(&store, by(0, named("t.a", BTreeSet::new()))).unwrap();
        done(&store, by(0, named("t.b", BTreeSet::new()))).unwrap();
        assert_eq!(names(), [2, 0]);
        done(&store, by(1, set_metadata("t.a".into(), BTreeSet::from(["x".into()])).unwrap()))
            .unwrap();
        assert_eq!(names(), [1, 1]);
        done(&store, by(1, remove_all("t.".into()))).unwrap();
        assert_eq!(names(), [0, 0]);
        assert!(peers.iter().all(|peer| store.read().share_of(*peer).bytes == 0));
    }

    #[test]
    fn a_name_that_was_registered_again_is_not_dropped() {
        let store = store();
        let registration = || lookup(&store.read(), "other").unwrap().registration;
        let first = registration();
        let again = register("other".into(), "PYRO:o@h:1".into(), false, BTreeSet::new()).unwrap();
        done(&store, again).unwrap();
        let second = registration();
        done(&store, set_metadata("other".into(), BTreeSet::from(["x".into()])).unwrap()).unwrap();
        assert_eq!(registration(), second, "other tags are no registration");
        assert_eq!(done(&store, drop_if_still("other".into(), first)), Ok(0));
        assert_eq!(done(&store, drop_if_still("other".into(), second)), Ok(1));
        assert_eq!(done(&store, drop_if_still("other".into(), second)), Ok(0));
    }
}
