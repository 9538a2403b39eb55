//! Rules for `access`: people, groups, services and members that exist, and grants that count.

use std::collections::HashSet;

use wire::name_pattern::NamePattern;

use super::{Rules, shown};
use crate::address::Host;
use crate::model::{Access, Configuration, Daemon, DaemonClass, Grant, GrantWhen, Service, Target};
use crate::problem::{Findings, quoted, shortened};
use crate::walk::Marks;
use crate::{Native, Surroundings, advice};

/// The way from instruments that are everybody's to roles.
const OPEN_HELP: &str = "write `access: {}` at the top level, and `ferrolab reload`: then other hosts \
                         only look, until a grant says more";
/// The word for clients that do not say who they are.
const ANONYMOUS: &str = "anonymous";
/// The word for all clients, and for all services.
const EVERYBODY: &str = "*";
/// Prefix of a group's name in `who`.
const GROUP: &str = "group:";

impl Configuration {
    /// Notes at each role of `access` the line that it is written in.
    pub(super) fn number_lines(&mut self, marks: &Marks, findings: &Findings) {
        let Some(access) = &mut self.access else { return };
        for (key, line) in
            [("localhost", &mut access.localhost_line), ("network", &mut access.network_line)]
        {
            let mark = marks.get(&["access", key]).or(marks.get(&["access"]));
            line.0 = mark.map_or(0, |mark| findings.line(mark.key));
        }
        for (index, grant) in access.grants.iter_mut().enumerate() {
            if let Some(mark) = marks.get(&["access", "grants", &item(index)]) {
                grant.line.0 = findings.line(mark.value);
            }
        }
    }
}

impl Configuration {
    /// A sentence about daemons whose instruments everybody on the network may drive; `None` where
    /// all have roles, ask for certificates, or listen on this host only.
    pub fn open_to_all(&self) -> Option<String> {
        let is_open = |daemon: &&Daemon| {
            daemon.unixsocket.is_none()
                && !daemon.host.is_loopback()
                && !daemon.ssl_requireclientcert
                && self.services_of(&daemon.name).next().is_some()
        };
        let open: Vec<String> = match self.access {
            Some(_) => Vec::new(),
            None => self.daemons.iter().filter(is_open).map(address_of).collect(),
        };
        let listed = open.iter().take(MOST_SHOWN).cloned().collect::<Vec<_>>().join(", ");
        let more = match open.len().saturating_sub(MOST_SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        (!open.is_empty())
            .then(|| format!("anybody who reaches {listed}{more} can drive the instruments there"))
    }
}

/// Daemons that a sentence names.
const MOST_SHOWN: usize = 3;

/// The address of a daemon with its name, for people.
fn address_of(daemon: &Daemon) -> String {
    let port = match daemon.port {
        0 => String::new(),
        port => format!(", port {port}"),
    };
    let host = match &daemon.host {
        Host::Public => "public",
        Host::Named(name) => name,
    };
    format!("{host} (daemon {}{port})", daemon.name)
}

/// The key of the marks of an item that is a mapping.
fn item(index: usize) -> String {
    format!("[{index}]")
}

impl<'r> Rules<'r> {
    pub(super) fn access(&mut self, surroundings: &Surroundings) {
        let configuration = self.configuration;
        let Some(access) = &configuration.access else {
            self.open_daemons();
            return self.roles_without_access();
        };
        self.groups(access, surroundings);
        for (index, grant) in access.grants.iter().enumerate() {
            let index = item(index);
            let path = ["access", "grants", index.as_str()];
            // One that is no mapping was reported.
            if self.sound(&path).is_none() {
                continue;
            }
            self.needed_keys(&path);
            self.who(&path, access, grant, surroundings);
            let services = self.what(&path, grant);
            self.granted_members(&path, grant, &services, surroundings.natives.as_deref());
            self.when(&path, grant, &services);
        }
    }

    /// Warns in one line that everybody on the network may drive.
    fn open_daemons(&mut self) {
        let Some(message) = self.configuration.open_to_all() else { return };
        let hosts = self.configuration.daemons.iter().filter_map(|daemon| {
            let path = ["daemons", daemon.name.as_str(), "host"];
            Some((path, self.sound(&path).filter(|_| !daemon.host.is_loopback())?))
        });
        if let Some((path, mark)) = hosts.into_iter().next() {
            let path = shown(&path);
            self.findings.warn(mark.value, &path, message, OPEN_HELP);
        }
    }

    fn roles_without_access(&mut self) {
        for service in &self.configuration.services {
            for member in service.members.iter().filter(|member| member.role.is_some()) {
                let path = ["services", service.name.as_str(), "members", &member.name, "role"];
                let Some(mark) = self.sound(&path) else { continue };
                let message = "it has no effect: without `access` everybody may do everything";
                let help = "write `access: {}` at the top level, or remove it";
                self.findings.warn(mark.key, &shown(&path), message, help);
            }
        }
    }

    fn groups(&mut self, access: &Access, surroundings: &Surroundings) {
        for group in &access.groups {
            let path = ["access", "groups", group.name.as_str()];
            let Some(mark) = self.sound(&path) else { continue };
            if let Some(fault) = fault_of_name(&group.name) {
                let message =
                    format!("{} cannot be the name of a group: {fault}", quoted(&group.name));
                self.findings.error(mark.key, &shown(&path), message, "take another name");
            }
            if group.people.is_empty() {
                let help = "add people, or remove it";
                self.findings.warn(mark.key, &shown(&path), "the group is empty", help);
            }
            for (index, person) in group.people.iter().enumerate() {
                let index = index.to_string();
                let path: Vec<&str> = path.iter().copied().chain([index.as_str()]).collect();
                if person == EVERYBODY || person == ANONYMOUS || person.starts_with(GROUP) {
                    if let Some(mark) = self.sound(&path) {
                        let message = format!("a group has people, and {} is none", quoted(person));
                        let help = "name the people, or add it to `who` of the grant";
                        self.findings.error(mark.value, &shown(&path), message, help);
                    }
                    continue;
                }
                self.person(&path, person, access, surroundings);
            }
            let word = format!("{GROUP}{}", group.name);
            if !access.grants.iter().any(|grant| grant.who.contains(&word)) {
                let help =
                    format!("write `who: \"{}\"` in a grant, or remove it", shortened(&word));
                self.findings.warn(mark.key, &shown(&path), "no grant names the group", help);
            }
        }
    }

    fn needed_keys(&mut self, path: &[&str]) {
        for (key, help) in [
            ("who", "write `who: NAME`, `who: \"group:NAME\"`, `who: anonymous` or `who: \"*\"`"),
            ("role", "write `role: view`, `role: operate` or `role: admin`"),
        ] {
            let keys: Vec<&str> = path.iter().copied().chain([key]).collect();
            if self.marks.get(&keys).is_none()
                && let Some(mark) = self.sound(path)
            {
                let message = format!("a grant needs `{key}`");
                self.findings.error(mark.value, &shown(path), message, help);
            }
        }
        for key in ["who", "what"] {
            let keys: Vec<&str> = path.iter().copied().chain([key]).collect();
            let first: Vec<&str> = keys.iter().copied().chain(["0"]).collect();
            if let Some(mark) = self.sound(&keys)
                && self.marks.get(&first).is_none()
            {
                let message = "the list is empty, so the grant counts for nobody";
                self.findings.error(mark.value, &shown(&keys), message, "remove the grant");
            }
        }
    }

    fn who(&mut self, path: &[&str], access: &Access, grant: &Grant, surroundings: &Surroundings) {
        for (index, who) in grant.who.iter().enumerate() {
            let index = index.to_string();
            let path: Vec<&str> = path.iter().copied().chain(["who", index.as_str()]).collect();
            if who == EVERYBODY || who == ANONYMOUS {
                continue;
            }
            let Some(name) = who.strip_prefix(GROUP) else {
                self.person(&path, who, access, surroundings);
                continue;
            };
            let of_file = access.groups.iter().map(|group| group.name.as_str());
            let of_users = surroundings.groups.iter().map(String::as_str);
            let known = || of_file.clone().chain(of_users.clone());
            if known().any(|known| known == name) {
                continue;
            }
            let Some(mark) = self.sound(&path) else { continue };
            let message = format!("the group {} is not defined", quoted(name));
            let help = advice::for_name("group", name, known());
            let severity = surroundings.unknown_people;
            self.findings.add_as(severity, mark.value, &shown(&path), message, help);
        }
    }

    /// Reports somebody who is nobody that this host knows of.
    fn person(&mut self, path: &[&str], name: &str, access: &Access, at: &Surroundings) {
        let Some(mark) = self.sound(path) else { return };
        if let Some(fault) = fault_of_name(name) {
            let message = format!("{} cannot be somebody's name: {fault}", quoted(name));
            self.findings.error(
                mark.value,
                &shown(path),
                message,
                "write the name as users log in",
            );
            return;
        }
        let Some(users) = &at.users else { return };
        let known = || access.users.iter().chain(users).map(String::as_str);
        if known().any(|known| known == name) {
            return;
        }
        let message = format!("there is no user {}", quoted(name));
        let as_group = access.groups.iter().any(|group| group.name == name);
        let help = match advice::did_you_mean(name, known()) {
            _ if as_group => format!("write `\"{GROUP}{}\"` to mean the group", shortened(name)),
            Some(help) => help,
            None => format!(
                "`ferrolab user add {0}` makes one; or add {0} to `users` under `access`, where the \
                 certificate comes from elsewhere",
                shortened(name)
            ),
        };
        self.findings.add_as(at.unknown_people, mark.value, &shown(path), message, help);
    }

    /// The services that a grant is for.
    fn what(&mut self, path: &[&str], grant: &Grant) -> Vec<&'r Service> {
        let Configuration { services, daemons, nameservers, .. } = self.configuration;
        let names: Vec<&str> = (services.iter().map(|service| service.name.as_str()))
            .chain(daemons.iter().map(|daemon| daemon.name.as_str()))
            .chain(nameservers.iter().map(|ns| ns.name.as_str()))
            .collect();
        let mut meant = HashSet::new();
        for (index, what) in grant.what.iter().enumerate() {
            let index = index.to_string();
            let path: Vec<&str> = path.iter().copied().chain(["what", index.as_str()]).collect();
            let pattern = NamePattern::new(what);
            let found: Vec<&str> =
                names.iter().copied().filter(|name| pattern.matches(name)).collect();
            meant.extend(found.iter().copied());
            if self.refuse_name_of_lab(&path, what) {
                continue;
            }
            // It may mean a service that was not understood.
            let is_broken = |key: &str| self.marks.get(&[key]).is_some_and(|mark| !mark.sound);
            if !found.is_empty() || what == EVERYBODY || is_broken("services") {
                continue;
            }
            let Some(mark) = self.sound(&path) else { continue };
            if what.contains('*') {
                let message = format!("{} matches no service", quoted(what));
                let help = "names that other hosts register here may match later";
                self.findings.warn(mark.value, &shown(&path), message, help);
                continue;
            }
            let message = format!("there is no service {}", quoted(what));
            let service = names
                .iter()
                .find(|name| what.strip_prefix(**name).is_some_and(|rest| rest.starts_with('.')));
            let help = match (service, self.findings.is_full()) {
                (_, true) => String::new(),
                (Some(service), _) => format!(
                    "parts and members go with their service: write `what: {0}` and `members: [{1}]`",
                    shortened(service),
                    shortened(what.get(service.len() + 1..).unwrap_or_default())
                ),
                (None, _) => advice::for_name("service", what, names.iter().copied()),
            };
            self.findings.error(mark.value, &shown(&path), message, help);
        }
        services.iter().filter(|service| meant.contains(service.name.as_str())).collect()
    }

    /// Members of built-in services are known; those of Python drivers are when these are loaded.
    fn granted_members(
        &mut self,
        path: &[&str],
        grant: &Grant,
        services: &[&Service],
        natives: Option<&[Native]>,
    ) {
        let mut known: Vec<&str> = Vec::new();
        for service in services {
            let Target::Native(name) = &service.target else { return };
            let native = natives.into_iter().flatten().find(|native| native.name == *name);
            let Some(native) = native else { return };
            known.extend(native.methods.iter().chain(&native.attrs).map(String::as_str));
        }
        if services.is_empty() {
            return;
        }
        for (index, member) in grant.members.iter().enumerate() {
            let index = index.to_string();
            let path: Vec<&str> = path.iter().copied().chain(["members", &index]).collect();
            if known.contains(&member.as_str()) {
                continue;
            }
            let Some(mark) = self.sound(&path) else { continue };
            let message = format!("none of these services has a member {}", quoted(member));
            let help = match advice::did_you_mean(member, known.iter().copied()) {
                Some(help) => help,
                None => format!("members are {}", known.join(", ")),
            };
            self.findings.error(mark.value, &shown(&path), message, help);
        }
    }

    fn when(&mut self, path: &[&str], grant: &Grant, services: &[&Service]) {
        let path: Vec<&str> = path.iter().copied().chain(["when"]).collect();
        let Some(mark) = self.sound(&path).filter(|_| grant.when == GrantWhen::Locked) else {
            return;
        };
        let configuration = self.configuration;
        let has_lock = |service: &&Service| {
            let daemon = configuration.daemon(&service.daemon);
            daemon.is_none_or(|daemon| daemon.class == DaemonClass::Lockable)
        };
        if !services.is_empty() && !services.iter().any(has_lock) {
            let message = "it never counts: the services that it is for have no locks";
            let help = "write `classname: LockableDaemon` in their daemon";
            self.findings.error(mark.value, &shown(&path), message, help);
        }
    }
}

/// Why a name cannot be somebody's.
fn fault_of_name(name: &str) -> Option<&'static str> {
    const MAX_NAME_BYTES: usize = 200;
    match name {
        "" => Some("it is empty"),
        _ if name.len() > MAX_NAME_BYTES => Some("it is longer than 200 bytes"),
        _ if name.contains(|c: char| c.is_control() || c.is_whitespace()) => {
            Some("it has spaces or control characters")
        }
        _ if name.contains(['*', ':']) => Some("it has `*` or `:` in it"),
        _ if name.starts_with("anonymous@") => Some("write `anonymous`, whatever the address"),
        _ => None,
    }
}
