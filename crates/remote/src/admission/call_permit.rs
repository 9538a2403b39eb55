//! The turn of a `multiplex` daemon: one call at a time in all of it.
//!
//! Owns the wait for it, and when that ends without: a call whose client has gone before its turn
//! never begins. Its client has given up and may have asked again, and to carry out all that was
//! given up is how a busy instrument never becomes free. A oneway call is different: whoever sends one
//! waits for nothing, and it is carried out.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use wire::exception::Exception;

use crate::daemon::Shared;

/// The right to run a call; none is needed in a `thread` daemon.
pub(crate) type Turn = Option<OwnedSemaphorePermit>;

/// Whether a connection's client is known to be gone.
#[derive(Clone, Debug)]
pub(crate) struct ClientEnd(Option<CancellationToken>);

impl ClientEnd {
    /// Of a new connection. Where nothing waits for its turn nobody needs to know.
    pub(crate) fn new(shared: &Shared) -> Self {
        ClientEnd(shared.turn.as_ref().map(|_| CancellationToken::new()))
    }

    pub(crate) fn seen(&self) {
        if let Some(end) = &self.0 {
            end.cancel();
        }
    }
}

/// Waits for the turn.
pub(crate) async fn take(shared: &Shared) -> Turn {
    match &shared.turn {
        None => None,
        // The semaphore is never closed.
        Some(turn) => Arc::clone(turn).acquire_owned().await.ok(),
    }
}

/// Waits for the turn of a call that has an answer.
///
/// # Errors
/// Its client has gone before.
pub(crate) async fn take_for(shared: &Shared, client: &ClientEnd) -> Result<Turn, Exception> {
    let Some(end) = &client.0 else { return Ok(None) };
    tokio::select! {
        biased;
        // Who has closed only its own direction can still read this.
        () = end.cancelled() => Err(Exception::new(
            "Pyro5.errors.CommunicationError",
            "the call was not carried out: its client has closed the connection before its turn came",
        )),
        turn = take(shared) => Ok(turn),
    }
}
