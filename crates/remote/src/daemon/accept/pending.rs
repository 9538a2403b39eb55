//! A connection that is not let in yet: TLS and then Pyro5's handshake, within one deadline for
//! both. One port takes TLS and plain connections: the first byte tells them apart.
//!
//! It has one of the slots for unfinished handshakes, and loses it to a newer one when there are
//! too many: an honest handshake takes milliseconds, so the oldest is the least likely to be
//! honest.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant as LogTime;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use crate::admission::HandshakeSlot;
use crate::daemon::Shared;
use crate::daemon::accept::handshake;
use crate::daemon::accept::identify::{Arrival, Entrance, EntranceRefusal};
use crate::daemon::session;
use crate::frames::FrameStream;
use crate::net::{AcceptedStream, ClientStream};
use crate::session::Peer;
use crate::tls::TLS_HANDSHAKE;

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
pub(super) async fn serve<S: AcceptedStream>(
    shared: Arc<Shared>,
    stream: S,
    pending: PendingConnection,
    stop: CancellationToken,
) {
    // The file system says who can reach a Unix socket, and nobody listens in on it.
    if shared.config.tls.is_some() && !matches!(pending.peer, Peer::Unix { .. }) {
        // Boxed, so that connections without TLS are no larger for it.
        Box::pin(serve_by_first_byte(shared, stream, pending, stop)).await;
    } else {
        admit(shared, stream, pending, stop).await;
    }
}

/// Serves a connection with TLS if it begins with a TLS handshake. Any other is plain, and is
/// answered as such: with the reason why it is refused, where the daemon takes TLS only.
async fn serve_by_first_byte<S: AcceptedStream>(
    shared: Arc<Shared>,
    stream: S,
    mut pending: PendingConnection,
    stop: CancellationToken,
) {
    let Some(tls) = &shared.config.tls else { return };
    match within_deadline(&shared, &pending, &stop, stream.peek_first_byte()).await {
        Some(Ok(Some(TLS_HANDSHAKE))) => serve_tls(shared, stream, pending, stop).await,
        Some(Ok(Some(_))) => {
            let refusal = (!tls.accepts_plain()).then(|| tls.plain_refusal(&shared.config.name));
            pending.entrance.refusal = refusal.map(EntranceRefusal::Plain);
            admit(Arc::clone(&shared), stream, pending, stop).await;
        }
        // It is gone, late, or was evicted.
        Some(Ok(None) | Err(_)) | None => {}
    }
}

async fn serve_tls<S: AcceptedStream>(
    shared: Arc<Shared>,
    stream: S,
    mut pending: PendingConnection,
    stop: CancellationToken,
) {
    let Some(tls) = &shared.config.tls else { return };
    match within_deadline(&shared, &pending, &stop, tls.accept(stream)).await {
        None => {}
        Some(Ok((stream, verdict))) => {
            pending.entrance.is_encrypted = true;
            match verdict {
                Ok(certificate) => pending.entrance.certificate = certificate,
                Err(refusal) => {
                    pending.entrance.refusal = Some(EntranceRefusal::Certificate(refusal));
                }
            }
            admit(Arc::clone(&shared), stream, pending, stop).await;
        }
        Some(Err(error)) => {
            // One that only asks whether the server speaks TLS leaves in the middle.
            if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) {
                debug!(daemon = %shared.config.name, peer = %pending.peer, "left during TLS");
            } else {
                let reason = || format!("the TLS handshake has failed: {error}");
                shared.access.tell_refused_client(&pending.peer, reason);
                if shared.log_limits.peers.allow(LogTime::now()) {
                    info!(daemon = %shared.config.name, peer = %pending.peer, %error,
                        "TLS handshake failed");
                }
            }
        }
    }
}

async fn admit<S: ClientStream>(
    shared: Arc<Shared>,
    stream: S,
    pending: PendingConnection,
    stop: CancellationToken,
) {
    let mut connection = FrameStream::new(stream);
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
