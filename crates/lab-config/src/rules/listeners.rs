//! Addresses that two processes cannot both listen on.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;

use super::{Rules, shown};
use crate::address::Host;
use crate::config_text::Place;

impl Rules<'_> {
    /// Two that listen on one address cannot both run.
    pub(super) fn listeners(&mut self) {
        let configuration = self.configuration;
        let mut nameservers = Ports::default();
        for nameserver in &configuration.nameservers {
            let path = ["nameservers", nameserver.name.as_str()];
            let Some(mark) = self.sound(&path) else { continue };
            if nameserver.port == 0 || self.is_wrong(&path, &["host", "ns_port"]) {
                continue;
            }
            let Some(first) = nameservers.take(&nameserver.host, nameserver.port, mark.key) else {
                continue;
            };
            let message = format!("two nameservers on port {} of one host", nameserver.port);
            let help = match self.is_public_on(nameserver.port) {
                true => {
                    "`host: public` listens on all addresses, localhost's included: give one \
                     another `ns_port`, or remove the one on localhost"
                }
                false => "give one another `ns_port`, or remove it",
            };
            let first = ("first", first);
            self.findings.error_between(mark.key, first, &shown(&path), &message, help);
        }
        let mut daemons = Ports::default();
        let mut sockets: HashMap<&Path, Place> = HashMap::new();
        for daemon in &configuration.daemons {
            let path = ["daemons", daemon.name.as_str()];
            let Some(mark) = self.sound(&path) else { continue };
            if let Some(socket) = &daemon.unixsocket {
                let first = *sockets.entry(socket).or_insert(mark.key);
                if first != mark.key {
                    let message = "two daemons on one Unix socket";
                    let help = "give one another `unixsocket`";
                    let first = ("first", first);
                    self.findings.between(
                        self.unready,
                        mark.key,
                        first,
                        &shown(&path),
                        message,
                        help,
                    );
                }
                continue;
            }
            if daemon.port == 0 || self.is_wrong(&path, &["host", "port"]) {
                continue;
            }
            if let Some(first) = daemons.take(&daemon.host, daemon.port, mark.key) {
                let message = format!("two daemons on port {} of one host", daemon.port);
                let help =
                    "give one another `port`, or remove it: each daemon then finds a free one";
                let first = ("first", first);
                self.findings.between(self.unready, mark.key, first, &shown(&path), &message, help);
            } else if nameservers.find(&daemon.host, daemon.port).is_some() {
                // The nameserver of that entry may be another host's business.
                let message = format!("port {} of its host is a nameserver's too", daemon.port);
                let help = "only one of them can run at a time; give one another port";
                self.findings.warn(mark.key, &shown(&path), message, help);
            }
        }
        self.page(&nameservers, &daemons);
        self.history_port(&nameservers, &daemons);
    }

    /// Refuses a page on a daemon's or a nameserver's port.
    fn page(&mut self, nameservers: &Ports, daemons: &Ports) {
        let configuration = self.configuration;
        let (Some(web), Some(mark)) = (&configuration.web, self.sound(&["web"])) else { return };
        if web.port == 0 || self.is_wrong(&["web"], &["host", "port"]) {
            return;
        }
        for (whose, ports) in [("a daemon", daemons), ("a nameserver", nameservers)] {
            let Some(first) = ports.find(&web.host, web.port) else { continue };
            let message = format!("port {} of its host is {whose}'s too", web.port);
            let help = "give the page another `port`";
            let first = ("other", first);
            self.findings.between(self.unready, mark.key, first, "web", &message, help);
            return;
        }
    }

    /// Whether a nameserver of `host: public` has this port.
    fn is_public_on(&self, port: u16) -> bool {
        let mut nameservers = self.configuration.nameservers.iter();
        nameservers.any(|nameserver| nameserver.port == port && nameserver.host == Host::Public)
    }
}

/// The ports that entries of one kind have, with the places where they are written.
#[derive(Default)]
pub(super) struct Ports {
    taken: HashMap<(Listens, u16), Place>,
    everywhere: HashMap<u16, Place>,
    here: HashMap<u16, Place>,
}

impl Ports {
    /// The entry that has the port already; otherwise the port is noted.
    fn take(&mut self, host: &Host, port: u16, place: Place) -> Option<Place> {
        if let Some(first) = self.find(host, port) {
            return Some(first);
        }
        let listens = Listens::on(host);
        if listens == Listens::Everywhere {
            self.everywhere.insert(port, place);
        }
        if listens.is_here() {
            self.here.insert(port, place);
        }
        self.taken.insert((listens, port), place);
        None
    }

    pub(super) fn find(&self, host: &Host, port: u16) -> Option<Place> {
        let listens = Listens::on(host);
        let elsewhere = match listens {
            Listens::Everywhere => self.here.get(&port),
            _ if listens.is_here() => self.everywhere.get(&port),
            _ => None,
        };
        self.taken.get(&(listens, port)).or(elsewhere).copied()
    }
}

/// A host to listen on, for comparison with other entries' hosts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Listens {
    Everywhere,
    Loopback,
    At(IpAddr),
    Named(String),
}

impl Listens {
    fn on(host: &Host) -> Listens {
        match (host, host.literal()) {
            (Host::Public, _) => Listens::Everywhere,
            (_, Some(address)) if address.is_unspecified() => Listens::Everywhere,
            (_, Some(address)) if address.is_loopback() => Listens::Loopback,
            (_, Some(address)) => Listens::At(address),
            (Host::Named(name), None) => Listens::Named(name.to_ascii_lowercase()),
        }
    }

    fn is_here(&self) -> bool {
        matches!(self, Listens::Everywhere | Listens::Loopback)
    }
}
