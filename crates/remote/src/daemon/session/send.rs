//! Sending an answer.
//!
//! A large one is counted in the daemon's budget for answers until its client has read it, and is
//! released in parts while others wait for memory. Which client is disconnected for that is the
//! [budget](crate::admission::byte_budget)'s decision.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tracing::warn;

use crate::admission::byte_budget::ByteBudget;
use crate::daemon::Shared;
use crate::daemon::call::response::Response;
use crate::daemon::session::transport::Connection;
use crate::object::AnswerMemory;
use crate::serialized::{Behind, Sending};
use crate::session::Session;

/// Answers below this many bytes do not count: all connections together can have but so many.
const SMALL_ANSWER_BYTES: usize = 16 * 1024;
/// Bytes of an answer whose sent half is worth releasing.
const WORTH_RELEASING_BYTES: usize = 1 << 20;

/// Sends the answer that `connection` holds, and the rest of it in `response`.
pub(crate) async fn send<S: AsyncWrite + Unpin>(
    shared: &Shared,
    session: &Session,
    connection: &mut Connection<S>,
    response: Response,
) -> io::Result<()> {
    let Response { memory, rest, .. } = response;
    let in_rest = rest.as_ref().map(|rest| rest.bytes().len());
    let bytes = connection.out.len() + in_rest.unwrap_or(0);
    let answers = &shared.admission.answers;
    if in_rest.is_none() && (bytes < SMALL_ANSWER_BYTES || !answers.is_limited()) {
        return connection.send().await;
    }
    let memory = memory.unwrap_or_else(|| {
        let answers: std::sync::Arc<ByteBudget> = std::sync::Arc::clone(answers);
        AnswerMemory::of(answers)
    });
    let counted = Counted { answers, number: memory.number() };
    // Boxed, so that connections without large answers are no larger for it.
    Box::pin(send_large(connection, rest, counted)).await.unwrap_or_else(|| {
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
async fn send_large<S: AsyncWrite + Unpin>(
    connection: &mut Connection<S>,
    rest: Option<Behind>,
    counted: Counted<'_>,
) -> Option<io::Result<()>> {
    let Connection { stream, reader, out } = connection;
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

/// As [`Connection::send`] does, and tells the budget of what the client takes.
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
