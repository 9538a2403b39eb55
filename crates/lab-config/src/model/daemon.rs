//! A daemon: its address, its limits and its server type.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::process::{Python, Supervision};
use super::seconds;
use super::tls::{TlsKeys, TlsMode, tls_keys, tls_paths};
use crate::address::Host;
use crate::secret::Secret;

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
    /// How many connections one address may have; no limit if it is 0. A supervisor of 0.1.0 does
    /// not say so.
    #[serde(default)]
    pub connections_per_address: u32,
    /// The largest message in bytes.
    pub max_message_size: usize,
    /// Timeout of a message; no limit if absent.
    #[serde(with = "seconds")]
    pub commtimeout: Option<Duration>,
    /// Calls that take longer than this are faults; none are if absent. A supervisor of 0.1.0 does
    /// not say so.
    #[serde(with = "seconds", default)]
    pub slow_call: Option<Duration>,
    /// Which of its services' calls are in the call log.
    #[serde(default)]
    pub call_log: CallLogMode,
    /// Whether its answers are compressed.
    pub compression: bool,
    /// Lifetime of an item stream; no limit if absent.
    #[serde(with = "seconds")]
    pub iter_stream_lifetime: Option<Duration>,
    /// How long it outlives its connection; not at all if absent.
    #[serde(with = "seconds")]
    pub iter_stream_linger: Option<Duration>,
    /// Whether it speaks TLS on its port.
    pub ssl: TlsMode,
    /// Its certificate; see [`TlsKeys`].
    pub ssl_servercert: Option<PathBuf>,
    /// The certificate's key, if it is in its own file.
    pub ssl_serverkey: Option<PathBuf>,
    /// The password that decrypts the key.
    pub ssl_serverkeypasswd: Option<Secret>,
    /// Whether clients must show a certificate.
    pub ssl_requireclientcert: bool,
    /// The certificates of clients, or of their authorities.
    pub ssl_cacerts: Option<PathBuf>,
    /// Its own Python settings; see [`Configuration::python_for`](crate::Configuration::python_for).
    pub python: Python,
    /// How its process is looked after.
    pub supervision: Supervision,
}

impl Daemon {
    /// Its TLS settings.
    pub fn tls(&self) -> TlsKeys<'_> {
        tls_keys!(self, "daemon", &self.name)
    }

    pub(super) fn certificate_paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        tls_paths!(self)
    }
}

fn oneway_threaded() -> bool {
    true
}

/// Which calls are in the call log; each holds the ones before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CallLogMode {
    /// None.
    Off,
    /// Those that raise, are refused or are slow.
    #[default]
    Errors,
    /// Methods and property sets, too.
    Changes,
    /// Every call.
    All,
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
