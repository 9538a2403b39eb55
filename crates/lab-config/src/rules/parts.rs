//! Parts of services: what they need, and names that they would share with other services.

use super::{Rules, shown};
use crate::model::{InstanceMode, Target};
use crate::problem::quoted;
use crate::walk::RESERVED_NAMES;

impl Rules<'_> {
    pub(super) fn parts(&mut self) {
        for service in &self.configuration.services {
            let path = ["services", service.name.as_str(), "parts"];
            let Some(mark) = self.sound(&path).filter(|_| !service.parts.is_empty()) else {
                continue;
            };
            if matches!(service.target, Target::Native(_)) {
                let message = "a built-in service has no parts";
                self.findings.error(mark.key, &shown(&path), message, "remove it");
            } else if matches!(service.instancemode, InstanceMode::Session | InstanceMode::Percall)
            {
                let whose = match service.instancemode {
                    InstanceMode::Percall => "each call",
                    _ => "each client",
                };
                let message = format!(
                    "parts have one address for all clients, and {whose} has an instrument of its own"
                );
                let help = "write `instancemode: single`, or remove `parts`";
                self.findings.error(mark.key, &shown(&path), message, help);
            }
            for part in &service.parts {
                let name = format!("{}.{part}", service.name);
                if RESERVED_NAMES.contains(&name.as_str()) {
                    let message = format!(
                        "its part {} has the name {}, which Pyro needs for itself",
                        quoted(part),
                        quoted(&name)
                    );
                    let help = "give the service another name";
                    self.findings.error(mark.key, &shown(&path), message, help);
                }
                if let Some(other) = self.sound(&["services", &name]) {
                    let message = format!("its part {} has the name of a service", quoted(part));
                    let help = "give the service another name";
                    let other = ("service", other.key);
                    self.findings.error_between(mark.key, other, &shown(&path), &message, help);
                }
            }
        }
    }
}
