//! A service: its class, instances, members and lock.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::daemon::CallLogMode;
use super::member::Member;
use super::process::Python;
use super::seconds;
use crate::data::Data;

/// An object that clients call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Its name, and its object's id.
    pub name: String,
    /// The class that it is an instance of.
    pub target: Target,
    /// Whether its `simulate:` section has taken the instrument's place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub simulated: bool,
    /// Arguments of the driver's connection to the instrument; always a mapping.
    pub parameters: Data,
    /// Arguments of the class's constructor.
    pub arguments: Arguments,
    /// The text that people read in the nameserver.
    pub description: String,
    /// Words by which people group and find it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
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
    /// Facts about single members, by their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<Member>,
    /// When its instance is made.
    #[serde(default, skip_serializing_if = "Start::is_lazy")]
    pub start: Start,
    /// Its health check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
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
    /// Which of its calls are in the call log; the daemon's setting if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_log: Option<CallLogMode>,
    /// The part of its calls that the audit has.
    #[serde(default, skip_serializing_if = "AuditMode::is_refusals")]
    pub audit: AuditMode,
    /// Members that others may use while it is locked.
    pub read_while_locked: Vec<String>,
    /// Methods to call beside running calls that are to end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub abort: Vec<String>,
    /// Methods to call when the session that held it ends.
    pub on_disconnect: Vec<String>,
    /// The longest time that a client may wait for its lock; none at all if absent.
    #[serde(with = "seconds")]
    pub lock_max_wait: Option<Duration>,
    /// The longest time that it may outlive its owner's connection; none at all if absent.
    #[serde(with = "seconds")]
    pub lock_max_ttl: Option<Duration>,
    /// The longest time that its owner may make no call; no limit if absent.
    #[serde(with = "seconds", default, skip_serializing_if = "Option::is_none")]
    pub lock_idle: Option<Duration>,
    /// Its own Python settings; see [`Configuration::python_for`](crate::Configuration::python_for).
    pub python: Python,
}

/// The part of a service's calls that the audit has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditMode {
    /// Refused calls and broken locks.
    #[default]
    Refusals,
    /// Its calls and property sets too.
    Calls,
}

impl AuditMode {
    fn is_refusals(&self) -> bool {
        *self == AuditMode::Refusals
    }
}

/// When an instance is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// With the first call.
    #[default]
    Lazy,
    /// When the daemon starts.
    Eager,
}

impl Start {
    fn is_lazy(&self) -> bool {
        *self == Start::Lazy
    }
}

/// A health check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// The method or property; the rules refuse a check without one.
    pub method: Option<String>,
    /// The time between two checks.
    #[serde(with = "seconds")]
    pub every: Option<Duration>,
    /// Whether an instance whose check fails is replaced.
    pub replace: bool,
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
