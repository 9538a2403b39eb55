//! Accepting connections: the accept loop, housekeeping, and the order of a shutdown.
//!
//! [`pending`] does the handshakes of one connection; afterwards it is its [`session`]'s.
//!
//! [`session`]: crate::daemon::session

mod handshake;
mod identify;
mod pending;

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::DuplexStream;
use tokio::time::Instant as Deadline;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::daemon::accept::identify::Entrance;
use crate::daemon::accept::pending::PendingConnection;
use crate::daemon::locks::safe_state;
use crate::daemon::{Daemon, Shared};
#[cfg(unix)]
use crate::net::UnixSocket;
use crate::net::{self, Listener, ListenerSocket};
use crate::session::Peer;

/// Pause after a failed accept: file descriptors may have run out, and come back.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// Time between two looks for streams that have expired.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(1);

impl Daemon {
    /// Serves connections of `listener` until `stop` is cancelled; then lets running calls end
    /// (for the time that the configuration gives them) and closes every connection.
    ///
    /// To end it, cancel `stop` and wait. If this future is only dropped, no new connection is let
    /// in, but those that are in are served on.
    pub async fn serve(self, listener: Listener, stop: CancellationToken) {
        let Shared { config, locations, admission, .. } = &*self.shared;
        locations.write().unwrap_or_else(PoisonError::into_inner).push(listener.location().clone());
        info!(daemon = %config.name, location = %listener.location(), "serving");
        let connections = TaskTracker::new();
        // Connections outlive `stop` by the time that their running calls need.
        let abandon = CancellationToken::new();
        let mut housekeeping = tokio::time::interval(HOUSEKEEPING_INTERVAL);
        admission.reserved_fds.refill();
        loop {
            let accepted = tokio::select! {
                accepted = accept(&listener) => accepted,
                _ = housekeeping.tick() => {
                    self.keep_house();
                    continue;
                }
                () = stop.cancelled() => break,
            };
            match accepted {
                Ok(Accepted { stream, peer, entrance, reached_at }) => {
                    if admission.can_hear_another() {
                        let pending = self.pending(peer, entrance, reached_at);
                        self.spawn_connection(&connections, stream, pending, &stop, &abandon);
                    } else {
                        // No client can be heard now: to be closed at once is an answer too.
                        drop(stream);
                        admission.reserved_fds.refill();
                    }
                }
                Err(error) => self.accept_failed(&error).await,
            }
        }
        drop(listener);
        admission.reserved_fds.release_all();
        self.shut_down(connections, abandon).await;
    }

    fn keep_house(&self) {
        let now = Instant::now();
        let Shared { config, streams, admission, log_limits, .. } = &*self.shared;
        streams.expire(now);
        admission.reserved_fds.refill();
        if let Some(count) = log_limits.peers.take_suppressed(now) {
            warn!(daemon = %config.name, count,
                "more connections were refused or sent what is no message");
        }
        if let Some(count) = log_limits.oneways.take_suppressed(now) {
            warn!(daemon = %config.name, count, "more oneway calls raised");
        }
    }

    async fn accept_failed(&self, error: &io::Error) {
        let Shared { config, admission, log_limits, .. } = &*self.shared;
        if log_limits.peers.allow(Instant::now()) {
            warn!(daemon = %config.name, %error, "cannot accept a connection");
        }
        // With a reserved descriptor the next connection in line is accepted at least.
        if !admission.reserved_fds.lend() {
            tokio::time::sleep(ACCEPT_BACKOFF).await;
            admission.reserved_fds.refill();
        }
    }

    /// Lets running calls end, then safe states, each for as long as the configuration says.
    async fn shut_down(&self, connections: TaskTracker, abandon: CancellationToken) {
        let Shared { config, locks, .. } = &*self.shared;
        connections.close();
        if tokio::time::timeout(config.shutdown_grace, connections.wait()).await.is_err() {
            warn!(
                daemon = %config.name,
                connections = connections.len(),
                "calls still run after {:?}; leaving them",
                config.shutdown_grace
            );
            abandon.cancel();
            connections.wait().await;
        }
        // The wait for calls, and the safe states after it.
        let rounds = if safe_state::end_kept(locks) { 2 } else { 1 };
        if !locks.safe_states_reached_within(rounds * config.safe_state_timeout).await {
            warn!(daemon = %config.name, "some objects have not come to a safe state in time");
        }
        info!(daemon = %config.name, "stopped serving");
    }

    /// Serves a connection without a socket until it ends: how tests drive a daemon.
    #[doc(hidden)]
    pub async fn serve_in_memory(&self, stream: DuplexStream, peer: Peer, stop: CancellationToken) {
        let pending = self.pending(peer, Entrance::default(), None);
        pending::serve(Arc::clone(&self.shared), stream, pending, stop).await;
    }

    fn pending(
        &self,
        peer: Peer,
        entrance: Entrance,
        reached_at: Option<SocketAddr>,
    ) -> PendingConnection {
        let slot = self.shared.admission.handshakes.take_evicting(peer.address());
        let deadline = later(Deadline::now(), self.shared.config.handshake_timeout);
        PendingConnection { peer, entrance, reached_at, slot, deadline }
    }

    fn spawn_connection(
        &self,
        connections: &TaskTracker,
        stream: NewStream,
        pending: PendingConnection,
        stop: &CancellationToken,
        abandon: &CancellationToken,
    ) {
        let shared = Arc::clone(&self.shared);
        // Two for each connection: a wait for a request locks them, and connections on several
        // processors would pass common ones to and fro.
        let (stop, abandon) = (stop.child_token(), abandon.child_token());
        connections.spawn(async move {
            // Pinned here and lent: handing it on would take its memory twice.
            let mut serving = pin!(async {
                match stream {
                    NewStream::Tcp(stream) => pending::serve(shared, stream, pending, stop).await,
                    #[cfg(unix)]
                    NewStream::Unix(stream) => pending::serve(shared, stream, pending, stop).await,
                }
            });
            tokio::select! {
                () = &mut serving => {}
                () = abandon.cancelled() => {}
            }
        });
    }
}

/// `time` from `now`, or as good as never where the clock cannot say it.
fn later(now: Deadline, time: Duration) -> Deadline {
    const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    now.checked_add(time).or_else(|| now.checked_add(NEVER)).unwrap_or(now)
}

/// A new connection.
struct Accepted {
    stream: NewStream,
    peer: Peer,
    entrance: Entrance,
    /// The address of this host that the client came to.
    reached_at: Option<SocketAddr>,
}

enum NewStream {
    Tcp(tokio::net::TcpStream),
    #[cfg(unix)]
    Unix(tokio::net::UnixStream),
}

/// The next connection.
async fn accept(listener: &Listener) -> io::Result<Accepted> {
    match &listener.socket {
        ListenerSocket::Tcp(socket) => {
            let (stream, address) = socket.accept().await?;
            let (address, reached_at) = (net::canonical(address), listener.reached_at(&stream));
            if let Err(error) = net::set_accepted_options(&stream) {
                debug!(%address, %error, "cannot set the options of a new connection");
            }
            let (stream, peer) = (NewStream::Tcp(stream), Peer::Tcp(address));
            Ok(Accepted { stream, peer, entrance: Entrance::default(), reached_at })
        }
        #[cfg(unix)]
        ListenerSocket::Unix(UnixSocket { listener: socket, .. }) => {
            let (stream, _) = socket.accept().await?;
            let peer = stream.peer_cred().ok();
            let unix_user = peer.map(|peer| peer.uid());
            let process = peer.and_then(|peer| peer.pid());
            let process = process.and_then(|process| u32::try_from(process).ok());
            Ok(Accepted {
                stream: NewStream::Unix(stream),
                peer: Peer::Unix { process },
                entrance: Entrance { unix_user, ..Entrance::default() },
                reached_at: None,
            })
        }
    }
}
