//! One client connection: handshake, then request after request, then the end of its session.
//!
//! Owns the order of things on a connection. What a request means is [`dispatch`]'s.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use wire::message::{FrameWriter, Header, MessageType};

use crate::daemon::Shared;
use crate::daemon::dispatch::{self, After};
use crate::daemon::handshake;
use crate::daemon::waiting_room::Stay;
use crate::frames::{FrameReader, ReadError};
use crate::session::{Peer, Session};

/// An answer buffer larger than this is given back once the answer is sent.
const KEEP_ROOM: usize = 256 * 1024;

/// Serves one connection until either side ends it or `stop` is cancelled between two calls.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    shared: Arc<Shared>,
    stream: S,
    peer: Peer,
    stay: Stay,
    stop: CancellationToken,
) {
    let shown_out = stay.shown_out();
    let mut connection = Connection { stream, reader: FrameReader::default(), out: Vec::new() };
    let handshake = handshake::perform(&shared, &mut connection, peer.clone());
    let shaken = tokio::select! {
        shaken = handshake => Some(shaken),
        () = stop.cancelled() => None,
        () = shown_out.cancelled() => {
            debug!(daemon = %shared.config.name, %peer, "too many handshakes are unfinished");
            None
        }
    };
    drop(stay);
    let accepted = match shaken {
        Some(Ok(Some(accepted))) => accepted,
        Some(Ok(None)) | None => return,
        Some(Err(error)) => {
            info!(daemon = %shared.config.name, %peer, %error, "handshake failed");
            return;
        }
    };
    let session = Arc::new(accepted.session);
    // Objects hear of the end however this function ends, its future being dropped included.
    let _ended = SessionEnd { shared: &shared, session: &session };
    let _place = accepted.place;
    if let Err(error) = requests(&shared, &mut connection, &session, &stop).await {
        match error {
            ReadError::Io(error) => {
                debug!(daemon = %shared.config.name, %peer, %error, "connection lost");
            }
            ReadError::Frame(error) => {
                warn!(daemon = %shared.config.name, %peer, %error,
                    "closing a connection that does not keep to the protocol");
            }
        }
    }
}

/// A connection's stream with its buffers.
pub(crate) struct Connection<S> {
    pub(crate) stream: S,
    pub(crate) reader: FrameReader,
    /// The answer being made; kept from one to the next.
    pub(crate) out: Vec<u8>,
}

impl<S: AsyncWrite + Unpin> Connection<S> {
    /// Sends what `out` holds.
    pub(crate) async fn send(&mut self) -> std::io::Result<()> {
        self.stream.write_all(&self.out).await?;
        self.stream.flush().await?;
        self.out.clear();
        if self.out.capacity() > KEEP_ROOM {
            self.out = Vec::new();
        }
        Ok(())
    }
}

struct SessionEnd<'a> {
    shared: &'a Shared,
    session: &'a Session,
}

impl Drop for SessionEnd<'_> {
    fn drop(&mut self) {
        self.shared.session_ended(self.session);
    }
}

async fn requests<S: AsyncRead + AsyncWrite + Unpin>(
    shared: &Arc<Shared>,
    connection: &mut Connection<S>,
    session: &Arc<Session>,
    stop: &CancellationToken,
) -> Result<(), ReadError> {
    let limits = &shared.config.limits;
    loop {
        let next = connection.reader.header(&mut connection.stream, limits);
        let header = tokio::select! {
            biased;
            header = within_comm_timeout(shared, next) => header?,
            () = stop.cancelled() => return Ok(()),
        };
        let Some(header) = header else { return Ok(()) };
        let body = connection.reader.body(&mut connection.stream, header, limits);
        let frame = within_comm_timeout(shared, body).await?;
        let after = match header.kind {
            MessageType::Ping => pong(&header, &mut connection.out, limits.message),
            MessageType::Invoke => {
                dispatch::answer(shared, session, frame, &mut connection.out).await
            }
            kind => {
                warn!(daemon = %shared.config.name, peer = %session.peer, ?kind,
                    "closing a connection that sent an unexpected kind of message");
                return Ok(());
            }
        };
        if !connection.out.is_empty() {
            connection.send().await?;
        }
        if after == After::Close || stop.is_cancelled() {
            return Ok(());
        }
    }
}

/// Applies `COMMTIMEOUT`, where one is set.
async fn within_comm_timeout<T>(
    shared: &Shared,
    reading: impl Future<Output = Result<T, ReadError>>,
) -> Result<T, ReadError> {
    match shared.config.comm_timeout {
        None => reading.await,
        Some(limit) => match tokio::time::timeout(limit, reading).await {
            Ok(read) => read,
            Err(_) => Err(ReadError::Io(std::io::ErrorKind::TimedOut.into())),
        },
    }
}

/// The answer to a ping: same sequence number, fixed payload.
fn pong(header: &Header, out: &mut Vec<u8>, max: usize) -> After {
    let written =
        FrameWriter::begin(out, MessageType::Ping, header.serializer, header.seq, &Vec::new())
            .and_then(|mut frame| {
                frame.payload().extend_from_slice(b"pong");
                frame.finish(
                    wire::message::Flags::default(),
                    Some(dispatch::correlation(header)),
                    false,
                    max,
                )
            });
    if written.is_ok() { After::Continue } else { After::Close }
}
