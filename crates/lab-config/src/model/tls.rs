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
