//! Rules for built-in services: their names and the names of their members.
//!
//! The members of a Python class are known and checked only when a worker loads it.

use super::{Rules, shown};
use crate::model::{Service, Target};
use crate::problem::quoted;
use crate::{Native, advice};

/// Methods that a lock adds; they need no lock.
const OF_LOCKS: [&str; 4] = ["lock", "unlock", "islocked", "lock_info"];

impl Rules<'_> {
    pub(super) fn natives(&mut self, natives: Option<&[Native]>) {
        let Some(natives) = natives else { return };
        for service in &self.configuration.services {
            let Target::Native(name) = &service.target else { continue };
            match natives.iter().find(|native| native.name == *name) {
                Some(native) => self.natives_members(service, native),
                None => self.no_native(service, name, natives),
            }
        }
    }

    fn no_native(&mut self, service: &Service, name: &str, natives: &[Native]) {
        let path = ["services", service.name.as_str(), "native"];
        let Some(mark) = self.sound(&path) else { return };
        let message = format!("there is no built-in service {}", quoted(name));
        let names = || natives.iter().map(|native| native.name.as_str());
        let help = match advice::did_you_mean(name, names()) {
            Some(help) => help,
            None => format!("the built-in services are {}", names().collect::<Vec<_>>().join(", ")),
        };
        self.findings.error(mark.value, &shown(&path), message, help);
    }

    /// A safe state with a mistake in its name would be found out when it is needed.
    fn natives_members(&mut self, service: &Service, native: &Native) {
        let methods = || native.methods.iter().map(String::as_str);
        let of_safe_states = [("abort", &service.abort), ("on_disconnect", &service.on_disconnect)];
        for (key, names) in of_safe_states {
            for (index, name) in names.iter().enumerate() {
                self.listed_member(service, (key, index, name), "method", methods());
            }
        }
        let readable = || methods().chain(native.attrs.iter().map(String::as_str));
        for (index, name) in service.read_while_locked.iter().enumerate() {
            if !OF_LOCKS.contains(&name.as_str()) {
                self.listed_member(
                    service,
                    ("read_while_locked", index, name),
                    "member",
                    readable(),
                );
            }
        }
    }

    fn listed_member<'a>(
        &mut self,
        service: &Service,
        (key, index, name): (&str, usize, &str),
        kind: &str,
        known: impl Iterator<Item = &'a str> + Clone,
    ) {
        if known.clone().any(|known| known == name) {
            return;
        }
        let index = index.to_string();
        let path = ["services", service.name.as_str(), key, index.as_str()];
        let Some(mark) = self.sound(&path) else { return };
        let Target::Native(native) = &service.target else { return };
        let message = format!("{} has no {kind} {}", quoted(native), quoted(name));
        let help = match advice::did_you_mean(name, known.clone()) {
            Some(help) => help,
            None => format!("its {kind}s are {}", known.collect::<Vec<_>>().join(", ")),
        };
        self.findings.error(mark.value, &shown(&path), message, help);
    }
}
