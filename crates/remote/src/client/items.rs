//! Reader of a remote item stream: one request for each item.
//!
//! A stream that is not read to its end is closed at the daemon.

use std::fmt;
use std::time::Duration;

use wire::exception::Exception;
use wire::value::Value;

use crate::client::exchange::NEXT_ITEM;
use crate::client::proxy::Proxy;
use crate::error::Error;

/// Items of a remote iterator or generator, fetched one by one.
///
/// If it is dropped before its end, the proxy's next request closes the stream; [`Items::close`]
/// closes it at once.
pub struct Items<'a> {
    proxy: &'a mut Proxy,
    state: StreamState,
}

enum StreamState {
    /// The daemon has a stream with this id.
    Open(String),
    /// The daemon has closed the stream.
    Ended,
}

impl<'a> Items<'a> {
    pub(crate) fn new(proxy: &'a mut Proxy, id: String) -> Self {
        Items { proxy, state: StreamState::Open(id) }
    }

    /// The next item; `None` after the last one.
    ///
    /// # Errors
    /// [`Error::Remote`] with the iterator's exception, which ends the stream. After a timeout or a
    /// lost connection the daemon keeps the stream for a while, and `next` may be called again. The
    /// requested item may be lost then, so [`Proxy::with_retries`] never repeats this request.
    pub async fn next(&mut self) -> Result<Option<Value>, Error> {
        let StreamState::Open(id) = &self.state else { return Ok(None) };
        let next = self.proxy.call_daemon(NEXT_ITEM, vec![id.as_str().into()]);
        match next.await {
            Ok(item) => Ok(Some(item)),
            Err(Error::Remote(exception)) => {
                self.state = StreamState::Ended;
                if is_end(&exception) { Ok(None) } else { Err(Error::Remote(exception)) }
            }
            Err(error) => Err(error),
        }
    }

    /// Replaces the limit on the time for each item.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.proxy.set_timeout(timeout);
    }

    /// The next items, at most `count`.
    ///
    /// # Errors
    /// As [`Items::next`].
    pub async fn take(&mut self, count: usize) -> Result<Vec<Value>, Error> {
        let mut items = Vec::new();
        while items.len() < count {
            match self.next().await? {
                Some(item) => items.push(item),
                None => break,
            }
        }
        Ok(items)
    }

    /// Opens a new connection, over which the stream is read on. The daemon keeps the stream for a
    /// while (Pyro5's `ITER_STREAM_LINGER`).
    ///
    /// # Errors
    /// As [`Proxy::connect`].
    pub async fn reconnect(&mut self) -> Result<(), Error> {
        self.proxy.release();
        self.proxy.connect().await
    }

    /// Closes the stream at the daemon.
    ///
    /// # Errors
    /// The connection is lost; the daemon closes the stream later by itself.
    pub async fn close(mut self) -> Result<(), Error> {
        match std::mem::replace(&mut self.state, StreamState::Ended) {
            StreamState::Ended => Ok(()),
            StreamState::Open(id) => {
                self.proxy.abandon_stream(id);
                self.proxy.close_abandoned_streams().await
            }
        }
    }
}

impl Drop for Items<'_> {
    fn drop(&mut self) {
        if let StreamState::Open(id) = std::mem::replace(&mut self.state, StreamState::Ended) {
            self.proxy.abandon_stream(id);
        }
    }
}

impl fmt::Debug for Items<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_open = matches!(self.state, StreamState::Open(_));
        f.debug_struct("Items").field("open", &is_open).finish_non_exhaustive()
    }
}

fn is_end(exception: &Exception) -> bool {
    matches!(exception.short_class(), "StopIteration" | "GeneratorExit")
}
