//! Handle of the [`Keeper`](super::Keeper) task, with its requests, outcomes, errors and statuses.
//!
//! Most methods send a request and wait for the answer; `kill_as_crashed` does not wait, and
//! `watch` sends nothing.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};

use super::EntrySpec;

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeeperError {
    /// No entry has this id.
    #[error("there is no '{0}'")]
    Unknown(String),
    /// Another entry has this id.
    #[error("there is a '{0}' already")]
    Exists(String),
    /// The entry is being removed.
    #[error("'{0}' is being removed")]
    BeingRemoved(String),
    /// The assignment is not one line.
    #[error("the assignment of '{0}' contains a newline")]
    BadAssignment(String),
    /// The entry does not run, so it cannot be sent a message.
    #[error("'{0}' does not run")]
    NotRunning(String),
    /// The process does not read its messages.
    #[error("'{0}' does not read its messages: it is stopped, or it hangs")]
    Unread(String),
    /// SIGKILL does not end the process: it hangs in the kernel, mostly in a device's driver. The
    /// entry keeps its phase until the process ends.
    #[error("process {pid} of '{id}' does not end even when killed: it hangs in a device's driver")]
    Stuck {
        /// The entry.
        id: String,
        /// Its process.
        pid: u32,
    },
    /// The keeper is shutting down, or has ended.
    #[error("shutting down")]
    ShuttingDown,
}

/// Outcome of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartOutcome {
    /// The entry is being started.
    Started,
    /// The entry was already being started.
    AlreadyStarting,
    /// The entry was already running.
    AlreadyRunning,
    /// The entry is being stopped, and will be started after that.
    AfterStop,
}

/// Outcome of a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopOutcome {
    /// The process has ended, or the planned restart was cancelled.
    Stopped,
    /// The entry was not running.
    NotRunning,
}

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

pub(super) type ReplySender<T> = oneshot::Sender<Result<T, KeeperError>>;

pub(super) enum KeeperRequest {
    Add(EntrySpec, ReplySender<()>),
    Replace(EntrySpec, ReplySender<()>),
    Change(EntrySpec, Value, ReplySender<()>),
    Send(String, Value, ReplySender<()>),
    Start(String, ReplySender<StartOutcome>),
    Restart(String, ReplySender<StartOutcome>),
    Stop(String, ReplySender<StopOutcome>),
    Remove(String, ReplySender<StopOutcome>),
    KillAsCrashed(String, u32, String),
    Snapshot(oneshot::Sender<Vec<EntryStatus>>),
    Shutdown(oneshot::Sender<()>),
}

/// Handle of a [`Keeper`](super::Keeper); clones are for the same one. When the last handle is
/// dropped, the keeper shuts down.
///
/// A request is sent when its future is first polled. Dropping the future does not revoke it.
#[derive(Debug, Clone)]
pub struct KeeperHandle {
    requests: mpsc::UnboundedSender<KeeperRequest>,
    changes: watch::Receiver<u64>,
}

impl KeeperHandle {
    pub(super) fn new(
        requests: mpsc::UnboundedSender<KeeperRequest>,
        changes: watch::Receiver<u64>,
    ) -> Self {
        Self { requests, changes }
    }

    /// Adds an entry, stopped.
    pub async fn add(&self, spec: EntrySpec) -> Result<(), KeeperError> {
        self.ask(|reply| KeeperRequest::Add(spec, reply)).await
    }

    /// Replaces an entry's specification, and restarts it unless it is stopped; a failed entry is
    /// started. Returns before the restart is done.
    pub async fn replace(&self, spec: EntrySpec) -> Result<(), KeeperError> {
        self.ask(|reply| KeeperRequest::Replace(spec, reply)).await
    }

    /// Replaces the specification of a running entry for its next start, and sends its process the
    /// `message`, by which it takes up the change itself.
    ///
    /// # Errors
    /// The entry does not run; then nothing was replaced. Or its process does not read: then it
    /// has the new specification at its next start.
    pub async fn change(&self, spec: EntrySpec, message: Value) -> Result<(), KeeperError> {
        self.ask(|reply| KeeperRequest::Change(spec, message, reply)).await
    }

    /// Sends a message to the process of a running entry. Returns before the process has read it.
    pub async fn send(&self, id: &str, message: Value) -> Result<(), KeeperError> {
        self.ask(|reply| KeeperRequest::Send(id.to_owned(), message, reply)).await
    }

    /// Starts an entry and resets its crash count. Returns before the entry is ready: see
    /// [`wait_settled`](Self::wait_settled).
    pub async fn start(&self, id: &str) -> Result<StartOutcome, KeeperError> {
        self.ask(|reply| KeeperRequest::Start(id.to_owned(), reply)).await
    }

    /// Restarts an entry, or starts one that is not running. Returns before the restart is done.
    pub async fn restart(&self, id: &str) -> Result<StartOutcome, KeeperError> {
        self.ask(|reply| KeeperRequest::Restart(id.to_owned(), reply)).await
    }

    /// Stops an entry and waits until its process has ended.
    pub async fn stop(&self, id: &str) -> Result<StopOutcome, KeeperError> {
        self.ask(|reply| KeeperRequest::Stop(id.to_owned(), reply)).await
    }

    /// Stops an entry, waits until its process has ended, and removes the entry.
    pub async fn remove(&self, id: &str) -> Result<StopOutcome, KeeperError> {
        self.ask(|reply| KeeperRequest::Remove(id.to_owned(), reply)).await
    }

    /// Kills the process `pid` of a running entry, for example because it hangs. That counts as a
    /// crash with this `reason`. Does nothing if the entry has another process, or none.
    pub fn kill_as_crashed(&self, id: &str, pid: u32, reason: impl Into<String>) {
        // Fails if the keeper has ended, and its processes with it.
        let _ = self.requests.send(KeeperRequest::KillAsCrashed(id.to_owned(), pid, reason.into()));
    }

    /// All entries, sorted by order and id; empty after a shutdown.
    pub async fn snapshot(&self) -> Vec<EntryStatus> {
        let (reply, answer) = oneshot::channel();
        // If the keeper has ended, the request and its reply are dropped.
        let _ = self.requests.send(KeeperRequest::Snapshot(reply));
        answer.await.unwrap_or_default()
    }

    /// A number that rises with each change of the snapshot, except for the time in
    /// [`retry_in`](EntryStatus::retry_in). The first `changed()` may return at once.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }

    /// Stops all entries: higher orders first, those of one order together. Returns when all
    /// processes have ended, except those that hang in the kernel.
    pub async fn shutdown(&self) {
        let (reply, answer) = oneshot::channel();
        let _ = self.requests.send(KeeperRequest::Shutdown(reply));
        // An error means that the keeper has ended, as asked.
        let _ = answer.await;
    }

    /// Waits until none of the entries is starting or stopping, at most for `timeout`, and returns
    /// their status. They are then running, stopped, failed, or waiting for a restart after a crash
    /// (see the [error](EntryStatus::error)). An immediate restart is part of the wait.
    pub async fn wait_settled(&self, ids: &[&str], timeout: Duration) -> Vec<EntryStatus> {
        let mut changes = self.watch();
        let deadline = tokio::time::Instant::now() + timeout;
        loop {
            changes.borrow_and_update();
            let mut all = self.snapshot().await;
            all.retain(|status| ids.contains(&status.id.as_str()));
            let unsettled = |status: &EntryStatus| {
                matches!(status.phase, EntryPhase::Starting | EntryPhase::Stopping)
            };
            if !all.iter().any(unsettled) {
                return all;
            }
            match tokio::time::timeout_at(deadline, changes.changed()).await {
                Ok(Ok(())) => {}
                // The time is up, or the keeper has ended.
                Ok(Err(_)) | Err(_) => return all,
            }
        }
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(ReplySender<T>) -> KeeperRequest,
    ) -> Result<T, KeeperError> {
        let (reply, answer) = oneshot::channel();
        let _ = self.requests.send(request(reply));
        answer.await.unwrap_or(Err(KeeperError::ShuttingDown))
    }
}
