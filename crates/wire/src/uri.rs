//! Pyro URIs: `PYRO:object@location`, `PYRONAME:name[@location]`, `PYROMETA:tags[@location]`.
//!
//! A location is `host:port`, `[ipv6]:port` or `./u:path`. The grammar is that of `Pyro5.core.URI`,
//! but for locations that no client could connect to, which are refused. A URI travels as this
//! class dict, with a path or a host and port:
//!
//! ```text
//! {'__class__': 'Pyro5.core.URI', 'state': (protocol, object, path, host, port)}
//! ```

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::value::{Dict, Value};

/// TCP port of a nameserver whose location has no port: Pyro5's default.
pub const NAMESERVER_PORT: u16 = 9090;

/// The address of an object, or the name or tags to look it up by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Uri {
    /// An object at a known location.
    Pyro {
        /// The object's id.
        object: String,
        /// The location of its daemon.
        location: Location,
    },
    /// A name to look up in the nameserver.
    PyroName {
        /// The name.
        name: String,
        /// The location of the nameserver; `None` to discover it.
        location: Option<Location>,
    },
    /// Any object whose metadata has all these tags.
    PyroMeta {
        /// The tags.
        tags: Vec<String>,
        /// The location of the nameserver; `None` to discover it.
        location: Option<Location>,
    },
}

/// A listening address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Location {
    /// A TCP port.
    Tcp {
        /// A host name or an address; an IPv6 address without its brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// A Unix socket.
    Unix {
        /// The socket's path.
        path: String,
    },
}

/// An error of parsing a URI. Its text says what is wrong and how to write it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid uri '{uri}': {problem}")]
pub struct UriError {
    /// The text.
    pub uri: String,
    /// The error in it.
    pub problem: UriProblem,
}

/// The error in the text of a [`UriError`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UriProblem {
    /// No protocol at the beginning.
    #[error("it must begin with a protocol, as in PYRO:object@host:port or PYRONAME:name")]
    NoProtocol,
    /// A protocol other than the three.
    #[error("unknown protocol {0}; use PYRO:object@host:port, PYRONAME:name or PYROMETA:tag1,tag2")]
    Protocol(String),
    /// No object, or one with white space in its name.
    #[error(
        "the object's name is missing or has white space in it, as it must not in PYRO:object@host:port"
    )]
    Object,
    /// A `PYRO` URI without its location.
    #[error(
        "a PYRO uri needs a location, as in PYRO:{0}@host:port; to look the name up, use PYRONAME:{0}"
    )]
    NoLocation(String),
    /// A location without a host.
    #[error("the location '{0}' has no host; write host:port, an IPv6 host as in [::1]:9090")]
    NoHost(String),
    /// A location of a daemon without a port.
    #[error("the location '{0}' has no port; write {0}:port")]
    NoPort(String),
    /// A port that is no number from 0 to 65535.
    #[error(
        "the port '{0}' must be a number from 0 to 65535; write host:port, an IPv6 host as in [::1]:9090"
    )]
    Port(String),
    /// A Unix socket's path that is empty or has a colon in it.
    #[error(
        "a Unix socket's path must be neither empty nor contain a colon, as in ./u:/run/lab.sock"
    )]
    SocketPath,
    /// Two brackets around an IPv6 address.
    #[error("the IPv6 address is in too many brackets; write [::1]:9090")]
    Brackets,
    /// Brackets around something other than an IPv6 address.
    #[error(
        "between brackets must be a numeric IPv6 address, and behind them :port, as in [::1]:9090"
    )]
    Ipv6,
    /// A location with a line break in it.
    #[error("the location must not have line breaks in it")]
    LineBreak,
}

/// The host of a [`Location`] that stands for all addresses of a host, of IPv4 and of IPv6.
const EVERYWHERE: &str = "0.0.0.0";

impl Location {
    /// Whether it stands for all addresses of a host. A daemon can listen there, and no client on
    /// another host can connect to it.
    pub fn is_everywhere(&self) -> bool {
        matches!(self, Location::Tcp { host, .. } if host == EVERYWHERE || host == "::")
    }
}

impl Uri {
    /// The URI of an object at a TCP address.
    pub fn tcp(object: impl Into<String>, host: impl Into<String>, port: u16) -> Uri {
        Uri::Pyro { object: object.into(), location: Location::Tcp { host: host.into(), port } }
    }

    /// The location, if the URI has one.
    pub fn location(&self) -> Option<&Location> {
        match self {
            Uri::Pyro { location, .. } => Some(location),
            Uri::PyroName { location, .. } | Uri::PyroMeta { location, .. } => location.as_ref(),
        }
    }

    /// Whether the location stands for all addresses of a host.
    pub fn is_everywhere(&self) -> bool {
        self.location().is_some_and(Location::is_everywhere)
    }

    /// The same object at all addresses of its host.
    #[must_use]
    pub fn everywhere(self) -> Uri {
        self.with_host(EVERYWHERE)
    }

    /// The same with the address `host` in place of all addresses of a host; a URI with another
    /// location stays as it is.
    #[must_use]
    pub fn reached_at(self, host: IpAddr) -> Uri {
        if self.is_everywhere() { self.with_host(&host.to_string()) } else { self }
    }

    fn with_host(mut self, new: &str) -> Uri {
        let location = match &mut self {
            Uri::Pyro { location, .. } => Some(location),
            Uri::PyroName { location, .. } | Uri::PyroMeta { location, .. } => location.as_mut(),
        };
        if let Some(Location::Tcp { host, .. }) = location {
            new.clone_into(host);
        }
        self
    }

    /// The class dict in which a URI travels.
    pub fn to_value(&self) -> Value {
        let (protocol, object) = match self {
            Uri::Pyro { object, .. } => ("PYRO", Value::from(object)),
            Uri::PyroName { name, .. } => ("PYRONAME", Value::from(name)),
            Uri::PyroMeta { tags, .. } => ("PYROMETA", Value::Set(tags.iter().collect())),
        };
        let (path, host, port) = match self.location() {
            Some(Location::Tcp { host, port }) => (Value::None, host.into(), (*port).into()),
            Some(Location::Unix { path }) => (path.into(), Value::None, Value::None),
            None => (Value::None, Value::None, Value::None),
        };
        let mut dict = Dict::with_capacity(2);
        dict.insert("__class__", "Pyro5.core.URI");
        dict.insert("state", Value::Tuple(vec![protocol.into(), object, path, host, port]));
        Value::Dict(dict)
    }

    /// Reads the class dict of a URI; `None` for any other value.
    pub fn from_value(value: &Value) -> Option<Uri> {
        let dict = value.as_dict()?;
        if dict.class() != Some("Pyro5.core.URI") {
            return None;
        }
        let [protocol, object, path, host, port] = dict.get("state")?.as_list()? else {
            return None;
        };
        let location = match (path, host) {
            (Value::Str(path), _) if !path.is_empty() => {
                Some(Location::Unix { path: path.clone() })
            }
            (_, Value::Str(host)) if !host.is_empty() => {
                let port = u16::try_from(port.as_i64()?).ok()?;
                Some(Location::Tcp { host: host.clone(), port })
            }
            _ => None,
        };
        match protocol.as_str()? {
            "PYRO" => Some(Uri::Pyro { object: object.as_str()?.to_owned(), location: location? }),
            "PYRONAME" => Some(Uri::PyroName { name: object.as_str()?.to_owned(), location }),
            "PYROMETA" => Some(Uri::PyroMeta { tags: read_texts(object)?, location }),
            _ => None,
        }
    }
}

/// The strings in a set, or in the list that json and msgpack make of a set.
fn read_texts(value: &Value) -> Option<Vec<String>> {
    let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
    match value {
        Value::Set(set) | Value::FrozenSet(set) => set.iter().map(text).collect(),
        list => list.as_list()?.iter().map(text).collect(),
    }
}

impl FromStr for Uri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        parse(text).map_err(|problem| UriError { uri: text.to_owned(), problem })
    }
}

fn parse(text: &str) -> Result<Uri, UriProblem> {
    let (protocol, rest) = text.split_once(':').ok_or(UriProblem::NoProtocol)?;
    let protocol = protocol.to_ascii_uppercase();
    if !protocol.starts_with("PYRO") || !protocol.bytes().all(|b| b.is_ascii_alphabetic()) {
        return Err(UriProblem::NoProtocol);
    }
    // The `$` of Pyro5's regular expression matches before a line break at the end, too.
    let rest = rest.strip_suffix('\n').unwrap_or(rest);
    let (object, location) = split_location(rest);
    if object.is_empty() || object.contains(char::is_whitespace) {
        return Err(UriProblem::Object);
    }
    let object = object.to_owned();
    match protocol.as_str() {
        "PYRO" => match location {
            Some(location) => Ok(Uri::Pyro { object, location: parse_location(location, None)? }),
            None => Err(UriProblem::NoLocation(object)),
        },
        "PYRONAME" => {
            Ok(Uri::PyroName { name: object, location: parse_nameserver_location(location)? })
        }
        "PYROMETA" => {
            let mut tags: Vec<String> = Vec::new();
            for tag in object.split(',').map(str::trim) {
                if !tags.iter().any(|known| known == tag) {
                    tags.push(tag.to_owned());
                }
            }
            Ok(Uri::PyroMeta { tags, location: parse_nameserver_location(location)? })
        }
        _ => Err(UriProblem::Protocol(protocol)),
    }
}

/// Splits the object from the location at the first `@` that has text on both sides.
fn split_location(text: &str) -> (&str, Option<&str>) {
    let first = text.chars().next().map_or(0, char::len_utf8);
    let at = text.get(first..).and_then(|tail| tail.find('@')).map(|at| at + first);
    match at.and_then(|at| text.split_at_checked(at)) {
        Some((object, location)) if location.len() > 1 => (object, location.get(1..)),
        _ => (text, None),
    }
}

fn parse_nameserver_location(location: Option<&str>) -> Result<Option<Location>, UriProblem> {
    location.map(|location| parse_location(location, Some(NAMESERVER_PORT))).transpose()
}

fn parse_location(text: &str, default_port: Option<u16>) -> Result<Location, UriProblem> {
    if text.contains('\n') {
        return Err(UriProblem::LineBreak);
    }
    if let Some(path) = text.strip_prefix("./u:") {
        if path.is_empty() || path.contains(':') {
            return Err(UriProblem::SocketPath);
        }
        return Ok(Location::Unix { path: path.to_owned() });
    }
    let (host, port) = if let Some(bracketed) = text.strip_prefix('[') {
        if bracketed.starts_with('[') {
            return Err(UriProblem::Brackets);
        }
        let (host, tail) = bracketed.split_once(']').ok_or(UriProblem::Ipv6)?;
        let numeric = |c: char| c.is_ascii_hexdigit() || c == ':' || c == '%';
        if host.is_empty() || !host.chars().all(numeric) {
            return Err(UriProblem::Ipv6);
        }
        match tail.strip_prefix(':') {
            Some(port) => (host, port),
            None if tail.is_empty() => (host, ""),
            None => return Err(UriProblem::Ipv6),
        }
    } else {
        text.split_once(':').unwrap_or((text, ""))
    };
    if host.is_empty() {
        return Err(UriProblem::NoHost(text.to_owned()));
    }
    let port = match (port.trim(), default_port) {
        ("", Some(default)) => default,
        ("", None) => return Err(UriProblem::NoPort(text.trim_end_matches(':').to_owned())),
        (port, _) => port.parse().map_err(|_| UriProblem::Port(port.to_owned()))?,
    };
    Ok(Location::Tcp { host: host.to_owned(), port })
}

impl FromStr for Location {
    type Err = UriError;

    /// Parses a location on its own: `host:port`, `[ipv6]:port` or `./u:path`.
    fn from_str(text: &str) -> Result<Self, UriError> {
        parse_location(text, None).map_err(|problem| UriError { uri: text.to_owned(), problem })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Location::Tcp { host, port } => write!(f, "{host}:{port}"),
            Location::Unix { path } => write!(f, "./u:{path}"),
        }
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Uri::Pyro { object, .. } => write!(f, "PYRO:{object}")?,
            Uri::PyroName { name, .. } => write!(f, "PYRONAME:{name}")?,
            Uri::PyroMeta { tags, .. } => write!(f, "PYROMETA:{}", tags.join(","))?,
        }
        match self.location() {
            Some(location) => write!(f, "@{location}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
