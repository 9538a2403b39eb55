//! A connection's stream with its buffers.
//!
//! Reads the next header and sends what has been written. The meaning of requests is not known
//! here.

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use wire::Limits;
use wire::message::Header;

use crate::daemon::session::watchdog::IdleTimer;
use crate::frames::{FrameReader, ReadError};

/// Bytes of an answer buffer that is kept for the next answer; a larger one is freed.
const KEPT_BUFFER_BYTES: usize = 256 * 1024;

/// A connection's stream with its buffers.
pub(crate) struct Connection<S> {
    pub(crate) stream: S,
    pub(crate) reader: FrameReader,
    /// The answer that is being written; kept from one to the next.
    pub(crate) out: Vec<u8>,
}

impl<S> Connection<S> {
    pub(crate) fn new(stream: S) -> Self {
        Connection { stream, reader: FrameReader::default(), out: Vec::new() }
    }
}

impl<S: AsyncRead + Unpin> Connection<S> {
    /// The next request's header. Cancel safe.
    pub(super) async fn next(
        &mut self,
        limits: &Limits,
        idle: &mut IdleTimer<'_>,
    ) -> Result<Option<Header>, ReadError> {
        loop {
            tokio::select! {
                biased;
                header = self.reader.read_header(&mut self.stream, limits) => {
                    idle.reset();
                    return header;
                }
                () = idle.elapsed() => {
                    self.reader.free_buffer();
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
        match reader.timeouts.within_message {
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
        if self.out.capacity() > KEPT_BUFFER_BYTES {
            self.out = Vec::new();
        }
        Ok(())
    }
}
