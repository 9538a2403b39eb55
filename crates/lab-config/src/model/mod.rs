//! Core types of a valid configuration.
//!
//! The rest of the binary works with these types. Each has a JSON form under the keys of the file,
//! complete and without defaults: the supervisor sends a daemon its part in that form. Must not
//! know YAML, positions or problems.

mod access;
mod alarm;
mod daemon;
mod etcd;
mod history;
mod lab;
mod member;
mod nameserver;
mod notify;
mod portable;
mod process;
mod push;
mod seconds;
mod service;
mod tls;
mod web;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use access::{Access, AccessGroup, AccessRole, Grant, GrantWhen, SourceLine};
pub use alarm::Alarm;
pub use daemon::{CallLogMode, Daemon, DaemonClass, ServerType};
pub use etcd::Etcd;
pub use history::History;
pub use lab::{LAB_MARK, OtherLab};
pub use member::{Argument, Deadband, Member, ValueFacts};
pub use nameserver::{Nameserver, Storage};
pub use notify::Notify;
pub use portable::{Portable, PortablePackages};
pub use process::{Python, Supervision};
pub use push::Push;
pub use service::{
    Arguments, AuditMode, Expose, Health, InstanceMode, OnTimeout, Service, Start, Target,
};
pub use tls::{TlsKeys, TlsMode};
pub use web::Web;

use super::surroundings::Folder;

/// Everything in a file, in the order of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    /// The version of the format.
    pub version: String,
    /// Directories, here or elsewhere.
    pub nameservers: Vec<Nameserver>,
    /// Server processes.
    pub daemons: Vec<Daemon>,
    /// The objects that the daemons serve.
    pub services: Vec<Service>,
    /// The entries that start with the supervisor.
    pub autolaunch: Autolaunch,
    /// The Python for drivers, unless a daemon or service says otherwise.
    pub python: Python,
    /// Whether calls need the audit.
    #[serde(default, skip_serializing_if = "AuditNeed::is_optional")]
    pub audit: AuditNeed,
    /// Targets of notifications.
    #[serde(default)]
    pub notify: Notify,
    /// Roles of clients; everybody may do everything if absent.
    #[serde(default)]
    pub access: Option<Access>,
    /// Time series databases that values are sent to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub push: Vec<Push>,
    /// The page; none if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web: Option<Web>,
    /// The history of live values; none if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<History>,
    /// Other labs, which are shown beside this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labs: Vec<OtherLab>,
    /// Facts about the file by the export for another host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub portable: Option<Portable>,
    /// Whether every service that has a stand-in is simulated.
    #[serde(skip)]
    pub simulates: bool,
    /// Where its relative paths begin, once [`Configuration::rebase`] has said so.
    #[serde(skip)]
    pub folder: Option<PathBuf>,
}

/// Whether audited calls are made while the audit cannot be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditNeed {
    /// They are.
    #[default]
    Optional,
    /// They are refused.
    Required,
}

impl AuditNeed {
    fn is_optional(&self) -> bool {
        *self == AuditNeed::Optional
    }
}

/// Names of the entries that start with the supervisor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Autolaunch {
    /// Nameservers.
    pub nameservers: Vec<String>,
    /// Daemons.
    pub daemons: Vec<String>,
}

/// All that one daemon process needs to know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DaemonPart {
    /// The daemon.
    pub daemon: Daemon,
    /// Its services; each one's `python` is complete.
    pub services: Vec<Service>,
    /// The nameservers that it or they are registered with.
    pub nameservers: Vec<Nameserver>,
    /// Roles of clients; everybody may do everything if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
}

impl Configuration {
    /// The nameserver of that name.
    #[cfg(test)]
    pub fn nameserver(&self, name: &str) -> Option<&Nameserver> {
        self.nameservers.iter().find(|nameserver| nameserver.name == name)
    }

    /// The daemon of that name.
    pub fn daemon(&self, name: &str) -> Option<&Daemon> {
        self.daemons.iter().find(|daemon| daemon.name == name)
    }

    /// The service of that name.
    #[cfg(test)]
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name == name)
    }

    /// The services that a daemon hosts.
    pub fn services_of<'a>(&'a self, daemon: &'a str) -> impl Iterator<Item = &'a Service> {
        self.services.iter().filter(move |service| service.daemon == daemon)
    }

    /// The Python of a service: its own settings before its daemon's before the file's.
    pub fn python_for(&self, service: &Service) -> Python {
        let daemon = self.daemon(&service.daemon).map(|daemon| &daemon.python);
        let wider =
            daemon.map_or_else(|| self.python.clone(), |python| python.within(&self.python));
        service.python.within(&wider)
    }

    /// The part of the configuration that a daemon's process receives.
    ///
    /// A reload restarts the daemon if and only if this has changed.
    pub fn part_of(&self, daemon: &str) -> Option<DaemonPart> {
        let daemon = self.daemon(daemon)?.clone();
        let services: Vec<Service> = self
            .services_of(&daemon.name)
            .map(|service| Service { python: self.python_for(service), ..service.clone() })
            .collect();
        let wanted = |name: &String| {
            daemon.nameservers.contains(name)
                || services.iter().any(|service| service.nameservers.contains(name))
        };
        let nameservers = self.nameservers.iter().filter(|ns| wanted(&ns.name)).cloned().collect();
        let access = self.access.clone();
        Some(DaemonPart { daemon, services, nameservers, access })
    }

    /// Makes the relative paths absolute: from the directory given, usually the file's, or from
    /// the home directory where they start with `~/`.
    pub fn rebase(&mut self, directory: &Path, home: Option<&Path>) {
        self.folder = Some(directory.to_path_buf());
        let (base, home) = (directory.to_path_buf(), home.map(Path::to_path_buf));
        let folder = Folder { base, home };
        let place = |path: &mut PathBuf| *path = folder.place(path);
        let pythons = self.daemons.iter_mut().map(|daemon| &mut daemon.python);
        let pythons = pythons.chain(self.services.iter_mut().map(|service| &mut service.python));
        for python in pythons.chain([&mut self.python]) {
            python.path.iter_mut().for_each(place);
            // A name alone is looked up in PATH.
            python
                .executable
                .iter_mut()
                .for_each(|program| *program = folder.place_program(program));
        }
        if let Some(program) = self.notify.command.first_mut()
            && program.contains('/')
        {
            *program = folder.place_program(Path::new(program)).to_string_lossy().into_owned();
        }
        if let Some(folder) = self.history.as_mut().and_then(|history| history.folder.as_mut()) {
            place(folder);
        }
        if let Some(web) = &mut self.web {
            web.certificate_paths().for_each(place);
        }
        for nameserver in &mut self.nameservers {
            if let Storage::Sql(Some(file)) = &mut nameserver.storage {
                place(file);
            }
            nameserver.certificate_paths().for_each(place);
        }
        for lab in &mut self.labs {
            lab.certificate_paths().for_each(place);
        }
        for daemon in &mut self.daemons {
            daemon.certificate_paths().for_each(place);
            daemon.unixsocket.iter_mut().for_each(place);
        }
    }
}
