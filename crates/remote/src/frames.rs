//! Whole frames out of a byte stream.
//!
//! Owns the read buffer of a connection. A frame's announced length is checked before room for it
//! is made, and room is made as bytes arrive: a peer that announces much and sends little costs
//! little.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::time::Instant;
use wire::Limits;
use wire::message::{Body, FrameError, HEADER_LEN, Header, PROTOCOL_VERSION};

/// What is read at once at least; most requests fit.
const SMALL_READ_BYTES: usize = 4 * 1024;
/// Room made ahead of the bytes at most, however long a frame is said to be.
const READ_AHEAD_BYTES: usize = 1024 * 1024;
/// A buffer larger than this is given back once its frame is done.
const KEPT_BUFFER_BYTES: usize = 256 * 1024;

/// Why no frame could be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The connection failed, or ended within a frame.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The bytes are no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// Reads frames from one connection.
#[derive(Debug, Default)]
pub(crate) struct FrameReader {
    buffer: BytesMut,
    /// Length of the frame handed out last; it goes from the buffer at the next call.
    used: usize,
    pub(crate) timeouts: ReadTimeouts,
    /// Since when the peer is waited for, where its time counts: a reader that is left and taken up
    /// again goes on waiting.
    waiting_since: Option<Instant>,
}

/// How long a peer may be silent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ReadTimeouts {
    /// In the middle of a message; for ever if absent.
    pub(crate) within_message: Option<Duration>,
    /// Between two messages; for ever if absent.
    pub(crate) between_messages: Option<Duration>,
}

/// One frame, borrowed from the reader's buffer.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) header: Header,
    pub(crate) body: Body<'a>,
}

impl FrameReader {
    /// The next frame's header and its bytes in the buffer; `None` at an orderly end.
    ///
    /// Cancel safe: bytes that arrived stay in the buffer.
    pub(crate) async fn read_header<R: AsyncRead + Unpin>(
        &mut self,
        io: &mut R,
        limits: &Limits,
    ) -> Result<Option<Header>, ReadError> {
        self.release_used();
        loop {
            if let Some(bytes) = self.buffer.first_chunk::<HEADER_LEN>() {
                return Ok(Some(Header::decode(bytes, limits)?));
            }
            // Bytes that cannot become a frame are refused now, not when forty of them are here.
            refuse_early(&self.buffer)?;
            if !self.fill(io, HEADER_LEN).await? {
                return if self.buffer.is_empty() { Ok(None) } else { Err(truncated().into()) };
            }
        }
    }

    /// The whole frame that `header` begins.
    pub(crate) async fn read_frame<R: AsyncRead + Unpin>(
        &mut self,
        io: &mut R,
        header: Header,
        limits: &Limits,
    ) -> Result<Frame<'_>, ReadError> {
        self.receive_body(io, &header).await?;
        Ok(self.parse_frame(header, limits)?)
    }

    /// Waits until all of the frame that `header` begins is here.
    pub(crate) async fn receive_body<R: AsyncRead + Unpin>(
        &mut self,
        io: &mut R,
        header: &Header,
    ) -> Result<(), ReadError> {
        while self.receive_some(io, header).await?.is_some() {}
        Ok(())
    }

    /// The same, waiting for some more of it only: how many bytes that were, none if all is here.
    pub(crate) async fn receive_some<R: AsyncRead + Unpin>(
        &mut self,
        io: &mut R,
        header: &Header,
    ) -> Result<Option<usize>, ReadError> {
        let (total, before) = (HEADER_LEN + header.body_len(), self.buffer.len());
        if before >= total {
            self.used = total;
            return Ok(None);
        }
        if !self.fill(io, total).await? {
            return Err(truncated().into());
        }
        Ok(Some(self.buffer.len() - before))
    }

    /// The frame that has arrived.
    pub(crate) fn parse_frame(
        &self,
        header: Header,
        limits: &Limits,
    ) -> Result<Frame<'_>, FrameError> {
        let bytes = self.buffer.get(HEADER_LEN..self.used).unwrap_or_default();
        Ok(Frame { header, body: Body::parse(&header, bytes, limits)? })
    }

    /// Reads once, towards `total` bytes in the buffer; false when the peer has ended.
    async fn fill<R: AsyncRead + Unpin>(&mut self, io: &mut R, total: usize) -> io::Result<bool> {
        let missing = total.saturating_sub(self.buffer.len());
        let patience = if self.buffer.is_empty() {
            self.timeouts.between_messages
        } else {
            self.timeouts.within_message
        };
        let buffer = &mut self.buffer;
        let read = async {
            if missing <= SMALL_READ_BYTES {
                return poll_fn(|context| poll_small(io, context, buffer)).await;
            }
            buffer.reserve(missing.min(READ_AHEAD_BYTES));
            io.read_buf(buffer).await
        };
        // As good as never, where the clock cannot say when.
        let Some(limit) = patience else { return Ok(read.await? > 0) };
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        let Some(end) = since.checked_add(limit) else { return Ok(read.await? > 0) };
        let read = tokio::time::timeout_at(end, read).await;
        self.waiting_since = None;
        Ok(read.map_err(|_| io::ErrorKind::TimedOut)?? > 0)
    }

    /// What has been read of the frame that is being read.
    pub(crate) fn buffered(&self) -> &[u8] {
        &self.buffer
    }

    /// Frees the buffer, if it is empty.
    pub(crate) fn free_buffer(&mut self) {
        self.release_used();
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }

    fn release_used(&mut self) {
        self.buffer.advance(std::mem::take(&mut self.used));
        if self.buffer.is_empty() && self.buffer.capacity() > KEPT_BUFFER_BYTES {
            self.buffer = BytesMut::new();
        }
    }
}

/// Reads once into `buffer`, by way of the stack: a connection that waits holds no room for what may
/// come, and one with small requests never has more than they need.
fn poll_small<R: AsyncRead + Unpin>(
    io: &mut R,
    context: &mut Context<'_>,
    buffer: &mut BytesMut,
) -> Poll<io::Result<usize>> {
    let mut room = [MaybeUninit::uninit(); SMALL_READ_BYTES];
    let mut read = ReadBuf::uninit(&mut room);
    ready!(Pin::new(io).poll_read(context, &mut read))?;
    buffer.extend_from_slice(read.filled());
    Poll::Ready(Ok(read.filled().len()))
}

/// Refuses a beginning that no frame of ours has: the name, then the protocol's version.
fn refuse_early(bytes: &[u8]) -> Result<(), FrameError> {
    const MAGIC: &[u8; 4] = b"PYRO";
    let seen = bytes.len().min(MAGIC.len());
    if bytes.get(..seen) != MAGIC.get(..seen) {
        return Err(FrameError::NotPyro);
    }
    match bytes.get(MAGIC.len()..MAGIC.len() + 2) {
        Some(&[high, low]) if u16::from_be_bytes([high, low]) != PROTOCOL_VERSION => {
            Err(FrameError::Version(u16::from_be_bytes([high, low])))
        }
        _ => Ok(()),
    }
}

fn truncated() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended within a message")
}
