//! Names and metadata that nameservers would refuse to register.

use super::Rules;
use crate::LONGEST_TAG;

impl Rules<'_> {
    /// A description is its service's metadata. Pyro5's nameservers take any, ours do not.
    pub(super) fn registrations(&mut self) {
        for service in &self.configuration.services {
            let length = service.description.len();
            if length > LONGEST_TAG && !service.nameservers.is_empty() {
                let message = format!(
                    "it is {length} bytes long, and a nameserver of Ferrolab takes {LONGEST_TAG} at \
                     most: the service would not be registered"
                );
                let help = "keep it to a few lines";
                self.warn_of_key(service, "description", message, help);
            }
        }
    }
}
