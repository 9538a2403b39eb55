//! TLS of this lab's ports, from both sides: the keys `ssl*` of an entry as `remote` takes them.
//!
//! | whom a client of this lab's own programs calls | TLS |
//! |---|---|
//! | a nameserver or daemon of this lab | where its port takes TLS only |
//! | a nameserver of the configuration on another host | where its entry says `ssl: true` |
//! | another lab (`labs`) | where its entry says `ssl: true` |
//! | anything else | as the environment says: `PYRO_SSL` and its companions, as with Pyro5 |
//!
//! Programs of the lab's owner can read the certificate and key of each of the lab's ports, and
//! show that certificate where one is required. They trust the configured certificate, and the one
//! that the port shows while it has not taken that up.

mod port_certificate;

use std::path::{Path, PathBuf};

use lab_config::{Nameserver, OtherLab, Secret, TlsKeys, TlsMode};
use outbound::tls_of_the_system;
use remote::{AcceptedClients, CertificateFiles, ClientTls, ServerTls};

use crate::authority::{AuthorityFiles, host_names};

pub(crate) use port_certificate::{CertificateStanding, PortTls, follow};

/// TLS of a port; `None` where it takes none. `hosts` are the names that its configuration gives to
/// this host, for a certificate of the lab's authority.
///
/// # Errors
/// A certificate or key cannot be used; the text names the entry and the file.
pub(crate) fn of_port(
    keys: TlsKeys<'_>,
    authority: &AuthorityFiles,
    hosts: &[String],
) -> Result<Option<PortTls>, String> {
    load(keys, authority, hosts, true)
}

/// TLS of the page's port. Browsers are asked for a certificate only where they must show one: they
/// would ask people which.
///
/// # Errors
/// As [`of_port`].
pub(crate) fn of_page(
    keys: TlsKeys<'_>,
    authority: &AuthorityFiles,
    hosts: &[String],
) -> Result<Option<PortTls>, String> {
    load(keys, authority, hosts, keys.requireclientcert)
}

fn load(
    keys: TlsKeys<'_>,
    authority: &AuthorityFiles,
    hosts: &[String],
    asks_clients: bool,
) -> Result<Option<PortTls>, String> {
    if keys.mode == TlsMode::Off {
        return Ok(None);
    }
    let failed = |error: &dyn std::fmt::Display| {
        format!("{} '{}' cannot use TLS: {error}", keys.kind, keys.name)
    };
    // Where it certifies clients, the lab's own programs can show the host's certificate.
    let has_host_certificate =
        keys.servercert.is_none() || (keys.requireclientcert && keys.cacerts.is_none());
    if has_host_certificate {
        authority.prepare_host(&host_names(hosts)).map_err(|error| failed(&error))?;
    }
    let accepted: Vec<PathBuf> = match keys.cacerts {
        Some(path) => vec![path.to_path_buf()],
        None => Some(authority.certificate()).filter(|_| authority.exist()).into_iter().collect(),
    };
    let clients = match (keys.requireclientcert, accepted.as_slice()) {
        (true, accepted) => AcceptedClients::Certified(accepted),
        (false, []) => AcceptedClients::All,
        (false, _) if !asks_clients => AcceptedClients::All,
        (false, accepted) => AcceptedClients::Named(accepted),
    };
    let loaded = ServerTls::load_for(&own_certificate(keys, authority), clients);
    let tls = loaded.map_err(|error| failed(&error))?;
    let tls = if keys.mode == TlsMode::Offered { tls.beside_plain() } else { tls };
    let renewal = has_host_certificate.then(|| (authority.clone(), hosts.to_vec()));
    let shown = keys.servercert.map(|_| authority.shown(keys.kind, keys.name));
    Ok(Some(PortTls { tls, renewal, shown }))
}

/// TLS for a port of this lab, on this host, that programs of its owner call; `None` where plain
/// connections are taken.
///
/// # Errors
/// A certificate or key cannot be used; the text names the file.
pub(crate) fn to_own_port(
    keys: TlsKeys<'_>,
    authority: &AuthorityFiles,
) -> Result<Option<ClientTls>, String> {
    if keys.mode != TlsMode::Required {
        return Ok(None);
    }
    let trusted = match keys.servercert {
        None => vec![authority.certificate()],
        Some(configured) => {
            vec![configured.to_path_buf(), authority.shown(keys.kind, keys.name)]
        }
    };
    let own = keys.requireclientcert.then(|| own_certificate(keys, authority));
    let loaded = ClientTls::trusting_any(&trusted, own.as_ref());
    if !keys.requireclientcert
        || keys.cacerts.is_some()
        || loaded.is_ok() && is_shown(keys, authority)
    {
        return loaded.map(Some).map_err(|error| error.to_string());
    }
    // The port has not taken the configured certificate up; that of the host it accepts as well.
    let of_host = ClientTls::trusting_any(&trusted, Some(&of_the_host(authority)));
    of_host.or(loaded).map(Some).map_err(|error| error.to_string())
}

/// Whether a port shows the certificate that is configured for it, as far as it has noted one.
fn is_shown(keys: TlsKeys<'_>, authority: &AuthorityFiles) -> bool {
    let Some(configured) = keys.servercert else { return true };
    let Ok(noted) = remote::read_certificate(&authority.shown(keys.kind, keys.name)) else {
        return true;
    };
    remote::read_certificate(configured).is_ok_and(|it| it.sha256 == noted.sha256)
}

/// TLS for a nameserver of the configuration. `daemon` are the keys of the daemon that registers
/// there, if one does.
///
/// # Errors
/// A certificate or key cannot be used; the text names the file.
pub(crate) fn to_nameserver(
    nameserver: &Nameserver,
    daemon: Option<TlsKeys<'_>>,
    authority: &AuthorityFiles,
) -> Result<Option<ClientTls>, String> {
    let keys = nameserver.tls();
    if nameserver.host.is_this_host() {
        return to_own_port(keys, authority);
    }
    if keys.mode != TlsMode::Required {
        return Ok(None);
    }
    let configured = nameserver.ssl_clientcert.as_ref().map(|certificate| CertificateFiles {
        certificate: certificate.clone(),
        key: nameserver.ssl_clientkey.clone(),
        password: None,
    });
    let has_tls = |keys: &TlsKeys<'_>| keys.mode != TlsMode::Off;
    let own = configured
        .or_else(|| daemon.filter(has_tls).map(|keys| own_certificate(keys, authority)))
        .or_else(|| authority.host().is_file().then(|| of_the_host(authority)));
    let loaded = match keys.cacerts {
        Some(path) => ClientTls::load(path, own.as_ref()),
        None if authority.exist() => ClientTls::load(&authority.certificate(), own.as_ref()),
        None => tls_of_the_system(own.as_ref()),
    };
    loaded.map(Some).map_err(|error| error.to_string())
}

/// TLS for another lab. `authorities` are those of this user's logins on its host, and `login` is
/// the certificate of the one there.
///
/// # Errors
/// A variable, a certificate or key cannot be used; the text names it.
pub(crate) fn to_lab(
    lab: &OtherLab,
    authorities: &[PathBuf],
    login: Option<CertificateFiles>,
) -> Result<Option<ClientTls>, String> {
    if !lab.ssl {
        return of_environment();
    }
    let configured = lab.ssl_clientcert.as_ref().map(|certificate| CertificateFiles {
        certificate: certificate.clone(),
        key: lab.ssl_clientkey.clone(),
        password: None,
    });
    let own = configured.or(login);
    let loaded = match &lab.ssl_cacerts {
        Some(path) => ClientTls::load(path, own.as_ref()),
        None if authorities.is_empty() => tls_of_the_system(own.as_ref()),
        None => ClientTls::trusting_any(authorities, own.as_ref()),
    };
    loaded.map(Some).map_err(|error| error.to_string())
}

/// TLS of a command for a port of this lab: as the environment says, if the port takes TLS.
///
/// # Errors
/// A variable, a certificate or a key cannot be used; the text names it.
pub(crate) fn for_command(
    keys: TlsKeys<'_>,
    authority: &AuthorityFiles,
) -> Result<Option<ClientTls>, String> {
    if keys.mode == TlsMode::Off {
        return Ok(None);
    }
    match of_environment()? {
        Some(tls) => Ok(Some(tls)),
        None => to_own_port(keys, authority),
    }
}

/// TLS of a command for a nameserver of the configuration.
///
/// # Errors
/// As [`for_command`].
pub(crate) fn for_command_to_nameserver(
    nameserver: &Nameserver,
    authority: &AuthorityFiles,
) -> Result<Option<ClientTls>, String> {
    if nameserver.host.is_this_host() {
        return for_command(nameserver.tls(), authority);
    }
    match nameserver.ssl {
        TlsMode::Required => to_nameserver(nameserver, None, authority),
        TlsMode::Off | TlsMode::Offered => of_environment(),
    }
}

/// TLS for servers that the configuration does not know, as Pyro5's settings in the environment
/// say: `PYRO_SSL`, `PYRO_SSL_CACERTS`, `PYRO_SSL_CLIENTCERT`, `PYRO_SSL_CLIENTKEY` and
/// `PYRO_SSL_CLIENTKEYPASSWD`.
///
/// # Errors
/// A variable or a file cannot be used; the text names it.
pub(crate) fn of_environment() -> Result<Option<ClientTls>, String> {
    from_variables(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}

fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Option<ClientTls>, String> {
    let is_on = match variable("PYRO_SSL").map(|value| value.to_lowercase()).as_deref() {
        None | Some("0" | "off" | "no" | "false") => false,
        Some("1" | "on" | "yes" | "true") => true,
        Some(other) => {
            return Err(format!("the variable PYRO_SSL is true or false, and not '{other}'"));
        }
    };
    if !is_on {
        return Ok(None);
    }
    let own = variable("PYRO_SSL_CLIENTCERT").map(|certificate| CertificateFiles {
        certificate: certificate.into(),
        key: variable("PYRO_SSL_CLIENTKEY").map(PathBuf::from),
        password: variable("PYRO_SSL_CLIENTKEYPASSWD"),
    });
    let loaded = match variable("PYRO_SSL_CACERTS") {
        Some(path) => ClientTls::load(Path::new(&path), own.as_ref()),
        None => tls_of_the_system(own.as_ref()),
    };
    loaded.map(Some).map_err(|error| format!("with the variables PYRO_SSL_*: {error}"))
}

/// The certificate and key of a port.
fn own_certificate(keys: TlsKeys<'_>, authority: &AuthorityFiles) -> CertificateFiles {
    match keys.servercert {
        Some(certificate) => CertificateFiles {
            certificate: certificate.to_path_buf(),
            key: keys.serverkey.map(Path::to_path_buf),
            password: keys.serverkeypasswd.map(|Secret(text)| text.clone()),
        },
        None => of_the_host(authority),
    }
}

/// The certificate that the lab's authority has issued for this host.
fn of_the_host(authority: &AuthorityFiles) -> CertificateFiles {
    CertificateFiles { certificate: authority.host(), key: None, password: None }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn the_variables_of_pyro5_decide() {
        let folder = tempfile::tempdir().unwrap();
        let authority = AuthorityFiles::in_folder(folder.path().to_path_buf());
        authority.prepare_host(&["localhost".to_owned()]).unwrap();
        let certificate = authority.certificate().display().to_string();
        let host = authority.host().display().to_string();
        let on = ("PYRO_SSL", "true");
        let cases: [(&[(&str, &str)], Result<bool, &str>); 7] = [
            (&[], Ok(false)),
            (&[("PYRO_SSL", "no"), ("PYRO_SSL_CACERTS", "missing")], Ok(false)),
            (&[("PYRO_SSL", "sure")], Err("PYRO_SSL is true or false, and not 'sure'")),
            (&[("PYRO_SSL", "Yes"), ("PYRO_SSL_CACERTS", &certificate)], Ok(true)),
            (&[on, ("PYRO_SSL_CACERTS", "missing")], Err("missing")),
            (&[on, ("PYRO_SSL_CACERTS", &certificate), ("PYRO_SSL_CLIENTCERT", &host)], Ok(true)),
            (
                &[on, ("PYRO_SSL_CACERTS", &certificate), ("PYRO_SSL_CLIENTCERT", &certificate)],
                Err("no private key"),
            ),
        ];
        for (variables, expected) in cases {
            let variables: HashMap<&str, &str> = variables.iter().copied().collect();
            let found = from_variables(|name| variables.get(name).map(|value| (*value).to_owned()));
            match (found, expected) {
                (Ok(found), Ok(is_on)) => assert_eq!(found.is_some(), is_on, "{variables:?}"),
                (Err(found), Err(words)) => assert!(found.contains(words), "{found}"),
                (found, _) => panic!("{variables:?}: {found:?}"),
            }
        }
    }
}
