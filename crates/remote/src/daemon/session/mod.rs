//! One client connection: handshakes, then request after request, then the end of its session.
//!
//! Owns the order of things on a connection. What a request means is [`dispatch`]'s.

pub(crate) mod receive;
pub(crate) mod reject;
pub(crate) mod send;
pub(crate) mod transport;
pub(crate) mod watchdog;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use wire::message::{Flags, FrameError, FrameWriter, Header, MessageType};

use crate::admission::call_permit::ClientEnd;
use crate::admission::orphaned_calls::Place;
use crate::admission::pending_handshakes::Stay;
use crate::admission::request_budget;
use crate::blocking::{aside, give_memory_back, in_steps};
use crate::daemon::Shared;
use crate::daemon::call::decode::{self, After};
use crate::daemon::call::dispatch::{self, Caller};
use crate::daemon::call::oneway::{Most, Oneways};
use crate::daemon::config::{DaemonConfig, ServerType};
use crate::daemon::session::transport::Connection;
use crate::daemon::session::watchdog::{IDLE, Idle, Watch};
use crate::frames::{Patience, ReadError};
use crate::net::ClientStream;
use crate::session::Session;

/// Behind a request that took more memory than this, free memory is given back.
const KEEP_MEMORY: usize = 32 << 20;
/// A connection in the reserve ends after this long, whatever it does: the next may need its place.
const IN_RESERVE: Duration = Duration::from_secs(5);
/// A client that has been let in.
pub(crate) struct Accepted {
    pub(crate) session: Session,
    pub(crate) place: Place,
    pub(crate) may: May,
}

/// What a client that has been let in may do.
#[derive(Debug)]
pub(crate) enum May {
    Everything,
    /// There was no place for it, but for this, and for so long.
    BreakLocks(Stay),
}

pub(crate) async fn converse<S: ClientStream>(
    shared: &Arc<Shared>,
    mut connection: Connection<S>,
    accepted: Accepted,
    stop: &CancellationToken,
) {
    let Accepted { session, mut place, may } = accepted;
    let session = Arc::new(session);
    // Objects hear of the end however this function ends, its future being dropped included.
    let ended = SessionEnd { shared, session: &session };
    connection.reader.patience = patience(&shared.config);
    let breaks = matches!(may, May::BreakLocks(_));
    let done = {
        // Pinned here and lent: to hand it on would keep room for it twice.
        let serving = requests(shared, &mut connection, &session, breaks, &mut place, stop);
        let serving = pin!(serving);
        match &may {
            May::Everything => serving.await,
            // Boxed, so that the others are no larger for it.
            May::BreakLocks(stay) => Box::pin(in_reserve(serving, stay)).await,
        }
    };
    drop(ended);
    drop(place);
    let (daemon, peer) = (&shared.config.name, &session.peer);
    match done {
        Ok(()) => {}
        Err(ReadError::Io(error)) => debug!(%daemon, %peer, %error, "connection lost"),
        Err(ReadError::Frame(error)) => {
            if shared.complaints.one_more(Instant::now().into_std()) {
                warn!(%daemon, %peer, %error,
                    "closing a connection that does not keep to the protocol");
            }
            Box::pin(reject::tell(connection, &error)).await;
        }
    }
}

/// Serves a connection in the reserve until its time is up, or the next comes and needs its place.
async fn in_reserve(
    breaking: impl Future<Output = Result<(), ReadError>>,
    stay: &Stay,
) -> Result<(), ReadError> {
    let shown_out = stay.shown_out();
    tokio::select! {
        biased;
        done = breaking => done,
        () = shown_out.cancelled() => Ok(()),
        () = tokio::time::sleep(IN_RESERVE) => Ok(()),
    }
}

/// `COMMTIMEOUT` for each server type. A multiplexing Pyro5 waits for the next request with all of
/// its connections at once, and for as long as it takes.
fn patience(config: &DaemonConfig) -> Patience {
    Patience {
        within: config.comm_timeout,
        between: match config.server_type {
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
        self.shared.session_ended(self.session);
    }
}

async fn requests<S: ClientStream>(
    shared: &Arc<Shared>,
    connection: &mut Connection<S>,
    session: &Arc<Session>,
    only_breaks_locks: bool,
    place: &mut Place,
    stop: &CancellationToken,
) -> Result<(), ReadError> {
    let limits = &shared.config.limits;
    let most = Most { calls: shared.config.oneways, bytes: limits.memory };
    let mut caller = Caller {
        session: Arc::clone(session),
        client: ClientEnd::new(shared),
        only_breaks_locks,
        oneways: Oneways::new(most, Arc::clone(&shared.oneways)),
        took: 0,
        room: None,
        behind: None,
    };
    let mut stopped = pin!(stop.cancelled());
    let sleep = pin!(tokio::time::sleep(IDLE));
    let mut idle = Idle::new(sleep);
    loop {
        let header = tokio::select! {
            biased;
            header = connection.next(limits, &mut idle) => header?,
            () = &mut stopped => return Ok(()),
        };
        let Some(header) = header else { return Ok(()) };
        receive::arrive(shared, session, connection, &header).await?;
        let mut held = None;
        if let Some(need) = request_budget::need(&header, &connection.reader, limits) {
            // Boxed, so that connections without large requests are no larger for it.
            let client = caller.client.clone();
            let watch = Watch { shared, session, stream: &connection.stream, client };
            match Box::pin(watch.while_waiting(shared.room.enter(need))).await {
                Ok(room) => held = Some(room),
                Err(exception) => {
                    match header.flags.contains(Flags::ONEWAY) {
                        // It has no answer: the next call that has one tells of it.
                        true => drop(caller.oneways.refuse()),
                        false => {
                            let out = &mut connection.out;
                            dispatch::refuse(shared, session, header, exception, out);
                            Box::pin(send::send(shared, session, connection, None, None)).await?;
                        }
                    }
                    continue;
                }
            }
        }
        let frame = match &mut held {
            None => connection.reader.frame(header, limits)?,
            Some(held) => {
                let frame = aside(|| connection.reader.frame(header, limits))?;
                held.inflated(frame.body.payload.len(), limits);
                frame
            }
        };
        let after = match header.kind {
            // Who has come to break a lock has no need of it.
            MessageType::Ping if only_breaks_locks => return Ok(()),
            MessageType::Ping => pong(&header, &mut connection.out, limits.message),
            MessageType::Invoke => {
                let is_large = held.is_some();
                let client = caller.client.clone();
                // Pinned here and lent: to hand it on would copy all of its state.
                let answering =
                    dispatch::answer(shared, &mut caller, frame, held, &mut connection.out);
                let answering = pin!(answering);
                let answering = pin!(in_steps(answering, is_large));
                let watch = Watch { shared, session, stream: &connection.stream, client };
                watch.while_answering(answering, &mut idle, place).await
            }
            kind => return Err(FrameError::UnknownType(kind as u8).into()),
        };
        if !connection.out.is_empty() {
            let (room, behind) = (caller.room.take(), caller.behind.take());
            send::send(shared, session, connection, room, behind).await?;
        }
        if std::mem::take(&mut caller.took) > KEEP_MEMORY {
            aside(give_memory_back);
        }
        if after == After::Close || stop.is_cancelled() {
            return Ok(());
        }
    }
}

/// The answer to a ping: same sequence number, fixed payload.
fn pong(header: &Header, out: &mut Vec<u8>, max: usize) -> After {
    let written =
        FrameWriter::begin(out, MessageType::Ping, header.serializer, header.seq, &Vec::new())
            .and_then(|mut frame| {
                frame.payload().extend_from_slice(b"pong");
                frame.finish(Flags::default(), Some(decode::correlation(header)), false, max)
            });
    if written.is_ok() { After::Continue } else { After::Close }
}
