//! One client connection as the objects of a daemon see it.
//!
//! Owns who the client is. Knows nothing of how its bytes travel.

use std::fmt;
use std::net::SocketAddr;

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
