//! What can go wrong for a caller.
//!
//! Every error names the operation and keeps its source. An exception that the remote object
//! raised is an answer like any other and travels whole in [`Error::Remote`].

use std::time::Duration;

use wire::exception::Exception;

/// Why a call through a [`Proxy`](crate::Proxy) failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is not a Pyro URI.
    #[error(transparent)]
    Uri(#[from] wire::uri::UriError),
    /// No connection came about.
    #[error("cannot connect to {uri}: {source}")]
    Connect {
        /// Where to.
        uri: String,
        /// Why not.
        #[source]
        source: ConnectError,
    },
    /// The connection broke; whether the call was carried out is not known.
    #[error("the connection to {uri} was lost during '{operation}': {source}")]
    Lost {
        /// Where to.
        uri: String,
        /// What was being done.
        operation: String,
        /// What the connection said.
        #[source]
        source: std::io::Error,
    },
    /// No answer within the proxy's timeout; the connection is given up, since a late answer
    /// would be taken for that of the next call.
    #[error("no answer from {uri} to '{operation}' within {} s", .timeout.as_secs_f64())]
    Timeout {
        /// Where to.
        uri: String,
        /// What was being done.
        operation: String,
        /// The limit that ran out.
        timeout: Duration,
    },
    /// The other side does not keep to the protocol.
    #[error("{uri} sent something that is not an answer to '{operation}': {reason}")]
    Protocol {
        /// Where to.
        uri: String,
        /// What was being done.
        operation: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The arguments cannot be sent with the proxy's serializer.
    #[error("the arguments of '{operation}' cannot be sent: {reason}")]
    Arguments {
        /// The method called.
        operation: String,
        /// What the serializer said.
        reason: String,
    },
    /// The object has no such member, by what its daemon told at the handshake; nothing was sent.
    #[error("remote object '{uri}' has no exposed attribute or method '{name}'")]
    Unexposed {
        /// The object.
        uri: String,
        /// What it does not have.
        name: String,
    },
    /// The method returns an iterator, and its items were not asked for.
    #[error("'{operation}' returns an iterator: call it with Proxy::stream to read its items")]
    IsStream {
        /// The method called.
        operation: String,
    },
    /// The remote side raised an exception.
    #[error("{0}")]
    Remote(Exception),
    /// No nameserver was found.
    #[error(
        "found no nameserver: {tried}; start one, or say where it is (PYRONAME:NAME@HOST:PORT)"
    )]
    NoNameserver {
        /// Where it was searched for.
        tried: String,
    },
    /// The nameserver gave an answer that is not one.
    #[error("the nameserver's answer to '{operation}' makes no sense: {reason}")]
    Nameserver {
        /// What it was asked.
        operation: &'static str,
        /// What is wrong with the answer.
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

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The network says no.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// No answer in time.
    #[error("no answer within {} s", .0.as_secs_f64())]
    Timeout(Duration),
    /// The daemon refused, with a reason.
    #[error("refused: {0}")]
    Refused(String),
    /// Whatever listens there does not speak Pyro5's protocol.
    #[error("what listens there does not speak Pyro5's protocol: {0}")]
    Protocol(String),
    /// No TLS with this server: its certificate is not accepted, or ours is not.
    #[error("TLS: {0}")]
    Tls(#[source] std::io::Error),
    /// The daemon's answer to the handshake is not what this client wants.
    #[error("the daemon's answer to the handshake is not accepted: {0}")]
    Unwelcome(String),
    /// The handshake's data cannot be serialized.
    #[error("the handshake's data cannot be sent: {0}")]
    Handshake(String),
}
