//! Logins of this user in labs: a folder for each, in the configuration folder.
//!
//! | file in `logins/HOST` (mode 0600) | content |
//! |---|---|
//! | `login.json` | host and port of the nameserver, user, the lab's name, end of the certificate |
//! | `authority.pem` | the certificate of the lab's authority |
//! | `certificate.pem`, `key.pem` | the user's certificate and private key |
//! | `token` | the user's token |
//!
//! The Python client reads them too (`python/ferrolab/client/logins.py`).

use std::fs;
use std::net::{IpAddr, ToSocketAddrs};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use jiff::Timestamp;
use remote::{CertificateFiles, ClientLogin, ClientTls};
use serde::{Deserialize, Serialize};

use crate::files::{self, FileError};
use crate::paths::Paths;
use crate::state_file;

/// A login of this user in a lab.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StoredLogin {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    /// The name of the lab for clients, made from its id.
    pub(crate) lab: String,
    /// The end of the certificate's time.
    pub(crate) until: Timestamp,
    /// The login's folder.
    #[serde(skip)]
    folder: PathBuf,
}

/// The secrets of a new login.
pub(super) struct LoginFiles {
    pub(super) authority: String,
    pub(super) certificate: String,
    pub(super) key: String,
    pub(super) token: String,
}

impl StoredLogin {
    pub(super) fn new(
        paths: &Paths,
        (host, port): (&str, u16),
        user: String,
        lab: String,
        until: Timestamp,
    ) -> Self {
        let folder = paths.login(host, port);
        StoredLogin { host: host.to_owned(), port, user, lab, until, folder }
    }

    /// Stores the login with its files; an earlier one in this lab is replaced.
    ///
    /// # Errors
    /// A file cannot be written.
    pub(super) fn store(&self, login: &LoginFiles) -> Result<(), FileError> {
        let failed = |source| FileError { operation: "make", path: self.folder.clone(), source };
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder);
        made.map_err(failed)?;
        let facts = serde_json::to_vec_pretty(self).unwrap_or_default();
        for (file, content) in [
            (self.authority(), login.authority.as_bytes()),
            (self.certificate(), login.certificate.as_bytes()),
            (self.key(), login.key.as_bytes()),
            (self.token_file(), login.token.as_bytes()),
            // The last one: a folder without it is no login.
            (self.folder.join("login.json"), &facts),
        ] {
            files::replace_private(&file, content)?;
        }
        Ok(())
    }

    /// The logins of this user. A folder that cannot be read is left out.
    pub(crate) fn all(paths: &Paths) -> Vec<StoredLogin> {
        let folders = fs::read_dir(paths.logins()).into_iter().flatten().flatten();
        let read = |folder: PathBuf| {
            let login = state_file::peek::<StoredLogin>(&folder.join("login.json")).ok()??;
            Some(StoredLogin { folder, ..login })
        };
        let mut all: Vec<_> = folders.filter_map(|entry| read(entry.path())).collect();
        all.sort_by(|a, b| (&a.host, a.port).cmp(&(&b.host, b.port)));
        all
    }

    /// The login in the lab of this host, by its name or by an address.
    pub(crate) fn for_host(paths: &Paths, host: &str) -> Option<StoredLogin> {
        let addresses = |host: &str| -> Vec<IpAddr> {
            let found = (bare(host), 0).to_socket_addrs().into_iter().flatten();
            found.map(|address| address.ip().to_canonical()).collect()
        };
        let all = Self::all(paths);
        // Names are resolved only where there is a login at all.
        let here = if all.is_empty() { Vec::new() } else { addresses(host) };
        all.into_iter().find(|login| {
            bare(&login.host).eq_ignore_ascii_case(bare(host))
                || addresses(&login.host).iter().any(|address| here.contains(address))
        })
    }

    /// As clients show it; `None` where a file cannot be used.
    pub(crate) fn client(&self) -> Option<ClientLogin> {
        let files = CertificateFiles {
            certificate: self.certificate(),
            key: Some(self.key()),
            password: None,
        };
        let tls = ClientTls::with_identity(&self.authority(), &files).ok()?;
        Some(ClientLogin::new(tls, self.token()?))
    }

    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.join("authority.pem")
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.join("certificate.pem")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.folder.join("key.pem")
    }

    pub(crate) fn token_file(&self) -> PathBuf {
        self.folder.join("token")
    }

    /// The token.
    fn token(&self) -> Option<String> {
        let token = crate::open::read_text(&self.token_file()).ok()?;
        Some(token.trim().to_owned()).filter(|token| !token.is_empty())
    }
}

/// A host without the brackets of an address of IPv6.
fn bare(host: &str) -> &str {
    host.trim_matches(['[', ']'])
}
