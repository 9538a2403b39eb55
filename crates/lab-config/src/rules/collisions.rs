//! Entries that cannot both have what they ask for: one name in one nameserver, one database file.
//!
//! PyroLab loads a file with such names. There the entry that starts last has the name, so that a
//! client reaches now one and now the other.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use super::{Rules, shown};
use crate::model::Storage;
use crate::problem::quoted;
use crate::source::Place;

impl Rules<'_> {
    /// A daemon registers itself under its name, beside its services.
    pub(super) fn names(&mut self) {
        let configuration = self.configuration;
        let services = configuration
            .services
            .iter()
            .map(|service| ("services", "service", &service.name, &service.nameservers));
        let daemons = configuration
            .daemons
            .iter()
            .map(|daemon| ("daemons", "daemon", &daemon.name, &daemon.nameservers));
        let mut registered: HashMap<(&str, &str), (&str, Place)> = HashMap::new();
        for (section, kind, name, nameservers) in daemons.chain(services) {
            let path = [section, name.as_str()];
            let Some(mark) = self.sound(&path) else { continue };
            for nameserver in nameservers {
                let first = registered.entry((nameserver, name)).or_insert((kind, mark.key));
                if first.1 == mark.key {
                    continue;
                }
                let message = format!(
                    "the {} {} is registered under this name in the nameserver {} already",
                    first.0,
                    quoted(name),
                    quoted(nameserver)
                );
                let help = match first.0 {
                    "daemon" => {
                        "rename one, or take the nameserver out of the daemon's own `nameservers`"
                    }
                    _ => "give one of them another name",
                };
                let other = ("other", first.1);
                self.findings.error_between(mark.key, other, &shown(&path), &message, help);
                break;
            }
        }
    }

    /// Two nameservers on one database would each write over the other's names.
    pub(super) fn databases(&mut self) {
        let mut taken: HashMap<PathBuf, Place> = HashMap::new();
        for nameserver in &self.configuration.nameservers {
            let Storage::Sql(Some(file)) = &nameserver.storage else { continue };
            let path = ["nameservers", nameserver.name.as_str(), "storage"];
            let Some(mark) = self.sound(&path) else { continue };
            let first = *taken.entry(without_detours(file)).or_insert(mark.value);
            if first != mark.value {
                let message = "another nameserver has this database file";
                let help = "give each nameserver a file of its own, or write `storage: sql` alone";
                let first = ("first", first);
                self.findings.error_between(mark.value, first, &shown(&path), message, help);
            }
        }
    }
}

/// The path without `.` and `..`, so that two ways to write one file are equal.
fn without_detours(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir
                if matches!(plain.components().next_back(), Some(Component::Normal(_))) =>
            {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}
