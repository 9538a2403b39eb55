//! The page and its HTTP API.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::process::Supervision;
use super::tls::{TlsKeys, TlsMode};
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
        TlsKeys {
            kind: "process",
            name: "web",
            mode: self.ssl,
            servercert: self.ssl_servercert.as_deref(),
            serverkey: self.ssl_serverkey.as_deref(),
            serverkeypasswd: self.ssl_serverkeypasswd.as_ref(),
            requireclientcert: self.ssl_requireclientcert,
            cacerts: self.ssl_cacerts.as_deref(),
        }
    }

    pub(super) fn certificate_paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let paths = [&mut self.ssl_servercert, &mut self.ssl_serverkey, &mut self.ssl_cacerts];
        paths.into_iter().filter_map(Option::as_mut)
    }
}
