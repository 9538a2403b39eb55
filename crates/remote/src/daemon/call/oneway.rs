//! Oneway calls: their slots, their order, and how their client learns of refused ones.
//!
//! A oneway call has no answer, so the next call that has one is refused in its stead. A client
//! that sends faster than its object works must not fill the memory, and must not believe that
//! everything was carried out.

use std::future::Future;
use std::mem::take;
use std::sync::Arc;
use std::time::Instant;

use tracing::{error, warn};
use wire::exception::Exception;

use crate::admission::byte_budget::Reservation;
use crate::admission::limits::SMALL_ONEWAY_BYTES;
use crate::admission::slots::{Slot, Slots};
use crate::daemon::Shared;
use crate::daemon::catch_panic::{self, CallName};
use crate::object::{BoxFuture, CallResult};
use crate::session::Session;

/// Oneway calls of a connection: those that have not ended, and those that were refused.
#[derive(Debug, Default)]
pub(crate) struct Oneways {
    /// Made for the first call that does not end at once: most connections have none.
    slots: Option<Arc<Slots>>,
    /// Since the last call with an answer.
    refused: usize,
}

/// The slots of a oneway call that has not ended at once, with the memory of its request.
#[derive(Debug)]
pub(super) struct OnewaySlot {
    _of_connection: Option<Slot>,
    _of_all: Option<Slot>,
    _memory: Option<Reservation>,
}

/// Memory for the arguments of a oneway call; `None` for small ones, whose number is limited.
pub(super) type OnewayMemory = Option<Reservation>;

impl Oneways {
    /// Lets a call begin whose arguments take `bytes`; `None`, and it is counted, if there are too
    /// many. Calls of an ended connection count until they have ended, too.
    pub(super) fn admit(
        &mut self,
        shared: &Shared,
        session: &Session,
        member: &str,
        bytes: usize,
    ) -> Option<OnewayMemory> {
        let admission = &shared.admission;
        let waiting = self.slots.as_ref().map_or(0, |slots| slots.taken());
        let of_all = admission.oneways.taken();
        let memory = if waiting >= shared.config.oneways || of_all >= admission.oneways.limit() {
            None
        } else if bytes > SMALL_ONEWAY_BYTES {
            admission.oneway_memory.try_take(bytes).map(Some)
        } else {
            Some(None)
        };
        // Once for a flood: a line for each would wash everything else out of the log.
        if memory.is_none() && self.count_refused() {
            error!(peer = %session.peer, method = member, waiting, of_all,
                "too many oneway calls: this one is refused, and those after it until there \
                 is room; the next call with an answer tells how many they were");
        }
        memory
    }

    /// Slots for a call that has begun and not ended. One that ends at once needs none. The calls
    /// of one connection begin one after the other, so that it never has too many; all together
    /// may have one more for each connection.
    pub(super) fn take_slot(&mut self, shared: &Shared, memory: OnewayMemory) -> OnewaySlot {
        let slots = self.slots.get_or_insert_with(|| Slots::of(shared.config.oneways));
        let of_all = shared.admission.oneways.try_take();
        OnewaySlot { _of_connection: slots.try_take(), _of_all: of_all, _memory: memory }
    }

    /// Counts a call that is not carried out; true for the first since the last call with an
    /// answer.
    pub(crate) fn count_refused(&mut self) -> bool {
        self.refused += 1;
        self.refused == 1
    }

    /// The exception for the call that follows refused ones.
    pub(super) fn take_exception(&mut self, shared: &Shared) -> Option<Exception> {
        let refused = take(&mut self.refused);
        let (admission, config) = (&shared.admission, &shared.config);
        (refused > 0).then(|| {
            Exception::daemon_error(format!(
                "too many oneway calls: {refused} on this connection were not carried out, since \
                 {} others, or {} of all connections (or {} MiB of them), had not ended; and \
                 neither was this call, which may rely on them",
                config.oneways,
                admission.oneways.limit(),
                config.request_memory >> 20
            ))
        })
    }
}

/// A oneway call, for the log.
pub(super) struct OnewayCall {
    shared: Arc<Shared>,
    session: Arc<Session>,
    pub(super) object: String,
    member: String,
}

impl OnewayCall {
    pub(super) fn new(
        shared: &Arc<Shared>,
        session: &Arc<Session>,
        object: String,
        member: String,
    ) -> Self {
        let (shared, session) = (Arc::clone(shared), Arc::clone(session));
        OnewayCall { shared, session, object, member }
    }

    pub(super) fn name(&self) -> CallName<'_> {
        CallName { object: &self.object, member: &self.member }
    }

    /// Waits until the call has begun, and then lets it run on by itself, with `keep` kept until it
    /// has ended. Without `begun`, it has begun when it was polled once.
    pub(super) async fn run(
        self,
        mut call: BoxFuture<CallResult>,
        begun: Option<impl Future<Output = ()>>,
        keep: OnewaySlot,
    ) {
        let begun = async {
            if let Some(begun) = begun {
                begun.await;
            }
        };
        let ended = tokio::select! {
            biased;
            result = catch_panic::wait(self.name(), &mut call) => Some(result),
            () = begun => None,
        };
        if let Some(result) = ended {
            return self.log(result);
        }
        let OnewayCall { shared, session, object, member } = &self;
        let shown = shared.calls.begin_oneway(session, object, member);
        tokio::spawn(async move {
            let _keep = (keep, shown);
            let result = catch_panic::wait(self.name(), &mut call).await;
            self.log(result);
        });
    }

    /// Logs the exception that it raised, if any. A client can call what always raises as fast as
    /// it can send.
    pub(super) fn log(&self, result: CallResult) {
        let OnewayCall { shared, session, object, member } = self;
        if let Err(exception) = result
            && shared.log_limits.oneways.allow(Instant::now())
        {
            warn!(peer = %session.peer, object, method = member, %exception, "a oneway call raised");
        }
    }
}
