//! TLS settings of a nameserver or a daemon: the keys `ssl*`.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::secret::Secret;

/// Whether a port speaks TLS. Written as in the file: `false`, `"offered"` or `true`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "ModeInFile", into = "ModeInFile")]
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
enum ModeInFile {
    Flag(bool),
    Word(Word),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Offered,
}

impl From<ModeInFile> for TlsMode {
    fn from(written: ModeInFile) -> TlsMode {
        match written {
            ModeInFile::Flag(false) => TlsMode::Off,
            ModeInFile::Flag(true) => TlsMode::Required,
            ModeInFile::Word(Word::Offered) => TlsMode::Offered,
        }
    }
}

impl From<TlsMode> for ModeInFile {
    fn from(mode: TlsMode) -> ModeInFile {
        match mode {
            TlsMode::Off => ModeInFile::Flag(false),
            TlsMode::Offered => ModeInFile::Word(Word::Offered),
            TlsMode::Required => ModeInFile::Flag(true),
        }
    }
}

/// The TLS settings of an entry, whichever section it is of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TlsKeys<'a> {
    /// `nameserver`, `daemon` or `process`.
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

/// The [`TlsKeys`] of an entry, from its fields `ssl*`. No struct has these fields for all entries:
/// serde refuses no unknown key where a struct is flattened.
macro_rules! tls_keys {
    ($entry:expr, $kind:literal, $name:expr) => {
        TlsKeys {
            kind: $kind,
            name: $name,
            mode: $entry.ssl,
            servercert: $entry.ssl_servercert.as_deref(),
            serverkey: $entry.ssl_serverkey.as_deref(),
            serverkeypasswd: $entry.ssl_serverkeypasswd.as_ref(),
            requireclientcert: $entry.ssl_requireclientcert,
            cacerts: $entry.ssl_cacerts.as_deref(),
        }
    };
}

/// The paths in the fields `ssl*` of an entry.
macro_rules! tls_paths {
    ($entry:expr) => {
        [&mut $entry.ssl_servercert, &mut $entry.ssl_serverkey, &mut $entry.ssl_cacerts]
            .into_iter()
            .filter_map(Option::as_mut)
    };
}

pub(super) use {tls_keys, tls_paths};
