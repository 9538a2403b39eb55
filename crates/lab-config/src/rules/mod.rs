//! Rules that involve several values: references, limits, conflicts.
//!
//! Works on the core types. The marks tell where a value was written and whether it is the user's:
//! a default that replaced a wrong value causes no further problems. Must not know YAML.

mod access;
mod alarms;
mod certificates;
mod collisions;
mod drivers;
mod etcd;
mod health;
mod history;
mod instances;
mod labs;
mod listeners;
mod members;
mod natives;
mod notify;
mod parts;
mod paths;
mod push;
mod registrations;
mod series;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::model::{Configuration, DaemonClass, InstanceMode, Service, Target};
use super::problem::{Findings, Severity, quoted, shortened};
use super::walk::{Mark, Marks};
use super::{Surroundings, advice};

/// Checks a configuration as a whole, and takes repeated names out of its lists.
pub(crate) fn check(
    configuration: &mut Configuration,
    marks: &Marks,
    surroundings: &Surroundings,
    findings: &mut Findings,
) {
    let unready = surroundings.unready;
    let mut rules = Rules { configuration, marks, findings, unready };
    rules.references();
    rules.threads();
    rules.certificates();
    rules.registrations();
    rules.listeners();
    rules.names();
    rules.databases();
    rules.natives(surroundings.natives.as_deref());
    rules.paths(surroundings.folder.as_ref());
    rules.drivers(surroundings.folder.as_ref());
    rules.instance_modes();
    rules.idle();
    rules.locks();
    rules.parts();
    rules.health();
    rules.notify();
    rules.push();
    rules.etcd();
    rules.history(surroundings);
    rules.kept_members();
    rules.members(surroundings.natives.as_deref());
    rules.series();
    rules.alarms();
    rules.access(surroundings);
    rules.labs();
    configuration.number_lines(marks, findings);
    for nameserver in &configuration.nameservers {
        check_nameserver(nameserver, marks, findings);
    }
    for daemon in &mut configuration.daemons {
        // A user who lowers `threadpool_size` need not lower the minimum as well.
        daemon.threadpool_size_min = daemon.threadpool_size_min.min(daemon.threadpool_size);
    }
    let services = configuration.services.iter_mut().map(|service| &mut service.nameservers);
    let daemons = configuration.daemons.iter_mut().map(|daemon| &mut daemon.nameservers);
    let autolaunch = &mut configuration.autolaunch;
    let launched = [&mut autolaunch.nameservers, &mut autolaunch.daemons];
    for list in services.chain(daemons).chain(launched) {
        let mut seen = HashSet::new();
        list.retain(|name| seen.insert(name.clone()));
    }
}

/// Shortest interval of autoclean, as in Pyro5.
const SHORTEST_AUTOCLEAN: Duration = Duration::from_secs(3);

struct Rules<'r> {
    configuration: &'r Configuration,
    marks: &'r Marks,
    findings: &'r mut Findings,
    /// Severity of a reason for which an entry cannot start now.
    unready: Severity,
}

impl Rules<'_> {
    fn references(&mut self) {
        let configuration = self.configuration;
        let nameservers: Vec<&str> =
            configuration.nameservers.iter().map(|nameserver| nameserver.name.as_str()).collect();
        let daemons: Vec<&str> =
            configuration.daemons.iter().map(|daemon| daemon.name.as_str()).collect();
        let nameservers = self.defined("nameserver", &nameservers);
        let daemons = self.defined("daemon", &daemons);
        for service in &configuration.services {
            let name = service.name.as_str();
            self.refer(&["services", name, "daemon"], &service.daemon, &daemons);
            self.refer_all(&["services", name], "nameservers", &service.nameservers, &nameservers);
        }
        for daemon in &configuration.daemons {
            let path = ["daemons", daemon.name.as_str()];
            self.refer_all(&path, "nameservers", &daemon.nameservers, &nameservers);
        }
        let launched = &configuration.autolaunch;
        self.refer_all(&["autolaunch"], "nameservers", &launched.nameservers, &nameservers);
        self.refer_all(&["autolaunch"], "daemons", &launched.daemons, &daemons);
    }

    fn defined<'a>(&self, kind: &'static str, names: &'a [&'a str]) -> Defined<'a> {
        let section = format!("{kind}s");
        let sound = self.marks.get(&[&section]).is_none_or(|mark| mark.sound);
        Defined { kind, names, set: names.iter().copied().collect(), sound }
    }

    fn refer_all(&mut self, path: &[&str], key: &str, names: &[String], defined: &Defined<'_>) {
        let mut seen = HashSet::new();
        for (index, name) in names.iter().enumerate() {
            let index = index.to_string();
            let path: Vec<&str> = path.iter().copied().chain([key, index.as_str()]).collect();
            self.refer(&path, name, defined);
            if !seen.insert(name)
                && let Some(mark) = self.marks.get(&path)
            {
                let message = format!("{} is in the list twice", quoted(name));
                self.findings.warn(mark.value, &shown(&path), message, "remove one");
            }
        }
    }

    fn refer(&mut self, path: &[&str], name: &str, defined: &Defined<'_>) {
        if defined.set.contains(name) || !defined.sound {
            return;
        }
        let Defined { kind, names, .. } = defined;
        let help = match self.findings.is_full() {
            true => String::new(),
            false => advice::for_name(kind, name, names.iter().copied()),
        };
        let (place, message) = match (self.marks.get(path), path) {
            (Some(mark), _) if !mark.sound => return,
            (Some(mark), _) => (mark.value, format!("the {kind} {} is not defined", quoted(name))),
            // A default that was not written: the entry that lacks it is what is wrong.
            (None, [entry @ .., key]) => {
                let Some(mark) = self.marks.get(entry).filter(|mark| mark.sound) else { return };
                let why = format!("which it has because no `{key}` is given");
                (mark.key, format!("the {kind} {}, {why}, is not defined", quoted(name)))
            }
            (None, []) => return,
        };
        self.findings.error(place, &shown(path), message, help);
    }

    fn threads(&mut self) {
        for daemon in &self.configuration.daemons {
            let name = daemon.name.as_str();
            let (least, most) = (daemon.threadpool_size_min, daemon.threadpool_size);
            let path = ["daemons", name, "threadpool_size_min"];
            if least > most
                && let Some(mark) = self.sound(&path)
                && self
                    .marks
                    .get(&["daemons", name, "threadpool_size"])
                    .is_none_or(|mark| mark.sound)
            {
                let message = format!("{least} is more than `threadpool_size`, which is {most}");
                let help = format!("write at most {most}, or raise `threadpool_size`");
                self.findings.error(mark.value, &shown(&path), message, help);
            }
        }
    }

    /// Warns of entries that run but serve nobody. Skipped for a file with problems, which may only
    /// seem to have some.
    fn idle(&mut self) {
        if self.findings.has_problems() {
            return;
        }
        let configuration = self.configuration;
        let used: HashSet<&str> =
            configuration.services.iter().map(|service| service.daemon.as_str()).collect();
        for daemon in &configuration.daemons {
            let path = ["daemons", daemon.name.as_str()];
            let Some(mark) = self.sound(&path) else { continue };
            if !used.contains(daemon.name.as_str()) {
                let help =
                    format!("give a service `daemon: {}`, or remove it", shortened(&daemon.name));
                self.findings.warn(mark.key, &shown(&path), "no service is hosted by it", help);
            }
            // PyroLab writes a meaningless 0 into the files that it exports.
            if self.sound(&["daemons", &daemon.name, "natport"]).is_some()
                && daemon.nathost.is_none()
                && daemon.natport != 0
            {
                let help = "add `nathost`, the address that clients are told with it";
                let message = "`natport` has no effect without `nathost`";
                self.findings.warn(mark.key, &shown(&path), message, help);
            }
        }
        let launched: HashSet<&str> =
            configuration.autolaunch.nameservers.iter().map(String::as_str).collect();
        let absent: HashSet<&str> = configuration
            .nameservers
            .iter()
            .filter(|ns| ns.host.is_this_host() && !launched.contains(ns.name.as_str()))
            .map(|ns| ns.name.as_str())
            .collect();
        let mut needs: HashMap<&str, Vec<&str>> = HashMap::new();
        for service in &configuration.services {
            let names = service.nameservers.iter().map(String::as_str);
            needs.entry(&service.daemon).or_default().extend(names);
        }
        for daemon in &configuration.daemons {
            let names = daemon.nameservers.iter().map(String::as_str);
            needs.entry(&daemon.name).or_default().extend(names);
        }
        for (index, name) in configuration.autolaunch.daemons.iter().enumerate() {
            let path = ["autolaunch", "daemons", &index.to_string()];
            let Some(mark) = self.sound(&path) else { continue };
            let mut needed = needs.get(name.as_str()).into_iter().flatten();
            if let Some(lacking) = needed.find(|needed| absent.contains(*needed)) {
                let message = format!(
                    "{} starts by itself, but the nameserver {} that it registers with does not",
                    quoted(name),
                    quoted(lacking)
                );
                let help = format!("add {} to `nameservers` under `autolaunch`", quoted(lacking));
                self.findings.warn(mark.value, &shown(&path), message, help);
            }
        }
    }

    fn locks(&mut self) {
        let configuration = self.configuration;
        let plain: HashSet<&str> = configuration
            .daemons
            .iter()
            .filter(|daemon| daemon.class == DaemonClass::Plain)
            .map(|daemon| daemon.name.as_str())
            .collect();
        for service in &configuration.services {
            let is_plain = plain.contains(service.daemon.as_str());
            if !service.read_while_locked.is_empty() && is_plain {
                let message = format!("its daemon {} has no locks", quoted(&service.daemon));
                let help = "write `classname: LockableDaemon` in the daemon";
                self.warn_of_key(service, "read_while_locked", message, help);
            }
            let is_percall = service.instancemode == InstanceMode::Percall;
            if !service.read_while_locked.is_empty() && is_percall && !is_plain {
                let message = "each call has an instance made, which nobody but the lock's owner \
                    may have: others read nothing while it is locked"
                    .to_owned();
                let help = "write `instancemode: single`";
                self.warn_of_key(service, "read_while_locked", message, help);
            }
            let is_python = matches!(service.target, Target::Python { .. });
            if is_python
                && service.instancemode == InstanceMode::Percall
                && !service.abort.is_empty()
            {
                let message = "it is never called: nobody else reaches an instance that lives for \
                               one call";
                let help = "write `instancemode: single` or `session` here";
                self.warn_of_key(service, "abort", message.to_owned(), help);
            }
            let never = match service.instancemode {
                _ if service.on_disconnect.is_empty() => continue,
                InstanceMode::Percall if is_python => {
                    "an instance that lives for one call is never left by anybody"
                }
                InstanceMode::Single if is_plain => {
                    "an instance that is everybody's is left by nobody while its daemon has no locks"
                }
                _ if is_plain && !is_python => {
                    "it is called for the owner of a lock, and its daemon has none"
                }
                _ => continue,
            };
            let help =
                "write `classname: LockableDaemon` in the daemon, and `instancemode: single` here";
            self.warn_of_key(service, "on_disconnect", never.to_owned(), help);
        }
    }

    fn warn_of_key(&mut self, service: &Service, key: &str, message: String, help: &str) {
        let path = ["services", service.name.as_str(), key];
        if let Some(mark) = self.sound(&path) {
            self.findings.warn(mark.key, &shown(&path), message, help);
        }
    }

    fn sound(&self, path: &[&str]) -> Option<Mark> {
        self.marks.get(path).filter(|mark| mark.sound)
    }

    /// Whether one of the keys of an entry has a value that was reported already.
    fn is_wrong(&self, entry: &[&str], keys: &[&str]) -> bool {
        keys.iter().any(|key| {
            let path: Vec<&str> = entry.iter().copied().chain([*key]).collect();
            self.marks.get(&path).is_some_and(|mark| !mark.sound)
        })
    }
}

/// The names of a section, for references to it.
struct Defined<'a> {
    kind: &'static str,
    names: &'a [&'a str],
    set: HashSet<&'a str>,
    sound: bool,
}

fn check_nameserver(nameserver: &super::model::Nameserver, marks: &Marks, findings: &mut Findings) {
    let name = nameserver.name.as_str();
    let sound = |key| marks.get(&["nameservers", name, key]).filter(|mark| mark.sound);
    if let Some(mark) = sound("broadcast")
        && nameserver.broadcast
        && nameserver.host.is_loopback()
    {
        let message = "nobody is answered: other hosts cannot reach a nameserver on localhost";
        let path = ["nameservers", name, "broadcast"];
        findings.warn(mark.key, &shown(&path), message, "write `host: public`, or remove it");
    }
    if let Some(mark) = sound("ns_autoclean")
        && nameserver.autoclean.is_some_and(|period| period < SHORTEST_AUTOCLEAN)
    {
        let path = ["nameservers", name, "ns_autoclean"];
        let message = "names cannot be checked more often than every 3 seconds";
        findings.error(mark.value, &shown(&path), message, "write 3 or more, or 0 for never");
    }
    if let Some(mark) = sound("ns_port")
        && nameserver.port == 0
    {
        let message = "with port 0 nobody knows where to find it";
        let path = ["nameservers", name, "ns_port"];
        findings.warn(mark.value, &shown(&path), message, "write a port such as 9090");
    }
}

/// A path of marks as problems show it.
fn shown(path: &[&str]) -> String {
    let mut text = String::new();
    for key in path {
        match key.parse::<usize>() {
            Ok(index) if !text.is_empty() => text.push_str(&format!("[{index}]")),
            _ => {
                if !text.is_empty() && !key.starts_with('[') {
                    text.push('.');
                }
                text.push_str(&shortened(key));
            }
        }
    }
    text
}
