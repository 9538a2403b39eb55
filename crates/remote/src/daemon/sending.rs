//! Sending an answer.
//!
//! Owns how a large one goes out: counted among those that are unread, telling how its client reads,
//! given back in parts while others wait for room. Who goes for that is [`unread`](super::unread)'s
//! to say.

use std::io;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tracing::warn;

use crate::daemon::Shared;
use crate::daemon::connection::Connection;
use crate::daemon::unread::{AnswerRoom, Place, Unread};
use crate::session::Session;

/// Smaller answers do not count: all connections together can have but so many.
const SMALL: usize = 16 * 1024;
/// What is read of a large answer is given back when it is half of at least so much.
const WORTH_MOVING: usize = 1 << 20;

/// Sends the answer that `connection` holds, which may have room already.
pub(crate) async fn send<S: AsyncWrite + Unpin>(
    shared: &Shared,
    session: &Session,
    connection: &mut Connection<S>,
    room: Option<AnswerRoom>,
) -> io::Result<()> {
    let bytes = connection.out.len();
    if bytes < SMALL || !shared.unread.is_limited() {
        return connection.send().await;
    }
    let room = room.unwrap_or_else(|| Unread::room(&shared.unread));
    // Boxed, so that connections without large answers are no larger for it.
    Box::pin(send_large(connection, &room.0)).await.unwrap_or_else(|| {
        warn!(daemon = %shared.config.name, peer = %session.peer, bytes,
            "closing a connection that hardly reads its answer: others wait for room");
        Err(io::ErrorKind::TimedOut.into())
    })
}

/// `None` where the connection has to go.
async fn send_large<S: AsyncWrite + Unpin>(
    connection: &mut Connection<S>,
    place: &Place,
) -> Option<io::Result<()>> {
    let gone = place.begin(connection.out.len());
    let sent = tokio::select! {
        biased;
        sent = write_all(connection, place) => Some(sent),
        () = gone.cancelled() => None,
    };
    connection.out = Vec::new();
    sent
}

/// As [`Connection::send`] does, and tells of what is taken.
async fn write_all<S: AsyncWrite + Unpin>(
    connection: &mut Connection<S>,
    place: &Place,
) -> io::Result<()> {
    let Connection { stream, reader, out } = connection;
    let limit = reader.patience.within;
    let mut sent = 0;
    while let Some(left) = out.get(sent..).filter(|left| !left.is_empty()) {
        let written = match limit {
            None => stream.write(left).await?,
            Some(limit) => timeout(limit, stream.write(left)).await??,
        };
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        sent += written;
        if place.took(written) && out.len() >= WORTH_MOVING && sent >= out.len() / 2 {
            out.drain(..sent);
            out.shrink_to_fit();
            sent = 0;
            place.shrink(out.len());
        }
    }
    match limit {
        None => stream.flush().await,
        Some(limit) => timeout(limit, stream.flush()).await?,
    }
}
