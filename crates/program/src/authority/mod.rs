//! The lab's certificate authority: issues certificates for this host's ports, and for clients.
//!
//! | file in `state/access` | content |
//! |---|---|
//! | `ca.pem` | the authority's certificate, which clients trust |
//! | `ca.key` | its private key (mode 0600) |
//! | `host.pem` | certificate and key of this host's nameservers and daemons (mode 0600) |
//! | `authority.lock` | locked by the process that makes one of them |
//! | `shown/KIND-NAME.pem` | the configured certificate that this port shows now |
//!
//! The authority is made when it is first needed. Processes of one lab start side by side, so each
//! step is done under the lock; a step that was interrupted is done again.

mod names;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp, ToSpan, civil, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber, date_time_ymd,
};
use serde::{Deserialize, Serialize};

use crate::files::{self, FileError};
use crate::paths::file_name;
use crate::{open, os};

pub(crate) use names::host_names;

/// Time before its end in which a certificate is warned of, whatever it is for: seven days.
pub(crate) const EXPIRY_WARNING: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Days for which the authority is valid: ten years.
const AUTHORITY_DAYS: i32 = 3650;
/// Days for which a host's certificate is valid. Some systems accept 825 at most.
const HOST_DAYS: i32 = 800;
/// A host's certificate is issued anew at a start when it is valid for less than 60 days.
const RENEWED_WITHIN: Duration = Duration::from_secs(60 * 24 * 3600);
/// How long the lock is waited for.
const LOCK_TIMEOUT: Duration = Duration::from_secs(20);
/// Names of one certificate; addresses that come and go would add up.
const MAX_NAMES: usize = 100;
/// Characters of a common name, as X.509 has it.
const MAX_COMMON_NAME: usize = 64;

/// Where the authority's files are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct AuthorityFiles {
    folder: PathBuf,
}

/// Why the authority cannot be used, or cannot issue a certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthorityError {
    #[error("{failed}: {}", .failed.source)]
    File {
        #[from]
        failed: FileError,
    },
    #[error("{}: {problem}", .path.display())]
    Unusable { path: PathBuf, problem: String },
    #[error("cannot issue a certificate: {0}")]
    Issue(#[from] rcgen::Error),
}

/// The subject of a certificate.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Subject<'a> {
    /// A host, with every name and address at which clients reach it. It may be a client too: its
    /// daemons register at nameservers.
    Host { name: &'a str, names: &'a [String] },
    /// A person or a program.
    Client { name: &'a str },
}

/// A certificate with its private key, in PEM.
#[derive(Debug)]
pub(crate) struct Issued {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// The authority, open to issue certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
}

impl AuthorityFiles {
    /// The files in this folder.
    pub(crate) fn in_folder(folder: PathBuf) -> Self {
        AuthorityFiles { folder }
    }

    /// The authority's certificate.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// Certificate and key of this host.
    pub(crate) fn host(&self) -> PathBuf {
        self.folder.join("host.pem")
    }

    /// The note of the certificate that a port shows, by the kind and the name of its entry.
    pub(crate) fn shown(&self, kind: &str, name: &str) -> PathBuf {
        self.folder.join("shown").join(format!("{kind}-{}.pem", file_name(name)))
    }

    /// Whether the authority has been made.
    pub(crate) fn exist(&self) -> bool {
        self.certificate().is_file()
    }

    /// The authority's certificate, in PEM.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn read_certificate(&self) -> Result<Vec<u8>, AuthorityError> {
        let path = self.certificate();
        let read = open::read_regular(&path);
        Ok(read.map_err(|source| FileError { operation: "read", path, source })?)
    }

    fn key(&self) -> PathBuf {
        self.folder.join("ca.key")
    }

    fn lock(&self) -> Result<std::fs::File, AuthorityError> {
        let made = std::fs::create_dir_all(&self.folder)
            .and_then(|()| close_folder_to_others(&self.folder));
        made.map_err(|source| FileError { operation: "make", path: self.folder.clone(), source })?;
        Ok(files::lock(&self.folder.join("authority.lock"), LOCK_TIMEOUT)?)
    }

    /// Opens the authority; makes it at the first time.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub(crate) fn open(&self) -> Result<Authority, AuthorityError> {
        let _lock = self.lock()?;
        self.open_locked()
    }

    /// Has a certificate for this host with all of these names, which is valid for a while: the one
    /// there, or a new one.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(crate) fn prepare_host(&self, names: &[String]) -> Result<(), AuthorityError> {
        let _lock = self.lock()?;
        let authority = self.open_locked()?;
        let (known, expires) = match remote::read_certificate(&self.host()) {
            Ok(host) => (host.names, Some(host.expires)),
            Err(_) => (Vec::new(), None),
        };
        let wanted = limit_names(names, &known);
        let lasts = expires.is_some_and(|it| it > SystemTime::now() + RENEWED_WITHIN);
        if lasts && wanted.iter().all(|name| known.contains(name)) {
            return Ok(());
        }
        let name = os::host_name();
        let Issued { certificate, key } =
            authority.issue_with_key(Subject::Host { name: &name, names: &wanted }, HOST_DAYS)?;
        files::replace_private(&self.host(), format!("{certificate}{key}").as_bytes())?;
        Ok(())
    }

    fn open_locked(&self) -> Result<Authority, AuthorityError> {
        let key = match open::read_text(&self.key()) {
            Ok(text) => KeyPair::from_pem(&text).map_err(|error| AuthorityError::Unusable {
                path: self.key(),
                problem: format!("it is no private key: {error}"),
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let key = KeyPair::generate()?;
                files::replace_private(&self.key(), key.serialize_pem().as_bytes())?;
                // The authority of a key that is lost has issued nothing that can be trusted.
                for file in [self.certificate(), self.host()] {
                    let _ = std::fs::remove_file(file);
                }
                key
            }
            Err(source) => {
                return Err(FileError { operation: "read", path: self.key(), source }.into());
            }
        };
        let name = match self.exist() {
            true => {
                let facts = remote::read_certificate(&self.certificate()).map_err(|error| {
                    let problem = error.to_string();
                    AuthorityError::Unusable { path: self.certificate(), problem }
                })?;
                facts.common_name.unwrap_or_default()
            }
            false => {
                let mark = uuid::Uuid::new_v4().simple().to_string();
                let mark = mark.get(..6).unwrap_or_default();
                format!("Ferrolab authority {mark} of {}", os::host_name())
            }
        };
        let params = authority_params(&name);
        if !self.exist() {
            let certificate = params.self_signed(&key)?.pem();
            files::replace(&self.certificate(), certificate.as_bytes())?;
        }
        Ok(Authority { issuer: Issuer::new(params, key) })
    }
}

impl Authority {
    /// Issues a certificate for the key of its subject, in PEM.
    ///
    /// # Errors
    /// The name, or the key, cannot be in a certificate.
    pub(crate) fn issue(
        &self,
        subject: Subject<'_>,
        days: i32,
        key: &impl PublicKeyData,
    ) -> Result<String, AuthorityError> {
        let (name, names) = match subject {
            Subject::Host { name, names } => (name, names),
            Subject::Client { name } => (name, &[][..]),
        };
        let mut params = valid_for(days);
        params.distinguished_name = common_name(name);
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = match subject {
            Subject::Host { .. } => {
                vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth]
            }
            Subject::Client { .. } => vec![ExtendedKeyUsagePurpose::ClientAuth],
        };
        for name in names {
            params.subject_alt_names.push(match name.parse() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(name.as_str().try_into()?),
            });
        }
        Ok(params.signed_by(key, &self.issuer)?.pem())
    }

    /// Makes a key, and issues a certificate for it.
    ///
    /// # Errors
    /// As [`issue`](Self::issue).
    pub(crate) fn issue_with_key(
        &self,
        subject: Subject<'_>,
        days: i32,
    ) -> Result<Issued, AuthorityError> {
        let key = KeyPair::generate()?;
        let certificate = self.issue(subject, days, &key)?;
        Ok(Issued { certificate, key: key.serialize_pem() })
    }
}

/// The names of a host's certificate: those that the host has and, of the certificate before, those
/// that are `known`; as many as there may be. Addresses come and go, and names are given by
/// somebody, so that addresses are left out first: those that the host had once, then those that it
/// has. Of a host with too many addresses the known ones stay: its certificate does not change with
/// their order.
fn limit_names(names: &[String], known: &[String]) -> Vec<String> {
    let more = known.iter().filter(|name| !names.contains(name));
    let mut wanted: Vec<String> = names.iter().chain(more).cloned().collect();
    wanted.sort_by_cached_key(|name| {
        let is_address = name.parse::<IpAddr>().is_ok();
        (is_address, !names.contains(name), !known.contains(name))
    });
    wanted.truncate(MAX_NAMES);
    wanted
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = valid_for(AUTHORITY_DAYS);
    params.distinguished_name = common_name(name);
    // It issues no further authorities.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// A certificate that is valid from yesterday, since clocks differ, for so many days.
fn valid_for(days: i32) -> CertificateParams {
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let mut params = CertificateParams::default();
    let at = |date: civil::Date| {
        let (month, day) = (date.month().unsigned_abs(), date.day().unsigned_abs());
        date_time_ymd(date.year().into(), month, day)
    };
    params.not_before = at(today.saturating_sub(1.days()));
    // The day after the last one begins when it ends.
    params.not_after = at(today.saturating_add((days + 1).days()));
    let serial = uuid::Uuid::new_v4().into_bytes();
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params
}

fn common_name(name: &str) -> DistinguishedName {
    let name: String = name.chars().take(MAX_COMMON_NAME).collect();
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
}

fn close_folder_to_others(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))
}

#[cfg(test)]
mod tests {
    mod wrong_certificates;

    use std::os::unix::fs::PermissionsExt;

    use remote::{AcceptedClients, CertificateFiles, ClientTls, ServerTls};

    use super::*;

    fn files() -> (tempfile::TempDir, AuthorityFiles) {
        let folder = tempfile::tempdir().unwrap();
        let files = AuthorityFiles::in_folder(folder.path().join("access"));
        (folder, files)
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_host_has_one_certificate_with_all_names() {
        let (_folder, files) = files();
        files.prepare_host(&names(&["localhost", "127.0.0.1"])).unwrap();
        let read = |path: &Path| remote::read_certificate(path).unwrap();
        let (authority, first) = (read(&files.certificate()), read(&files.host()));
        assert_eq!(first.names, ["localhost", "127.0.0.1"]);
        files.prepare_host(&names(&["127.0.0.1"])).unwrap();
        assert_eq!(read(&files.host()), first, "it has the names");
        files.prepare_host(&names(&["lab.example", "::1"])).unwrap();
        let second = read(&files.host());
        assert_eq!(second.names, ["lab.example", "localhost", "::1", "127.0.0.1"]);
        assert_eq!(read(&files.certificate()), authority, "the authority stays");
        for file in [files.key(), files.host()] {
            let mode = std::fs::metadata(&file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", file.display());
        }
    }

    #[test]
    fn names_that_were_given_stay_however_many_addresses_come_and_go() {
        let (_folder, files) = files();
        let at = |network: usize, many: usize| -> Vec<String> {
            let addresses = (0..many).map(|host| format!("10.0.{network}.{host}"));
            std::iter::once("localhost".to_owned()).chain(addresses).collect()
        };
        let issued = || remote::read_certificate(&files.host()).unwrap();
        files.prepare_host(&at(0, 60)).unwrap();
        files.prepare_host(&names(&["lab.example.edu"])).unwrap();
        for network in 1..4 {
            files.prepare_host(&at(network, 60)).unwrap();
            let found = issued().names;
            assert!(found.len() == MAX_NAMES && found.contains(&"lab.example.edu".to_owned()));
            assert!(at(network, 60).iter().all(|name| found.contains(name)), "{found:?}");
        }
        // More addresses than a certificate has: it is not issued anew each time.
        files.prepare_host(&at(5, 150)).unwrap();
        let first = issued();
        // The system lists them in another order.
        let mut reversed = at(5, 150);
        reversed.reverse();
        files.prepare_host(&reversed).unwrap();
        assert_eq!(issued().sha256, first.sha256);
        assert!(first.names.contains(&"lab.example.edu".to_owned()));
    }

    #[test]
    fn an_interrupted_beginning_is_completed() {
        let (_folder, files) = files();
        files.prepare_host(&names(&["localhost"])).unwrap();
        std::fs::remove_file(files.certificate()).unwrap();
        files.open().unwrap();
        assert!(files.exist());
        std::fs::remove_file(files.key()).unwrap();
        files.prepare_host(&names(&["localhost"])).unwrap();
        std::fs::remove_file(files.host()).unwrap();
        files.prepare_host(&names(&["localhost"])).unwrap();
        crate::files::replace(&files.key(), b"nonsense").unwrap();
        let error = files.open().err().unwrap().to_string();
        assert!(error.contains("ca.key: it is no private key"), "{error}");
    }

    /// A client with a certificate of the authority and a host of it trust each other.
    #[tokio::test]
    async fn its_certificates_are_accepted() {
        let (folder, files) = files();
        files.prepare_host(&names(&["localhost"])).unwrap();
        let authority = files.open().unwrap();
        let ada = authority.issue_with_key(Subject::Client { name: "ada" }, 2).unwrap();
        let ada_file = folder.path().join("ada.pem");
        crate::files::replace(&ada_file, (ada.certificate + &ada.key).as_bytes()).unwrap();
        let file =
            |certificate: PathBuf| CertificateFiles { certificate, key: None, password: None };
        let accepted = [files.certificate()];
        let tls = ServerTls::load_for(&file(files.host()), AcceptedClients::Certified(&accepted));
        let config = remote::DaemonConfig { tls: Some(tls.unwrap()), ..Default::default() };
        let daemon = remote::Daemon::new(config).with_validator(|handshake| {
            let name = handshake.certificate.and_then(|certificate| certificate.common_name());
            Box::pin(std::future::ready(Ok(remote::Welcome {
                response: name.into(),
                annotations: remote::Annotations::new(),
            })))
        });
        let listener = remote::Listener::bind_tcp("localhost", 0).await.unwrap();
        let uri = daemon.uri_for(remote::DAEMON_NAME, &listener).to_string();
        tokio::spawn(daemon.serve(listener, tokio_util::sync::CancellationToken::new()));
        let proxy = |tls| remote::Proxy::new(&uri).unwrap().with_tls(tls);
        let trusted = files.certificate();
        let tls = ClientTls::with_identity(&trusted, &file(ada_file)).unwrap();
        let mut named = proxy(tls).with_handshake_check(|name| match name.as_str() {
            Some("ada") => Ok(()),
            _ => Err(format!("{name} is not ada")),
        });
        named.ping().await.unwrap();
        let error = proxy(ClientTls::trusting(&trusted).unwrap()).ping().await.unwrap_err();
        assert!(error.to_string().contains("PYRO_SSL_CLIENTCERT"), "{error}");
    }
}
