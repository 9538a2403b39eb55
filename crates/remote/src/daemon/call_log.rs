//! Call log and audit: which calls of a daemon are recorded, and what a record says.
//!
//! Refused calls, and calls by which an administrator acts, are always handed to the audit, where
//! there is one; other calls only of objects whose rules say so.
//!
//! With the default settings a call that succeeds costs a look at two flags. Its duration is known
//! only where it has taken long: `Daemon::calls`, which is called once a second, marks calls that
//! may be slow, and the end of a marked call looks at the clock.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use crate::current_call::{CallAction, CallKind, CurrentCall};
use crate::session::Peer;

/// A limit for slow calls below this is checked at the end of each call: the calls are not listed
/// often enough.
const SURELY_LISTED: Duration = Duration::from_secs(4);

/// The calls of an object that are logged; each mode logs those of the modes before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum CallLogMode {
    /// No call.
    Off,
    /// Those that raise, are refused or are slow.
    #[default]
    Errors,
    /// Methods and property sets.
    Changes,
    /// Every call.
    All,
}

/// A call that has ended for its client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRecord {
    /// The object's id.
    pub object: String,
    /// The member; empty where its request could not be read.
    pub member: String,
    /// The operation.
    pub action: CallAction,
    /// Whether its client waited for an answer.
    pub kind: CallKind,
    /// The client.
    pub peer: Peer,
    /// The client's identity, where that says more than its address.
    pub identity: Option<Arc<str>>,
    /// The name under which the client holds the object's lock.
    pub user: Option<String>,
    /// When it came.
    pub since: SystemTime,
    /// For how long it waited and ran.
    pub duration: Duration,
    /// The exception that its client got.
    pub exception: Option<CallException>,
    /// Whether it took longer than the daemon's limit for slow calls.
    pub is_slow: bool,
    /// Whether it has gone on after its client had got a `TimeoutError`, and has ended only now.
    pub was_overdue: bool,
    /// Size of its request.
    pub request_bytes: usize,
    /// Size of its answer; 0 without one.
    pub answer_bytes: usize,
    /// The beginning of its arguments, as Python writes them.
    pub arguments: Option<String>,
    /// The epoch of the object's lock, if the client has that.
    pub epoch: Option<u64>,
    /// The mode of its object.
    pub mode: CallLogMode,
}

/// The exception of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallException {
    /// Its class, without `builtins.`.
    pub class: String,
    /// The first line of its message.
    pub message: String,
}

/// Why a call is in the audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditReason {
    /// Each call that may change its object is.
    Call,
    /// It was refused.
    Refused,
    /// It breaks a lock, or aborts the calls of others.
    Administer,
}

/// A receiver of records. It must not wait.
pub type CallLog = Arc<dyn Fn(CallRecord) + Send + Sync>;

/// A receiver of records for the audit. It must not wait.
pub type AuditLog = Arc<dyn Fn(AuditReason, &CallRecord) + Send + Sync>;

/// The receiver of a daemon's records, and the flags that the end of a call looks at.
#[derive(Default)]
pub(crate) struct CallLogger {
    receiver: OnceLock<(CallLog, Option<Duration>)>,
    /// Whether each call has to be looked at.
    looks_at_all: AtomicBool,
    /// Whether any object's log has arguments.
    keeps_arguments: AtomicBool,
    audit: OnceLock<AuditLog>,
    /// Set by the owner of the audit while it cannot be written: audited calls are refused then.
    audit_failing: OnceLock<Arc<AtomicBool>>,
}

impl CallLogger {
    /// Hands records to `log` from now on; calls that take longer than `slow` are slow.
    pub(crate) fn start(&self, log: CallLog, slow: Option<Duration>) {
        if self.receiver.set((log, slow)).is_ok() && slow.is_some_and(|slow| slow < SURELY_LISTED) {
            self.looks_at_all.store(true, Ordering::Release);
        }
    }

    /// An object has this mode, and its calls are audited or not.
    pub(crate) fn allow(&self, mode: CallLogMode, is_audited: bool) {
        if mode >= CallLogMode::Changes || is_audited {
            self.looks_at_all.store(true, Ordering::Release);
            self.keeps_arguments.store(true, Ordering::Release);
        }
    }

    /// Hands records to `audit` from now on. While `failing` is set, audited calls are refused.
    pub(crate) fn start_audit(&self, audit: AuditLog, failing: Option<Arc<AtomicBool>>) {
        if self.audit.set(audit).is_ok()
            && let Some(failing) = failing
        {
            // Set once, as the audit is.
            let _ = self.audit_failing.set(failing);
        }
    }

    pub(crate) fn audit(&self) -> Option<&AuditLog> {
        self.audit.get()
    }

    /// Whether calls that the audit should have are refused now.
    pub(crate) fn refuses_unaudited(&self) -> bool {
        self.audit_failing.get().is_some_and(|failing| failing.load(Ordering::Relaxed))
    }

    pub(crate) fn receiver(&self) -> Option<&CallLog> {
        self.receiver.get().map(|(log, _)| log)
    }

    pub(crate) fn is_slow(&self, duration: Duration) -> bool {
        let slow = self.receiver.get().and_then(|(_, slow)| *slow);
        slow.is_some_and(|slow| duration >= slow)
    }

    /// The age from which a running call is marked as one that may be slow.
    pub(crate) fn marked_after(&self) -> Option<Duration> {
        self.receiver.get().and_then(|(_, slow)| *slow).map(|slow| slow / 2)
    }

    pub(crate) fn looks_at_all(&self) -> bool {
        self.looks_at_all.load(Ordering::Relaxed)
    }

    /// Whether the end of a call that has succeeded has to be looked at.
    pub(crate) fn looks_at(&self, call: &CurrentCall) -> bool {
        self.looks_at_all() || call.may_be_slow()
    }

    pub(crate) fn keeps_arguments(&self) -> bool {
        self.keeps_arguments.load(Ordering::Relaxed)
    }
}
