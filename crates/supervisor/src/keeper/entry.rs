//! One entry: its specification, its count of crashes, and its state.
//!
//! Owns: what is true in each phase. Refuses to know: how a run is launched, and the other entries.

use std::sync::Arc;
use std::time::SystemTime;

use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::handle::{KeeperError, Reply, StopOutcome};
use super::{EntrySpec, Phase, Status};
use crate::policy::Restarts;

pub(super) struct Entry {
    pub(super) spec: Arc<EntrySpec>,
    pub(super) restarts: Restarts,
    /// Restarts after a crash since the last start by hand.
    pub(super) restarted: u32,
    pub(super) state: State,
}

pub(super) enum State {
    Stopped,
    Starting {
        live: Live,
        /// Why it had to be started again.
        previous: Option<String>,
    },
    Running {
        live: Live,
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
        live: Live,
        then: Then,
        waiters: Vec<Reply<StopOutcome>>,
    },
}

/// What follows a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    Stay,
    Start,
    Remove,
}

/// A run that has not ended.
pub(super) struct Live {
    pub(super) run: u64,
    pub(super) stop: CancellationToken,
    /// Takes the reason for which it is to be killed; once.
    pub(super) condemn: Option<oneshot::Sender<String>>,
    pub(super) process: Option<Process>,
    pub(super) detail: Value,
    /// It was killed, and does not end.
    pub(super) stuck: bool,
}

/// Facts about a process, for display.
#[derive(Clone, Copy)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) since: SystemTime,
}

impl Entry {
    pub(super) fn new(spec: EntrySpec) -> Self {
        let restarts = Restarts::new(spec.restart.clone());
        Self { spec: Arc::new(spec), restarts, restarted: 0, state: State::Stopped }
    }

    /// Replaces the specification, and forgets the crashes.
    pub(super) fn respecify(&mut self, spec: EntrySpec) {
        self.restarts = Restarts::new(spec.restart.clone());
        self.spec = Arc::new(spec);
    }

    pub(super) fn forget_crashes(&mut self) {
        self.restarts.reset();
        self.restarted = 0;
    }

    /// The run, if there is one.
    pub(super) fn live(&mut self) -> Option<&mut Live> {
        match &mut self.state {
            State::Starting { live, .. }
            | State::Running { live, .. }
            | State::Stopping { live, .. } => Some(live),
            State::Stopped | State::Restarting { .. } | State::Failed { .. } => None,
        }
    }

    /// Asks the run to stop, if there is one; otherwise calls off what was planned. `reply` is
    /// answered when the process is gone, or at once if there is none or none that can go.
    pub(super) fn stop(&mut self, then: Then, reply: Option<Reply<StopOutcome>>) {
        let state = std::mem::replace(&mut self.state, State::Stopped);
        let (live, mut waiters) = match state {
            State::Stopped => return answer(reply, Ok(StopOutcome::NotRunning)),
            State::Restarting { .. } | State::Failed { .. } => {
                return answer(reply, Ok(StopOutcome::Stopped));
            }
            State::Starting { live, .. } | State::Running { live, .. } => (live, Vec::new()),
            State::Stopping { live, waiters, .. } => (live, waiters),
        };
        live.stop.cancel();
        match &live.process {
            Some(process) if live.stuck => answer(reply, Err(self.stuck(process.pid))),
            _ => waiters.extend(reply),
        }
        self.state = State::Stopping { live, then, waiters };
    }

    /// The process does not end: nobody is to wait for it any more.
    pub(super) fn give_up_waiting(&mut self, pid: u32) {
        let error = self.stuck(pid);
        if let Some(live) = self.live() {
            live.stuck = true;
        }
        if let State::Stopping { waiters, .. } = &mut self.state {
            waiters.drain(..).for_each(|reply| answer(Some(reply), Err(error.clone())));
        }
    }

    fn stuck(&self, pid: u32) -> KeeperError {
        KeeperError::Stuck { id: self.spec.id.clone(), pid }
    }

    pub(super) fn status(&self) -> Status {
        let mut status = Status {
            id: self.spec.id.clone(),
            phase: Phase::Stopped,
            pid: None,
            since: None,
            restarts: self.restarted,
            error: None,
            detail: Value::Null,
            retry_in: None,
        };
        let live = match &self.state {
            State::Stopped => return status,
            State::Restarting { at, error } => {
                status.phase = Phase::Restarting;
                status.error = Some(error.clone());
                status.retry_in = Some(at.saturating_duration_since(Instant::now()));
                return status;
            }
            State::Failed { error } => {
                status.phase = Phase::Failed;
                status.error = Some(error.clone());
                return status;
            }
            State::Starting { live, previous } => {
                status.phase = Phase::Starting;
                status.error.clone_from(previous);
                live
            }
            State::Running { live, .. } => {
                status.phase = Phase::Running;
                live
            }
            State::Stopping { live, .. } => {
                status.phase = Phase::Stopping;
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
pub(super) fn answer<T>(reply: Option<Reply<T>>, result: Result<T, KeeperError>) {
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
        let process = Some(Process { pid: 7, since: SystemTime::UNIX_EPOCH });
        let stop = CancellationToken::new();
        let live = Live {
            run: 1,
            stop: stop.clone(),
            condemn: None,
            process,
            detail: Value::Null,
            stuck: false,
        };
        entry.state = State::Running { live, ready_at: Instant::now() };
        let stuck = Ok(Err(KeeperError::Stuck { id: "a".into(), pid: 7 }));

        let (reply, mut answer) = oneshot::channel();
        entry.stop(Then::Stay, Some(reply));
        assert!(stop.is_cancelled());
        assert_eq!(answer.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        entry.give_up_waiting(7);
        assert_eq!(answer.try_recv(), stuck);

        let (reply, mut answer) = oneshot::channel();
        entry.stop(Then::Stay, Some(reply));
        assert_eq!(answer.try_recv(), stuck, "at once");
        let status = entry.status();
        assert_eq!((status.phase, status.pid), (Phase::Stopping, Some(7)));
        assert!(status.error.is_some_and(|error| error.contains("hangs")));
    }
}
