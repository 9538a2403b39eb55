//! What is shown of an entry.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde_json::Value;

/// Where an entry is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryPhase {
    /// Not running, and not meant to.
    Stopped,
    /// Its process starts, or is not ready yet.
    Starting,
    /// It has reported ready.
    Running,
    /// It has crashed, and will be started again after a delay.
    Restarting,
    /// It has crashed too often, and waits for a start by hand.
    Failed,
    /// It has been asked to stop, and its process still exists.
    Stopping,
}

impl EntryPhase {
    /// The phase in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Restarting => "restarting",
            Self::Failed => "failed",
            Self::Stopping => "stopping",
        }
    }
}

impl fmt::Display for EntryPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// An entry as of now.
#[derive(Debug, Clone, PartialEq)]
pub struct EntryStatus {
    /// Its name.
    pub id: String,
    /// Where it is in its life.
    pub phase: EntryPhase,
    /// The id of its process, if there is one.
    pub pid: Option<u32>,
    /// When that process was started: the wall clock, for display only.
    pub since: Option<SystemTime>,
    /// How often it was restarted after a crash, since it was last started by hand.
    pub restarts: u32,
    /// Why it is not running: the last crash. Kept while it starts again, gone once it is ready.
    pub error: Option<String>,
    /// What its process has last reported about itself; null if nothing.
    pub detail: Value,
    /// When restarting: how long until then.
    pub retry_in: Option<Duration>,
}
