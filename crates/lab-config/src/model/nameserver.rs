//! A nameserver and its storage.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::etcd::Etcd;
use super::process::Supervision;
use super::seconds;
use super::tls::{TlsKeys, TlsMode, tls_keys, tls_paths};
use crate::address::Host;
use crate::secret::Secret;

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
    /// The etcd cluster, with [`Storage::Etcd`].
    #[serde(default)]
    pub etcd: Option<Etcd>,
    /// Other nameservers of the same directory, as `HOST:PORT`.
    #[serde(default)]
    pub replicas: Vec<String>,
    /// Whether it speaks TLS on its port. A supervisor of 0.1.0 says nothing of TLS.
    #[serde(default)]
    pub ssl: TlsMode,
    /// Its certificate; see [`TlsKeys`].
    #[serde(default)]
    pub ssl_servercert: Option<PathBuf>,
    /// The certificate's key, if it is in its own file.
    #[serde(default)]
    pub ssl_serverkey: Option<PathBuf>,
    /// The password that decrypts the key.
    #[serde(default)]
    pub ssl_serverkeypasswd: Option<Secret>,
    /// Whether clients must show a certificate.
    #[serde(default)]
    pub ssl_requireclientcert: bool,
    /// The certificates of clients, or of their authorities. Of a nameserver on another host: those
    /// that its own is trusted by.
    #[serde(default)]
    pub ssl_cacerts: Option<PathBuf>,
    /// The certificate that this lab shows to a nameserver on another host.
    #[serde(default)]
    pub ssl_clientcert: Option<PathBuf>,
    /// That certificate's key, if it is in its own file.
    #[serde(default)]
    pub ssl_clientkey: Option<PathBuf>,
    /// How its process is looked after.
    pub supervision: Supervision,
}

impl Nameserver {
    /// Its TLS settings.
    pub fn tls(&self) -> TlsKeys<'_> {
        tls_keys!(self, "nameserver", &self.name)
    }

    pub(super) fn certificate_paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let of_client = [&mut self.ssl_clientcert, &mut self.ssl_clientkey];
        let of_etcd = self.etcd.iter_mut().flat_map(Etcd::certificate_paths);
        tls_paths!(self).chain(of_client.into_iter().flatten()).chain(of_etcd)
    }
}

/// Where a nameserver keeps its names. Written as in the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Storage {
    /// In memory.
    Memory,
    /// In a database: the given file, or one in the state directory.
    Sql(Option<PathBuf>),
    /// In an etcd cluster, which several nameservers share.
    Etcd,
}

impl TryFrom<String> for Storage {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Storage, &'static str> {
        match text.split_once(':') {
            None if text == "memory" => Ok(Storage::Memory),
            None if text == "sql" => Ok(Storage::Sql(None)),
            None if text == "etcd" => Ok(Storage::Etcd),
            Some(("sql", file)) if !file.is_empty() => Ok(Storage::Sql(Some(file.into()))),
            _ => Err("neither memory, sql, sql:FILE nor etcd"),
        }
    }
}

impl From<Storage> for String {
    fn from(storage: Storage) -> String {
        match storage {
            Storage::Memory => "memory".to_owned(),
            Storage::Sql(None) => "sql".to_owned(),
            Storage::Etcd => "etcd".to_owned(),
            Storage::Sql(Some(file)) => format!("sql:{}", file.display()),
        }
    }
}
