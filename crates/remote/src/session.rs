//! One client connection as the objects of a daemon see it: the client and its handshake.
//!
//! Knows nothing of how its bytes travel.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};

use wire::value::Value;

use crate::access::AccessCache;
use crate::addresses::public_address;
use crate::current_call::{CurrentCall, WorkerWait};
use crate::identity::{self, Identity};
use crate::users::Login;

/// One client proxy's connection to a daemon.
#[derive(Debug)]
pub struct Session {
    /// Unique among the connections of this process; rises with time.
    pub id: u64,
    /// The client's address.
    pub peer: Peer,
    /// The person or program that it belongs to.
    identity: Identity,
    /// Its login, where its client has shown a credential.
    login: Option<Box<Login>>,
    /// The address of this host at which the client has reached it; `None` on a Unix socket.
    pub reached_at: Option<SocketAddr>,
    /// The id of the object that the handshake named.
    pub object: String,
    /// The data that the client's handshake carried (`_pyroHandshake`).
    pub handshake: Value,
    /// Its rights on the object that it used last.
    pub(crate) access: AccessCache,
    /// The call that it carries out.
    pub(crate) call: CurrentCall,
    ended: AtomicBool,
}

impl Session {
    /// A session that has just begun, of an anonymous client.
    pub fn new(id: u64, peer: Peer, object: String, handshake: Value) -> Self {
        let (call, ended) = (CurrentCall::default(), AtomicBool::new(false));
        let (identity, access) = (peer.anonymous(), AccessCache::default());
        Session {
            id,
            peer,
            identity,
            login: None,
            reached_at: None,
            object,
            handshake,
            access,
            call,
            ended,
        }
    }

    /// The same, of a client with this identity.
    #[must_use]
    pub fn with_identity(self, identity: Identity) -> Self {
        Session { identity, ..self }
    }

    /// The same, with a login that can be withdrawn.
    pub(crate) fn with_login(self, login: Option<Login>) -> Self {
        Session { login: login.map(Box::new), ..self }
    }

    /// Its login, where its client has shown a credential.
    pub(crate) fn login(&self) -> Option<&Login> {
        self.login.as_deref()
    }

    /// Why its client may not go on: its user was removed, for example.
    pub fn revocation(&self) -> Option<&str> {
        self.login()?.revocation()
    }

    /// Waits until its client may not go on. Without a login that never comes.
    pub(crate) async fn revoked(&self) {
        match self.login() {
            None => std::future::pending().await,
            // Boxed, so that anonymous connections are no larger for it.
            Some(login) => Box::pin(login.revoked()).await,
        }
    }

    /// The same, reached by its client at this address of this host.
    #[must_use]
    pub fn reached_at(self, address: Option<SocketAddr>) -> Self {
        Session { reached_at: address, ..self }
    }

    /// The person or program that its client is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Its client for people, by the name that it has given, its identity and its address.
    pub(crate) fn client_text(&self, given: &str) -> String {
        let identity = self.identity.known().map(AsRef::as_ref);
        identity::client_at(given, identity, &self.peer.to_string())
    }

    /// The address of this host that its client can use, and can hand on to others in its network.
    /// A link-local address of IPv6 cannot be shared: each client has its own name for the link.
    pub fn shareable_address(&self) -> Option<IpAddr> {
        let address = self.reached_at?.ip();
        match address {
            IpAddr::V6(ipv6) if ipv6.is_unicast_link_local() => {
                Some(public_address().unwrap_or(address))
            }
            _ => Some(address),
        }
    }

    /// The address of its client's host, where that is another one than this.
    pub fn other_host(&self) -> Option<IpAddr> {
        let (client, here) = (self.peer.address()?, self.reached_at?.ip());
        // A client on this host has the address that it connects to, or is on the loopback.
        (client != here && !client.is_loopback()).then_some(client)
    }

    /// Whether its client is certainly on this host.
    pub(crate) fn is_local(&self) -> bool {
        if self.login().is_some_and(Login::is_elsewhere) {
            return false;
        }
        let here = self.reached_at.map(|address| address.ip());
        match self.peer.address() {
            Some(client) => client.is_loopback() || here == Some(client),
            None => true,
        }
    }

    /// Until the result is dropped, its call is shown as one that waits for a worker to start.
    pub fn wait_for_worker(&self) -> WorkerWait<'_> {
        self.call.wait_for_worker()
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

/// A caller's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Address and port of a TCP client.
    Tcp(SocketAddr),
    /// A client on a Unix socket of this host.
    Unix {
        /// The process that has connected, where the system says it.
        process: Option<u32>,
    },
    /// No client: the daemon itself.
    Daemon(OwnCallReason),
}

/// Why a daemon calls one of its objects itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnCallReason {
    /// To see whether its instrument answers.
    HealthCheck,
    /// To read a member for its series of values.
    Poll,
}

impl OwnCallReason {
    /// All of them.
    pub const ALL: [OwnCallReason; 2] = [OwnCallReason::HealthCheck, OwnCallReason::Poll];
}

impl Peer {
    /// Whether it is not the daemon itself.
    pub fn is_client(&self) -> bool {
        !matches!(self, Peer::Daemon(_))
    }

    /// The address by which connections are counted; `None` for those of a Unix socket.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Peer::Tcp(address) => Some(address.ip()),
            Peer::Unix { .. } | Peer::Daemon(_) => None,
        }
    }
}

impl Peer {
    /// The identity of a client of which nothing but this address is known.
    pub fn anonymous(&self) -> Identity {
        match self {
            Peer::Tcp(address) => Identity::anonymous(address.ip()),
            Peer::Unix { .. } => Identity::anonymous("localhost"),
            Peer::Daemon(_) => Identity::anonymous(self),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Tcp(address) => write!(f, "{address}"),
            Peer::Unix { .. } => f.write_str("a Unix socket"),
            Peer::Daemon(OwnCallReason::HealthCheck) => f.write_str("a health check"),
            Peer::Daemon(OwnCallReason::Poll) => f.write_str("a poll"),
        }
    }
}
