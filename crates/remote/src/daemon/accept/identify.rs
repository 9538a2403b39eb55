//! The identity of a client that connects, by what TLS or the operating system says of it.

use std::sync::Arc;

use crate::blocking::run_blocking;
use crate::identity::{Identity, IdentitySource};
use crate::session::Peer;

/// Facts about a client that its connection itself tells, before Pyro5's handshake.
#[derive(Clone, Debug, Default)]
pub(super) struct Entrance {
    /// The common name of the client certificate that TLS has verified.
    pub(super) certificate_name: Option<Arc<str>>,
    /// The id of the user whose process is at the other end of a Unix socket.
    pub(super) unix_user: Option<u32>,
}

/// The identity of a client at `peer`.
pub(super) fn identify(peer: &Peer, entrance: &Entrance) -> Identity {
    if let Some(name) = &entrance.certificate_name {
        return Identity { name: Arc::clone(name), source: IdentitySource::Certificate };
    }
    #[cfg(unix)]
    if let Some(id) = entrance.unix_user {
        // The host's user database may be in the network.
        return run_blocking(|| Identity::unix_user(id));
    }
    peer.anonymous()
}
