//! Large requests that have not arrived whole.
//!
//! Owns the waiting for them. What has come of one takes memory, and its client may stop in the
//! middle, or send a byte now and then: the rules are those of answers that are not read
//! ([`unread`](crate::admission::answer_budget)). While others wait for room, who hardly sends has to go.

use std::io;

use tokio::io::AsyncRead;
use tracing::warn;
use wire::message::Header;

use crate::admission::answer_budget::Unread;
use crate::admission::request_budget::SMALL;
use crate::daemon::Shared;
use crate::daemon::session::transport::Connection;
use crate::frames::ReadError;
use crate::session::Session;

/// Waits until all of the message is here that `header` begins.
///
/// # Errors
/// The connection has ended, or has to.
pub(crate) async fn arrive<S: AsyncRead + Unpin>(
    shared: &Shared,
    session: &Session,
    connection: &mut Connection<S>,
    header: &Header,
) -> Result<(), ReadError> {
    if header.body_len() <= SMALL {
        return connection.reader.arrive(&mut connection.stream, header).await;
    }
    // Boxed, so that connections without large requests are no larger for it.
    Box::pin(arrive_large(shared, session, connection, header)).await
}

async fn arrive_large<S: AsyncRead + Unpin>(
    shared: &Shared,
    session: &Session,
    connection: &mut Connection<S>,
    header: &Header,
) -> Result<(), ReadError> {
    let bytes = header.body_len();
    let closing = |reason: &str| {
        warn!(daemon = %shared.config.name, peer = %session.peer, bytes, reason,
            "closing a connection whose request does not arrive");
        ReadError::from(io::Error::from(io::ErrorKind::TimedOut))
    };
    let room = Unread::room(&shared.arriving);
    if room.wait(bytes).await.is_err() {
        return Err(closing("too many large requests are arriving at the same time"));
    }
    let gone = room.begin(bytes);
    let Connection { stream, reader, .. } = connection;
    let arriving = async {
        while let Some(read) = reader.arrive_some(stream, header).await? {
            room.took(read);
        }
        Ok(())
    };
    tokio::select! {
        biased;
        arrived = arriving => arrived,
        () = gone.cancelled() => Err(closing("hardly anything comes, and others wait for room")),
    }
}
