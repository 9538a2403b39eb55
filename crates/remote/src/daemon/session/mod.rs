//! One connection after its handshake: request after request, then the end of its session.
//!
//! Reads a request whole, reserves memory for a large one, has it carried out by [`dispatch`], and
//! sends the answer. The meaning of requests is not known here.

mod large_transfer;
pub(crate) mod reject;
pub(crate) mod watch;

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use wire::Limits;
use wire::message::{Flags, FrameError, FrameWriter, Header, MessageType};

use crate::admission::HandshakeSlot;
use crate::admission::call_permit::PoolSlot;
use crate::admission::limits::{LOCK_BREAKER_TIME, UNCERTIFIED_TIME};
use crate::admission::request_memory::{MemoryNeed, RequestPermit, SMALL_REQUEST_BYTES};
use crate::blocking::{poll_blocking_if, run_blocking_if};
use crate::config::{DaemonConfig, ServerType};
use crate::current_call::{CallForm, CallKind, CallPhase};
use crate::daemon::Shared;
use crate::daemon::call::decode::{self, After};
use crate::daemon::call::dispatch::{self, Caller};
use crate::daemon::call::response::Response;
use crate::daemon::locks::safe_state;
use crate::daemon::session::large_transfer::SMALL_ANSWER_BYTES;
use crate::daemon::session::watch::{ClientWatch, IDLE, IdleTimer};
use crate::frames::{FrameStream, ReadError, ReadTimeouts};
use crate::net::ClientStream;
use crate::session::Session;

/// Time in which a client whose rights are withdrawn can make one more call, to hear the reason.
const LAST_CALL_TIME: Duration = Duration::from_secs(5);

/// A client that has been let in.
pub(crate) struct AcceptedClient {
    pub(crate) session: Session,
    pub(crate) access: Access,
}

/// The rights of a client that has been let in.
pub(crate) enum Access {
    Full(PoolSlot),
    /// Calls of internal objects only: it has no slot of the pool.
    InternalOnly(PoolSlot),
    /// Calls of objects that serve clients without the certificate that the port requires; other
    /// calls are refused with `refusal`. It may stay for a short time, or until another needs the
    /// slot.
    Uncertified {
        slot: HandshakeSlot,
        refusal: Box<str>,
    },
    /// The pool is full, or the address has as many connections as it may. It may break locks, for
    /// a short time, or until another needs the slot; other calls are refused with `refusal`.
    BreakLocksOnly {
        slot: HandshakeSlot,
        refusal: Box<str>,
    },
}

/// Serves a client until either side ends the connection or `stop` is cancelled between two calls.
pub(crate) async fn serve_requests<S: ClientStream>(
    shared: &Arc<Shared>,
    mut connection: FrameStream<S>,
    client: AcceptedClient,
    stop: &CancellationToken,
) {
    let session = Arc::new(client.session);
    shared.calls.add_session(&session);
    // Objects hear of the end however this function ends, its future being dropped included.
    let ended = SessionEnd { shared, session: &session };
    connection.reader.timeouts = read_timeouts(&shared.config);
    let is_uncertified = matches!(client.access, Access::Uncertified { .. });
    let is_reader = is_uncertified || matches!(client.access, Access::InternalOnly(_));
    let (mut slot, beyond_pool, refusal) = match client.access {
        Access::Full(slot) => (slot, None, None),
        Access::InternalOnly(slot) => (slot, None, Some(internal_only_text(&session.object))),
        Access::Uncertified { slot, refusal } => {
            (PoolSlot::default(), Some((slot, UNCERTIFIED_TIME)), Some(refusal))
        }
        Access::BreakLocksOnly { slot, refusal } => {
            (PoolSlot::default(), Some((slot, LOCK_BREAKER_TIME)), Some(refusal))
        }
    };
    // Cancelled when another client needs the slot.
    let evicted = is_uncertified.then(|| stop.child_token());
    let stop = evicted.as_ref().unwrap_or(stop);
    let mut caller = Caller { is_reader, is_uncertified, ..Caller::new(shared, &session, refusal) };
    let done = {
        // Pinned here and lent: handing it on would take its memory twice.
        let serving = pin!(requests(shared, &mut connection, &mut caller, &mut slot, stop));
        match &beyond_pool {
            None => serving.await,
            // Boxed, so that the other connections are no larger for it.
            Some((slot, time)) => {
                let is_in_call = || evicted.is_some() && session.call.read().is_some();
                Box::pin(for_a_short_time(serving, (slot, *time), stop, is_in_call)).await
            }
        }
    };
    drop(ended);
    drop(slot);
    let (daemon, peer) = (&shared.config.name, &session.peer);
    match done {
        Ok(()) => {}
        Err(ReadError::Io(error)) => debug!(%daemon, %peer, %error, "connection lost"),
        Err(ReadError::Frame(error)) => {
            if shared.log_limits.peers.allow(Instant::now().into_std()) {
                warn!(%daemon, %peer, %error,
                    "closing a connection that does not keep to the protocol");
            }
            Box::pin(reject::reject(connection, &error, &shared.config.name)).await;
        }
    }
}

/// Why a connection that reads an internal object cannot call another, in words for the client.
fn internal_only_text(object: &str) -> Box<str> {
    format!(
        "this connection was made to read '{object}', and is not one of the pool: make another for \
         other objects"
    )
    .into()
}

/// Serves a connection beyond the pool until its `time` is up, or another needs its slot. If it
/// `is_in_call` then, that call is completed and answered within the time: it may be a login, whose
/// code is good once.
async fn for_a_short_time(
    mut serving: impl Future<Output = Result<(), ReadError>> + Unpin,
    (slot, time): (&HandshakeSlot, Duration),
    stop: &CancellationToken,
    is_in_call: impl Fn() -> bool,
) -> Result<(), ReadError> {
    let evicted = slot.evicted();
    let mut end = pin!(tokio::time::sleep(time));
    tokio::select! {
        biased;
        done = &mut serving => return done,
        () = evicted.cancelled() => {}
        () = &mut end => return Ok(()),
    }
    if !is_in_call() {
        return Ok(());
    }
    stop.cancel();
    tokio::select! {
        biased;
        done = serving => done,
        () = end => Ok(()),
    }
}

/// `COMMTIMEOUT` for each server type. A multiplexing Pyro5 waits for the next request with all of
/// its connections at once, for as long as it takes.
fn read_timeouts(config: &DaemonConfig) -> ReadTimeouts {
    ReadTimeouts {
        within_message: config.comm_timeout,
        between_messages: match config.server_type {
            ServerType::Thread => config.comm_timeout,
            ServerType::Multiplex => None,
        },
    }
}

struct SessionEnd<'a> {
    shared: &'a Arc<Shared>,
    session: &'a Arc<Session>,
}

impl Drop for SessionEnd<'_> {
    fn drop(&mut self) {
        let SessionEnd { shared, session } = self;
        shared.calls.remove_session(session);
        safe_state::end_session(&shared.locks, session);
        debug!(daemon = %shared.config.name, session = session.id, peer = %session.peer, "ended");
    }
}

/// Carries out request after request. An error ends the connection.
async fn requests<S: ClientStream>(
    shared: &Arc<Shared>,
    connection: &mut FrameStream<S>,
    caller: &mut Caller,
    slot: &mut PoolSlot,
    stop: &CancellationToken,
) -> Result<(), ReadError> {
    let session = Arc::clone(&caller.session);
    let limits = caller.limits(shared);
    let mut stopped = pin!(stop.cancelled());
    let sleep = pin!(tokio::time::sleep(IDLE));
    let mut idle = IdleTimer::new(sleep);
    let mut ended = RightsEnd::of(shared, &session);
    loop {
        let header = tokio::select! {
            biased;
            header = next_header(connection, limits, &mut idle) => header?,
            () = &mut stopped => return Ok(()),
            () = ended.reached() => return Ok(()),
        };
        let is_last = session.revocation().is_some();
        let Some(header) = header else { return Ok(()) };
        receive(shared, &session, connection, &header).await?;
        let mut permit = None;
        if !is_small(&header)
            && let Some(need) = MemoryNeed::of(&header, &connection.reader, limits)
        {
            // Boxed, so that connections without large requests are no larger for it.
            permit = Box::pin(wait_for_memory(shared, connection, caller, header, need)).await?;
            if permit.is_none() {
                continue;
            }
        }
        let is_large = permit.is_some();
        let frame = run_blocking_if(is_large, || connection.reader.parse_frame(header, limits))?;
        if let Some(permit) = &mut permit {
            permit.inflated(frame.body.payload.len(), limits);
        }
        let response = match header.kind {
            // A client that is here to break a lock does not need it.
            MessageType::Ping if is_last => return Ok(()),
            MessageType::Ping if caller.refusal.is_some() && !caller.is_reader => return Ok(()),
            MessageType::Ping => pong(&header, &mut connection.out, limits.message),
            MessageType::Invoke => {
                let client = caller.client.clone();
                let is_reader = caller.is_reader;
                // Pinned here and lent: handing it on would copy all of its state.
                let answering =
                    pin!(dispatch::answer(shared, caller, frame, permit, &mut connection.out));
                let answering = pin!(poll_blocking_if(answering, is_large));
                let stream = &connection.stream;
                let watch = ClientWatch { shared, session: &session, stream, client, is_reader };
                match watch.while_answering(answering, &mut idle, slot).await {
                    Some(response) => response,
                    None => return Ok(()),
                }
            }
            kind => return Err(FrameError::UnknownType(kind as u8).into()),
        };
        let after = response.after;
        if !connection.out.is_empty() {
            send(shared, &session, connection, response).await?;
        }
        if after == After::Close || is_last || stop.is_cancelled() {
            return Ok(());
        }
    }
}

/// The end of a connection whose client has lost its rights: its locks end at once, the connection
/// somewhat later, so that the next call can be answered with the reason.
struct RightsEnd<'a>(Option<Pin<Box<dyn Future<Output = ()> + Send + 'a>>>);

impl<'a> RightsEnd<'a> {
    fn of(shared: &'a Arc<Shared>, session: &'a Arc<Session>) -> Self {
        // Anonymous connections have nothing to lose, and are no larger for it.
        RightsEnd(session.login().map(|login| -> Pin<Box<dyn Future<Output = ()> + Send>> {
            Box::pin(async {
                login.revoked().await;
                shared.locks.revoke(session.id);
                tokio::time::sleep(LAST_CALL_TIME).await;
            })
        }))
    }

    /// Waits for it. Cancel safe.
    async fn reached(&mut self) {
        match &mut self.0 {
            None => std::future::pending().await,
            Some(end) => end.await,
        }
    }
}

/// Whether a request needs no memory reserved.
fn is_small(header: &Header) -> bool {
    header.body_len() <= SMALL_REQUEST_BYTES && !header.flags.contains(Flags::COMPRESSED)
}

/// The next request's header. A connection that is idle frees its buffers. Cancel safe.
async fn next_header<S: ClientStream>(
    connection: &mut FrameStream<S>,
    limits: &Limits,
    idle: &mut IdleTimer<'_>,
) -> Result<Option<Header>, ReadError> {
    loop {
        tokio::select! {
            biased;
            header = connection.reader.read_header(&mut connection.stream, limits) => {
                idle.reset();
                return header;
            }
            () = idle.elapsed() => connection.free_buffers(),
        }
    }
}

/// Waits until the body of a request is here.
async fn receive<S: ClientStream>(
    shared: &Shared,
    session: &Session,
    connection: &mut FrameStream<S>,
    header: &Header,
) -> Result<(), ReadError> {
    if header.body_len() <= SMALL_REQUEST_BYTES {
        return connection.reader.receive_body(&mut connection.stream, header).await;
    }
    // Boxed, so that connections without large requests are no larger for it.
    Box::pin(large_transfer::receive(shared, session, connection, header)).await
}

/// Sends an answer.
async fn send<S: ClientStream>(
    shared: &Shared,
    session: &Session,
    connection: &mut FrameStream<S>,
    response: Response,
) -> std::io::Result<()> {
    // One with memory reserved is sent as a large one however small it is: a client that does not
    // read it can then be disconnected where others wait for that memory.
    let is_small = connection.out.len() < SMALL_ANSWER_BYTES && response.memory.is_none();
    if response.rest.is_none() && (is_small || !shared.admission.answers.is_limited()) {
        return connection.send().await;
    }
    // Boxed, so that connections without large answers are no larger for it.
    Box::pin(large_transfer::send(shared, session, connection, response)).await
}

/// Reserves memory for a large request that has arrived; `None` if there is not enough, and the
/// request is answered. While it waits, a client that is gone loses its locks.
async fn wait_for_memory<S: ClientStream>(
    shared: &Arc<Shared>,
    connection: &mut FrameStream<S>,
    caller: &mut Caller,
    header: Header,
    need: MemoryNeed,
) -> Result<Option<RequestPermit>, ReadError> {
    let session = Arc::clone(&caller.session);
    let client = caller.client.clone();
    let (stream, is_reader) = (&connection.stream, false);
    let watch = ClientWatch { shared, session: &session, stream, client, is_reader };
    let oneway = header.flags.contains(Flags::ONEWAY);
    let kind = if oneway { CallKind::Oneway } else { CallKind::Call };
    // Its object and member are not known yet.
    let form = CallForm { kind, ..CallForm::default() };
    let _call = session.call.begin(&session.object, "", form, CallPhase::WaitsForMemory);
    let waiting = RequestPermit::wait(&shared.admission.requests, need);
    let exception = match watch.while_waiting(waiting).await {
        Ok(permit) => return Ok(Some(permit)),
        Err(exception) => exception,
    };
    if header.flags.contains(Flags::ONEWAY) {
        // It has no answer: the next call that has one tells of it.
        caller.oneways.count_refused();
    } else {
        let response =
            dispatch::refuse_unread(shared, &session, header, exception, &mut connection.out);
        send(shared, &session, connection, response).await?;
    }
    Ok(None)
}

/// The answer to a ping: same sequence number, fixed payload.
fn pong(header: &Header, out: &mut Vec<u8>, max: usize) -> Response {
    let written =
        FrameWriter::begin(out, MessageType::Ping, header.serializer, header.seq, &Vec::new())
            .and_then(|mut frame| {
                frame.payload().extend_from_slice(b"pong");
                frame.finish(Flags::default(), Some(decode::correlation(header)), false, max)
            });
    Response::without_memory(if written.is_ok() { After::Continue } else { After::Close })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::slots::Slots;

    /// How a connection beyond the pool ends when another client needs its slot, in a call or not.
    async fn evict(is_in_call: bool) -> (bool, Result<(), ReadError>) {
        let slots = Slots::new(1, 1);
        let (slot, stop) = (slots.take_evicting(None), CancellationToken::new());
        let _other = slots.take_evicting(None);
        let serving = Box::pin(async {
            stop.cancelled().await;
            Err(ReadError::Frame(FrameError::UnknownType(7)))
        });
        let time = Duration::from_secs(3600);
        let done = for_a_short_time(serving, (&slot, time), &stop, || is_in_call).await;
        (stop.is_cancelled(), done)
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_completed_though_another_client_needs_the_slot() {
        assert!(matches!(evict(false).await, (false, Ok(()))));
        assert!(matches!(evict(true).await, (true, Err(ReadError::Frame(_)))));
    }
}
