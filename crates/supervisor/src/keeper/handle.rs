//! The keeper as others see it: every method is a message and its answer.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use super::{EntryPhase, EntrySpec, EntryStatus};

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeeperError {
    /// There is no such entry.
    #[error("there is no '{id}'")]
    Unknown {
        /// The name asked for.
        id: String,
    },
    /// There is such an entry already.
    #[error("there is a '{id}' already")]
    Exists {
        /// The name asked for.
        id: String,
    },
    /// The entry is being removed.
    #[error("'{id}' is being removed")]
    BeingRemoved {
        /// The name asked for.
        id: String,
    },
    /// An assignment is not one line.
    #[error("the assignment of '{id}' contains a newline")]
    BadAssignment {
        /// The entry.
        id: String,
    },
    /// The process does not go away, not even by SIGKILL: it hangs in the kernel, mostly in a
    /// device's driver. The entry stays in its phase until the process is gone.
    #[error("process {pid} of '{id}' does not end even when killed: it hangs in a device's driver")]
    Stuck {
        /// The entry.
        id: String,
        /// Its process.
        pid: u32,
    },
    /// Everything is being stopped, or has been.
    #[error("shutting down")]
    ShuttingDown,
}

/// What came of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartOutcome {
    /// It is being started.
    Started,
    /// Nothing to do: it was being started already.
    AlreadyStarting,
    /// Nothing to do: it was running already.
    AlreadyRunning,
    /// It is being stopped, and will be started after that.
    AfterStop,
}

/// What came of a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopOutcome {
    /// Its process has ended, or its restart was called off.
    Stopped,
    /// Nothing to do: it was not running.
    NotRunning,
}

pub(super) type ReplySender<T> = oneshot::Sender<Result<T, KeeperError>>;

pub(super) enum KeeperRequest {
    Add(EntrySpec, ReplySender<()>),
    Replace(EntrySpec, ReplySender<()>),
    Start(String, ReplySender<StartOutcome>),
    Restart(String, ReplySender<StartOutcome>),
    Stop(String, ReplySender<StopOutcome>),
    Remove(String, ReplySender<StopOutcome>),
    KillAsCrashed(String, u32, String),
    Snapshot(oneshot::Sender<Vec<EntryStatus>>),
    Shutdown(oneshot::Sender<()>),
}

/// Requests to a [`Keeper`](super::Keeper); clones reach the same one. When the last handle is
/// dropped, the keeper shuts down.
///
/// Every request is sent when its future is first polled, and stands even if the future is then
/// dropped.
#[derive(Debug, Clone)]
pub struct KeeperHandle {
    requests: mpsc::UnboundedSender<KeeperRequest>,
    version: watch::Receiver<u64>,
}

impl KeeperHandle {
    pub(super) fn new(
        requests: mpsc::UnboundedSender<KeeperRequest>,
        version: watch::Receiver<u64>,
    ) -> Self {
        Self { requests, version }
    }

    /// Adds an entry. It is stopped at first.
    pub async fn add(&self, spec: EntrySpec) -> Result<(), KeeperError> {
        self.ask(|reply| KeeperRequest::Add(spec, reply)).await
    }

    /// Gives an entry a new specification. Unless it is stopped it is restarted with it: one that
    /// had failed gets its new chance. Returns before that is done.
    pub async fn replace(&self, spec: EntrySpec) -> Result<(), KeeperError> {
        self.ask(|reply| KeeperRequest::Replace(spec, reply)).await
    }

    /// Starts an entry, forgetting its earlier crashes. Returns before it is ready: see
    /// [`wait_settled`](Self::wait_settled).
    pub async fn start(&self, id: &str) -> Result<StartOutcome, KeeperError> {
        self.ask(|reply| KeeperRequest::Start(id.to_owned(), reply)).await
    }

    /// Stops an entry if it is running, then starts it. Returns before that is done.
    pub async fn restart(&self, id: &str) -> Result<StartOutcome, KeeperError> {
        self.ask(|reply| KeeperRequest::Restart(id.to_owned(), reply)).await
    }

    /// Stops an entry, and waits until its process is gone.
    pub async fn stop(&self, id: &str) -> Result<StopOutcome, KeeperError> {
        self.ask(|reply| KeeperRequest::Stop(id.to_owned(), reply)).await
    }

    /// Stops an entry, waits until its process is gone, and forgets it.
    pub async fn remove(&self, id: &str) -> Result<StopOutcome, KeeperError> {
        self.ask(|reply| KeeperRequest::Remove(id.to_owned(), reply)).await
    }

    /// Kills the process `pid` of an entry that runs, as one that does no more what it should;
    /// that counts as a crash, with this `reason`. Nothing happens if it is another process by
    /// now, or not running.
    pub fn kill_as_crashed(&self, id: &str, pid: u32, reason: impl Into<String>) {
        // If the keeper is gone, so are its processes.
        let _ = self.requests.send(KeeperRequest::KillAsCrashed(id.to_owned(), pid, reason.into()));
    }

    /// All entries, by order and id; none after a shutdown.
    pub async fn snapshot(&self) -> Vec<EntryStatus> {
        let (reply, answer) = oneshot::channel();
        // The request, and its reply with it, is dropped if the keeper is gone.
        let _ = self.requests.send(KeeperRequest::Snapshot(reply));
        answer.await.unwrap_or_default()
    }

    /// A number that changes whenever anything in the snapshot does (but for the passing of time in
    /// [`retry_in`](EntryStatus::retry_in)). The first `changed()` may return at once.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.version.clone()
    }

    /// Stops everything: entries of higher order first, those of one order at once. Returns when
    /// all processes are gone, except for any that hang in the kernel.
    pub async fn shutdown(&self) {
        let (reply, answer) = oneshot::channel();
        let _ = self.requests.send(KeeperRequest::Shutdown(reply));
        // An error means that the keeper has ended, which is what was asked.
        let _ = answer.await;
    }

    /// Waits until each of the entries has settled, at most for `timeout`, and returns them as
    /// they are then. Settled is: running, stopped, failed, or waiting for a restart after a
    /// crash (the [error](EntryStatus::error) says why). An immediate restart is part of the wait.
    pub async fn wait_settled(&self, ids: &[&str], timeout: Duration) -> Vec<EntryStatus> {
        let mut version = self.watch();
        let deadline = tokio::time::Instant::now() + timeout;
        loop {
            version.borrow_and_update();
            let mut all = self.snapshot().await;
            all.retain(|status| ids.contains(&status.id.as_str()));
            let unsettled = |status: &EntryStatus| {
                matches!(status.phase, EntryPhase::Starting | EntryPhase::Stopping)
            };
            if !all.iter().any(unsettled) {
                return all;
            }
            match tokio::time::timeout_at(deadline, version.changed()).await {
                Ok(Ok(())) => {}
                // Out of time, or the keeper is gone.
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
