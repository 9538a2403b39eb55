//! What can be measured: the words of a job.

use serde::Deserialize;
use serde_json::Value as Json;

/// One measurement.
#[derive(Debug, Deserialize)]
pub(crate) struct Job {
    /// The core to stay on.
    pub(crate) core: Option<usize>,
    #[serde(flatten)]
    pub(crate) mode: Mode,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case")]
pub(crate) enum Mode {
    /// Calls, as fast as they are answered or at a rate.
    Calls(Calls),
    /// One call: how long its request and its answer are.
    Probe(Target),
    /// Bursts of oneway calls, each until the server has carried out all of them.
    Oneway(Oneway),
    /// Connections with their handshakes, one after the other.
    Connects(Connects),
    /// Connections that do nothing until standard input ends.
    Hold(Hold),
    /// A server that answers so many bytes with so many bytes, and does nothing else.
    RawServer,
}

/// What to call.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Target {
    /// `host:port`.
    pub(crate) address: String,
    pub(crate) object: String,
    #[serde(default = "nothing")]
    pub(crate) method: String,
    #[serde(default)]
    pub(crate) args: Vec<Json>,
    #[serde(default = "serpent")]
    pub(crate) serializer: String,
    /// The server is a `raw_server`.
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
    pub(crate) target: Target,
    #[serde(default = "one")]
    pub(crate) connections: usize,
    /// Calls under way on each connection.
    #[serde(default = "one")]
    pub(crate) pipeline: usize,
    /// Calls per second over all connections; without it each call follows the answer before.
    pub(crate) rate: Option<f64>,
    pub(crate) seconds: f64,
    /// Seconds before the measurement.
    #[serde(default)]
    pub(crate) warmup: f64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Oneway {
    #[serde(flatten)]
    pub(crate) target: Target,
    /// How many at once, and how often: servers have their limits.
    pub(crate) burst: usize,
    pub(crate) bursts: usize,
    /// The method that tells how many were carried out.
    pub(crate) counter: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Connects {
    #[serde(flatten)]
    pub(crate) target: Target,
    pub(crate) seconds: f64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Hold {
    #[serde(flatten)]
    pub(crate) target: Target,
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
