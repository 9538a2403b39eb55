//! Logins of this user in labs: a folder for each, in the configuration folder.
//!
//! | file in `logins/HOST_PORT` (mode 0600) | content |
//! |---|---|
//! | `login.json` | nameserver, user, the lab's name, time of the login, end of the certificate |
//! | `authority.pem` | the certificate of the lab's authority |
//! | `certificate.pem`, `key.pem` | the user's certificate and private key |
//! | `token` | the user's token |
//! | `renewal` | nothing; its time is that of the last attempt to renew the certificate |
//!
//! The Python client reads them too (`python/ferrolab/client/logins.py`).

use std::collections::HashSet;
use std::fs;
use std::net::{IpAddr, ToSocketAddrs};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use jiff::Timestamp;
use remote::{CertificateFiles, ClientLogin, ClientTls};
use serde::{Deserialize, Serialize};

use crate::authority::EXPIRY_WARNING;
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
    /// When the user logged in. A renewal leaves it; earlier versions have not stored it.
    #[serde(default)]
    logged_in: Option<Timestamp>,
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
        let logged_in = Some(Timestamp::now());
        StoredLogin { host: host.to_owned(), port, user, lab, until, logged_in, folder }
    }

    /// Stores the login with its files; an earlier one at this address is replaced.
    ///
    /// # Errors
    /// A file cannot be written.
    pub(super) fn store(&self, login: &LoginFiles) -> Result<(), FileError> {
        let failed = |source| FileError { operation: "make", path: self.folder.clone(), source };
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder);
        made.map_err(failed)?;
        let facts = serde_json::to_vec_pretty(self).map_err(|error| failed(error.into()))?;
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

    /// The logins of all labs of a host, by its name or by an address.
    fn on_host(paths: &Paths, host: &str) -> Vec<StoredLogin> {
        let addresses = |host: &str| -> Vec<IpAddr> {
            let found = (bare(host), 0).to_socket_addrs().into_iter().flatten();
            found.map(|address| address.ip().to_canonical()).collect()
        };
        let all = Self::all(paths);
        // Names are resolved only where there is a login at all.
        let here = if all.is_empty() { Vec::new() } else { addresses(host) };
        let of_host = all.into_iter().filter(|login| {
            bare(&login.host).eq_ignore_ascii_case(bare(host))
                || addresses(&login.host).iter().any(|address| here.contains(address))
        });
        of_host.collect()
    }

    /// The logins that may count at a server, one in each lab: that of the lab whose nameserver has
    /// this very address; else those of all labs of the host. Several labs may be on one host, and
    /// a daemon's port does not say of which it is.
    pub(super) fn for_server(paths: &Paths, host: &str, port: u16) -> Vec<StoredLogin> {
        let mut found = Self::on_host(paths, host);
        if found.iter().any(|login| login.port == port) {
            found.retain(|login| login.port == port);
        }
        latest_of_each_lab(found)
    }

    /// As clients show one of these logins: with TLS the first whose authority has certified the
    /// server. A token goes to a server without TLS only where there is [one
    /// login](Self::only_one): it would be the other lab's to read. `None` where no login can be
    /// used.
    pub(crate) fn client(logins: &[StoredLogin]) -> Option<ClientLogin> {
        let tls =
            |login: &StoredLogin| ClientTls::with_identity(&login.authority(), &login.files()).ok();
        let token = Self::only_one(logins).and_then(StoredLogin::token);
        ClientLogin::new(logins.iter().filter_map(tls), token)
    }

    /// The only one of these logins, or the only one that has not expired; `None` where several may
    /// be meant.
    pub(crate) fn only_one(logins: &[StoredLogin]) -> Option<&StoredLogin> {
        let now = Timestamp::now();
        let mut lasting = logins.iter().filter(|login| login.until > now);
        match (logins, lasting.next(), lasting.next()) {
            ([only], ..) | (_, Some(only), None) => Some(only),
            _ => None,
        }
    }

    /// Certificate and key.
    pub(crate) fn files(&self) -> CertificateFiles {
        CertificateFiles { certificate: self.certificate(), key: Some(self.key()), password: None }
    }

    /// Stores another certificate for the same key.
    ///
    /// # Errors
    /// It is not for this key, or a file cannot be written; the one before stays.
    pub(super) fn replace_certificate(
        &self,
        certificate: &str,
        until: Timestamp,
    ) -> Result<(), String> {
        let failed = |error: &dyn std::fmt::Display| error.to_string();
        let facts = serde_json::to_vec_pretty(&StoredLogin { until, ..self.clone() });
        let facts = facts.map_err(|error| failed(&error))?;
        let new = self.folder.join("certificate.pem.new");
        files::replace_private(&new, certificate.as_bytes()).map_err(|error| failed(&error))?;
        let files = CertificateFiles { certificate: new.clone(), ..self.files() };
        let fits = ClientTls::with_identity(&self.authority(), &files);
        let _ = fs::remove_file(new);
        fits.map_err(|error| failed(&error))?;
        files::replace_private(&self.certificate(), certificate.as_bytes())
            .map_err(|error| failed(&error))?;
        files::replace_private(&self.folder.join("login.json"), &facts)
            .map_err(|error| failed(&error))
    }

    /// Warning of a certificate that ends within a week and could not be renewed.
    pub(crate) fn soon_ends(&self) -> Option<String> {
        let StoredLogin { host, port, until, .. } = self;
        let text = format!(
            "the certificate of your login at {host}:{port} ends on {}, and could not be renewed: \
             `ferrolab login {host}:{port}` says why",
            until.strftime("%Y-%m-%d")
        );
        (until.duration_since(Timestamp::now()) < EXPIRY_WARNING).then_some(text)
    }

    /// The file whose time is that of the last attempt to renew.
    pub(super) fn attempt_file(&self) -> PathBuf {
        self.folder.join("renewal")
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
    pub(super) fn token(&self) -> Option<String> {
        let token = crate::open::read_text(&self.token_file()).ok()?;
        Some(token.trim().to_owned()).filter(|token| !token.is_empty())
    }
}

/// The latest login in each lab, of any user: a lab may have two names, or two nameservers. Its
/// name is only its word, so that one with another authority is another lab.
fn latest_of_each_lab(mut logins: Vec<StoredLogin>) -> Vec<StoredLogin> {
    logins.sort_by_key(|login| std::cmp::Reverse((login.logged_in, login.until)));
    let mut found = HashSet::new();
    logins.retain(|login| {
        let authority = crate::open::read_regular(&login.authority()).unwrap_or_default();
        found.insert((login.lab.clone(), authority))
    });
    logins
}

/// A host without the brackets of an address of IPv6.
fn bare(host: &str) -> &str {
    host.trim_matches(['[', ']'])
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::paths::Environment;

    #[test]
    fn one_login_of_each_lab_counts_at_a_server() {
        let home = tempfile::tempdir().unwrap();
        let current = Environment::current();
        let environment = Environment { home: Some(home.path().to_path_buf()), ..current };
        let paths = Paths::new(&environment).unwrap();
        // As earlier versions have stored them, where there is no hour of the login.
        let store_as = |user: &str,
                        authority: &str,
                        (host, port, lab): (&str, u16, &str),
                        hour: Option<i64>,
                        days: i64| {
            let until = Timestamp::now() + SignedDuration::from_hours(24 * days);
            let login =
                StoredLogin::new(&paths, (host, port), user.to_owned(), lab.to_owned(), until);
            let logged_in = hour.map(|hour| Timestamp::from_second(hour * 3600).unwrap());
            let (authority, text) = (authority.to_owned(), String::new);
            let (certificate, key, token) = (text(), text(), text());
            let files = LoginFiles { authority, certificate, key, token };
            StoredLogin { logged_in, ..login }.store(&files).unwrap();
        };
        let store = |place, days| store_as("ada", "authority", place, None, days);
        let found = |host: &str, port: u16| -> Vec<(String, u16)> {
            let found = StoredLogin::for_server(&paths, host, port).into_iter();
            found.map(|login| (login.host, login.port)).collect()
        };
        let of = |host: &str, port: u16| (host.to_owned(), port);
        store(("localhost", 9090, "a"), 80);
        store(("127.0.0.1", 9090, "a"), 90);
        store(("127.0.0.1", 9091, "a"), 85);
        for (port, counts) in [(9090, 9090), (9091, 9091), (7, 9090)] {
            assert_eq!(found("localhost", port), [of("127.0.0.1", counts)], "{port}");
        }
        store(("localhost", 9092, "b"), 1);
        let both = [of("127.0.0.1", 9090), of("localhost", 9092)];
        assert_eq!(found("localhost", 7), both, "two labs");
        // Another host may be reached where this one is not.
        store(("192.0.2.1", 9090, "a"), 80);
        assert_eq!(found("localhost", 7), both, "of another host");
        store_as("ada", "another", ("localhost", 9094, "a"), None, 60);
        let all = [both[0].clone(), of("localhost", 9094), both[1].clone()];
        assert_eq!(found("localhost", 7), all, "of one that says it is the lab");
        // The latest login counts, of whichever user, also after a renewal of one before.
        store_as("bob", "authority", ("localhost", 9093, "a"), Some(1), 70);
        store_as("ada", "authority", ("127.0.0.1", 9090, "a"), Some(0), 95);
        let all = [of("localhost", 9093), all[1].clone(), all[2].clone()];
        assert_eq!(found("localhost", 7), all, "of another user");
        assert_eq!(StoredLogin::all(&paths).len(), 7, "none was removed");
        // Leftovers of other labs that have expired make nobody doubt which login is meant.
        let only = || {
            let logins = StoredLogin::for_server(&paths, "localhost", 7);
            StoredLogin::only_one(&logins).map(|login| login.port)
        };
        assert_eq!(only(), None, "three labs");
        store_as("ada", "another", ("localhost", 9094, "a"), None, -1);
        store(("localhost", 9092, "b"), -100);
        assert_eq!(only(), Some(9093));
        store_as("bob", "authority", ("localhost", 9093, "a"), Some(1), -1);
        assert_eq!(only(), None, "all have expired");
        for port in [9092, 9094] {
            fs::remove_dir_all(paths.login("localhost", port)).unwrap();
        }
        assert_eq!(only(), Some(9093), "the token renews it");
    }
}
