//! Other labs: where they are, and names that nobody can take for names in them.

use std::collections::HashMap;

use super::{Rules, shown};
use crate::address::Host;
use crate::model::{LAB_MARK, OtherLab};
use crate::problem::quoted;

impl Rules<'_> {
    pub(super) fn labs(&mut self) {
        let configuration = self.configuration;
        if configuration.labs.is_empty() {
            return;
        }
        if let (Some(web), None, Some(mark)) =
            (&configuration.web, &configuration.access, self.sound(&["labs"]))
            && !web.host.is_loopback()
        {
            let message = "without `access`, the page shows these labs to everybody who reaches it, \
                           also what only your logins there may see";
            let help = "write `access`, or `host: localhost` under `web`";
            self.findings.warn(mark.key, "labs", message, help);
        }
        let mut places = HashMap::new();
        for lab in &configuration.labs {
            let path = ["labs", lab.name.as_str()];
            let Some(mark) = self.sound(&path) else { continue };
            if lab.name.contains([LAB_MARK, ':']) || lab.name.starts_with('.') {
                let message = format!(
                    "{} cannot be the name of a lab: `LAB/SERVICE` is a service in it",
                    quoted(&lab.name)
                );
                let help = "take a name without `/` and `:` that does not begin with `.`";
                self.findings.error(mark.key, &shown(&path), message, help);
            }
            self.lab_address(lab);
            self.lab_certificates(lab);
            let first = *places.entry((&lab.host, lab.port)).or_insert(mark.key);
            if first != mark.key {
                let message = "two names for one lab: all that it has is shown twice";
                let help = "remove one, or correct its `host` or `port`";
                self.findings.warn(mark.key, &shown(&path), message, help);
            }
        }
        self.names_of_labs();
    }

    fn lab_address(&mut self, lab: &OtherLab) {
        let configuration = self.configuration;
        let path = |key| ["labs", lab.name.as_str(), key];
        if lab.host == Host::Public
            && let Some(mark) = self.sound(&path("host"))
        {
            let message = "another lab is at one address, and `public` stands for all of this host";
            let help = "write the name or the address of its host";
            self.findings.error(mark.value, &shown(&path("host")), message, help);
        }
        if lab.port == 0
            && let Some(mark) = self.sound(&path("port"))
        {
            let message = "with port 0 nobody knows where to find it";
            let help = "write the port of its nameserver, such as 9090";
            self.findings.error(mark.value, &shown(&path("port")), message, help);
        }
        let own = configuration.nameservers.iter().find(|nameserver| {
            nameserver.port == lab.port && nameserver.host.is_this_host() && lab.host.is_this_host()
        });
        if let (Some(own), Some(mark)) = (own, self.sound(&["labs", &lab.name])) {
            let message = format!(
                "the nameserver {} of this lab is there: this lab is shown beside itself",
                quoted(&own.name)
            );
            let help = "write another lab's `host` and `port`, or remove it";
            self.findings.warn(mark.key, &shown(&["labs", &lab.name]), message, help);
        }
    }

    fn lab_certificates(&mut self, lab: &OtherLab) {
        let needs = [
            (!lab.ssl && lab.ssl_cacerts.is_some(), "ssl_cacerts", "ssl", "ssl: true"),
            (!lab.ssl && lab.ssl_clientcert.is_some(), "ssl_clientcert", "ssl", "ssl: true"),
            (
                lab.ssl_clientkey.is_some() && lab.ssl_clientcert.is_none(),
                "ssl_clientkey",
                "ssl_clientcert",
                "ssl_clientcert: FILE",
            ),
        ];
        for (is_missing, key, wanted, written) in needs {
            let path = ["labs", lab.name.as_str(), key];
            if is_missing
                && !self.is_wrong(&["labs", &lab.name], &[wanted])
                && let Some(mark) = self.sound(&path)
            {
                let message = format!("`{key}` does nothing without `{wanted}`");
                let help = format!("write `{written}` beside it");
                self.findings.error(mark.value, &shown(&path), message, help);
            }
        }
    }

    /// Refuses names of this lab that read as names in another one.
    fn names_of_labs(&mut self) {
        let configuration = self.configuration;
        let nameservers = configuration.nameservers.iter().map(|one| ("nameservers", &one.name));
        let daemons = configuration.daemons.iter().map(|one| ("daemons", &one.name));
        let services = configuration.services.iter().map(|one| ("services", &one.name));
        for (section, name) in nameservers.chain(daemons).chain(services) {
            let meant = configuration.labs.iter().find(|lab| lab.unqualify(name).is_some());
            let Some((lab, mark)) = meant.zip(self.sound(&[section, name])) else { continue };
            let Some(other) = self.sound(&["labs", &lab.name]) else { continue };
            let message =
                format!("{} reads as a name in the lab {}", quoted(name), quoted(&lab.name));
            let path = shown(&[section, name]);
            let help = "give one of them another name";
            self.findings.error_between(mark.key, ("the lab", other.key), &path, &message, help);
        }
    }

    /// Refuses a grant for services of another lab: that lab has its own rules. Returns whether
    /// `what` means some.
    pub(super) fn refuse_name_of_lab(&mut self, path: &[&str], what: &str) -> bool {
        let mut labs = self.configuration.labs.iter();
        let Some(lab) = labs.find(|lab| lab.unqualify(what).is_some()) else { return false };
        if let Some(mark) = self.sound(path) {
            let message = format!(
                "{} is in the lab {}, and rules here are for this lab's services",
                quoted(what),
                quoted(&lab.name)
            );
            let help = "write the grant in the configuration of that lab";
            self.findings.error(mark.value, &shown(path), message, help);
        }
        true
    }
}
