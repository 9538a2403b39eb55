//! Rename of an entry in the file as the user wrote it: comments, order and quotes stay.
//!
//! Owns the list of places in a text that hold a name, and edits only those. Afterwards it parses
//! the new text and compares: it must mean the old configuration with the name replaced. Otherwise
//! the file stays unchanged.

use std::fmt;

use super::config_text::{ConfigText, Place};
use super::scalar::is_plain_text;
use super::walk::Marks;
use super::{ConfigError, Configuration, Surroundings};

/// An entry that can be renamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenamedEntry {
    /// A nameserver.
    Nameserver,
    /// A daemon.
    Daemon,
    /// A service.
    Service,
}

/// Why nothing was renamed.
#[derive(Debug, thiserror::Error)]
pub enum RenameError {
    /// The file has problems, before or after.
    #[error(transparent)]
    Config(#[from] Box<ConfigError>),
    /// There is no such entry.
    #[error("there is no {entry} `{name}` in the configuration")]
    Unknown {
        /// Its kind.
        entry: RenamedEntry,
        /// The name that was given.
        name: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// The new name is taken.
    #[error("there is a {entry} `{name}` already")]
    Taken {
        /// Its kind.
        entry: RenamedEntry,
        /// The new name.
        name: String,
    },
    /// The text says it in a way that cannot be edited by machine.
    #[error("{reason}; rename it with an editor")]
    ByHand {
        /// The obstacle.
        reason: String,
    },
}

impl fmt::Display for RenamedEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RenamedEntry::Nameserver => "nameserver",
            RenamedEntry::Daemon => "daemon",
            RenamedEntry::Service => "service",
        })
    }
}

/// The text with an entry and every reference to it renamed, and how many places that were.
///
/// # Errors
/// Why it cannot be done.
pub fn rename(
    file: &str,
    bytes: &[u8],
    surroundings: &Surroundings,
    entry: RenamedEntry,
    old: &str,
    new: &str,
) -> Result<(String, usize), RenameError> {
    let parse = |bytes: &[u8]| Configuration::parse_marked(file, bytes, surroundings);
    let (before, _, marks) = parse(bytes).map_err(Box::new)?;
    let known = before.names(entry);
    if !known.iter().any(|name| name == old) {
        return Err(RenameError::Unknown { entry, name: old.to_owned(), known });
    }
    if known.iter().any(|name| name == new) {
        return Err(RenameError::Taken { entry, name: new.to_owned() });
    }
    // Without the byte order mark, as the places count it.
    let text = match ConfigText::from_bytes(file, bytes) {
        Ok(source) => source.text().to_owned(),
        Err(refused) => return Err(RenameError::ByHand { reason: refused.message }),
    };
    let mut places = places(&before, &marks, entry, old);
    places.sort();
    places.dedup();
    let mut renamed = text.clone();
    for place in places.iter().rev() {
        let span = place.offset..place.offset + place.len;
        let written = text.get(span.clone()).unwrap_or_default();
        let bare = written.trim_matches(['"', '\'']);
        if bare != old && !super::auto::is_auto(bare) {
            let reason = format!("`{old}` is written as `{written}` in one place");
            return Err(RenameError::ByHand { reason });
        }
        renamed.replace_range(span, &written_as(new));
    }
    let (after, ..) = parse(renamed.as_bytes()).map_err(Box::new)?;
    if after != before.renamed(entry, old, new) {
        let reason = "it is not written where it counts (a default, or another generated name \
                      would change with it)";
        return Err(RenameError::ByHand { reason: reason.to_owned() });
    }
    Ok((renamed, places.len()))
}

/// Where a text holds the name.
fn places(
    configuration: &Configuration,
    marks: &Marks,
    entry: RenamedEntry,
    old: &str,
) -> Vec<Place> {
    let mut found = Vec::new();
    let key = |keys: &[&str]| marks.get(keys).map(|mark| mark.key);
    let value = |keys: &[&str]| marks.get(keys).map(|mark| mark.value);
    let in_list = |keys: &[&str], names: &[String]| -> Vec<Place> {
        let places = names.iter().enumerate().filter(|(_, name)| *name == old);
        let place = |(index, _): (usize, &String)| {
            let index = index.to_string();
            value(&[keys, &[index.as_str()]].concat())
        };
        places.filter_map(place).collect()
    };
    let Configuration { daemons, services, autolaunch, .. } = configuration;
    let grants = configuration.access.iter().flat_map(|access| &access.grants);
    for (index, grant) in grants.enumerate() {
        let index = format!("[{index}]");
        found.extend(in_list(&["access", "grants", &index, "what"], &grant.what));
    }
    match entry {
        RenamedEntry::Service => found.extend(key(&["services", old])),
        RenamedEntry::Daemon => {
            found.extend(key(&["daemons", old]));
            for service in services.iter().filter(|service| service.daemon == old) {
                found.extend(value(&["services", &service.name, "daemon"]));
            }
            found.extend(in_list(&["autolaunch", "daemons"], &autolaunch.daemons));
        }
        RenamedEntry::Nameserver => {
            found.extend(key(&["nameservers", old]));
            for daemon in daemons {
                let keys = ["daemons", &daemon.name, "nameservers"];
                found.extend(in_list(&keys, &daemon.nameservers));
            }
            for service in services {
                let keys = ["services", &service.name, "nameservers"];
                found.extend(in_list(&keys, &service.nameservers));
            }
            found.extend(in_list(&["autolaunch", "nameservers"], &autolaunch.nameservers));
        }
    }
    found
}

/// A name as YAML: in quotes where it would be something else without.
fn written_as(name: &str) -> String {
    let simple = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(simple)
        && is_plain_text(name)
    {
        return name.to_owned();
    }
    // JSON's text is YAML's in double quotes.
    serde_json::Value::from(name).to_string()
}

impl Configuration {
    /// The names of one kind of entry.
    pub fn names(&self, entry: RenamedEntry) -> Vec<String> {
        match entry {
            RenamedEntry::Nameserver => self.nameservers.iter().map(|ns| ns.name.clone()).collect(),
            RenamedEntry::Daemon => self.daemons.iter().map(|daemon| daemon.name.clone()).collect(),
            RenamedEntry::Service => {
                self.services.iter().map(|service| service.name.clone()).collect()
            }
        }
    }

    fn renamed(mut self, entry: RenamedEntry, old: &str, new: &str) -> Configuration {
        let change = |name: &mut String| {
            if name == old {
                new.clone_into(name);
            }
        };
        let grants = self.access.iter_mut().flat_map(|access| &mut access.grants);
        grants.flat_map(|grant| &mut grant.what).for_each(change);
        match entry {
            RenamedEntry::Service => {
                self.services.iter_mut().for_each(|service| change(&mut service.name))
            }
            RenamedEntry::Daemon => {
                self.daemons.iter_mut().for_each(|daemon| change(&mut daemon.name));
                self.services.iter_mut().for_each(|service| change(&mut service.daemon));
                self.autolaunch.daemons.iter_mut().for_each(change);
            }
            RenamedEntry::Nameserver => {
                self.nameservers.iter_mut().for_each(|ns| change(&mut ns.name));
                self.daemons.iter_mut().flat_map(|d| &mut d.nameservers).for_each(change);
                self.services.iter_mut().flat_map(|s| &mut s.nameservers).for_each(change);
                self.autolaunch.nameservers.iter_mut().for_each(change);
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAB: &str = "# The lab\nnameservers:\n  'local': {}   # ours\ndaemons:\n  bench:\n    \
        nameservers: [ local ]\nservices:\n  bench.x:\n    native: a.b\n    daemon: \"bench\" # here\n    \
        nameservers:\n      - local\n      - 'local2'\n  bench.y: {native: a.b, daemon: bench}\n\
        autolaunch: {daemons: [bench], nameservers: [local]}\n";

    fn lab() -> String {
        LAB.replace("daemons:\n  bench", "  local2: {ns_port: 9191}\ndaemons:\n  bench")
    }

    fn renamed(
        text: &str,
        entry: RenamedEntry,
        old: &str,
        new: &str,
    ) -> Result<(String, usize), String> {
        let surroundings = Surroundings::default();
        rename("lab.yaml", text.as_bytes(), &surroundings, entry, old, new)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn names_change_everywhere_and_nothing_else_does() {
        let cases = [
            (RenamedEntry::Daemon, "bench", "oven", 4),
            (RenamedEntry::Nameserver, "local", "main", 4),
            (RenamedEntry::Service, "bench.x", "bench.z", 1),
        ];
        for (entry, old, new, count) in cases {
            let (text, places) = renamed(&lab(), entry, old, new).unwrap();
            assert_eq!(places, count, "{text}");
            assert!(
                text.contains("# The lab") && text.contains("# ours") && text.contains("# here")
            );
            let (back, _) = renamed(&text, entry, new, old).unwrap();
            // Quotes are not kept where the new name needs none.
            assert_eq!(back.replace(['\'', '"'], ""), lab().replace(['\'', '"'], ""));
        }
        let (text, _) = renamed(&lab(), RenamedEntry::Daemon, "bench", "123").unwrap();
        assert!(text.contains("\"123\":"), "{text}");
    }

    #[test]
    fn what_cannot_be_done_is_said() {
        let alias = "daemons: {a: {}}\nservices:\n  x: {native: a.b, daemon: &d a}\n  \
            y: {native: a.b, daemon: *d}\n";
        let default = "daemons: {default: {}}\nservices: {x: {native: a.b}}\n";
        let cases = [
            (lab(), RenamedEntry::Daemon, "bnech", "x", "no daemon `bnech`"),
            (lab(), RenamedEntry::Nameserver, "local", "local2", "`local2` already"),
            (lab(), RenamedEntry::Service, "bench.x", "a b", "problem"),
            (alias.to_owned(), RenamedEntry::Daemon, "a", "b", "with an editor"),
            (default.to_owned(), RenamedEntry::Daemon, "default", "b", ""),
            ("daemons: [".to_owned(), RenamedEntry::Daemon, "a", "b", "problem"),
        ];
        for (text, entry, old, new, said) in cases {
            let error = renamed(&text, entry, old, new).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
}
