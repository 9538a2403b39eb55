//! Pings of servers that names point to: 64 addresses at the same time, with one deadline for all
//! that an address is asked.
//!
//! A server that speaks TLS answers a ping only where both sides trust each other, which a
//! nameserver cannot arrange: a server that begins a TLS handshake is alive.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use remote::{ConnectError, DAEMON_NAME, Error, Location, Proxy, Uri, speaks_tls};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// Time for all that an address is asked.
pub(crate) const LIVENESS_DEADLINE: Duration = Duration::from_secs(5);
/// Time for the answer to a ping; the rest of [`LIVENESS_DEADLINE`] is for the reason why it is
/// missing.
const PING_TIMEOUT: Duration = Duration::from_secs(4);
/// Addresses that are asked at the same time.
const AT_ONCE: usize = 64;

/// The result of a ping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Alive,
    Absent(String),
    Silent,
    /// A connection is neither accepted nor refused: the host is gone, or the server's queue of
    /// connections is full, also with ours.
    Unreachable(String),
}

/// A daemon that listens at all addresses of this host is asked at one that never changes.
pub(crate) fn on_this_host(uri: Uri) -> Uri {
    uri.reached_at(Ipv4Addr::LOCALHOST.into())
}

/// Asks each address once.
pub(crate) async fn ask_all<'a>(
    locations: impl Iterator<Item = &'a Location>,
) -> HashMap<Location, Verdict> {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut asking = JoinSet::new();
    let mut asked = HashSet::new();
    for location in locations.filter(|location| asked.insert(Location::clone(location))) {
        let (places, location) = (Arc::clone(&places), location.clone());
        asking.spawn(async move {
            // The semaphore is never closed.
            let _place = places.acquire().await;
            let verdict = ask(&location).await;
            (location, verdict)
        });
    }
    let mut verdicts = HashMap::new();
    while let Some(answer) = asking.join_next().await {
        verdicts.extend(answer);
    }
    verdicts
}

/// Connects, shakes hands with the daemon and pings it. That takes one of the daemon's workers for
/// a moment; a daemon without a free one says so, which is an answer too.
async fn ask(location: &Location) -> Verdict {
    let uri = Uri::Pyro { object: DAEMON_NAME.to_owned(), location: location.clone() };
    let mut proxy = Proxy::from(uri).with_timeout(PING_TIMEOUT);
    let until = Instant::now() + LIVENESS_DEADLINE;
    let (reason, is_late) = match timeout(PING_TIMEOUT, proxy.ping()).await {
        Ok(Ok(()) | Err(Error::Connect { source: ConnectError::Refused(_), .. })) => {
            return Verdict::Alive;
        }
        Ok(Err(error)) => {
            let is_late = matches!(
                error,
                Error::Timeout { .. } | Error::Connect { source: ConnectError::Timeout(_), .. }
            );
            (error.to_string(), is_late)
        }
        Err(_) => (format!("no answer within {} s", PING_TIMEOUT.as_secs()), true),
    };
    let left = until.saturating_duration_since(Instant::now());
    if !is_late {
        // Without a connection there is no TLS handshake either.
        return match speaks_tls(location, left).await {
            true => Verdict::Alive,
            false => Verdict::Absent(reason),
        };
    }
    match connects(location, left).await {
        Some(true) => Verdict::Silent,
        Some(false) => Verdict::Absent(reason),
        None => Verdict::Unreachable(reason),
    }
}

/// Whether a server accepts a connection; `None` if that is not known in time.
async fn connects(location: &Location, within: Duration) -> Option<bool> {
    match location {
        Location::Tcp { host, port } => {
            let host = host.trim_matches(['[', ']']);
            let connecting = tokio::net::TcpStream::connect((host, *port));
            timeout(within, connecting).await.ok().map(|connected| connected.is_ok())
        }
        // A Unix socket without a server refuses at once.
        Location::Unix { .. } => Some(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The verdict, of a machine that may stand still for longer than an answer may take.
    async fn ask_until_told(location: &Location) -> Verdict {
        let told = async {
            loop {
                match ask(location).await {
                    Verdict::Silent => {}
                    verdict => return verdict,
                }
            }
        };
        timeout(Duration::from_secs(120), told).await.expect("an answer")
    }

    #[tokio::test]
    async fn an_address_is_alive_absent_or_no_pyro() {
        let daemon = remote::Daemon::new(remote::DaemonConfig::default());
        let listener = remote::Listener::bind_tcp("localhost", 0).await.unwrap();
        let served = listener.location().clone();
        let stop = tokio_util::sync::CancellationToken::new();
        let serving = tokio::spawn(daemon.serve(listener, stop.clone()));
        assert_eq!(ask_until_told(&served).await, Verdict::Alive);
        stop.cancel();
        serving.await.unwrap();
        assert!(matches!(ask_until_told(&served).await, Verdict::Absent(_)));

        for (greeting, expected) in [
            (&b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"[..], false),
            // A TLS server's answers to a message that is not a handshake, and to a handshake.
            (&[0x15, 3, 3, 0, 2, 2, 70], true),
            (&[0x16, 3, 3, 0, 90, 2], true),
        ] {
            let stranger = tokio::net::TcpListener::bind("localhost:0").await.unwrap();
            let port = stranger.local_addr().unwrap().port();
            let talking = tokio::spawn(async move {
                let mut streams = Vec::new();
                loop {
                    let (mut stream, _) = stranger.accept().await.unwrap();
                    tokio::io::AsyncWriteExt::write_all(&mut stream, greeting).await.unwrap();
                    streams.push(stream);
                }
            });
            let location = Location::Tcp { host: "localhost".into(), port };
            let verdict = ask_until_told(&location).await;
            assert_eq!(verdict == Verdict::Alive, expected, "{greeting:?}: {verdict:?}");
            talking.abort();
        }
    }
}
