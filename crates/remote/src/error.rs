//! Errors of a [`Proxy`](crate::Proxy): the connection, the protocol, the remote exception.
//!
//! Each names the operation and keeps its source. An exception of the remote object is whole in
//! [`Error::Remote`].

use std::time::Duration;

use wire::exception::Exception;

/// Why a call through a [`Proxy`](crate::Proxy) failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is not a Pyro URI.
    #[error(transparent)]
    Uri(#[from] wire::uri::UriError),
    /// The connection could not be made.
    #[error("cannot connect to {uri}: {source}")]
    Connect {
        /// The daemon's address.
        uri: String,
        /// The reason.
        #[source]
        source: ConnectError,
    },
    /// The connection broke; whether the call was carried out is not known.
    #[error("the connection to {uri} was lost during '{operation}': {source}")]
    Lost {
        /// The daemon's address.
        uri: String,
        /// The method, or the step of the protocol.
        operation: String,
        /// The connection's error.
        #[source]
        source: std::io::Error,
    },
    /// No answer within the proxy's timeout. The connection is closed: a late answer would be taken
    /// for that of the next call.
    #[error("no answer from {uri} to '{operation}' within {} s", .timeout.as_secs_f64())]
    Timeout {
        /// The daemon's address.
        uri: String,
        /// The method, or the step of the protocol.
        operation: String,
        /// The timeout.
        timeout: Duration,
    },
    /// The daemon violates the protocol.
    #[error("{uri} sent something that is not an answer to '{operation}': {reason}")]
    Protocol {
        /// The daemon's address.
        uri: String,
        /// The method, or the step of the protocol.
        operation: String,
        /// The violation.
        reason: String,
    },
    /// The proxy's serializer cannot encode the arguments; nothing was sent.
    #[error("the arguments of '{operation}' cannot be sent: {reason}")]
    Arguments {
        /// The method.
        operation: String,
        /// The serializer's error.
        reason: String,
    },
    /// The object has no such member, by the metadata of the handshake; nothing was sent.
    #[error("remote object '{uri}' has no exposed attribute or method '{name}'")]
    Unexposed {
        /// The object.
        uri: String,
        /// The member.
        name: String,
    },
    /// The method returns an iterator: see [`Proxy::stream`](crate::Proxy::stream).
    #[error("'{operation}' returns an iterator: call it with Proxy::stream to read its items")]
    IsStream {
        /// The method.
        operation: String,
    },
    /// The remote object or its daemon raised an exception.
    #[error("{0}")]
    Remote(Exception),
    /// No nameserver was found.
    #[error(
        "found no nameserver: {tried}; start one, or say where it is (PYRONAME:NAME@HOST:PORT)"
    )]
    NoNameserver {
        /// The addresses that were asked.
        tried: String,
    },
    /// The nameserver's answer has the wrong form.
    #[error("the nameserver's answer to '{operation}' makes no sense: {reason}")]
    Nameserver {
        /// The nameserver's method.
        operation: &'static str,
        /// The mistake in the answer.
        reason: String,
    },
}

impl Error {
    /// Whether the same call may succeed on a new connection.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Lost { .. } | Error::Timeout { .. } => true,
            Error::Connect { source, .. } => {
                matches!(source, ConnectError::Io(_) | ConnectError::Timeout(_))
            }
            _ => false,
        }
    }
}

/// Why a connection could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The operating system's error.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// No answer in time.
    #[error("no answer within {} s", .0.as_secs_f64())]
    Timeout(Duration),
    /// The address leads to this host, and the proxy is for
    /// [other hosts](crate::Proxy::with_other_hosts_only).
    #[error(
        "another host has named this address, which leads to this one from here: the object is \
         reachable on its own host only"
    )]
    ThisHost,
    /// The daemon refused, with a reason.
    #[error("refused: {0}")]
    Refused(String),
    /// The server does not speak Pyro5's protocol.
    #[error("what listens there does not speak Pyro5's protocol: {0}")]
    Protocol(String),
    /// The TLS handshake failed: one side does not accept the other's certificate.
    #[error("TLS: {0}")]
    Tls(#[source] std::io::Error),
    /// The [handshake check](crate::Proxy::with_handshake_check) refused the daemon.
    #[error("the daemon's answer to the handshake is not accepted: {0}")]
    HandshakeCheck(String),
    /// The handshake's data cannot be serialized.
    #[error("the handshake's data cannot be sent: {0}")]
    Handshake(String),
}
