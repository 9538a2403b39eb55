//! Job: the JSON description of one measurement.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value as Json;

/// One measurement.
#[derive(Debug, Deserialize)]
pub(crate) struct Job {
    /// The core to run on.
    pub(crate) core: Option<usize>,
    #[serde(flatten)]
    pub(crate) mode: Mode,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case")]
pub(crate) enum Mode {
    /// Calls: each after the answer before it (closed loop), or at a rate (open loop).
    Calls(Calls),
    /// One call, to measure the lengths of its request and its answer.
    Probe(CallTarget),
    /// Bursts of oneway calls. A burst ends when the server has executed all of them.
    Oneway(Oneway),
    /// Connections with their handshakes, one after the other.
    Connects(Connects),
    /// Idle connections, until standard input ends.
    Hold(Hold),
    /// A server that exchanges messages of fixed lengths, and does nothing else.
    RawServer,
    /// A server that passes messages on to a Python loop, and does nothing else.
    FloorServer(CallTarget),
}

/// The method to call.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct CallTarget {
    /// `host:port`.
    pub(crate) address: String,
    pub(crate) object: String,
    #[serde(default = "nothing")]
    pub(crate) method: String,
    #[serde(default)]
    pub(crate) args: Vec<Json>,
    #[serde(default = "serpent")]
    pub(crate) serializer: String,
    /// For a server with TLS: the file of the certificates to trust.
    #[serde(default)]
    pub(crate) cacerts: Option<PathBuf>,
    /// Set if the server is a `raw_server`.
    #[serde(default)]
    pub(crate) raw: Option<Lengths>,
}

/// Bytes of a request and of its answer.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Lengths {
    pub(crate) request: usize,
    pub(crate) answer: usize,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Calls {
    #[serde(flatten)]
    pub(crate) target: CallTarget,
    #[serde(default = "one")]
    pub(crate) connections: usize,
    /// Calls in flight on each connection.
    #[serde(default = "one")]
    pub(crate) pipeline: usize,
    /// Calls per second over all connections, for an open loop.
    pub(crate) rate: Option<f64>,
    pub(crate) seconds: f64,
    /// Seconds of calls before the measurement.
    #[serde(default)]
    pub(crate) warmup: f64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Oneway {
    #[serde(flatten)]
    pub(crate) target: CallTarget,
    /// Calls in a burst. A server limits how many may wait.
    pub(crate) burst: usize,
    pub(crate) bursts: usize,
    /// The method that returns how many calls the server has executed.
    pub(crate) counter: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Connects {
    #[serde(flatten)]
    pub(crate) target: CallTarget,
    pub(crate) seconds: f64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Hold {
    #[serde(flatten)]
    pub(crate) target: CallTarget,
    pub(crate) connections: usize,
}

fn one() -> usize {
    1
}

fn nothing() -> String {
    "nothing".to_owned()
}

fn serpent() -> String {
    "serpent".to_owned()
}
