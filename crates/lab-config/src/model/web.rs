//! The page and its HTTP API.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::process::Supervision;
use super::tls::{TlsKeys, TlsMode, tls_keys, tls_paths};
use crate::address::Host;
use crate::secret::Secret;

/// The web process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Web {
    /// Where it listens.
    pub host: Host,
    /// Its port; 0 for one that is free.
    pub port: u16,
    /// Further names under which browsers ask for it.
    pub names: Vec<String>,
    /// Whether it speaks HTTPS.
    pub ssl: TlsMode,
    /// Its certificate; absent for one of the lab's own authority.
    pub ssl_servercert: Option<PathBuf>,
    /// The certificate's key, if it is in its own file.
    pub ssl_serverkey: Option<PathBuf>,
    /// The password that decrypts the key.
    pub ssl_serverkeypasswd: Option<Secret>,
    /// Whether browsers must show a certificate.
    pub ssl_requireclientcert: bool,
    /// The certificates of browsers, or of their authorities; absent for the lab's own authority.
    pub ssl_cacerts: Option<PathBuf>,
    /// How its process is looked after.
    pub supervision: Supervision,
}

impl Web {
    /// Its TLS settings.
    pub fn tls(&self) -> TlsKeys<'_> {
        tls_keys!(self, "process", "web")
    }

    pub(super) fn certificate_paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        tls_paths!(self)
    }
}
