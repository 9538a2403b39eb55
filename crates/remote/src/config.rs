//! A daemon's settings, with Pyro5's names and defaults where it has them.

use std::time::Duration;

use wire::Limits;

use crate::tls::ServerTls;

/// The id under which every Pyro5 daemon serves itself.
pub const DAEMON_NAME: &str = "Pyro.Daemon";

/// How a daemon shares its time among connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServerType {
    /// A limited number of connections, served concurrently.
    #[default]
    Thread,
    /// Any number of connections; one call at a time over all of them.
    Multiplex,
}

/// How long item streams live, and how many there may be.
#[derive(Clone, Debug)]
pub struct StreamLimits {
    /// A stream ends this long after it was made (Pyro5's `ITER_STREAM_LIFETIME`).
    pub lifetime: Option<Duration>,
    /// A stream whose connection has ended is kept for so long (Pyro5's `ITER_STREAM_LINGER`).
    pub linger: Duration,
    /// Open streams of one connection, at most.
    pub per_connection: usize,
    /// Open streams of the daemon, at most. One more closes the one that has lingered longest, or
    /// else the oldest of the connection that has most.
    pub in_all: usize,
}

impl Default for StreamLimits {
    fn default() -> Self {
        StreamLimits {
            lifetime: None,
            linger: Duration::from_secs(30),
            per_connection: 1000,
            in_all: 10_000,
        }
    }
}

/// A daemon's settings.
#[derive(Clone, Debug)]
pub struct DaemonConfig {
    /// The name of the daemon in logs and errors.
    pub name: String,
    /// `thread` or `multiplex`.
    pub server_type: ServerType,
    /// Connections served at most by a `thread` daemon (Pyro5's `THREADPOOL_SIZE`).
    pub threadpool_size: usize,
    /// Connections served at most, by a daemon of either type, as the limit on open files allows.
    /// No limit if absent.
    pub connections: Option<usize>,
    /// Connections from one address at most. No limit if absent, as in Pyro5.
    pub connections_per_address: Option<usize>,
    /// Whether answers are compressed (Pyro5's `COMPRESSION`).
    pub compression: bool,
    /// A connection that is silent for this long ends (Pyro5's `COMMTIMEOUT`); in a `multiplex`
    /// daemon only one that is silent in the middle of a message, as in Pyro5's.
    pub comm_timeout: Option<Duration>,
    /// TLS of connections over TCP (Pyro5's `SSL` settings).
    pub tls: Option<ServerTls>,
    /// Whether oneway calls run beside other calls (Pyro4's `ONEWAY_THREADED`). Otherwise each
    /// takes its turn like a call with an answer.
    pub oneway_threaded: bool,
    /// Oneway calls of one connection that have not ended, at most; of all together ten times as
    /// many.
    pub oneways: usize,
    /// How long item streams live, and how many there may be.
    pub streams: StreamLimits,
    /// Bytes of answers that clients have not read yet, over all connections. With more, the next
    /// answer waits, and connections that hardly read are closed. No limit if absent. Objects
    /// reserve with [`Context::answer_memory`](crate::Context::answer_memory).
    pub answer_memory: Option<usize>,
    /// Bytes of memory for requests beyond 64 KiB, over all connections. With more, the next one
    /// waits; one that needs more by itself has to be alone. As much again is for requests that
    /// have not arrived completely.
    pub request_memory: usize,
    /// Bytes of an answer at most; if absent, as many as a request may have.
    pub max_answer: Option<usize>,
    /// The limits of messages after the handshake.
    pub limits: Limits,
    /// A handshake must be complete within this time, however its bytes arrive.
    pub handshake_timeout: Duration,
    /// Connections whose handshake is not done, at most; one more closes the oldest.
    pub handshakes: usize,
    /// The same for one address.
    pub handshakes_per_address: usize,
    /// Calls that still run at shutdown may take this long to end.
    pub shutdown_grace: Duration,
    /// An `on_disconnect` method may take this long before the next one is called.
    pub safe_state_timeout: Duration,
    /// Address to publish instead of the listener's (Pyro5's `NATHOST`, `NATPORT`); a port of 0
    /// stands for the listener's own.
    pub nat: Option<(String, u16)>,
    /// Each lock's first epoch, above every epoch of earlier processes of this daemon.
    pub first_epoch: u64,
}

impl Default for DaemonConfig {
    fn default() -> Self {
        DaemonConfig {
            name: "daemon".into(),
            server_type: ServerType::Thread,
            threadpool_size: 80,
            connections: None,
            connections_per_address: None,
            compression: false,
            comm_timeout: None,
            tls: None,
            oneway_threaded: true,
            oneways: 1000,
            streams: StreamLimits::default(),
            answer_memory: None,
            request_memory: Limits::default().memory,
            max_answer: None,
            limits: Limits::default(),
            handshake_timeout: Duration::from_secs(5),
            handshakes: 4096,
            handshakes_per_address: 1024,
            shutdown_grace: Duration::from_secs(5),
            safe_state_timeout: Duration::from_secs(10),
            nat: None,
            first_epoch: 1,
        }
    }
}

/// Pyro5's words for a pool without a free slot.
const POOL_FULL: &str = "no free workers, increase server threadpool size";

/// Why a connection more from one address is refused, in words for the client.
pub(crate) fn address_full_text(config: &DaemonConfig) -> String {
    format!(
        "too many connections from your address: daemon '{}' serves {} of each \
         (`connections_per_address`); close some",
        config.name,
        config.connections_per_address.unwrap_or_default()
    )
}

/// Why a connection more is refused, in words for the client.
pub(crate) fn pool_full_text(config: &DaemonConfig) -> String {
    let is_pool = config.server_type == ServerType::Thread;
    match config.connections {
        Some(most) if !is_pool || most < config.threadpool_size => format!(
            "too many connections: daemon '{}' serves {most}, as many as its limit on open files \
             allows; raise that (`ulimit -n`, or LimitNOFILE= of the service), or close some",
            config.name
        ),
        _ => POOL_FULL.to_owned(),
    }
}
