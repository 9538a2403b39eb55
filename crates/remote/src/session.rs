//! One client connection as the objects of a daemon see it: the client and its handshake.
//!
//! Knows nothing of how its bytes travel.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::{Mutex, OwnedMutexGuard};
use wire::value::Value;

/// One client proxy's connection to a daemon.
#[derive(Debug)]
pub struct Session {
    /// Unique among the connections of this process; rises with time.
    pub id: u64,
    /// The client's address.
    pub peer: Peer,
    /// The id of the object that the handshake named.
    pub object: String,
    /// The data that the client's handshake carried (`_pyroHandshake`).
    pub handshake: Value,
    ended: AtomicBool,
    /// Held by the oneway call that is about to begin.
    oneway_queue: OnceLock<Arc<Mutex<()>>>,
}

/// The turn of a oneway call to begin; the next call of its session waits until this is dropped.
#[derive(Debug)]
pub struct OnewayTurn {
    _turn: OwnedMutexGuard<()>,
}

impl Session {
    /// A session that has just begun.
    pub fn new(id: u64, peer: Peer, object: String, handshake: Value) -> Self {
        let (ended, oneway_queue) = (AtomicBool::new(false), OnceLock::new());
        Session { id, peer, object, handshake, ended, oneway_queue }
    }

    /// Waits for the turn of a oneway call to begin, in order of arrival. Calls that follow a
    /// oneway call must not overtake it, in objects that start calls on several threads; and oneway
    /// calls may begin after their session has ended.
    pub async fn oneway_turn(&self) -> OnewayTurn {
        let queue = self.oneway_queue.get_or_init(Arc::default);
        OnewayTurn { _turn: Arc::clone(queue).lock_owned().await }
    }

    /// Waits until the oneway calls before this call have begun.
    pub async fn oneways_begun(&self) {
        if let Some(queue) = self.oneway_queue.get() {
            drop(queue.lock().await);
        }
    }

    /// Whether the session has ended. A oneway call may begin later still: an object that makes an
    /// instance for the session then is not told again to drop it.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// Ends the session, before its objects hear of it: they need no list of ended ones.
    #[doc(hidden)]
    pub fn set_ended(&self) {
        self.ended.store(true, Ordering::SeqCst);
    }
}

/// A client's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Address and port of a TCP client.
    Tcp(SocketAddr),
    /// A client on a Unix socket of this host.
    Unix,
}

impl Peer {
    /// The address by which connections are counted; `None` for those of a Unix socket.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        match self {
            Peer::Tcp(address) => Some(address.ip()),
            Peer::Unix => None,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Tcp(address) => write!(f, "{address}"),
            Peer::Unix => f.write_str("a Unix socket"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn oneway_calls_begin_in_order_after_their_session_has_ended_too() {
        let session = Session::new(1, Peer::Unix, String::new(), Value::None);
        session.oneways_begun().await;
        let first = session.oneway_turn().await;
        let mut second = pin!(session.oneway_turn());
        assert!(timeout(Duration::ZERO, second.as_mut()).await.is_err());
        session.set_ended();
        let mut third = pin!(session.oneway_turn());
        let mut next_call = pin!(session.oneways_begun());
        drop(first);
        assert!(timeout(Duration::ZERO, third.as_mut()).await.is_err(), "it overtakes the second");
        assert!(timeout(Duration::ZERO, next_call.as_mut()).await.is_err());
        drop(second.await);
        drop(third.await);
        next_call.await;
    }
}
