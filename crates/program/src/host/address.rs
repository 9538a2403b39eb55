//! Addresses of a daemon or a nameserver: where it listens, and what others are told.
//!
//! `host: public` listens at all addresses of this host. Each client is told the one that it has
//! reached; people and nameservers elsewhere are told one that they can use.
//!
//! With `port: 0` a daemon takes its last port, if that is free, so that the addresses that clients
//! hold stay valid. The port is in a state file.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use lab_config::{Daemon, Host};
use remote::{BindError, Listener, Uri, public_address};
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::files;
use crate::state_file::{self, Unusable};

/// The last address, as it is in the state file.
#[derive(Debug, Serialize, Deserialize)]
struct Memory {
    /// For `public`, an address of that time: 0.1.0 compares it.
    host: String,
    port: u16,
}

/// Ports of daemons with `port: 0`. The system takes ports for outgoing connections from a range
/// above (32768 on Linux, 49152 elsewhere), and any connection could take a port of that range
/// while its daemon restarts.
const LASTING_PORTS: Range<u16> = 20_000..30_000;
/// How many of them a daemon tries before it takes whichever port the system gives.
const PORT_ATTEMPTS: u64 = 16;

/// Between two looks at the addresses of this host, which come and go.
pub(crate) const ADDRESS_INTERVAL: Duration = Duration::from_secs(2);

/// The address that stands for a host just now; for `public` without one, 127.0.0.1.
pub(crate) fn address_of(host: &Host) -> String {
    match host {
        Host::Public => public_or_loopback().to_string(),
        Host::Named(name) => name.clone(),
    }
}

/// The address at which processes of this host reach a server of it, whichever networks there are.
pub(crate) fn address_from_here(host: &Host) -> String {
    match host {
        Host::Public => Ipv4Addr::LOCALHOST.to_string(),
        Host::Named(name) => name.clone(),
    }
}

/// The URI for people: with the address at which others most likely reach this host now.
pub(crate) fn uri_for_people(uri: &Uri, public: Option<IpAddr>) -> String {
    uri.clone().reached_at(public.unwrap_or(Ipv4Addr::LOCALHOST.into())).to_string()
}

/// The address for a nameserver that is reached from `local_ip`, or is told nothing of it.
pub(super) fn address_for_nameserver(local_ip: Option<IpAddr>) -> IpAddr {
    let is_shareable = |ip: &IpAddr| match ip {
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
        IpAddr::V4(ip) => !ip.is_loopback(),
    };
    local_ip.filter(is_shareable).unwrap_or_else(public_or_loopback)
}

/// The warning about a server that is meant for others while this host has no address for them.
pub(crate) fn unreachable_warning(uri: &Uri, public: Option<IpAddr>) -> Option<String> {
    (uri.is_everywhere() && public.is_none()).then(|| {
        "nobody but this host can reach it: this host has no address on a network; it is reachable \
         as soon as there is one"
            .to_owned()
    })
}

/// The public address, if the URI of a server says that it counts.
pub(crate) fn public_address_for(uri: &Uri) -> Option<IpAddr> {
    if uri.is_everywhere() { public_address() } else { None }
}

fn public_or_loopback() -> IpAddr {
    public_address().unwrap_or(Ipv4Addr::LOCALHOST.into())
}

/// Listens at a port of a host.
///
/// # Errors
/// The address is taken, or not ours.
pub(crate) async fn bind(host: &Host, port: u16) -> Result<Listener, BindError> {
    match host {
        Host::Public => Listener::bind_everywhere(port).await,
        Host::Named(name) => Listener::bind_tcp(name, port).await,
    }
}

/// Listens where a daemon's configuration says. The second value tells of URIs that have changed.
///
/// # Errors
/// The address is taken, or not ours; for `ferrolab ps`.
pub(super) async fn listen(
    daemon: &Daemon,
    file: &Path,
) -> Result<(Listener, Option<String>), String> {
    match &daemon.unixsocket {
        Some(path) => unchanged(Listener::bind_unix(path)),
        None => listen_at(&daemon.host, daemon.port, file).await,
    }
}

fn unchanged(bound: Result<Listener, BindError>) -> Result<(Listener, Option<String>), String> {
    bound.map(|listener| (listener, None)).map_err(|error| error.to_string())
}

/// Listens at a port of a host; with port 0 at the one that is kept in `file`, if it is free. The
/// second value tells of URIs that have changed.
///
/// # Errors
/// The address is taken, or not ours; for `ferrolab ps`.
pub(crate) async fn listen_at(
    host: &Host,
    port: u16,
    file: &Path,
) -> Result<(Listener, Option<String>), String> {
    let bind = |port| bind(host, port);
    if port != 0 {
        return unchanged(bind(port).await);
    }
    let reason = match recall(file, host) {
        Ok(None) => None,
        Ok(Some(port)) => match bind(port).await {
            Ok(listener) => return Ok((listener, None)),
            Err(error) => Some(format!("port {port}, its last one, is not free ({error})")),
        },
        Err(unusable) => Some(format!("its last port is not known: {unusable}")),
    };
    let listener = bind_lasting(host).await.map_err(|error| error.to_string())?;
    remember(file, host, &listener);
    let changed = reason.map(|reason| {
        format!(
            "its URIs have changed, since {reason}; clients that look its names up find it, those \
             that have an older URI do not"
        )
    });
    if let Some(changed) = &changed {
        warn!("{changed}");
    }
    Ok((listener, changed))
}

/// Listens at a free port that no outgoing connection takes while the daemon restarts.
async fn bind_lasting(host: &Host) -> Result<Listener, BindError> {
    let random = RandomState::new();
    for attempt in 0..PORT_ATTEMPTS {
        let within = random.hash_one(attempt) % LASTING_PORTS.len() as u64;
        let port = LASTING_PORTS.start + u16::try_from(within).unwrap_or_default();
        match bind(host, port).await {
            Err(error) if error.source.kind() == io::ErrorKind::AddrInUse => {}
            listening_or_impossible => return listening_or_impossible,
        }
    }
    bind(host, 0).await
}

/// The last port at this host, if there is one.
fn recall(file: &Path, host: &Host) -> Result<Option<u16>, Unusable> {
    let memory: Option<Memory> = state_file::read(file)?;
    let is_same = |memory: &Memory| matches!(host, Host::Public) || memory.host == address_of(host);
    Ok(memory.filter(is_same).map(|memory| memory.port))
}

/// Without the memory the daemon serves all the same, only elsewhere next time.
fn remember(state_file: &Path, host: &Host, listener: &Listener) {
    let remote::Location::Tcp { port, .. } = listener.location() else { return };
    let memory = Memory { host: address_of(host), port: *port };
    let written =
        serde_json::to_vec(&memory).map_err(|error| error.to_string()).and_then(|bytes| {
            files::replace_private(state_file, &bytes).map_err(|error| error.to_string())
        });
    if let Err(error) = written {
        warn!(file = %state_file.display(), error, "cannot remember the port");
    }
}
