//! Entries that cannot both have what they ask for: one name in one nameserver, one database file.
//!
//! PyroLab loads a file with such names. There the entry that starts last has the name, so that a
//! client reaches now one and now the other.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use super::{Rules, shown};
use crate::config_text::Place;
use crate::model::Storage;
use crate::problem::quoted;

/// A name that an entry registers.
struct Registration<'a> {
    kind: &'static str,
    name: String,
    path: Vec<&'a str>,
    nameservers: &'a [String],
}

impl Rules<'_> {
    /// A daemon registers itself under its name, beside its services and their parts.
    pub(super) fn names(&mut self) {
        let configuration = self.configuration;
        let daemons = configuration.daemons.iter().map(|daemon| Registration {
            kind: "daemon",
            name: daemon.name.clone(),
            path: vec!["daemons", &daemon.name],
            nameservers: &daemon.nameservers,
        });
        let services = configuration.services.iter().map(|service| Registration {
            kind: "service",
            name: service.name.clone(),
            path: vec!["services", &service.name],
            nameservers: &service.nameservers,
        });
        let parts = configuration.services.iter().flat_map(|service| {
            // `all` names none: the instrument says which there are.
            let named = service.parts.iter().filter(|part| *part != "all");
            named.map(|part| Registration {
                kind: "part",
                name: format!("{}.{part}", service.name),
                path: vec!["services", &service.name, "parts"],
                nameservers: &service.nameservers,
            })
        });
        let all: Vec<Registration<'_>> = daemons.chain(services).chain(parts).collect();
        let mut registered: HashMap<(&str, &str), (&str, Place)> = HashMap::new();
        for Registration { kind, name, path, nameservers } in &all {
            let Some(mark) = self.sound(path) else { continue };
            for nameserver in *nameservers {
                let place = (nameserver.as_str(), name.as_str());
                let first = registered.entry(place).or_insert((kind, mark.key));
                // A part with the name of a service is refused already, whatever the nameserver.
                if first.1 == mark.key || (first.0, *kind) == ("service", "part") {
                    continue;
                }
                let whose = if *kind == "part" { "the name of a part" } else { "this name" };
                let message = format!(
                    "the {} {} is registered under {whose} in the nameserver {} already",
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
                self.findings.error_between(mark.key, other, &shown(path), &message, help);
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
