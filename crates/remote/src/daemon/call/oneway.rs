//! Oneway calls: their slots, their order, and how their client learns of refused ones.
//!
//! A oneway call has no answer, so the next call that has one is refused in its stead. A client
//! that sends faster than its object works must not fill the memory, and must not believe that
//! everything was carried out.

use std::future::{Future, poll_fn};
use std::mem::take;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use tracing::{error, warn};
use wire::exception::Exception;

use crate::admission::byte_budget::Reservation;
use crate::admission::limits::SMALL_ONEWAY_BYTES;
use crate::admission::slots::{Slot, Slots};
use crate::daemon::Shared;
use crate::daemon::call::invocation::Invocation;
use crate::daemon::catch_panic::{self, CallName};
use crate::object::{Answer, CallResult};
use crate::session::Session;

/// Oneway calls of a connection: those that have not ended, and those that were refused.
#[derive(Debug, Default)]
pub(crate) struct Oneways {
    /// Made for the first call: most connections have none.
    slots: Option<Arc<Slots>>,
    /// Since the last call with an answer.
    refused: usize,
}

/// The slots of a running oneway call, with the memory of its request.
#[derive(Debug)]
pub(super) struct OnewaySlot {
    _of_connection: Slot,
    _of_all: Slot,
    _memory: Option<Reservation>,
}

impl Oneways {
    /// A slot for a call; `None`, and it is counted, if there are too many. Calls of an ended
    /// connection count until they have ended, too.
    pub(super) fn take_slot(
        &mut self,
        shared: &Shared,
        session: &Session,
        call: &Invocation,
    ) -> Option<OnewaySlot> {
        let admission = &shared.admission;
        let slots = self.slots.get_or_insert_with(|| Slots::of(shared.config.oneways));
        let taken = slots.taken();
        let slot = slots.try_take().and_then(|of_connection| {
            let of_all = admission.oneways.try_take()?;
            let memory = match call.memory > SMALL_ONEWAY_BYTES {
                true => Some(admission.oneway_memory.try_take(call.memory)?),
                false => None,
            };
            Some(OnewaySlot { _of_connection: of_connection, _of_all: of_all, _memory: memory })
        });
        // Once for a flood: a line for each would wash everything else out of the log.
        if slot.is_none() && self.count_refused() {
            error!(peer = %session.peer, method = call.member, waiting = taken,
                of_all = admission.oneways.taken(),
                "too many oneway calls: this one is refused, and those after it until there \
                 is room; the next call with an answer tells how many they were");
        }
        slot
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

/// Starts a oneway call in the order of arrival, and lets it run on by itself.
pub(super) async fn start(
    shared: &Arc<Shared>,
    session: &Arc<Session>,
    mut call: Invocation,
    slot: OnewaySlot,
) {
    let calls = shared.admission.calls.clone();
    if call.has_lock {
        let oneway = OnewayCall::new(shared, session, call.id.clone(), call.member.clone());
        // The next call of the connection may give the lock up, and must come later.
        let permit = if call.is_about_lock { None } else { calls.take().await };
        let (shared, session) = (Arc::clone(shared), Arc::clone(session));
        let running = Box::pin(async move { call.run(&shared, &session, permit).await.0 });
        return oneway.run(Answer::Pending(running), slot).await;
    }
    let (id, member) = (take(&mut call.id), take(&mut call.member));
    let oneway = OnewayCall::new(shared, session, id, member);
    if calls.is_multiplex() {
        // The first poll gives it its place in the queue; the connection does not wait for the
        // rest.
        let mut waiting = Box::pin(async move { calls.take().await });
        let polled = poll_fn(|context| Poll::Ready(waiting.as_mut().poll(context))).await;
        let session = Arc::clone(session);
        tokio::spawn(async move {
            let permit = match polled {
                Poll::Ready(permit) => permit,
                Poll::Pending => waiting.await,
            };
            let answer =
                catch_panic::begin_call(oneway.name(), &call.object, &session, call.request);
            oneway.run(answer, (permit, slot)).await;
        });
    } else {
        let answer = catch_panic::begin_call(oneway.name(), &call.object, session, call.request);
        oneway.run(answer, slot).await;
    }
}

/// A oneway call, for the log.
pub(super) struct OnewayCall {
    shared: Arc<Shared>,
    session: Arc<Session>,
    object: String,
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

    fn name(&self) -> CallName<'_> {
        CallName { object: &self.object, member: &self.member }
    }

    /// Polls `answer` once here, so that calls begin in the order of their arrival, and then lets
    /// it run on by itself, with `keep` kept until it has ended.
    async fn run(self, answer: Answer, keep: impl Send + 'static) {
        let mut call = match answer {
            Answer::Ready(result) => return self.log(result),
            Answer::Pending(call) => call,
        };
        let begun = poll_fn(|context| {
            let polled = pin!(catch_panic::wait(self.name(), &mut call)).poll(context);
            Poll::Ready(match polled {
                Poll::Ready(result) => Some(result),
                Poll::Pending => None,
            })
        });
        if let Some(result) = begun.await {
            return self.log(result);
        }
        tokio::spawn(async move {
            let _keep = keep;
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
