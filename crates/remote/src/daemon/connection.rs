//! One client connection: handshakes, then request after request, then the end of its session.
//!
//! Owns the order of things on a connection. What a request means is [`dispatch`]'s.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use wire::Limits;
use wire::message::{Flags, FrameError, FrameWriter, Header, MessageType};

use crate::aside::{aside, give_memory_back, in_steps};
use crate::daemon::abandoned::Place;
use crate::daemon::config::{DaemonConfig, ServerType};
use crate::daemon::dispatch::{self, After, Caller};
use crate::daemon::handshake::{self, Accepted, May};
use crate::daemon::oneway::{Most, Oneways};
use crate::daemon::turn::ClientEnd;
use crate::daemon::waiting_room::Stay;
use crate::daemon::watching::{IDLE, Idle, Watch};
use crate::daemon::{Shared, arriving, refusal, room, sending};
use crate::frames::{FrameReader, Patience, ReadError};
use crate::net::ClientStream;
use crate::session::{Peer, Session};

/// An answer buffer larger than this is given back once the answer is sent.
const KEEP_ROOM: usize = 256 * 1024;
/// Behind a request that took more memory than this, free memory is given back.
const KEEP_MEMORY: usize = 32 << 20;
/// A connection in the reserve ends after this long, whatever it does: the next may need its place.
const IN_RESERVE: Duration = Duration::from_secs(5);
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
        Some(Ok(Some(accepted))) => converse(&shared, connection, accepted, &stop).await,
        Some(Ok(None)) | None => {}
        Some(Err(error)) => {
            if shared.complaints.one_more(Instant::now().into_std()) {
                info!(daemon = %shared.config.name, %peer, %error, "handshake failed");
            }
        }
    }
}

async fn converse<S: ClientStream>(
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
            Box::pin(refusal::tell(connection, &error)).await;
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

/// A connection's stream with its buffers.
pub(crate) struct Connection<S> {
    pub(crate) stream: S,
    pub(crate) reader: FrameReader,
    /// The answer being made; kept from one to the next.
    pub(crate) out: Vec<u8>,
}

impl<S: AsyncRead + Unpin> Connection<S> {
    /// The next request's header; cancel safe.
    async fn next(
        &mut self,
        limits: &Limits,
        idle: &mut Idle<'_>,
    ) -> Result<Option<Header>, ReadError> {
        loop {
            tokio::select! {
                biased;
                header = self.reader.header(&mut self.stream, limits) => {
                    idle.over();
                    return header;
                }
                () = idle.lasts() => {
                    self.reader.rest();
                    self.out = Vec::new();
                }
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> Connection<S> {
    /// Sends what `out` holds. As in Pyro5, a peer's time is for each part that it takes: a large
    /// answer over a slow line may take longer than a peer may be silent.
    pub(crate) async fn send(&mut self) -> std::io::Result<()> {
        let Connection { stream, reader, out } = self;
        match reader.patience.within {
            None => {
                stream.write_all(out).await?;
                stream.flush().await?;
            }
            Some(limit) => {
                let timed_out = |_| std::io::ErrorKind::TimedOut;
                let mut left = out.as_slice();
                while !left.is_empty() {
                    let writing = stream.write(left);
                    match tokio::time::timeout(limit, writing).await.map_err(timed_out)?? {
                        0 => return Err(std::io::ErrorKind::WriteZero.into()),
                        written => left = left.get(written..).unwrap_or_default(),
                    }
                }
                tokio::time::timeout(limit, stream.flush()).await.map_err(timed_out)??;
            }
        }
        self.out.clear();
        if self.out.capacity() > KEEP_ROOM {
            self.out = Vec::new();
        }
        Ok(())
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
        arriving::arrive(shared, session, connection, &header).await?;
        let mut held = None;
        if let Some(need) = room::need(&header, &connection.reader, limits) {
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
                            Box::pin(sending::send(shared, session, connection, None, None))
                                .await?;
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
            sending::send(shared, session, connection, room, behind).await?;
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
                frame.finish(Flags::default(), Some(dispatch::correlation(header)), false, max)
            });
    if written.is_ok() { After::Continue } else { After::Close }
}
