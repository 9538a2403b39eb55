//! Receiving the body of a request, with a budget for large ones.
//!
//! The part of a large request that has arrived takes memory, and its client may stop in the
//! middle, or send a byte now and then. While others wait for memory, a client that hardly sends is
//! disconnected.

use std::io;

use tokio::io::AsyncRead;
use tracing::warn;
use wire::message::Header;

use crate::admission::request_memory::SMALL_REQUEST_BYTES;
use crate::daemon::Shared;
use crate::daemon::session::transport::Connection;
use crate::frames::ReadError;
use crate::session::Session;

/// Waits until all of the message is here that `header` begins.
///
/// # Errors
/// The connection has ended, or has to.
pub(crate) async fn receive_body<S: AsyncRead + Unpin>(
    shared: &Shared,
    session: &Session,
    connection: &mut Connection<S>,
    header: &Header,
) -> Result<(), ReadError> {
    if header.body_len() <= SMALL_REQUEST_BYTES {
        return connection.reader.receive_body(&mut connection.stream, header).await;
    }
    // Boxed, so that connections without large requests are no larger for it.
    Box::pin(receive_large(shared, session, connection, header)).await
}

async fn receive_large<S: AsyncRead + Unpin>(
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
    let memory = shared.admission.arriving.reservation();
    if memory.reserve(bytes).await.is_err() {
        return Err(closing("too many large requests are arriving at the same time"));
    }
    let evicted = memory.begin_transfer(bytes);
    let Connection { stream, reader, .. } = connection;
    let receiving = async {
        while let Some(read) = reader.receive_some(stream, header).await? {
            memory.transferred(read);
        }
        Ok(())
    };
    tokio::select! {
        biased;
        received = receiving => received,
        () = evicted.cancelled() => {
            Err(closing("hardly anything comes, and others wait for room"))
        }
    }
}
