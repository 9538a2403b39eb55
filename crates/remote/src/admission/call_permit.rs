//! The permit to run a call. A `multiplex` daemon has one: one call at a time in all of it.
//!
//! Permits are given in order of arrival. A call whose client has gone before it got one never
//! begins: the client has given up and may have asked again, and a busy instrument would never
//! become free. A oneway call is carried out, since its client waits for nothing.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use wire::exception::Exception;

use crate::admission::slots::{Slot, Slots};

/// The permit of one call; `None` in a `thread` daemon, which needs none.
pub(crate) type CallPermit = Option<Slot>;

/// The permits of a daemon.
#[derive(Clone, Debug)]
pub(crate) struct CallPermits(Option<Arc<Slots>>);

/// Whether a connection's client is known to be gone. Only calls that wait for a permit ask.
#[derive(Clone, Debug)]
pub(crate) struct ClientGone(Option<CancellationToken>);

impl CallPermits {
    pub(crate) fn new(is_multiplex: bool) -> Self {
        CallPermits(is_multiplex.then(|| Slots::of(1)))
    }

    pub(crate) fn is_multiplex(&self) -> bool {
        self.0.is_some()
    }

    /// For a new connection.
    pub(crate) fn client(&self) -> ClientGone {
        ClientGone(self.0.as_ref().map(|_| CancellationToken::new()))
    }

    /// Waits for a permit. The order is that of the first polls; cancel safe.
    pub(crate) async fn take(&self) -> CallPermit {
        match &self.0 {
            None => None,
            Some(slots) => Arc::clone(slots).take().await,
        }
    }

    /// Waits for the permit of a call that has an answer.
    ///
    /// # Errors
    /// Its client has gone before.
    pub(crate) async fn take_for(&self, client: &ClientGone) -> Result<CallPermit, Exception> {
        let Some(gone) = &client.0 else { return Ok(None) };
        tokio::select! {
            biased;
            // A client that has closed only its own direction can still read this.
            () = gone.cancelled() => Err(Exception::new(
                "Pyro5.errors.CommunicationError",
                "the call was not carried out: its client has closed the connection before its \
                 turn came",
            )),
            permit = self.take() => Ok(permit),
        }
    }
}

impl ClientGone {
    pub(crate) fn report(&self) {
        if let Some(gone) = &self.0 {
            gone.cancel();
        }
    }
}
