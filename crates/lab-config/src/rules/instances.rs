//! Services that say nothing of their instances.

use super::{Rules, shown};
use crate::model::Target;

impl Rules<'_> {
    /// `session` is the default, as in PyroLab: an instrument that remembers settings forgets them
    /// with each connection.
    pub(super) fn instance_modes(&mut self) {
        if self.findings.has_problems() {
            return;
        }
        for service in &self.configuration.services {
            let path = ["services", service.name.as_str()];
            let is_written = self.marks.get(&[path[0], path[1], "instancemode"]).is_some();
            let Some(mark) = self.sound(&path).filter(|_| !is_written) else { continue };
            // A module is one for all.
            let has_instances = matches!(service.target, Target::Python { classname: Some(_), .. });
            if !has_instances {
                continue;
            }
            let message = "no `instancemode`: each connection has an instance of its own (`session`), \
                           and the state of the instrument is lost with it";
            let help = "write `instancemode: single` for one instance for everybody, or \
                        `instancemode: session` where that is meant";
            self.findings.warn(mark.key, &shown(&path), message, help);
        }
    }
}
