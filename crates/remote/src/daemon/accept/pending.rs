//! A connection that is not let in yet.
//!
//! TLS and then Pyro5's handshake, within one deadline for both.

use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use crate::admission::pending_handshakes::Stay;
use crate::daemon::Shared;
use crate::daemon::accept::handshake;
use crate::daemon::session;
use crate::daemon::session::transport::Connection;
use crate::frames::FrameReader;
use crate::net::ClientStream;
use crate::session::Peer;

/// A connection that is not let in yet.
pub(crate) struct Newcomer {
    pub(crate) peer: Peer,
    /// Its place among those whose handshakes are not done.
    pub(crate) stay: Stay,
    /// When they must be.
    pub(crate) deadline: Instant,
}

/// Serves one connection until either side ends it or `stop` is cancelled between two calls.
pub(crate) async fn serve<S: ClientStream>(
    shared: Arc<Shared>,
    stream: S,
    newcomer: Newcomer,
    stop: CancellationToken,
) {
    // Who can reach a Unix socket is the file system's to say, and nobody listens in on it.
    if shared.config.tls.is_some() && !matches!(newcomer.peer, Peer::Unix) {
        // Boxed, so that connections without TLS are no larger for it.
        Box::pin(serve_tls(shared, stream, newcomer, stop)).await;
    } else {
        admit(shared, stream, newcomer, stop).await;
    }
}

async fn serve_tls<S: ClientStream>(
    shared: Arc<Shared>,
    stream: S,
    newcomer: Newcomer,
    stop: CancellationToken,
) {
    let Some(tls) = &shared.config.tls else { return };
    let shaken = limited(&shared, &newcomer, &stop, tls.accept(stream)).await;
    match shaken {
        None => {}
        Some(Ok(stream)) => admit(Arc::clone(&shared), stream, newcomer, stop).await,
        Some(Err(error)) => {
            let Newcomer { peer, .. } = newcomer;
            // The client is told, and a supervisor that asks for a sign of life, in plain words and
            // every second, ends here too.
            debug!(daemon = %shared.config.name, %peer, %error, "TLS handshake failed");
        }
    }
}

/// Lets a newcomer do what it must do before it is let in; `None` when there is no more time.
async fn limited<T>(
    shared: &Shared,
    newcomer: &Newcomer,
    stop: &CancellationToken,
    work: impl Future<Output = T>,
) -> Option<T> {
    let shown_out = newcomer.stay.shown_out();
    let (daemon, peer) = (&shared.config.name, &newcomer.peer);
    tokio::select! {
        done = work => Some(done),
        () = stop.cancelled() => None,
        () = shown_out.cancelled() => {
            debug!(%daemon, %peer, "too many handshakes are unfinished");
            None
        }
        () = tokio::time::sleep_until(newcomer.deadline) => {
            debug!(%daemon, %peer, "no handshake in time");
            None
        }
    }
}

async fn admit<S: ClientStream>(
    shared: Arc<Shared>,
    stream: S,
    newcomer: Newcomer,
    stop: CancellationToken,
) {
    let mut connection = Connection { stream, reader: FrameReader::default(), out: Vec::new() };
    let handshake = handshake::perform(&shared, &mut connection, newcomer.peer.clone());
    let shaken = limited(&shared, &newcomer, &stop, handshake).await;
    let Newcomer { peer, stay, .. } = newcomer;
    drop(stay);
    match shaken {
        Some(Ok(Some(accepted))) => session::converse(&shared, connection, accepted, &stop).await,
        Some(Ok(None)) | None => {}
        Some(Err(error)) => {
            if shared.complaints.one_more(Instant::now().into_std()) {
                info!(daemon = %shared.config.name, %peer, %error, "handshake failed");
            }
        }
    }
}
