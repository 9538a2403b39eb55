//! From a request's bytes to its answer's bytes.
//!
//! Owns what is done about an INVOKE message: which object, and whose turn. What is asked is
//! [`request`]'s, how the answer is written [`answering`](super::answering)'s. Knows nothing of sockets.

use std::sync::Arc;

use tracing::{debug, warn};
use wire::exception::Exception;
use wire::message::{Flags, Header};
use wire::serializer::Serializer;

use crate::admission::answer_budget::AnswerRoom;
use crate::admission::call_permit::{self, ClientEnd};
use crate::admission::request_budget::{Held, Need};
use crate::blocking::{aside, give_memory_back};
use crate::daemon::Shared;
use crate::daemon::call::decode::{self, Unread};
use crate::daemon::call::decode::{After, correlation, owned};
use crate::daemon::call::describe::unknown_object;
use crate::daemon::call::oneway::{self, About, Oneways};
use crate::daemon::call::response::Answering;
use crate::daemon::catch_panic::{self, What};
use crate::daemon::config::no_place;
use crate::daemon::locks::lock_gate;
use crate::frames::Frame;
use crate::object::{Answer, Context, Leave, Operation, Request};
use crate::serialized::Behind;
use crate::session::Session;

/// Whose requests are carried out.
pub(crate) struct Caller {
    pub(crate) session: Arc<Session>,
    pub(crate) client: ClientEnd,
    /// Nothing else: there was no place for it.
    pub(crate) only_breaks_locks: bool,
    pub(crate) oneways: Oneways,
    /// Bytes that reading the last large request has taken.
    pub(crate) took: usize,
    /// The room that the answer to the last request has taken, until it is sent.
    pub(crate) room: Option<AnswerRoom>,
    /// The end of that answer, where it is not in the connection's buffer.
    pub(crate) behind: Option<Behind>,
}

/// Carries out the request in `frame` and appends its answer to `out`; nothing for a oneway.
pub(crate) async fn answer(
    shared: &Arc<Shared>,
    caller: &mut Caller,
    frame: Frame<'_>,
    mut held: Option<Held>,
    out: &mut Vec<u8>,
) -> After {
    let Caller { session, client, only_breaks_locks, oneways, took, room, behind } = caller;
    let header = frame.header;
    let Some(serializer) = Serializer::from_id(header.serializer) else {
        debug!(peer = %session.peer, serializer = header.serializer, "unknown serializer");
        return After::Close;
    };
    let mut context = Context {
        serializer,
        flags: header.flags,
        seq: header.seq,
        correlation_id: correlation(&header),
        annotations: owned(&frame.body.annotations),
        held: None,
        leave: Leave::default(),
        unread: Some(Arc::clone(&shared.unread)),
    };
    let answer = Answering { shared, session, header, serializer, id: context.correlation_id };
    let is_oneway = header.flags.contains(Flags::ONEWAY);
    if !is_oneway && let Some(exception) = oneways.owed() {
        return answer.exception(exception, "", "", out);
    }
    *took = held.as_ref().map_or(0, Held::bytes);
    let (id, operation, memory) = match read(shared, &frame, serializer, &mut held).await {
        Ok(read) => read,
        Err(Unread::Malformed(exception)) => return answer.exception(exception, "", "", out),
        Err(Unread::TooLarge(exception)) => {
            if is_oneway {
                oneways.refuse();
            }
            return answer.exception(exception, "", "", out);
        }
    };
    drop(frame);
    if let Some(held) = &mut held {
        held.shrink(memory);
        *took = memory;
    }
    context.held = held.map(Arc::new);
    let name = operation.name().to_owned();
    let Some(object) = shared.object(&id) else {
        return answer.exception(unknown_object(shared, &id), &id, &name, out);
    };
    let breaks_lock =
        matches!(&operation, Operation::Call(call) if object.breaks_locks(&call.method));
    if *only_breaks_locks && !breaks_lock {
        let refused = Exception::new("Pyro5.errors.CommunicationError", no_place(&shared.config));
        return answer.exception(refused, &id, &name, out);
    }
    let has_lock = shared.locks.settings(&id).is_some();
    let is_about_the_lock = has_lock && lock_gate::needs_no_turn(&operation);
    // A oneway call keeps nobody waiting, and would not be told.
    if !is_oneway
        && !is_about_the_lock
        && !breaks_lock
        && let Err(refused) = shared.abandoned.check(&id)
    {
        return answer.exception(refused, &id, &name, out);
    }
    let request = Request { operation, context };
    // A oneway batch is carried out in its place, as Pyro5 does.
    if is_oneway && !header.flags.contains(Flags::BATCH) {
        let Some(place) = oneways.enter(memory, session, &name) else { return After::Continue };
        let about = About {
            shared: Arc::clone(shared),
            session: Arc::clone(session),
            object: id.clone(),
            method: name,
        };
        if has_lock {
            let turn = if is_about_the_lock { None } else { call_permit::take(shared).await };
            let (shared, session) = (Arc::clone(shared), Arc::clone(session));
            let call = async move {
                lock_gate::call(&shared, &session, &id, &object, request, turn).await
            };
            oneway::set_going(Answer::Pending(Box::pin(call)), place, about).await;
            return After::Continue;
        }
        match &shared.turn {
            None => {
                let answer = catch_panic::begin(about.what(), &object, session, request);
                oneway::set_going(answer, place, about).await;
            }
            // It keeps its place in the order of arrival, and the connection does not wait for it.
            Some(turn) => {
                let session = Arc::clone(session);
                let mut turn = Box::pin(Arc::clone(turn).acquire_owned());
                let first = std::future::poll_fn(|context| {
                    std::task::Poll::Ready(turn.as_mut().poll(context))
                });
                let at_once = first.await;
                tokio::spawn(async move {
                    let turn = match at_once {
                        std::task::Poll::Ready(turn) => turn,
                        std::task::Poll::Pending => turn.await,
                    };
                    let answer = catch_panic::begin(about.what(), &object, &session, request);
                    oneway::set_going(answer, (turn, place), about).await;
                });
            }
        }
        return After::Continue;
    }
    // The call that has the turn may be what hangs.
    let turn = if breaks_lock || is_about_the_lock {
        None
    } else if is_oneway {
        call_permit::take(shared).await
    } else {
        match call_permit::take_for(shared, client).await {
            Ok(turn) => turn,
            Err(gone) => return answer.exception(gone, &id, &name, out),
        }
    };
    let mut result = if has_lock {
        // Boxed, so that connections without locks are no larger for it.
        Box::pin(lock_gate::call(shared, session, &id, &object, request, turn)).await
    } else {
        let what = What { object: &id, member: &name };
        let result = catch_panic::call(what, &object, session, request).await;
        drop(turn);
        result
    };
    if is_oneway {
        let (shared, session) = (Arc::clone(shared), Arc::clone(session));
        About { shared, session, object: id, method: name }.done(result);
        return After::Continue;
    }
    *room = result.as_mut().ok().and_then(|reply| reply.room.take());
    match room {
        None => answer.result(result, &id, &name, out, behind),
        Some(room) => room.make(|| answer.result(result, &id, &name, out, behind)).await,
    }
}

/// Reads a request within the room that it has, or in more where that is too little.
async fn read(
    shared: &Shared,
    frame: &Frame<'_>,
    serializer: Serializer,
    held: &mut Option<Held>,
) -> Result<(String, Operation, usize), Unread> {
    let limits = &shared.config.limits;
    let Some(room) = held else { return decode::decode(frame, serializer, limits) };
    let within = room.limits(limits);
    let mut read = decode::decode(frame, serializer, &within);
    let most = Need::most(frame.body.payload.len(), limits);
    if let Err(Unread::TooLarge(_)) = read
        && within.memory < most.values
    {
        give_back(held.take());
        // Boxed, for it is rare. Without any room: two that waited for more would wait for each
        // other.
        *held = Some(Box::pin(shared.room.enter(most)).await.map_err(Unread::TooLarge)?);
        read = decode::decode(frame, serializer, limits);
    }
    if let Err(Unread::TooLarge(_)) = read {
        give_back(held.take());
    }
    read
}

/// Gives back room that was used, and the memory behind it before others use that room.
fn give_back(held: Option<Held>) {
    aside(give_memory_back);
    drop(held);
}

/// Answers a request that is not even read.
pub(crate) fn refuse(
    shared: &Arc<Shared>,
    session: &Arc<Session>,
    header: Header,
    exception: Exception,
    out: &mut Vec<u8>,
) {
    let Some(serializer) = Serializer::from_id(header.serializer) else { return };
    warn!(daemon = %shared.config.name, peer = %session.peer, reason = exception.message(),
        "a request is refused");
    let answer = Answering { shared, session, header, serializer, id: correlation(&header) };
    answer.exception(exception, "", "", out);
}
