//! A connection that is not let in yet: TLS and then Pyro5's handshake, within one deadline for
//! both.
//!
//! It has one of the slots for unfinished handshakes, and loses it to a newer one when there are
//! too many: an honest handshake takes milliseconds, so the oldest is the least likely to be
//! honest.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant as LogTime;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use crate::admission::HandshakeSlot;
use crate::daemon::Shared;
use crate::daemon::accept::handshake;
use crate::daemon::accept::identify::{Arrival, Entrance};
use crate::daemon::session::{self, connection::Connection};
use crate::net::ClientStream;
use crate::session::Peer;
use crate::tls;

/// A connection that is not let in yet.
pub(super) struct PendingConnection {
    pub(super) peer: Peer,
    pub(super) entrance: Entrance,
    /// The address of this host that it came to.
    pub(super) reached_at: Option<SocketAddr>,
    pub(super) slot: HandshakeSlot,
    /// When its handshakes must be done.
    pub(super) deadline: Instant,
}

/// Serves one connection until either side ends it or `stop` is cancelled between two calls.
pub(super) async fn serve<S: ClientStream>(
    shared: Arc<Shared>,
    stream: S,
    pending: PendingConnection,
    stop: CancellationToken,
) {
    // The file system says who can reach a Unix socket, and nobody listens in on it.
    if shared.config.tls.is_some() && !matches!(pending.peer, Peer::Unix { .. }) {
        // Boxed, so that connections without TLS are no larger for it.
        Box::pin(serve_tls(shared, stream, pending, stop)).await;
    } else {
        admit(shared, stream, pending, stop).await;
    }
}

async fn serve_tls<S: ClientStream>(
    shared: Arc<Shared>,
    stream: S,
    mut pending: PendingConnection,
    stop: CancellationToken,
) {
    let Some(tls) = &shared.config.tls else { return };
    match within_deadline(&shared, &pending, &stop, tls.accept(stream)).await {
        None => {}
        Some(Ok(stream)) => {
            pending.entrance.is_encrypted = true;
            pending.entrance.certificate_name = tls::client_name(&stream);
            admit(Arc::clone(&shared), stream, pending, stop).await;
        }
        // The client is told. A supervisor that asks every second in plain words whether the daemon
        // answers ends here too.
        Some(Err(error)) => {
            debug!(daemon = %shared.config.name, peer = %pending.peer, %error,
                "TLS handshake failed");
        }
    }
}

async fn admit<S: ClientStream>(
    shared: Arc<Shared>,
    stream: S,
    pending: PendingConnection,
    stop: CancellationToken,
) {
    let mut connection = Connection::new(stream);
    let arrival = Arrival {
        peer: pending.peer.clone(),
        entrance: pending.entrance.clone(),
        reached_at: pending.reached_at,
    };
    let shaking = handshake::perform(&shared, &mut connection, arrival);
    let shaken = within_deadline(&shared, &pending, &stop, shaking).await;
    let PendingConnection { peer, slot, .. } = pending;
    drop(slot);
    match shaken {
        Some(Ok(Some(accepted))) => {
            session::serve_requests(&shared, connection, accepted, &stop).await;
        }
        Some(Ok(None)) | None => {}
        Some(Err(error)) => {
            if shared.log_limits.peers.allow(LogTime::now()) {
                info!(daemon = %shared.config.name, %peer, %error, "handshake failed");
            }
        }
    }
}

/// Does `work` before the deadline; `None` if the time is up, or the slot is another's.
async fn within_deadline<T>(
    shared: &Shared,
    pending: &PendingConnection,
    stop: &CancellationToken,
    work: impl Future<Output = T>,
) -> Option<T> {
    let evicted = pending.slot.evicted();
    let (daemon, peer) = (&shared.config.name, &pending.peer);
    tokio::select! {
        done = work => Some(done),
        () = stop.cancelled() => None,
        () = evicted.cancelled() => {
            debug!(%daemon, %peer, "too many handshakes are unfinished");
            None
        }
        () = tokio::time::sleep_until(pending.deadline) => {
            debug!(%daemon, %peer, "no handshake in time");
            None
        }
    }
}
