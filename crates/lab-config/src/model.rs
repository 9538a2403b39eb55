//! Core types of a valid configuration.
//!
//! The rest of the binary works with these types. Each has a JSON form under the keys of the file,
//! complete and without defaults: the supervisor sends a daemon its part in that form. Must not
//! know YAML, positions or problems.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::address::Host;
use super::data::Data;
use super::secret::Secret;
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
    /// Where its relative paths begin, once [`Configuration::rebase`] has said so.
    #[serde(skip)]
    pub folder: Option<PathBuf>,
}

/// A directory of names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nameserver {
    /// Its name.
    pub name: String,
    /// Where it listens, or is found.
    pub host: Host,
    /// Its port.
    #[serde(rename = "ns_port")]
    pub port: u16,
    /// Whether it answers searches of the network.
    pub broadcast: bool,
    /// Where it hears them; all addresses if absent.
    #[serde(rename = "ns_bchost")]
    pub broadcast_host: Option<Host>,
    /// On which UDP port.
    #[serde(rename = "ns_bcport")]
    pub broadcast_port: u16,
    /// Interval at which it removes names that do not answer; never if absent.
    #[serde(rename = "ns_autoclean", with = "seconds")]
    pub autoclean: Option<Duration>,
    /// Where it keeps names.
    pub storage: Storage,
    /// How its process is looked after.
    pub supervision: Supervision,
}

/// Where a nameserver keeps its names. Written as in the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Storage {
    /// In memory.
    Memory,
    /// In a database: the given file, or one in the state directory.
    Sql(Option<PathBuf>),
}

fn oneway_threaded() -> bool {
    true
}

/// A server process with one address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Daemon {
    /// Its name.
    pub name: String,
    /// Whether its services can be locked.
    pub class: DaemonClass,
    /// Where it listens.
    pub host: Host,
    /// Its port; 0 for one that is free.
    pub port: u16,
    /// A Unix socket instead.
    pub unixsocket: Option<PathBuf>,
    /// The address that the URIs for clients contain.
    pub nathost: Option<Host>,
    /// The port in those URIs; 0 for the real one.
    pub natport: u16,
    /// Whether calls run side by side.
    pub servertype: ServerType,
    /// Whether oneway calls run beside other calls. A supervisor of 0.1.0 does not say so.
    #[serde(default = "oneway_threaded")]
    pub oneway_threaded: bool,
    /// Where the daemon itself is registered.
    pub nameservers: Vec<String>,
    /// Whether the daemon registers its names again after another program has overwritten them.
    pub reclaim_names: bool,
    /// How many connections are served at once.
    pub threadpool_size: u32,
    /// How many threads stay on standby; never more than that.
    pub threadpool_size_min: u32,
    /// The largest message in bytes.
    pub max_message_size: usize,
    /// Timeout of a message; no limit if absent.
    #[serde(with = "seconds")]
    pub commtimeout: Option<Duration>,
    /// Calls that take longer than this are faults; none are if absent. A supervisor of 0.1.0 does
    /// not say so.
    #[serde(with = "seconds", default)]
    pub slow_call: Option<Duration>,
    /// Whether its answers are compressed.
    pub compression: bool,
    /// Lifetime of an item stream; no limit if absent.
    #[serde(with = "seconds")]
    pub iter_stream_lifetime: Option<Duration>,
    /// How long it outlives its connection; not at all if absent.
    #[serde(with = "seconds")]
    pub iter_stream_linger: Option<Duration>,
    /// Whether connections over TCP are encrypted.
    pub ssl: bool,
    /// Its certificate; there is one if they are.
    pub ssl_servercert: Option<PathBuf>,
    /// The certificate's key, if it is in its own file.
    pub ssl_serverkey: Option<PathBuf>,
    /// The password that decrypts the key.
    pub ssl_serverkeypasswd: Option<Secret>,
    /// Whether clients must show a certificate.
    pub ssl_requireclientcert: bool,
    /// The certificates of clients that are let in; there are some if clients must show one.
    pub ssl_cacerts: Option<PathBuf>,
    /// Its own Python settings; see [`Configuration::python_for`].
    pub python: Python,
    /// How its process is looked after.
    pub supervision: Supervision,
}

/// Which of PyroLab's daemons it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DaemonClass {
    /// `Daemon`.
    Plain,
    /// `LockableDaemon`: each service has `lock`, `unlock` and `islocked`.
    Lockable,
}

/// Whether calls run side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServerType {
    /// They do.
    Thread,
    /// One at a time in the whole daemon.
    Multiplex,
}

/// The consequence of a call that takes too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnTimeout {
    /// It is shown as overdue.
    #[default]
    Report,
    /// Its Python process is restarted, too.
    Restart,
}

/// An object that clients call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Its name, and its object's id.
    pub name: String,
    /// The class that it is an instance of.
    pub target: Target,
    /// Arguments of the driver's connection to the instrument; always a mapping.
    pub parameters: Data,
    /// Arguments of the class's constructor.
    pub arguments: Arguments,
    /// The text that people read in the nameserver.
    pub description: String,
    /// How long an instance lives.
    pub instancemode: InstanceMode,
    /// The daemon that hosts it.
    pub daemon: String,
    /// Where it is registered.
    pub nameservers: Vec<String>,
    /// Which members can be called.
    pub expose: Expose,
    /// Members that cannot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
    /// Objects that hang on the instrument, and are served below it: paths, or `all`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<String>,
    /// Whether it has its own Python process.
    pub isolate: bool,
    /// Longest silence of its Python process; no limit if absent.
    #[serde(with = "seconds")]
    pub watchdog: Option<Duration>,
    /// The longest time of a call; no limit if absent.
    #[serde(with = "seconds", default)]
    pub call_timeout: Option<Duration>,
    /// The consequence of a call that takes longer.
    #[serde(default)]
    pub on_timeout: OnTimeout,
    /// Members that others may use while it is locked.
    pub read_while_locked: Vec<String>,
    /// Methods to call when the session that held it ends.
    pub on_disconnect: Vec<String>,
    /// The longest time that a client may wait for its lock; none at all if absent.
    #[serde(with = "seconds")]
    pub lock_max_wait: Option<Duration>,
    /// The longest time that it may outlive its owner's connection; none at all if absent.
    #[serde(with = "seconds")]
    pub lock_max_ttl: Option<Duration>,
    /// Its own Python settings; see [`Configuration::python_for`].
    pub python: Python,
}

/// The class that a service is an instance of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Target {
    /// A class in Python.
    Python {
        /// Its module.
        module: String,
        /// Its name there: a class, an object, or a function that makes one. Without it the
        /// module itself is served.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        classname: Option<String>,
    },
    /// A built-in service.
    Native(String),
}

/// How long an instance lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InstanceMode {
    /// As long as the daemon.
    Single,
    /// As long as a connection.
    Session,
    /// As long as a call.
    Percall,
    /// As the class says itself.
    Class,
}

/// Arguments of a class's constructor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arguments {
    /// Arguments in order.
    Positional(Vec<Data>),
    /// Keyword arguments; always a mapping.
    Keyword(Data),
}

/// Which members of a class can be called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expose {
    /// Those that the class itself exposes by Pyro's decorators.
    Decorated,
    /// All that are public.
    All,
    /// Those in the list; all that are public as well where `all` is among them.
    Names(Vec<String>),
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

/// The Python that drivers run in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Python {
    /// The interpreter; if absent, `python3` beside the program or in PATH.
    pub executable: Option<PathBuf>,
    /// Directories to search for modules first.
    pub path: Vec<PathBuf>,
    /// Environment variables.
    pub env: BTreeMap<String, String>,
}

/// Supervision of a process: restarts and timeouts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Supervision {
    /// Delays before the second, third, ... restart in a row, in seconds.
    pub backoff: Vec<f64>,
    /// After how many crashes in a row to give up; 0 for never.
    pub give_up_after: u32,
    /// How long a run is a success.
    #[serde(with = "seconds")]
    pub stable_after: Option<Duration>,
    /// How long it may take to become ready.
    #[serde(with = "seconds")]
    pub ready_timeout: Option<Duration>,
    /// How long it may take to stop.
    #[serde(with = "seconds")]
    pub stop_grace: Option<Duration>,
    /// How long it may take to end after that.
    #[serde(with = "seconds")]
    pub term_grace: Option<Duration>,
    /// Longest time without an answer on its own socket; no limit if absent.
    #[serde(with = "seconds")]
    pub hang_timeout: Option<Duration>,
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
}

impl Service {
    /// The key with the instrument's address: `parameters`, unless only `arguments` is used.
    pub fn address_key(&self) -> &'static str {
        let has_parameters = !matches!(&self.parameters, Data::Map(entries) if entries.is_empty());
        if !has_parameters && !self.arguments.is_empty() { "arguments" } else { "parameters" }
    }
}

impl Arguments {
    /// Whether the constructor is called without arguments.
    pub fn is_empty(&self) -> bool {
        match self {
            Arguments::Positional(items) => items.is_empty(),
            Arguments::Keyword(Data::Map(entries)) => entries.is_empty(),
            Arguments::Keyword(_) => false,
        }
    }
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
        Some(DaemonPart { daemon, services, nameservers })
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
        for nameserver in &mut self.nameservers {
            if let Storage::Sql(Some(file)) = &mut nameserver.storage {
                place(file);
            }
        }
        for daemon in &mut self.daemons {
            let certificates =
                [&mut daemon.ssl_servercert, &mut daemon.ssl_serverkey, &mut daemon.ssl_cacerts];
            let files = certificates.into_iter().chain([&mut daemon.unixsocket]);
            files.filter_map(Option::as_mut).for_each(place);
        }
    }
}

impl Python {
    /// These settings where there are some, the wider ones where not. Directories of both are
    /// searched, these first; variables count one by one.
    pub fn within(&self, wider: &Python) -> Python {
        let mut path = self.path.clone();
        path.extend(wider.path.iter().filter(|entry| !self.path.contains(entry)).cloned());
        let mut env = wider.env.clone();
        env.extend(self.env.clone());
        Python { executable: self.executable.clone().or(wider.executable.clone()), path, env }
    }
}

impl TryFrom<String> for Storage {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Storage, &'static str> {
        match text.split_once(':') {
            None if text == "memory" => Ok(Storage::Memory),
            None if text == "sql" => Ok(Storage::Sql(None)),
            Some(("sql", file)) if !file.is_empty() => Ok(Storage::Sql(Some(file.into()))),
            _ => Err("neither memory, sql nor sql:FILE"),
        }
    }
}

impl From<Storage> for String {
    fn from(storage: Storage) -> String {
        match storage {
            Storage::Memory => "memory".to_owned(),
            Storage::Sql(None) => "sql".to_owned(),
            Storage::Sql(Some(file)) => format!("sql:{}", file.display()),
        }
    }
}

/// Serde form of an optional duration as a number of seconds; zero means `None`.
mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        duration.map_or(0.0, |duration| duration.as_secs_f64()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        let seconds = Option::<f64>::deserialize(deserializer)?.unwrap_or(0.0);
        let duration = Duration::try_from_secs_f64(seconds).map_err(D::Error::custom)?;
        Ok(Some(duration).filter(|duration| !duration.is_zero()))
    }
}
