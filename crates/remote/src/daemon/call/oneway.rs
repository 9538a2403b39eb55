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
use wire::message::Header;

use crate::admission::byte_budget::Reservation;
use crate::admission::limits::SMALL_ONEWAY_BYTES;
use crate::admission::slots::{Slot, Slots};
use crate::current_call::{Beginning, CallAction, CallFacts, CallForm, CallInProgress};
use crate::daemon::Shared;
use crate::daemon::call::limited::LimitedCall;
use crate::daemon::call::log_call::{self, CallEnd};
use crate::daemon::catch_panic::{self, CallName};
use crate::object::{BoxFuture, CallResult, Object};
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
pub(super) struct OnewayCall<'a> {
    shared: &'a Arc<Shared>,
    session: &'a Arc<Session>,
    pub(super) object: String,
    member: String,
    note: OnewayNote,
}

/// Facts about a oneway call for the call log, besides its name.
pub(super) struct OnewayNote {
    since: Beginning,
    form: CallForm,
    request_bytes: usize,
    arguments: Option<String>,
}

impl OnewayNote {
    pub(super) fn new(
        shared: &Shared,
        session: &Session,
        current: &CallInProgress<'_>,
        header: &Header,
    ) -> Self {
        let keeps = shared.call_log.keeps_arguments();
        OnewayNote {
            since: current.since,
            form: current.form,
            request_bytes: log_call::request_bytes(header),
            arguments: if keeps { session.call.arguments() } else { None },
        }
    }
}

impl<'a> OnewayCall<'a> {
    pub(super) fn new(
        shared: &'a Arc<Shared>,
        session: &'a Arc<Session>,
        object: String,
        member: String,
        note: OnewayNote,
    ) -> Self {
        OnewayCall { shared, session, object, member, note }
    }

    pub(super) fn name(&self) -> CallName<'_> {
        CallName { object: &self.object, member: &self.member }
    }

    /// Waits until the call has begun, and then lets it run on by itself, with `keep` kept until it
    /// has ended. Without `begun`, it has begun when it was polled once. A `limited` call is shown
    /// as overdue from its limit on.
    pub(super) async fn run(
        self,
        mut call: BoxFuture<CallResult>,
        begun: Option<impl Future<Output = ()>>,
        keep: OnewaySlot,
        limited: Option<(LimitedCall, Arc<dyn Object>)>,
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
            return self.log(result, false);
        }
        let OnewayCall { shared, session, object, member, mut note } = self;
        // A list may have shown it while it waited for its turn.
        note.since = session.call.since().unwrap_or(note.since).with_time();
        let shown = shared.calls.begin_oneway(session, (&object, &member), note.since);
        let (shared, session) = (Arc::clone(shared), Arc::clone(session));
        tokio::spawn(async move {
            let _keep = keep;
            let oneway = OnewayCall::new(&shared, &session, object, member, note);
            let name = oneway.name();
            let mut overdue = None;
            if let Some((limited, object)) = &limited {
                let waiting = catch_panic::wait(name, &mut call);
                match tokio::time::timeout(limited.limit.timeout, waiting).await {
                    Ok(result) => return oneway.log(result, true),
                    Err(_) => {
                        shown.set_overdue();
                        overdue = Some(limited.begin_overdue(&shared, &session, object));
                    }
                }
            }
            let waiting = catch_panic::wait(name, &mut call);
            let result = match overdue {
                Some(overdue) => overdue.wait(waiting).await,
                None => waiting.await,
            };
            drop(shown);
            oneway.log(result, true);
        });
    }

    /// Logs the exception that it raised, if any; and its end, if it `ran_beside` other calls and
    /// may have taken long. A client can call what always raises as fast as it can send.
    pub(super) fn log(self, result: CallResult, ran_beside: bool) {
        let OnewayCall { shared, session, object, member, note } = self;
        // One with a traceback comes from a driver's process, which has logged it.
        if let Err(exception) = &result
            && exception.traceback().is_none()
            && shared.log_limits.oneways.allow(Instant::now())
        {
            let exception = log_call::describe_exception(
                shared,
                (&object, &member),
                note.form.action,
                exception,
            );
            warn!(peer = %session.peer, object, method = member, exception, "a oneway call raised");
        }
        let OnewayNote { since, form, request_bytes, arguments } = note;
        let exception = match &result {
            Err(exception) => Some(log_call::shortened(exception)),
            Ok(reply) if form.action == CallAction::Batch => log_call::last_exception(reply),
            Ok(_) => None,
        };
        if exception.is_none() && !ran_beside && !shared.call_log.looks_at(&session.call) {
            return;
        }
        let mut facts = CallFacts::named(&object, &member);
        (facts.form, facts.arguments) = (form, arguments);
        let end = CallEnd { exception, request_bytes, ..CallEnd::default() };
        log_call::log(shared, session, facts, since, end);
    }
}
