//! Transfer of large requests and answers, counted in the daemon's budgets of bytes.
//!
//! A request counts until it has arrived, and an answer until its client has read it; its memory is
//! released in parts while others wait. Which client is disconnected for that is the
//! [budget](crate::admission::byte_budget)'s decision.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tracing::warn;
use wire::message::Header;

use crate::admission::byte_budget::ByteBudget;
use crate::daemon::Shared;
use crate::daemon::call::response::Response;
use crate::frames::{FrameStream, ReadError};
use crate::object::AnswerMemory;
use crate::serialized::{Behind, Sending};
use crate::session::Session;

/// Answers below this many bytes are not counted: all connections together can have but few.
pub(super) const SMALL_ANSWER_BYTES: usize = 16 * 1024;
/// Bytes of an answer whose sent half is worth releasing.
const WORTH_RELEASING_BYTES: usize = 1 << 20;

/// Receives the body of a large request. While others wait for memory, a client that hardly sends
/// is disconnected.
///
/// # Errors
/// The connection has ended, or has to.
pub(super) async fn receive<S: AsyncRead + Unpin>(
    shared: &Shared,
    session: &Session,
    connection: &mut FrameStream<S>,
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
    let FrameStream { stream, reader, .. } = connection;
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

/// Sends the answer that `connection` holds and its rest, while it is counted in the budget.
pub(super) async fn send<S: AsyncWrite + Unpin>(
    shared: &Shared,
    session: &Session,
    connection: &mut FrameStream<S>,
    response: Response,
) -> io::Result<()> {
    let answers = &shared.admission.answers;
    let memory = response.memory.unwrap_or_else(|| AnswerMemory::of(Arc::clone(answers) as _));
    let counted = Counted { answers, number: memory.number() };
    let in_rest = response.rest.as_ref().map_or(0, |rest| rest.bytes().len());
    let bytes = connection.out.len() + in_rest;
    send_counted(connection, response.rest, counted).await.unwrap_or_else(|| {
        warn!(daemon = %shared.config.name, peer = %session.peer, bytes,
            "closing a connection that hardly reads its answer: others wait for room");
        Err(io::ErrorKind::TimedOut.into())
    })
}

/// An answer that is counted in the budget.
struct Counted<'a> {
    answers: &'a ByteBudget,
    number: u64,
}

/// `None` where the client is disconnected.
async fn send_counted<S: AsyncWrite + Unpin>(
    connection: &mut FrameStream<S>,
    rest: Option<Behind>,
    counted: Counted<'_>,
) -> Option<io::Result<()>> {
    let FrameStream { stream, reader, out } = connection;
    let sending = Sending::new(out, rest);
    let evicted = counted.answers.begin_transfer(counted.number, sending.len());
    let sent = tokio::select! {
        biased;
        sent = write_all(stream, sending, reader.timeouts.within_message, counted) => Some(sent),
        () = evicted.cancelled() => None,
    };
    out.clear();
    if out.capacity() >= SMALL_ANSWER_BYTES {
        *out = Vec::new();
    }
    sent
}

/// As [`FrameStream::send`] does, and tells the budget of what the client takes.
async fn write_all<S: AsyncWrite + Unpin>(
    stream: &mut S,
    mut sending: Sending<'_>,
    limit: Option<Duration>,
    Counted { answers, number }: Counted<'_>,
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
        let others_wait = answers.transferred(number, written);
        if others_wait && kept >= WORTH_RELEASING_BYTES && sent >= kept / 2 {
            sending.give_back();
            (kept, sent) = (sending.len(), 0);
            answers.shrink(number, kept);
        }
    }
    match limit {
        None => stream.flush().await,
        Some(limit) => timeout(limit, stream.flush()).await?,
    }
}
