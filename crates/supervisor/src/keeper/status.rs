//! Status of an entry, for display.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde_json::Value;

/// Phase of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryPhase {
    /// Not running, and not meant to run.
    Stopped,
    /// The process has been started and is not ready yet.
    Starting,
    /// The process has reported ready.
    Running,
    /// Crashed; restarts after a delay.
    Restarting,
    /// Crashed too often; stays down until started by hand.
    Failed,
    /// Asked to stop; the process still exists.
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

/// Status of an entry at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct EntryStatus {
    /// The name.
    pub id: String,
    /// The phase.
    pub phase: EntryPhase,
    /// The process id, if a process exists.
    pub pid: Option<u32>,
    /// Start time of that process, by the wall clock, for display only.
    pub since: Option<SystemTime>,
    /// Restarts after crashes since the last start by hand.
    pub restarts: u32,
    /// The last crash. Kept during a restart, cleared when the child is ready.
    pub error: Option<String>,
    /// The detail that the child reported last; null if none.
    pub detail: Value,
    /// While restarting: time until the next start.
    pub retry_in: Option<Duration>,
}
