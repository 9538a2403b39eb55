//! The page and its HTTP API.

use serde::{Deserialize, Serialize};

use super::process::Supervision;
use crate::address::Host;

/// The web process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Web {
    /// Where it listens.
    pub host: Host,
    /// Its port; 0 for one that is free.
    pub port: u16,
    /// Further names under which browsers ask for it.
    pub names: Vec<String>,
    /// How its process is looked after.
    pub supervision: Supervision,
}
