//! Item streams as a client reads them: one item for each request.
//!
//! Owns when a stream is over, and that the daemon learns of one that is not read to its end.

use std::fmt;

use wire::exception::Exception;
use wire::value::Value;

use crate::client::exchange::NEXT_ITEM;
use crate::client::proxy::Proxy;
use crate::error::Error;

/// The items of a remote iterator or generator, fetched one by one over its proxy.
///
/// Dropped before its end, it is closed by the proxy's next request; [`Items::close`] does so now.
pub struct Items<'a> {
    proxy: &'a mut Proxy,
    state: StreamState,
}

enum StreamState {
    /// The daemon has the stream with this id.
    Open(String),
    /// It has it no more.
    Ended,
}

impl<'a> Items<'a> {
    pub(crate) fn new(proxy: &'a mut Proxy, id: String) -> Self {
        Items { proxy, state: StreamState::Open(id) }
    }

    /// The next item; `None` behind the last one.
    ///
    /// # Errors
    /// What the remote iterator raised, or what happened on the way. The stream is over then,
    /// unless the answer only came too late or the connection was lost: the daemon keeps the
    /// stream for a while, and `next` may be called again. The item that was asked for may be lost,
    /// so this is never done by itself, whatever [`Proxy::with_retries`] says.
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

    /// The items that are left, at most `most` of them.
    ///
    /// # Errors
    /// As [`Items::next`].
    pub async fn take(&mut self, most: usize) -> Result<Vec<Value>, Error> {
        let mut items = Vec::new();
        while items.len() < most {
            match self.next().await? {
                Some(item) => items.push(item),
                None => break,
            }
        }
        Ok(items)
    }

    /// Makes a new connection to read on from, for as long as the daemon lets the stream linger
    /// (Pyro5's `ITER_STREAM_LINGER`).
    ///
    /// # Errors
    /// As [`Proxy::connect`].
    pub async fn reconnect(&mut self) -> Result<(), Error> {
        self.proxy.release();
        self.proxy.connect().await
    }

    /// Ends the stream; the daemon lets go of the iterator.
    ///
    /// # Errors
    /// The connection is lost; the daemon closes the stream by itself, later.
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
