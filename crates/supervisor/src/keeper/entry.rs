//! Entry of the keeper: specification, crash count and state of one child.
//!
//! It starts no run and knows no other entry.

use std::sync::Arc;
use std::time::SystemTime;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::handle::{KeeperError, ReplySender, StopOutcome};
use super::{EntryPhase, EntrySpec, EntryStatus};
use crate::policy::Restarts;

pub(super) struct KeeperEntry {
    pub(super) spec: Arc<EntrySpec>,
    pub(super) restarts: Restarts,
    /// Restarts after crashes since the last start by hand.
    pub(super) restarted: u32,
    pub(super) state: EntryState,
}

pub(super) enum EntryState {
    Stopped,
    Starting {
        active: ActiveRun,
        /// The crash that made this start necessary.
        previous: Option<String>,
    },
    Running {
        active: ActiveRun,
        ready_at: Instant,
    },
    WaitingToRestart {
        at: Instant,
        error: String,
    },
    Failed {
        error: String,
    },
    Stopping {
        active: ActiveRun,
        goal: NextStep,
        waiters: Vec<ReplySender<StopOutcome>>,
    },
}

/// Next step after the process has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NextStep {
    Stay,
    Start,
    Remove,
}

/// A run that has not ended.
pub(super) struct ActiveRun {
    pub(super) run: u64,
    pub(super) stop: CancellationToken,
    /// Receives, once, the reason to kill it.
    pub(super) kill_as_crashed: Option<oneshot::Sender<String>>,
    /// Messages to its process.
    pub(super) messages: mpsc::Sender<Value>,
    pub(super) process: Option<ProcessInfo>,
    pub(super) detail: Value,
    /// SIGKILL does not end it.
    pub(super) stuck: bool,
}

/// Process id and start time, for display.
#[derive(Clone, Copy)]
pub(super) struct ProcessInfo {
    pub(super) pid: u32,
    pub(super) since: SystemTime,
}

impl KeeperEntry {
    pub(super) fn new(spec: EntrySpec) -> Self {
        let restarts = Restarts::new(spec.restart.clone());
        Self { spec: Arc::new(spec), restarts, restarted: 0, state: EntryState::Stopped }
    }

    /// Replaces the specification and resets the crash count.
    pub(super) fn replace_spec(&mut self, spec: EntrySpec) {
        self.restarts = Restarts::new(spec.restart.clone());
        self.spec = Arc::new(spec);
    }

    /// Sends a message to the process.
    pub(super) fn send(&self, message: Value) -> Result<(), KeeperError> {
        let EntryState::Running { active, .. } = &self.state else {
            return Err(KeeperError::NotRunning(self.spec.id.clone()));
        };
        let unread = |_| KeeperError::Unread(self.spec.id.clone());
        active.messages.try_send(message).map_err(unread)
    }

    pub(super) fn forget_crashes(&mut self) {
        self.restarts.reset();
        self.restarted = 0;
    }

    /// The current run.
    pub(super) fn active_run(&mut self) -> Option<&mut ActiveRun> {
        match &mut self.state {
            EntryState::Starting { active, .. }
            | EntryState::Running { active, .. }
            | EntryState::Stopping { active, .. } => Some(active),
            EntryState::Stopped
            | EntryState::WaitingToRestart { .. }
            | EntryState::Failed { .. } => None,
        }
    }

    /// Asks the current run to stop, or cancels the planned restart. `reply` is answered when the
    /// process has ended; at once if it does not exist, or if it is stuck.
    pub(super) fn stop(&mut self, goal: NextStep, reply: Option<ReplySender<StopOutcome>>) {
        let state = std::mem::replace(&mut self.state, EntryState::Stopped);
        let (active, mut waiters) = match state {
            EntryState::Stopped => return send_reply(reply, Ok(StopOutcome::NotRunning)),
            EntryState::WaitingToRestart { .. } | EntryState::Failed { .. } => {
                return send_reply(reply, Ok(StopOutcome::Stopped));
            }
            EntryState::Starting { active, .. } | EntryState::Running { active, .. } => {
                (active, Vec::new())
            }
            EntryState::Stopping { active, waiters, .. } => (active, waiters),
        };
        active.stop.cancel();
        match &active.process {
            Some(process) if active.stuck => send_reply(reply, Err(self.stuck(process.pid))),
            _ => waiters.extend(reply),
        }
        self.state = EntryState::Stopping { active, goal, waiters };
    }

    /// Marks the process as stuck and answers everybody that waits for its end.
    pub(super) fn mark_stuck(&mut self, pid: u32) {
        let error = self.stuck(pid);
        if let Some(active) = self.active_run() {
            active.stuck = true;
        }
        if let EntryState::Stopping { waiters, .. } = &mut self.state {
            waiters.drain(..).for_each(|reply| send_reply(reply, Err(error.clone())));
        }
    }

    fn stuck(&self, pid: u32) -> KeeperError {
        KeeperError::Stuck { id: self.spec.id.clone(), pid }
    }

    pub(super) fn status(&self) -> EntryStatus {
        let text = |error: &String| Some(error.clone());
        let (phase, active, error) = match &self.state {
            EntryState::Stopped => (EntryPhase::Stopped, None, None),
            EntryState::WaitingToRestart { error, .. } => {
                (EntryPhase::Restarting, None, text(error))
            }
            EntryState::Failed { error } => (EntryPhase::Failed, None, text(error)),
            EntryState::Starting { active, previous } => {
                (EntryPhase::Starting, Some(active), previous.clone())
            }
            EntryState::Running { active, .. } => (EntryPhase::Running, Some(active), None),
            EntryState::Stopping { active, .. } => (EntryPhase::Stopping, Some(active), None),
        };
        let process = active.and_then(|active| active.process);
        let stuck = process.filter(|_| active.is_some_and(|active| active.stuck));
        EntryStatus {
            id: self.spec.id.clone(),
            phase,
            pid: process.map(|process| process.pid),
            since: process.map(|process| process.since),
            restarts: self.restarted,
            error: stuck.map(|process| self.stuck(process.pid).to_string()).or(error),
            detail: active.map_or(Value::Null, |active| active.detail.clone()),
            retry_in: match &self.state {
                EntryState::WaitingToRestart { at, .. } => {
                    Some(at.saturating_duration_since(Instant::now()))
                }
                _ => None,
            },
        }
    }
}

/// Answers a request; does nothing if its caller has gone.
pub(super) fn send_reply<T>(
    reply: impl Into<Option<ReplySender<T>>>,
    result: Result<T, KeeperError>,
) {
    if let Some(reply) = reply.into() {
        let _ = reply.send(result);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::CommandSpec;

    /// No test can make a process hang in the kernel, so the state alone is tested.
    #[test]
    fn nobody_waits_for_what_hangs_in_the_kernel() {
        let mut entry = KeeperEntry::new(EntrySpec::new("a", Arc::new(|| CommandSpec::new("x"))));
        let process = Some(ProcessInfo { pid: 7, since: SystemTime::UNIX_EPOCH });
        let stop = CancellationToken::new();
        let active = ActiveRun {
            run: 1,
            stop: stop.clone(),
            kill_as_crashed: None,
            messages: mpsc::channel(1).0,
            process,
            detail: Value::Null,
            stuck: false,
        };
        entry.state = EntryState::Running { active, ready_at: Instant::now() };
        let stuck = Ok(Err(KeeperError::Stuck { id: "a".into(), pid: 7 }));

        let (reply, mut answer) = oneshot::channel();
        entry.stop(NextStep::Stay, Some(reply));
        assert!(stop.is_cancelled());
        assert_eq!(answer.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        entry.mark_stuck(7);
        assert_eq!(answer.try_recv(), stuck);

        let (reply, mut answer) = oneshot::channel();
        entry.stop(NextStep::Stay, Some(reply));
        assert_eq!(answer.try_recv(), stuck, "at once");
        let status = entry.status();
        assert_eq!((status.phase, status.pid), (EntryPhase::Stopping, Some(7)));
        assert!(status.error.is_some_and(|error| error.contains("hangs")));
    }
}
