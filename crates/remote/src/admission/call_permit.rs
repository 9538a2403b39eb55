//! Whether and when a call may begin: the permit of a `multiplex` daemon, which runs one call at a
//! time, and the number of calls whose clients are gone.
//!
//! Permits are given in order of arrival. A call whose client has gone before it got one never
//! begins: the client has given up and may have asked again, and a busy instrument would never
//! become free. A oneway call is carried out, since its client waits for nothing.
//!
//! Under Pyro5 a call that hangs keeps its client's slot in the pool after the client has given up,
//! and each new attempt takes another, until all are taken. Here the slot is free again and the
//! call goes on without one, since it cannot be ended from outside. The number of such orphaned
//! calls of an object is limited. They are counted in a `thread` daemon only: in a `multiplex`
//! daemon one call runs at a time, and those that wait for it are no sign of trouble.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tracing::warn;
use wire::exception::Exception;

use crate::admission::slots::{Address, KeyedSlot, Slot, Slots};
use crate::config::{DAEMON_NAME, DaemonConfig, ServerType};

/// The permit of one call; `None` in a `thread` daemon, which needs none.
pub(crate) type CallPermit = Option<Slot>;

/// The permits of a daemon.
#[derive(Clone, Debug)]
pub(crate) struct CallPermits(Option<Arc<Slots>>);

/// Whether a connection's client is known to be gone. Only calls that wait for a permit ask.
#[derive(Clone, Debug)]
pub(crate) struct ClientGone(Option<CancellationToken>);

impl CallPermits {
    pub(crate) fn new(config: &DaemonConfig) -> Self {
        CallPermits((config.server_type == ServerType::Multiplex).then(|| Slots::of(1)))
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

    /// Waits for the permit of a call; with `client`, for as long as that is there.
    ///
    /// # Errors
    /// Its client has gone before.
    pub(crate) async fn take_for(
        &self,
        client: Option<&ClientGone>,
    ) -> Result<CallPermit, Exception> {
        let Some(client) = client else { return Ok(self.take().await) };
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

/// Running calls whose clients are gone, by object.
#[derive(Debug)]
pub(crate) struct OrphanedCalls {
    /// `None` in a `multiplex` daemon, which counts none.
    slots: Option<Arc<Slots<String>>>,
    /// Calls of one object; with as many it takes no further call.
    limit: usize,
    /// Calls without a slot in the pool; their connections still have their descriptors.
    limit_without_slot: usize,
}

/// A connection's slot among those that are served.
#[derive(Debug, Default)]
pub(crate) struct PoolSlot {
    slot: Option<KeyedSlot<Address>>,
    /// Counts until the connection has ended.
    orphaned: Option<KeyedSlot<String>>,
}

impl OrphanedCalls {
    pub(crate) fn new(config: &DaemonConfig) -> Self {
        let pool = config.threadpool_size;
        let is_thread = config.server_type == ServerType::Thread;
        OrphanedCalls {
            slots: is_thread.then(|| Slots::new(usize::MAX, usize::MAX)),
            limit: pool,
            limit_without_slot: config
                .connections
                .map_or(usize::MAX, |all| all.saturating_sub(pool)),
        }
    }

    /// Whether a call of this object may begin.
    ///
    /// # Errors
    /// The object has too many calls whose clients are gone.
    pub(crate) fn check(&self, object: &str) -> Result<(), Exception> {
        // This is all that it costs as long as everything is as it should be.
        let Some(slots) = self.slots.as_ref().filter(|slots| slots.taken() >= self.limit) else {
            return Ok(());
        };
        let calls = slots.taken_by(object);
        if calls == 0 || calls < self.limit || object == DAEMON_NAME {
            return Ok(());
        }
        Err(Exception::daemon_error(format!(
            "'{object}' takes no further calls: {calls} of clients that are gone have not ended \
             (at most {} may); what it drives may hang, and to restart its daemon ends them",
            self.limit
        )))
    }
}

impl PoolSlot {
    pub(crate) fn new(slot: KeyedSlot<Address>) -> Self {
        PoolSlot { slot: Some(slot), orphaned: None }
    }

    /// The client is gone while a call of `object` runs: its slot is free for another connection.
    pub(crate) fn orphan(&mut self, orphans: &OrphanedCalls, object: &str) {
        let Some(slots) = orphans.slots.as_ref().filter(|_| self.orphaned.is_none()) else {
            return;
        };
        let without_slot = slots.taken();
        self.orphaned = Some(slots.count_for(object.to_owned()));
        let calls = slots.taken_by(object);
        if calls == orphans.limit && object != DAEMON_NAME {
            warn!(
                object,
                calls,
                "takes no further calls: the clients of as many are gone, and \
                they have not ended; what the service drives may hang"
            );
        }
        if without_slot < orphans.limit_without_slot {
            self.slot = None;
        }
    }
}
