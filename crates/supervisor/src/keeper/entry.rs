//! One entry: its specification, its count of crashes, and its state.
//!
//! Owns: what is true in each phase. Refuses to know: how a run is launched, and the other entries.

use std::sync::Arc;
use std::time::SystemTime;

use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::handle::{KeeperError, ReplySender, StopOutcome};
use super::{EntryPhase, EntrySpec, EntryStatus};
use crate::policy::Restarts;

pub(super) struct Entry {
    pub(super) spec: Arc<EntrySpec>,
    pub(super) restarts: Restarts,
    /// Restarts after a crash since the last start by hand.
    pub(super) restarted: u32,
    pub(super) state: EntryState,
}

pub(super) enum EntryState {
    Stopped,
    Starting {
        live: ActiveRun,
        /// Why it had to be started again.
        previous: Option<String>,
    },
    Running {
        live: ActiveRun,
        ready_at: Instant,
    },
    Restarting {
        at: Instant,
        error: String,
    },
    Failed {
        error: String,
    },
    Stopping {
        live: ActiveRun,
        goal: StopGoal,
        waiters: Vec<ReplySender<StopOutcome>>,
    },
}

/// What follows a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StopGoal {
    Stay,
    Start,
    Remove,
}

/// A run that has not ended.
pub(super) struct ActiveRun {
    pub(super) run: u64,
    pub(super) stop: CancellationToken,
    /// Takes the reason for which it is to be killed; once.
    pub(super) kill_as_crashed: Option<oneshot::Sender<String>>,
    pub(super) process: Option<ProcessInfo>,
    pub(super) detail: Value,
    /// It was killed, and does not end.
    pub(super) stuck: bool,
}

/// Facts about a process, for display.
#[derive(Clone, Copy)]
pub(super) struct ProcessInfo {
    pub(super) pid: u32,
    pub(super) since: SystemTime,
}

impl Entry {
    pub(super) fn new(spec: EntrySpec) -> Self {
        let restarts = Restarts::new(spec.restart.clone());
        Self { spec: Arc::new(spec), restarts, restarted: 0, state: EntryState::Stopped }
    }

    /// Replaces the specification, and forgets the crashes.
    pub(super) fn replace_spec(&mut self, spec: EntrySpec) {
        self.restarts = Restarts::new(spec.restart.clone());
        self.spec = Arc::new(spec);
    }

    pub(super) fn forget_crashes(&mut self) {
        self.restarts.reset();
        self.restarted = 0;
    }

    /// The run, if there is one.
    pub(super) fn active_run(&mut self) -> Option<&mut ActiveRun> {
        match &mut self.state {
            EntryState::Starting { live, .. }
            | EntryState::Running { live, .. }
            | EntryState::Stopping { live, .. } => Some(live),
            EntryState::Stopped | EntryState::Restarting { .. } | EntryState::Failed { .. } => None,
        }
    }

    /// Asks the run to stop, if there is one; otherwise calls off what was planned. `reply` is
    /// answered when the process is gone, or at once if there is none or none that can go.
    pub(super) fn stop(&mut self, goal: StopGoal, reply: Option<ReplySender<StopOutcome>>) {
        let state = std::mem::replace(&mut self.state, EntryState::Stopped);
        let (live, mut waiters) = match state {
            EntryState::Stopped => return send_reply(reply, Ok(StopOutcome::NotRunning)),
            EntryState::Restarting { .. } | EntryState::Failed { .. } => {
                return send_reply(reply, Ok(StopOutcome::Stopped));
            }
            EntryState::Starting { live, .. } | EntryState::Running { live, .. } => {
                (live, Vec::new())
            }
            EntryState::Stopping { live, waiters, .. } => (live, waiters),
        };
        live.stop.cancel();
        match &live.process {
            Some(process) if live.stuck => send_reply(reply, Err(self.stuck(process.pid))),
            _ => waiters.extend(reply),
        }
        self.state = EntryState::Stopping { live, goal, waiters };
    }

    /// The process does not end: nobody is to wait for it any more.
    pub(super) fn mark_stuck(&mut self, pid: u32) {
        let error = self.stuck(pid);
        if let Some(live) = self.active_run() {
            live.stuck = true;
        }
        if let EntryState::Stopping { waiters, .. } = &mut self.state {
            waiters.drain(..).for_each(|reply| send_reply(Some(reply), Err(error.clone())));
        }
    }

    fn stuck(&self, pid: u32) -> KeeperError {
        KeeperError::Stuck { id: self.spec.id.clone(), pid }
    }

    pub(super) fn status(&self) -> EntryStatus {
        let mut status = EntryStatus {
            id: self.spec.id.clone(),
            phase: EntryPhase::Stopped,
            pid: None,
            since: None,
            restarts: self.restarted,
            error: None,
            detail: Value::Null,
            retry_in: None,
        };
        let live = match &self.state {
            EntryState::Stopped => return status,
            EntryState::Restarting { at, error } => {
                status.phase = EntryPhase::Restarting;
                status.error = Some(error.clone());
                status.retry_in = Some(at.saturating_duration_since(Instant::now()));
                return status;
            }
            EntryState::Failed { error } => {
                status.phase = EntryPhase::Failed;
                status.error = Some(error.clone());
                return status;
            }
            EntryState::Starting { live, previous } => {
                status.phase = EntryPhase::Starting;
                status.error.clone_from(previous);
                live
            }
            EntryState::Running { live, .. } => {
                status.phase = EntryPhase::Running;
                live
            }
            EntryState::Stopping { live, .. } => {
                status.phase = EntryPhase::Stopping;
                live
            }
        };
        status.pid = live.process.map(|process| process.pid);
        status.since = live.process.map(|process| process.since);
        status.detail = live.detail.clone();
        if let (true, Some(pid)) = (live.stuck, status.pid) {
            status.error = Some(self.stuck(pid).to_string());
        }
        status
    }
}

/// Answers a request, if somebody still waits for it.
pub(super) fn send_reply<T>(reply: Option<ReplySender<T>>, result: Result<T, KeeperError>) {
    if let Some(reply) = reply {
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
        let mut entry = Entry::new(EntrySpec::new("a", Arc::new(|| CommandSpec::new("x"))));
        let process = Some(ProcessInfo { pid: 7, since: SystemTime::UNIX_EPOCH });
        let stop = CancellationToken::new();
        let live = ActiveRun {
            run: 1,
            stop: stop.clone(),
            kill_as_crashed: None,
            process,
            detail: Value::Null,
            stuck: false,
        };
        entry.state = EntryState::Running { live, ready_at: Instant::now() };
        let stuck = Ok(Err(KeeperError::Stuck { id: "a".into(), pid: 7 }));

        let (reply, mut answer) = oneshot::channel();
        entry.stop(StopGoal::Stay, Some(reply));
        assert!(stop.is_cancelled());
        assert_eq!(answer.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        entry.mark_stuck(7);
        assert_eq!(answer.try_recv(), stuck);

        let (reply, mut answer) = oneshot::channel();
        entry.stop(StopGoal::Stay, Some(reply));
        assert_eq!(answer.try_recv(), stuck, "at once");
        let status = entry.status();
        assert_eq!((status.phase, status.pid), (EntryPhase::Stopping, Some(7)));
        assert!(status.error.is_some_and(|error| error.contains("hangs")));
    }
}
