//! A daemon's settings, with Pyro5's names and defaults where it has them.

use std::sync::Arc;
use std::time::Duration;

use wire::Limits;
use wire::exception::Exception;
use wire::message::Annotations;
use wire::value::Value;

use crate::daemon::streams::StreamLimits;
use crate::object::BoxFuture;
use crate::session::Peer;
use crate::tls::ServerTls;

/// How a daemon shares its time among connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServerType {
    /// A limited number of connections, served concurrently.
    #[default]
    Thread,
    /// Any number of connections; one call at a time over all of them.
    Multiplex,
}

/// A daemon's settings.
#[derive(Clone, Debug)]
pub struct DaemonConfig {
    /// What the daemon is called in logs and errors.
    pub name: String,
    /// `thread` or `multiplex`.
    pub server_type: ServerType,
    /// Connections served at most by a `thread` daemon (Pyro5's `THREADPOOL_SIZE`).
    pub threadpool_size: usize,
    /// Connections served at most, by a daemon of either type: what the limit on open files allows.
    /// Any number if absent.
    pub connections: Option<usize>,
    /// Whether answers are compressed (Pyro5's `COMPRESSION`).
    pub compression: bool,
    /// A connection that is silent for this long ends (Pyro5's `COMMTIMEOUT`); in a `multiplex`
    /// daemon only one that is silent in the middle of a message, as in Pyro5's.
    pub comm_timeout: Option<Duration>,
    /// Certificates, where connections over TCP are encrypted (Pyro5's `SSL` settings).
    pub tls: Option<ServerTls>,
    /// Oneway calls of one connection that have not ended, at most; of all together ten times as
    /// many.
    pub oneways: usize,
    /// How long item streams live, and how many there may be.
    pub streams: StreamLimits,
    /// Bytes of answers that clients have not read yet, at most, over all connections; with more,
    /// the next one waits, and connections that hardly read are closed. Any number if absent.
    /// Objects take room for what they make with [`Context::answer_room`](crate::Context).
    pub unread: Option<usize>,
    /// Bytes of memory for the values of requests beyond 64 KiB, over all connections; with more,
    /// the next one waits. One that needs more by itself has to be alone. As much again is for those
    /// that have not arrived whole.
    pub large_requests: usize,
    /// Bytes of an answer at most; if absent, as many as a request may have.
    pub answer: Option<usize>,
    /// What a peer may send once its handshake is done.
    pub limits: Limits,
    /// A handshake must be complete within this time, however its bytes arrive.
    pub handshake_timeout: Duration,
    /// Connections whose handshake is not done, at most; with one more, the oldest goes.
    pub handshakes: usize,
    /// The same for one address.
    pub handshakes_per_address: usize,
    /// Calls that still run at shutdown may take this long to end.
    pub shutdown_grace: Duration,
    /// A method that brings an object to rest may take this long before the next one is called.
    pub rest_timeout: Duration,
    /// Address to publish instead of the listener's (Pyro5's `NATHOST`, `NATPORT`); a port of 0
    /// stands for the listener's own.
    pub nat: Option<(String, u16)>,
    /// Each lock's first epoch. To be above every epoch that the daemon has had in earlier lives.
    pub first_epoch: u64,
}

impl Default for DaemonConfig {
    fn default() -> Self {
        DaemonConfig {
            name: "daemon".into(),
            server_type: ServerType::Thread,
            threadpool_size: 80,
            connections: None,
            compression: false,
            comm_timeout: None,
            tls: None,
            oneways: 1000,
            streams: StreamLimits::default(),
            unread: None,
            large_requests: Limits::default().memory,
            answer: None,
            limits: Limits::default(),
            handshake_timeout: Duration::from_secs(5),
            handshakes: 4096,
            handshakes_per_address: 1024,
            shutdown_grace: Duration::from_secs(5),
            rest_timeout: Duration::from_secs(10),
            nat: None,
            first_epoch: 1,
        }
    }
}

/// What a client says when it connects.
#[derive(Clone, Debug)]
pub struct Handshake {
    /// Where it is.
    pub peer: Peer,
    /// The object that it wants.
    pub object: String,
    /// The data that its user has set (`_pyroHandshake`).
    pub data: Value,
    /// What it sent along.
    pub annotations: Annotations,
    /// Its correlation id, or one made for it.
    pub correlation_id: [u8; 16],
}

/// What a client that is let in is told.
#[derive(Clone, Debug)]
pub struct Welcome {
    /// For the client's `_pyroValidateHandshake`.
    pub response: Value,
    /// To send along.
    pub annotations: Annotations,
}

impl Default for Welcome {
    /// As Pyro5's daemon does, unless told otherwise.
    fn default() -> Self {
        Welcome { response: "hello".into(), annotations: Annotations::new() }
    }
}

/// Decides who is let in.
pub(crate) type Validator =
    Arc<dyn Fn(Handshake) -> BoxFuture<Result<Welcome, Exception>> + Send + Sync>;

/// Pyro5's words for a pool without a free place.
const NO_PLACE: &str = "no free workers, increase server threadpool size";

/// Why there is no place, in words for the client.
pub(crate) fn no_place(config: &DaemonConfig) -> String {
    let is_pool = config.server_type == ServerType::Thread;
    match config.connections {
        Some(most) if !is_pool || most < config.threadpool_size => format!(
            "too many connections: daemon '{}' serves {most}, as many as its limit on open files \
             allows; raise that (`ulimit -n`, or LimitNOFILE= of the service), or close some",
            config.name
        ),
        _ => NO_PLACE.to_owned(),
    }
}
