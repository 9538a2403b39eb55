//! TLS settings of a nameserver or a daemon: the keys `ssl*`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Daemon, Nameserver};
use crate::secret::Secret;

/// Whether a port speaks TLS. Written as in the file: `false`, `"offered"` or `true`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub enum TlsMode {
    /// It does not.
    #[default]
    Off,
    /// With clients that speak it; others are served too.
    Offered,
    /// With all clients.
    Required,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Flag(bool),
    Word(Word),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Offered,
}

impl From<Written> for TlsMode {
    fn from(written: Written) -> TlsMode {
        match written {
            Written::Flag(false) => TlsMode::Off,
            Written::Flag(true) => TlsMode::Required,
            Written::Word(Word::Offered) => TlsMode::Offered,
        }
    }
}

impl From<TlsMode> for Written {
    fn from(mode: TlsMode) -> Written {
        match mode {
            TlsMode::Off => Written::Flag(false),
            TlsMode::Offered => Written::Word(Word::Offered),
            TlsMode::Required => Written::Flag(true),
        }
    }
}

/// The TLS settings of an entry, whichever section it is of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TlsKeys<'a> {
    /// `nameserver` or `daemon`.
    pub kind: &'static str,
    /// The entry's name.
    pub name: &'a str,
    /// Whether it speaks TLS.
    pub mode: TlsMode,
    /// Its certificate; absent for one of the lab's own authority.
    pub servercert: Option<&'a Path>,
    /// The certificate's key, if it is in its own file.
    pub serverkey: Option<&'a Path>,
    /// The password that decrypts the key.
    pub serverkeypasswd: Option<&'a Secret>,
    /// Whether clients must show a certificate.
    pub requireclientcert: bool,
    /// The certificates of clients, or of their authorities; absent for the lab's own authority.
    pub cacerts: Option<&'a Path>,
}

impl Daemon {
    /// Its TLS settings.
    pub fn tls(&self) -> TlsKeys<'_> {
        TlsKeys {
            kind: "daemon",
            name: &self.name,
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

impl Nameserver {
    /// Its TLS settings.
    pub fn tls(&self) -> TlsKeys<'_> {
        TlsKeys {
            kind: "nameserver",
            name: &self.name,
            mode: self.ssl,
            servercert: self.ssl_servercert.as_deref(),
            serverkey: self.ssl_serverkey.as_deref(),
            serverkeypasswd: self.ssl_serverkeypasswd.as_ref(),
            requireclientcert: self.ssl_requireclientcert,
            cacerts: self.ssl_cacerts.as_deref(),
        }
    }

    pub(super) fn certificate_paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let paths = [
            &mut self.ssl_servercert,
            &mut self.ssl_serverkey,
            &mut self.ssl_cacerts,
            &mut self.ssl_clientcert,
            &mut self.ssl_clientkey,
        ];
        paths.into_iter().filter_map(Option::as_mut)
    }
}
