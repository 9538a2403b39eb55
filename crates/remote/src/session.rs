//! One client connection as the objects of a daemon see it.
//!
//! Owns who the client is. Knows nothing of how its bytes travel.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use wire::value::Value;

/// One client proxy's connection to a daemon.
#[derive(Debug)]
pub struct Session {
    /// Unique among the connections of this process; rises with time.
    pub id: u64,
    /// Where the client is.
    pub peer: Peer,
    /// The object that the handshake announced for.
    pub object: String,
    /// The data that the client's handshake carried (`_pyroHandshake`).
    pub handshake: Value,
    ended: AtomicBool,
}

impl Session {
    /// A session that has just begun.
    pub fn new(id: u64, peer: Peer, object: String, handshake: Value) -> Self {
        Session { id, peer, object, handshake, ended: AtomicBool::new(false) }
    }

    /// Whether the objects hear of the session's end, or have heard of it. A oneway call may begin
    /// later still: what an object makes for the session then, nobody asks it to take away again.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// Ends the session; before its objects hear of it, so that they need no memory of ended ones.
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

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Tcp(address) => write!(f, "{address}"),
            Peer::Unix => f.write_str("a Unix socket"),
        }
    }
}
