//! Settings of processes: the Python that drivers run in, and supervision.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::seconds;

/// The Python that drivers run in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Python {
    /// The interpreter; if absent, `python3` beside the program or in PATH.
    pub executable: Option<PathBuf>,
    /// Directories to search for modules first.
    pub path: Vec<PathBuf>,
    /// Environment variables.
    pub env: BTreeMap<String, String>,
}

/// Supervision of a process: restarts and timeouts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Supervision {
    /// Delays before the second, third, ... restart in a row, in seconds.
    pub backoff: Vec<f64>,
    /// After how many crashes in a row to give up; 0 for never.
    pub give_up_after: u32,
    /// How long a run is a success.
    #[serde(with = "seconds")]
    pub stable_after: Option<Duration>,
    /// How long it may take to become ready.
    #[serde(with = "seconds")]
    pub ready_timeout: Option<Duration>,
    /// How long it may take to stop.
    #[serde(with = "seconds")]
    pub stop_grace: Option<Duration>,
    /// How long it may take to end after that.
    #[serde(with = "seconds")]
    pub term_grace: Option<Duration>,
    /// Longest time without an answer on its own socket; no limit if absent.
    #[serde(with = "seconds")]
    pub hang_timeout: Option<Duration>,
}

impl Python {
    /// These settings where there are some, the wider ones where not. Directories of both are
    /// searched, these first; variables count one by one.
    pub fn within(&self, wider: &Python) -> Python {
        let mut path = self.path.clone();
        path.extend(wider.path.iter().filter(|entry| !self.path.contains(entry)).cloned());
        let mut env = wider.env.clone();
        env.extend(self.env.clone());
        Python { executable: self.executable.clone().or(wider.executable.clone()), path, env }
    }
}
