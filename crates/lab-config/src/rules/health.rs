//! Health checks and early starts: both need one instance for all clients.

use super::{Rules, shown};
use crate::model::{InstanceMode, Start, Target};

impl Rules<'_> {
    pub(super) fn health(&mut self) {
        for service in &self.configuration.services {
            let path = ["services", service.name.as_str(), "health"];
            if let Some(mark) = self.sound(&path)
                && service.health.as_ref().is_some_and(|health| health.method.is_none())
            {
                let help = "write `health: METHOD`, or `health: {method: METHOD}`";
                self.findings.error(
                    mark.key,
                    &shown(&path),
                    "the health check has no method",
                    help,
                );
            }
            // A module is one for all, and so is a built-in service.
            let is_class = matches!(service.target, Target::Python { classname: Some(_), .. });
            let is_one = !is_class
                || matches!(service.instancemode, InstanceMode::Single | InstanceMode::Class);
            let wanted = [
                ("health", service.health.is_some(), "to look after"),
                ("start", service.start == Start::Eager, "to make when the daemon starts"),
            ];
            for (key, _, what) in wanted.into_iter().filter(|(_, is_set, _)| *is_set && !is_one) {
                let path = ["services", service.name.as_str(), key];
                let Some(mark) = self.sound(&path) else { continue };
                let whose = match service.instancemode {
                    InstanceMode::Percall => "each call",
                    _ => "each client",
                };
                let message =
                    format!("{whose} has an instance of its own, and there is none {what}");
                let help = format!("write `instancemode: single`, or remove `{key}`");
                self.findings.error(mark.key, &shown(&path), message, help);
            }
        }
    }
}
