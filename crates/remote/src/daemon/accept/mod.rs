//! A daemon at work: accepting connections, keeping house, stopping.
//!
//! Owns the loop that does it, and the order in which a shutdown happens. What is said on a connection
//! is [`connection`]'s.

pub(crate) mod handshake;
mod pending;

use std::io;
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::DuplexStream;
use tokio::time::Instant as Deadline;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::daemon::accept::pending::Newcomer;
use crate::daemon::{Daemon, Shared};
use crate::net::{self, Listener, ListenerSocket};
use crate::session::Peer;

/// Pause after a failed accept: descriptors may have run out, and come back.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// Between two looks for streams whose time is up.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

impl Daemon {
    /// Serves connections of `listener` until `stop` is cancelled; then lets running calls end
    /// (for the time that the configuration gives them) and closes every connection.
    ///
    /// To end it, cancel `stop` and wait: where this future is only dropped, nobody new is let in,
    /// but those who are in are served on.
    pub async fn serve(self, listener: Listener, stop: CancellationToken) {
        let Shared { config, locations, .. } = &*self.shared;
        locations.write().unwrap_or_else(PoisonError::into_inner).push(listener.location().clone());
        info!(daemon = %config.name, location = %listener.location(), "serving");
        let connections = TaskTracker::new();
        // Connections outlive `stop` by the time their running calls need.
        let abandon = CancellationToken::new();
        let mut housekeeping = tokio::time::interval(HOUSEKEEPING);
        self.shared.spares.refill();
        loop {
            let accepted = tokio::select! {
                accepted = accept(&listener.socket) => accepted,
                _ = housekeeping.tick() => {
                    let now = Instant::now();
                    self.shared.streams.expire(now);
                    self.shared.spares.refill();
                    if let Some(count) = self.shared.complaints.kept_back(now) {
                        warn!(daemon = %config.name, count,
                            "more connections were refused or sent what is no message");
                    }
                    if let Some(count) = self.shared.oneway_complaints.kept_back(now) {
                        warn!(daemon = %config.name, count, "more oneway calls raised");
                    }
                    continue;
                }
                () = stop.cancelled() => break,
            };
            match accepted {
                Ok((stream, peer)) => {
                    if self.shared.has_room() {
                        self.admit(&connections, stream, peer, &stop, &abandon);
                    } else {
                        // Nobody can be heard now: to be sent away at once is an answer too.
                        drop(stream);
                        self.shared.spares.refill();
                    }
                }
                Err(error) => {
                    if self.shared.complaints.one_more(Instant::now()) {
                        warn!(daemon = %config.name, %error, "cannot accept a connection");
                    }
                    // With a spare descriptor the next in line is taken at least.
                    if !self.shared.spares.lend() {
                        tokio::time::sleep(ACCEPT_BACKOFF).await;
                        self.shared.spares.refill();
                    }
                }
            }
        }
        drop(listener);
        self.shared.spares.give_up();
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
        self.shared.resting.close();
        if tokio::time::timeout(config.rest_timeout, self.shared.resting.wait()).await.is_err() {
            warn!(daemon = %config.name, "some objects have not come to a safe state in time");
        }
        info!(daemon = %config.name, "stopped serving");
    }

    /// Serves a connection without a socket until it ends: how tests drive a daemon.
    #[doc(hidden)]
    pub async fn serve_in_memory(&self, stream: DuplexStream, peer: Peer, stop: CancellationToken) {
        let newcomer = self.newcomer(peer);
        pending::serve(Arc::clone(&self.shared), stream, newcomer, stop).await;
    }

    fn newcomer(&self, peer: Peer) -> Newcomer {
        let stay = self.shared.waiting_room.enter(&peer);
        let deadline = later(Deadline::now(), self.shared.config.handshake_timeout);
        Newcomer { peer, stay, deadline }
    }

    fn admit(
        &self,
        connections: &TaskTracker,
        stream: Accepted,
        peer: Peer,
        stop: &CancellationToken,
        abandon: &CancellationToken,
    ) {
        let newcomer = self.newcomer(peer);
        let shared = Arc::clone(&self.shared);
        let (stop, abandon) = (stop.clone(), abandon.clone());
        connections.spawn(async move {
            // Pinned here and lent: to hand it on would keep room for it twice.
            let mut serving = pin!(async {
                match stream {
                    Accepted::Tcp(stream) => {
                        pending::serve(shared, stream, newcomer, stop).await;
                    }
                    #[cfg(unix)]
                    Accepted::Unix(stream) => {
                        pending::serve(shared, stream, newcomer, stop).await;
                    }
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

enum Accepted {
    Tcp(tokio::net::TcpStream),
    #[cfg(unix)]
    Unix(tokio::net::UnixStream),
}

async fn accept(socket: &ListenerSocket) -> io::Result<(Accepted, Peer)> {
    match socket {
        ListenerSocket::Tcp(listener) => {
            let (stream, address) = listener.accept().await?;
            if let Err(error) = net::tune_accepted(&stream) {
                debug!(%address, %error, "cannot set the options of a new connection");
            }
            Ok((Accepted::Tcp(stream), Peer::Tcp(address)))
        }
        #[cfg(unix)]
        ListenerSocket::Unix { listener, .. } => {
            let (stream, _) = listener.accept().await?;
            Ok((Accepted::Unix(stream), Peer::Unix))
        }
    }
}
