//! Frames over a byte stream: the reader, and the stream with its buffers.
//!
//! A frame's announced length is checked before memory is allocated, and memory is allocated as
//! bytes arrive: a peer that announces much and sends little costs little.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::Instant;
use wire::Limits;
use wire::message::{Body, FrameError, HEADER_LEN, Header};

/// Bytes of a small read, which most requests fit into.
const SMALL_READ_BYTES: usize = 4 * 1024;
/// Largest allocation ahead of the received bytes, whatever length a frame announces.
const READ_AHEAD_BYTES: usize = 1024 * 1024;
/// Largest buffer that is kept after its frame has been handled.
const KEPT_BUFFER_BYTES: usize = 256 * 1024;

/// Why no frame could be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The connection failed, or ended within a frame.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The bytes are not a frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// A byte stream with its buffers.
#[derive(Debug)]
pub(crate) struct FrameStream<S> {
    pub(crate) stream: S,
    pub(crate) reader: FrameReader,
    /// The frame that is being written; its memory is kept from one to the next.
    pub(crate) out: Vec<u8>,
}

/// Reader of frames, with the receive buffer of one connection.
#[derive(Debug, Default)]
pub(crate) struct FrameReader {
    buffer: BytesMut,
    /// Bytes of the last frame, which the next call removes from the buffer.
    used: usize,
    pub(crate) timeouts: ReadTimeouts,
    /// Start of the current wait under a timeout. A read that is cancelled and repeated does not
    /// restart it.
    waiting_since: Option<Instant>,
}

/// Longest silence of a peer; `None` is unlimited.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ReadTimeouts {
    /// In the middle of a message.
    pub(crate) within_message: Option<Duration>,
    /// Between two messages.
    pub(crate) between_messages: Option<Duration>,
}

/// Frame, borrowed from the reader's buffer.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) header: Header,
    pub(crate) body: Body<'a>,
}

impl<S> FrameStream<S> {
    pub(crate) fn new(stream: S) -> Self {
        FrameStream { stream, reader: FrameReader::default(), out: Vec::new() }
    }

    /// Frees the buffers that hold nothing.
    pub(crate) fn free_buffers(&mut self) {
        self.reader.free_buffer();
        if self.out.is_empty() {
            self.out = Vec::new();
        }
    }
}

impl<S: AsyncWrite + Unpin> FrameStream<S> {
    /// Sends what `out` holds. As in Pyro5, a peer's time is for each part that it takes: a large
    /// message over a slow line may take longer than a peer may be silent.
    pub(crate) async fn send(&mut self) -> io::Result<()> {
        let FrameStream { stream, reader, out } = self;
        match reader.timeouts.within_message {
            None => {
                stream.write_all(out).await?;
                stream.flush().await?;
            }
            Some(limit) => {
                let timed_out = |_| io::ErrorKind::TimedOut;
                let mut left = out.as_slice();
                while !left.is_empty() {
                    let writing = stream.write(left);
                    match tokio::time::timeout(limit, writing).await.map_err(timed_out)?? {
                        0 => return Err(io::ErrorKind::WriteZero.into()),
                        written => left = left.get(written..).unwrap_or_default(),
                    }
                }
                tokio::time::timeout(limit, stream.flush()).await.map_err(timed_out)??;
            }
        }
        self.out.clear();
        if self.out.capacity() > KEPT_BUFFER_BYTES {
            self.out = Vec::new();
        }
        Ok(())
    }
}

impl FrameReader {
    /// Reads the next frame's header; `None` if the stream ends between two frames.
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
            // Bytes that cannot become a frame are refused before a whole header is there.
            Header::check_prefix(&self.buffer)?;
            if !self.fill(io, HEADER_LEN).await? {
                return if self.buffer.is_empty() { Ok(None) } else { Err(truncated().into()) };
            }
        }
    }

    /// Reads the rest of the frame that `header` begins.
    pub(crate) async fn read_frame<R: AsyncRead + Unpin>(
        &mut self,
        io: &mut R,
        header: Header,
        limits: &Limits,
    ) -> Result<Frame<'_>, ReadError> {
        self.receive_body(io, &header).await?;
        Ok(self.parse_frame(header, limits)?)
    }

    /// Waits until the whole frame that `header` begins is in the buffer.
    pub(crate) async fn receive_body<R: AsyncRead + Unpin>(
        &mut self,
        io: &mut R,
        header: &Header,
    ) -> Result<(), ReadError> {
        while self.receive_some(io, header).await?.is_some() {}
        Ok(())
    }

    /// Reads once towards the frame that `header` begins, and returns the number of new bytes;
    /// `None` if the whole frame is in the buffer.
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

    /// Parses the frame that is in the buffer.
    pub(crate) fn parse_frame(
        &self,
        header: Header,
        limits: &Limits,
    ) -> Result<Frame<'_>, FrameError> {
        let bytes = self.buffer.get(HEADER_LEN..self.used).unwrap_or_default();
        Ok(Frame { header, body: Body::parse(&header, bytes, limits)? })
    }

    /// Reads once, towards `total` bytes in the buffer; false at the end of the stream.
    async fn fill<R: AsyncRead + Unpin>(&mut self, io: &mut R, total: usize) -> io::Result<bool> {
        let missing = total.saturating_sub(self.buffer.len());
        let ReadTimeouts { within_message, between_messages } = self.timeouts;
        let timeout = if self.buffer.is_empty() { between_messages } else { within_message };
        let buffer = &mut self.buffer;
        let read = async {
            if missing <= SMALL_READ_BYTES {
                return poll_fn(|context| poll_small(io, context, buffer)).await;
            }
            buffer.reserve(missing.min(READ_AHEAD_BYTES));
            io.read_buf(buffer).await
        };
        let Some(timeout) = timeout else { return Ok(read.await? > 0) };
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        // A deadline beyond the clock's range is never reached.
        let Some(deadline) = since.checked_add(timeout) else { return Ok(read.await? > 0) };
        let read = tokio::time::timeout_at(deadline, read).await;
        self.waiting_since = None;
        Ok(read.map_err(|_| io::ErrorKind::TimedOut)?? > 0)
    }

    /// The bytes in the buffer: the beginning of a frame, or a whole one.
    pub(crate) fn buffered(&self) -> &[u8] {
        &self.buffer
    }

    /// Frees the buffer if it is empty.
    fn free_buffer(&mut self) {
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

/// Reads once into `buffer`, through the stack: an idle connection holds no memory, and one with
/// small requests only as much as they need.
fn poll_small<R: AsyncRead + Unpin>(
    io: &mut R,
    context: &mut Context<'_>,
    buffer: &mut BytesMut,
) -> Poll<io::Result<usize>> {
    let mut bytes = [MaybeUninit::uninit(); SMALL_READ_BYTES];
    let mut read = ReadBuf::uninit(&mut bytes);
    ready!(Pin::new(io).poll_read(context, &mut read))?;
    buffer.extend_from_slice(read.filled());
    Poll::Ready(Ok(read.filled().len()))
}

fn truncated() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended within a message")
}
