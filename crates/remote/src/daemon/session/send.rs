//! Sending an answer.
//!
//! Owns how a large one goes out: counted among those that are unread, telling how its client reads,
//! given back in parts while others wait for room. Who goes for that is [`unread`](super::unread)'s
//! to say.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tracing::warn;

use crate::admission::answer_budget::{AnswerRoom, Place, Unread};
use crate::daemon::Shared;
use crate::daemon::session::transport::Connection;
use crate::serialized::{Behind, Sending};
use crate::session::Session;

/// Smaller answers do not count: all connections together can have but so many.
const SMALL: usize = 16 * 1024;
/// What is read of a large answer is given back when it is half of at least so much.
const WORTH_MOVING: usize = 1 << 20;

/// Sends the answer that `connection` holds and what is `behind` it; it may have room already.
pub(crate) async fn send<S: AsyncWrite + Unpin>(
    shared: &Shared,
    session: &Session,
    connection: &mut Connection<S>,
    room: Option<AnswerRoom>,
    behind: Option<Behind>,
) -> io::Result<()> {
    let in_parts = behind.as_ref().map(|behind| behind.bytes().len());
    let bytes = connection.out.len() + in_parts.unwrap_or(0);
    if in_parts.is_none() && (bytes < SMALL || !shared.unread.is_limited()) {
        return connection.send().await;
    }
    let room = room.unwrap_or_else(|| Unread::room(&shared.unread));
    // Boxed, so that connections without large answers are no larger for it.
    Box::pin(send_large(connection, behind, &room.0)).await.unwrap_or_else(|| {
        warn!(daemon = %shared.config.name, peer = %session.peer, bytes,
            "closing a connection that hardly reads its answer: others wait for room");
        Err(io::ErrorKind::TimedOut.into())
    })
}

/// `None` where the connection has to go.
async fn send_large<S: AsyncWrite + Unpin>(
    connection: &mut Connection<S>,
    behind: Option<Behind>,
    place: &Place,
) -> Option<io::Result<()>> {
    let Connection { stream, reader, out } = connection;
    let sending = Sending::new(out, behind);
    let gone = place.begin(sending.len());
    let sent = tokio::select! {
        biased;
        sent = write_all(stream, sending, reader.patience.within, place) => Some(sent),
        () = gone.cancelled() => None,
    };
    out.clear();
    if out.capacity() >= SMALL {
        *out = Vec::new();
    }
    sent
}

/// As [`Connection::send`] does, and tells of what is taken.
async fn write_all<S: AsyncWrite + Unpin>(
    stream: &mut S,
    mut sending: Sending<'_>,
    limit: Option<Duration>,
    place: &Place,
) -> io::Result<()> {
    let (mut kept, mut sent) = (sending.len(), 0);
    while sent < kept {
        let left = sending.left();
        let writing = stream.write_vectored(&left);
        let written = match limit {
            None => writing.await?,
            Some(limit) => timeout(limit, writing).await??,
        };
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        sending.advance(written);
        sent += written;
        if place.took(written) && kept >= WORTH_MOVING && sent >= kept / 2 {
            sending.give_back();
            (kept, sent) = (sending.len(), 0);
            place.shrink(kept);
        }
    }
    match limit {
        None => stream.flush().await,
        Some(limit) => timeout(limit, stream.flush()).await?,
    }
}
