//! The web process: the lab in a browser, and the same as an HTTP API.
//!
//! A client of the daemons and of the supervisor's control socket, like the command line: nothing
//! depends on it. The only room that serves HTTP.

mod alarms;
mod body;
mod calls;
mod files;
mod gateway;
mod guard;
mod held;
mod history;
mod https;
mod lab;
mod layers;
mod locks;
mod login;
mod logs;
mod openapi;
mod probe;
mod problem;
mod proxies;
mod results;
mod router;
mod scrape;
mod server;
mod services;
mod sessions;
mod shared;
mod stalled;
mod stream;
mod values;
mod visibility;

use std::path::PathBuf;
use std::sync::Arc;

use lab_config::{Access, Host, Web};
use serde::{Deserialize, Serialize};
use supervisor::Lifeline;
use tokio::sync::{Semaphore, watch};
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

use crate::access::{self, UserTable};
use crate::audit::{Audit, AuditPlace};
use crate::authority::AuthorityFiles;
use crate::daemon_keys::DaemonKeys;
use crate::host::address::listen_at;
use crate::host::{ChildReport, DaemonMessage, DaemonOrder};
use crate::paths::Paths;
use crate::tls::{self, CertificateStanding};

use guard::Guard;
use https::Https;
pub(crate) use lab::PROCESS_NAME;
use sessions::Sessions;
use shared::Shared;
use visibility::VisibilityRules;

/// Assignment of the web process: one line of JSON on its standard input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct WebAssignment {
    pub(crate) config: Web,
    /// Where it remembers its port.
    pub(crate) state_file: PathBuf,
    /// The supervisor's control socket.
    pub(crate) socket: PathBuf,
    /// The socket at which the supervisor asks whether this process still answers.
    pub(crate) probe_socket: PathBuf,
    /// The socket of the history process, where there is one.
    #[serde(default)]
    pub(crate) history_socket: Option<PathBuf>,
    /// TLS of daemons that take nothing else.
    pub(crate) keys: DaemonKeys,
    /// The folder of the lab's users.
    pub(crate) access_folder: PathBuf,
    /// The host's log,
    pub(crate) log_file: PathBuf,
    /// and the folder of all logs.
    pub(crate) log_dir: PathBuf,
    /// Where this user's logins in other labs are.
    pub(crate) paths: Paths,
    /// Roles of clients; everybody sees everything if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) access: Option<Access>,
    /// Where its audit is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) audit: Option<AuditPlace>,
}

/// Serves the page until the supervisor says stop.
///
/// # Errors
/// What keeps it from serving, in words for a person.
pub(crate) async fn run(assignment: WebAssignment, lifeline: &Lifeline) -> Result<(), String> {
    let WebAssignment {
        config,
        state_file,
        socket,
        probe_socket,
        history_socket,
        keys,
        access_folder,
        log_file,
        log_dir,
        paths,
        access,
        audit,
    } = assignment;
    let named = match &config.host {
        Host::Public => None,
        Host::Named(name) => Some(name.clone()),
    };
    let hosts: Vec<String> = named.into_iter().chain(config.names.iter().cloned()).collect();
    let authority = AuthorityFiles::in_folder(access_folder.clone());
    let port_tls = tls::of_page(config.tls(), &authority, &hosts)?;
    let (listener, moved) = listen_at(&config.host, config.port, &state_file).await?;
    let remote::Location::Tcp { port, .. } = *listener.location() else {
        return Err("the page needs a TCP port".to_owned());
    };
    let listener = listener.into_tcp().ok_or("the page needs a TCP port")?;
    let stopping = lifeline.stopping();
    let probe = probe::serve(&probe_socket, stopping.clone())?;
    let keys = Arc::new(keys);
    if let Err(error) = access::end_browsers(&access_folder) {
        warn!(%error, "logins by links of an earlier page were not ended");
    }
    let lab = lab::follow(socket.clone(), log_file.clone(), Arc::clone(&keys), paths, &stopping);
    let users = UserTable::open(access_folder);
    let guard = Arc::new(Guard::new(&config.host, &config.names));
    let audit = audit.map(|place| Audit::open(&place, "", None)).transpose();
    let audit = audit.inspect_err(|error| warn!(%error, "there will be no audit"));
    let (audit, _audit_end) = audit.ok().flatten().unzip();
    let shared = Arc::new(Shared {
        guard: Arc::clone(&guard),
        lab,
        keys,
        access: VisibilityRules::new(access.as_ref(), &users),
        users,
        audit,
        socket,
        history_socket,
        log_file,
        log_dir,
        readers: Arc::new(Semaphore::new(logs::READERS)),
        sessions: Sessions::new(port),
        results: Arc::default(),
        calls: Arc::new(Semaphore::new(calls::CALLS)),
        take_ups: Semaphore::new(locks::TAKE_UPS),
        bodies: Arc::new(Semaphore::new(body::ALL_BODIES)),
        streams: Arc::new(Semaphore::new(stream::STREAMS)),
        stopping: stopping.clone(),
    });
    let certificate = tls::follow(port_tls.clone());
    let report = ChildReport {
        uri: Some(link(&config.host, port, port_tls.is_some())),
        address: Some(probe),
        warning: moved,
        certificate_expires: certificate.borrow().expires.clone(),
        // It reads messages.
        answered: Some(0),
        ..ChildReport::default()
    };
    lifeline.ready(report.to_json());
    let obeying = obey(lifeline.clone(), Arc::clone(&shared), report, certificate);
    let _orders = AbortOnDropHandle::new(tokio::spawn(obeying));
    let https = port_tls.map(|tls| Https::new(tls.server(), guard));
    server::serve(listener, router::routes(shared), https, stopping).await;
    Ok(())
}

/// Obeys the supervisor's orders, and reports changes of the certificate. Other rules of access
/// count at once, also in open tabs, which load the lab anew. Logins and locks of browsers stay.
async fn obey(
    lifeline: Lifeline,
    shared: Arc<Shared>,
    mut report: ChildReport,
    mut certificate: watch::Receiver<CertificateStanding>,
) {
    let Some(mut messages) = lifeline.take_messages() else { return };
    let moved = report.warning.take();
    loop {
        let message = tokio::select! {
            message = messages.recv() => match message {
                Some(message) => Some(message),
                None => return,
            },
            Ok(()) = certificate.changed() => None,
        };
        let CertificateStanding { expires, trouble } = certificate.borrow().clone();
        let warnings: Vec<String> = moved.iter().cloned().chain(trouble).collect();
        report.warning = (!warnings.is_empty()).then(|| warnings.join("; "));
        report.certificate_expires = expires;
        let Some(message) = message else {
            lifeline.status(report.to_json());
            continue;
        };
        let number = message.get("number").and_then(serde_json::Value::as_u64).unwrap_or_default();
        match serde_json::from_value(message) {
            Ok(DaemonMessage { order: DaemonOrder::ChangeAccess { access, .. }, .. }) => {
                shared.access.change(access.as_deref(), &shared.users);
                shared.lab.ring().push("reset", "{}".to_owned());
            }
            Ok(DaemonMessage { .. }) => warn!("an order of the supervisor is for daemons"),
            Err(error) => warn!(%error, "an order of the supervisor is not understood"),
        }
        report.answered = Some(number);
        lifeline.status(report.to_json());
    }
}

/// The address that people type into a browser.
fn link(host: &Host, port: u16, is_https: bool) -> String {
    let name = match host {
        Host::Public => remote::public_address().map(|address| address.to_string()),
        Host::Named(name) => Some(name.clone()),
    };
    let name = name.unwrap_or_else(|| "localhost".to_owned());
    let name = if name.contains(':') { format!("[{name}]") } else { name };
    let scheme = if is_https { "https" } else { "http" };
    format!("{scheme}://{name}:{port}/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_of_a_host() {
        for (host, expected) in [
            ("localhost", "http://localhost:9092/"),
            ("::1", "http://[::1]:9092/"),
            ("10.0.0.3", "http://10.0.0.3:9092/"),
        ] {
            assert_eq!(link(&Host::from(host.to_owned()), 9092, false), expected);
        }
    }
}
