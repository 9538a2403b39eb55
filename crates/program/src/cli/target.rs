//! Servers that commands call: an address with the TLS settings for it.

use std::time::Duration;

use lab_config::TlsKeys;
use miette::{Report, miette};
use remote::{ClientLogin, ClientTls, DAEMON_NAME, Error, Location, NameServer, Proxy, Uri};

use super::paths;
use crate::access::{self, StoredLogin};
use crate::authority::AuthorityFiles;
use crate::labs::LabReader;
use crate::paths::Paths;
use crate::tls;

/// Timeout of a nameserver's answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);

/// An object to call.
#[derive(Clone, Debug)]
pub(super) struct ServiceTarget {
    pub(super) uri: Uri,
    tls: Option<ClientTls>,
    /// A login of this user in the server's lab.
    login: Option<ClientLogin>,
    /// Whether another host has named its address, which must not lead to this one then.
    is_named_elsewhere: bool,
}

impl ServiceTarget {
    /// An object of a server that this lab does not know.
    ///
    /// # Errors
    /// The environment asks for TLS and its files cannot be used.
    pub(super) fn elsewhere(uri: Uri) -> Result<Self, Report> {
        // First, for the environment may show its certificate.
        let login = match &uri {
            Uri::Pyro { location, .. } => login_at(location),
            _ => None,
        };
        let tls = of_environment()?;
        let login = login.filter(|_| tls.is_none());
        Ok(ServiceTarget { uri, tls, login, is_named_elsewhere: false })
    }

    /// An object of a daemon of another lab, which is called as the lab is read. Its address
    /// `is_named_elsewhere` where the lab is on another host.
    pub(super) fn of_lab(uri: Uri, lab: LabReader, is_named_elsewhere: bool) -> Self {
        let (tls, login) = lab.into_keys();
        ServiceTarget { uri, tls, login, is_named_elsewhere }
    }

    /// An object of a daemon of this lab.
    ///
    /// # Errors
    /// The files for TLS cannot be used.
    pub(super) fn of_daemon(uri: Uri, keys: TlsKeys<'_>, paths: &Paths) -> Result<Self, Report> {
        let tls = tls::for_command(keys, &authority(paths)).map_err(unusable)?;
        Ok(ServiceTarget { uri, tls, login: None, is_named_elsewhere: false })
    }

    /// TLS for its server.
    pub(super) fn tls(&self) -> Option<ClientTls> {
        self.tls.clone()
    }

    pub(super) fn proxy(&self) -> Proxy {
        self.proxy_of(self.uri.clone())
    }

    /// The same with an address instead of a name.
    ///
    /// # Errors
    /// As [`remote::resolve`].
    pub(super) async fn resolved(self, timeout: Duration) -> Result<Self, Error> {
        let uri = remote::resolve_with(&self.uri, Some(timeout), self.tls.as_ref()).await?;
        Ok(ServiceTarget { uri, ..self })
    }

    /// A proxy of the daemon itself; of the object, where only its name is known.
    pub(super) fn daemon(&self) -> Proxy {
        self.proxy_of(match &self.uri {
            Uri::Pyro { location, .. } => {
                Uri::Pyro { object: DAEMON_NAME.into(), location: location.clone() }
            }
            other => other.clone(),
        })
    }

    fn proxy_of(&self, uri: Uri) -> Proxy {
        let proxy = Proxy::from(uri);
        let proxy = if self.is_named_elsewhere { proxy.with_other_hosts_only() } else { proxy };
        match (&self.tls, &self.login) {
            (Some(tls), _) => proxy.with_tls(tls.clone()),
            (None, Some(login)) => proxy.with_login(login.clone()),
            (None, None) => proxy,
        }
    }
}

/// A nameserver to ask.
#[derive(Clone, Debug)]
pub(super) struct NameserverTarget {
    /// Its name, or its location.
    pub(super) title: String,
    pub(super) location: Location,
    tls: Option<ClientTls>,
    login: Option<ClientLogin>,
}

impl NameserverTarget {
    /// A nameserver that this lab does not know.
    ///
    /// # Errors
    /// As [`ServiceTarget::elsewhere`].
    pub(super) fn elsewhere(title: String, location: Location) -> Result<Self, Report> {
        let login = login_at(&location);
        let tls = of_environment()?;
        let login = login.filter(|_| tls.is_none());
        Ok(NameserverTarget { title, location, tls, login })
    }

    /// A nameserver of the configuration.
    ///
    /// # Errors
    /// As [`ServiceTarget::of_daemon`].
    pub(super) fn configured(
        entry: &lab_config::Nameserver,
        location: Location,
        paths: &Paths,
    ) -> Result<Self, Report> {
        let login = login_at(&location);
        let tls = tls::for_command_to_nameserver(entry, &authority(paths)).map_err(unusable)?;
        let login = login.filter(|_| tls.is_none());
        Ok(NameserverTarget { title: entry.name.clone(), location, tls, login })
    }

    pub(super) fn client(&self) -> NameServer {
        NameServer::at(self.location.clone(), Some(TIMEOUT))
            .with_tls(self.tls.clone())
            .with_login(self.login.clone())
    }
}

pub(super) fn of_environment() -> Result<Option<ClientTls>, Report> {
    tls::of_environment().map_err(unusable)
}

/// This user's login in the lab of a server; `None` where its files cannot be used. Its certificate
/// is renewed where that is due, also where the variables `PYRO_SSL*` show it.
fn login_at(location: &Location) -> Option<ClientLogin> {
    let Location::Tcp { host, port } = location else { return None };
    let logins = access::logins_for(&paths().ok()?, host, *port);
    for warning in logins.iter().filter_map(StoredLogin::soon_ends) {
        eprintln!("warning: {warning}");
    }
    StoredLogin::client(&logins)
}

fn authority(paths: &Paths) -> AuthorityFiles {
    AuthorityFiles::in_folder(paths.access_folder())
}

fn unusable(error: String) -> Report {
    miette!("cannot use TLS: {error}")
}
