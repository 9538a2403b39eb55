//! All limits of a daemon in one table, each with its default, its purpose and its effect on a
//! client.
//!
//! A further limit is a row here, and slots or a budget in [`Admission`](super::Admission). The
//! table in docs/servers.md is printed from this one.

use std::time::Duration;

use wire::Limits;

use crate::admission::request_memory::MemoryNeed;
use crate::batch;
use crate::config::DaemonConfig;
use crate::lock::policy;
use crate::object::CHECKED_BLOB_BYTES;

/// Connections that are let in beyond the pool, to break a lock.
pub(crate) const LOCK_BREAKERS: usize = 4;
/// The same from one address.
pub(crate) const LOCK_BREAKERS_PER_ADDRESS: usize = 2;
/// How long a connection beyond the pool may stay.
pub(crate) const LOCK_BREAKER_TIME: Duration = Duration::from_secs(5);
/// Connections of clients without the certificate that the port requires: they log in.
pub(crate) const UNCERTIFIED: usize = 32;
/// The same from one address.
pub(crate) const UNCERTIFIED_PER_ADDRESS: usize = 8;
/// How long such a connection may stay.
pub(crate) const UNCERTIFIED_TIME: Duration = Duration::from_secs(30);
/// Oneway calls of all connections, as a multiple of those of one. Each has a thread in a Python
/// worker: 4,000 take 64 MiB there, and fewer than the 4,915 that systemd allows a service.
pub(crate) const ONEWAYS_IN_ALL: usize = 4;
/// Bytes of a oneway call's arguments that take no memory of the budget: their number is limited.
pub(crate) const SMALL_ONEWAY_BYTES: usize = 4 << 10;
/// Item streams of one lock's objects that end at a time: each needs a thread of its driver.
pub(crate) const STREAM_ENDS: usize = 16;
/// Calls of one `abort` method that have not returned in time; with as many it is not called again.
pub(crate) const HANGING_ABORTS: usize = 4;
/// Connections that read a daemon's feed of events.
pub(crate) const READERS: usize = 64;
/// How long a large request waits for memory.
pub(crate) const REQUEST_MEMORY_WAIT: Duration = Duration::from_secs(20);
/// How long a large answer waits for memory, or a large request until it may arrive.
pub(crate) const TRANSFER_MEMORY_WAIT: Duration = Duration::from_secs(120);
/// How long a call without a limit waits for the turn that an overdue call keeps.
pub(crate) const OVERDUE_TURN_WAIT: Duration = Duration::from_secs(10);

/// One limit of a daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The thing that is limited.
    pub name: &'static str,
    /// The limit where the configuration gives no other.
    pub default: String,
    /// The part that would fail without it.
    pub protects: &'static str,
    /// The effect on a client at the limit, or the text that it reads.
    pub client_sees: String,
}

/// The limits of a daemon with these settings.
pub fn limits(config: &DaemonConfig) -> Vec<Limit> {
    let DaemonConfig { handshakes, handshakes_per_address, oneways, streams, .. } = config;
    let (pool, limits) = (config.threadpool_size, &config.limits);
    let requests = bytes(config.request_memory);
    let (large, transfer) = (seconds(REQUEST_MEMORY_WAIT), seconds(TRANSFER_MEMORY_WAIT));
    let rows: [(&str, String, &str, String); 24] = [
        (
            "unfinished handshakes",
            format!(
                "{handshakes} in all, {handshakes_per_address} from one address, {} each",
                seconds(config.handshake_timeout)
            ),
            "the accept loop and open files, against peers that connect and say nothing",
            "the oldest unfinished handshake is closed for the new one".into(),
        ),
        (
            "connections of a `thread` daemon",
            format!("{pool} (`threadpool_size`)"),
            "the driver's threads",
            "\"no free workers, increase server threadpool size\"".into(),
        ),
        (
            "connections of either type",
            "what the limit on open files allows".into(),
            "open files",
            "\"too many connections: daemon 'NAME' serves N\"".into(),
        ),
        (
            "connections from one address",
            match config.connections_per_address {
                None => "no limit (`connections_per_address`)".into(),
                Some(most) => format!("{most} (`connections_per_address`)"),
            },
            "the pool, against one client that opens all connections",
            "\"too many connections from your address: daemon 'NAME' serves N of each\"".into(),
        ),
        (
            "connections beyond these that only call `release` or `abort`",
            format!(
                "{LOCK_BREAKERS} in all, {LOCK_BREAKERS_PER_ADDRESS} from one address, {} each",
                seconds(LOCK_BREAKER_TIME)
            ),
            "breaking a lock, or an abort, when all connections wait",
            "the oldest of them is closed for the next one".into(),
        ),
        (
            "connections without a required certificate, which only log in",
            format!(
                "{UNCERTIFIED} in all, {UNCERTIFIED_PER_ADDRESS} from one address, {} each, {} \
                 for a request",
                seconds(UNCERTIFIED_TIME),
                bytes(Limits::handshake().message)
            ),
            "logins and memory, against peers that nobody knows",
            "the oldest of them is closed for the next one".into(),
        ),
        (
            "connections beside these that only read the feed of events",
            READERS.to_string(),
            "memory, against programs that follow values and do not end",
            format!("\"too many readers: daemon 'NAME' serves {READERS}\""),
        ),
        (
            "calls at a time of a `multiplex` daemon",
            "1".into(),
            "drivers that must not be entered twice",
            "the call waits in order; it is dropped if its client goes before it started".into(),
        ),
        (
            "waiting for the turn that a call beyond its `call_timeout` keeps",
            format!("`call_timeout`, or {} without one", seconds(OVERDUE_TURN_WAIT)),
            "clients of a `multiplex` daemon, when one of its instruments hangs",
            "`TimeoutError`: \"'MEMBER' of service 'NAME' has not begun\"".into(),
        ),
        (
            "running calls whose clients are gone",
            format!("{pool} for each service (`threadpool_size`)"),
            "the pool and memory, when an instrument hangs",
            "`DaemonError`: \"takes no further calls\"".into(),
        ),
        (
            "oneway calls that have not ended",
            format!(
                "{oneways} of one connection, {} of all, {requests} of memory",
                oneways.saturating_mul(ONEWAYS_IN_ALL)
            ),
            "memory and threads, against clients that send faster than the driver works",
            "the call is dropped; the next call with an answer raises `DaemonError`: \"too many \
             oneway calls: N on this connection were not carried out\""
                .into(),
        ),
        (
            "bytes of one request",
            format!("{}, inflated {}", bytes(limits.message), bytes(limits.inflated)),
            "memory",
            "`ProtocolError`, and the connection is closed".into(),
        ),
        (
            "memory for large requests (beyond 64 KiB)",
            format!(
                "{requests}; one alone may take up to {} as objects in Python",
                bytes(MemoryNeed::most_in_python(limits))
            ),
            "memory of the daemon and of its Python workers, until the calls have ended",
            format!(
                "the request waits for up to {large}, then `DaemonError`: \"the daemon is busy \
                 with other large requests\""
            ),
        ),
        (
            "memory for the values of a `SerializedBlob`, of a method with limits (`members`)",
            bytes(CHECKED_BLOB_BYTES),
            "memory, which such a blob takes beyond that of large requests",
            "`SerializeError`: \"cannot read a blob\"".into(),
        ),
        (
            "large requests that have not arrived completely",
            requests,
            "memory, against clients that stop in the middle of a request",
            format!(
                "while others wait, a client that sends less than 256 KiB in 5 s is disconnected; \
                 so is one that waits for {transfer}"
            ),
        ),
        (
            "memory for large answers that are not read",
            config.answer_memory.map_or_else(|| "no limit".into(), bytes),
            "memory, against clients that ask for much and do not read it",
            format!(
                "while others wait, a client that reads less than 256 KiB in 5 s is disconnected; \
                 in a `thread` daemon an answer that waits for {transfer} raises `DaemonError`: \"the daemon is busy \
                 with other large answers\""
            ),
        ),
        (
            "memory for the results of a batch",
            format!("{}, {} of all", bytes(batch::MAX_BYTES), bytes(batch::MAX_BYTES_IN_ALL)),
            "memory, against many calls with large results in one small request",
            "the batch ends there, with a `ValueError`".into(),
        ),
        (
            "open item streams",
            format!("{} of one connection, {} of all", streams.per_connection, streams.in_all),
            "memory, and generators that drive an instrument",
            "of one connection: `DaemonError`: \"too many item streams\"; of all: the longest \
             lingering one is closed"
                .into(),
        ),
        (
            "ends of item streams at a time, of services with a lock",
            format!("{STREAM_ENDS} of each service in a `thread` daemon, 1 in a `multiplex` one"),
            "clients that wait for the lock or a turn, when one with a thousand streams goes",
            "nothing; the other streams end later".into(),
        ),
        (
            "calls of one `abort` method that hang",
            HANGING_ABORTS.to_string(),
            "the driver's threads, when clients that go have one more called each",
            "nothing; `ps` and `status` say that it is not called again".into(),
        ),
        (
            "requests that wait for one lock",
            policy::MAX_WAITING.to_string(),
            "memory",
            "`ConnectionRefusedError`: \"requests wait for the lock already\"".into(),
        ),
        (
            "requests of one host that wait for one lock",
            policy::MAX_WAITING_OF_HOST.to_string(),
            "the queue, against a client that takes all places in it",
            "`ConnectionRefusedError`: \"requests of your address wait for the lock already\"".into(),
        ),
        (
            "time that a lock outlives its connection (`ttl`)",
            "1 day (`lock_max_ttl`)".into(),
            "an instrument, against an owner that is gone for good",
            "`ValueError`: \"'ttl' must be a number of seconds, 0 or more and at most\"".into(),
        ),
        (
            "silence of a lock's owner",
            "no limit (`lock_idle`)".into(),
            "an instrument, against an owner that does nothing with it",
            "the lock ends; its next call raises `ConnectionRefusedError`: \"your lock of this Pyro \
             object has ended\""
                .into(),
        ),
    ];
    let limit =
        |(name, default, protects, client_sees)| Limit { name, default, protects, client_sees };
    rows.into_iter().map(limit).collect()
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}

fn bytes(bytes: usize) -> String {
    match bytes >> 20 {
        0 => format!("{} KiB", bytes >> 10),
        mib if mib % 1024 == 0 => format!("{} GiB", mib >> 10),
        mib => format!("{mib} MiB"),
    }
}
