//! The calls of a daemon that run or wait, as its process reports them.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::current_call::{Beginning, CallKind, CallPhase, Correlation, push_shortened};
use crate::lock::LockStatus;
use crate::session::{Peer, Session};

/// One call that runs or waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallStatus {
    /// The object's id.
    pub object: String,
    /// The member; empty where the request is not decoded yet.
    pub member: String,
    /// Whether its client waits for an answer.
    pub kind: CallKind,
    /// The client.
    pub peer: Peer,
    /// The name under which the client holds the object's lock.
    pub user: Option<String>,
    /// When it came.
    pub since: SystemTime,
    /// For how long it has run or waited.
    pub age: Duration,
    /// The thing that it waits for; it runs if absent.
    pub waits_for: Option<WaitsFor>,
    /// Whether it was made within a call that runs here: it has the correlation id that the daemon
    /// has made up for that one.
    pub is_within_running: bool,
    /// Whether its client has been told that it takes longer than it may.
    pub is_overdue: bool,
}

/// The thing that a call waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitsFor {
    /// Its turn in a `multiplex` daemon.
    Turn,
    /// The object's lock, which this user or address has.
    Lock {
        /// `None` where no client has it.
        owner: Option<String>,
    },
    /// The object's process, which is being started.
    Worker,
    /// Memory for its request.
    Memory,
}

/// The sessions of a daemon, and the calls that run beside them: oneway and overdue ones.
#[derive(Debug, Default)]
pub(crate) struct RunningCalls {
    sessions: Mutex<HashMap<u64, Arc<Session>>>,
    beside: Mutex<HashMap<u64, CallBeside>>,
    next: AtomicU64,
}

#[derive(Debug)]
struct CallBeside {
    object: String,
    member: String,
    peer: Peer,
    since: Beginning,
    correlation: Correlation,
    is_overdue: bool,
}

/// A call that runs beside its session's, which has ended when this is dropped.
#[derive(Debug)]
pub(crate) struct CallBesideSession {
    calls: Arc<RunningCalls>,
    number: u64,
}

impl RunningCalls {
    pub(crate) fn add_session(&self, session: &Arc<Session>) {
        lock(&self.sessions).insert(session.id, Arc::clone(session));
    }

    pub(crate) fn remove_session(&self, session: &Session) {
        lock(&self.sessions).remove(&session.id);
    }

    /// A oneway call runs beside the next calls of its session until the result is dropped.
    pub(crate) fn begin_oneway(
        self: &Arc<Self>,
        session: &Session,
        object: &str,
        member: &str,
    ) -> CallBesideSession {
        let mut shown = String::new();
        push_shortened(&mut shown, member);
        self.add(CallBeside {
            object: object.to_owned(),
            member: shown,
            peer: session.peer.clone(),
            since: Beginning::now(),
            correlation: Correlation::default(),
            is_overdue: false,
        })
    }

    /// The session's call takes longer than it may, and runs on without its client until the result
    /// is dropped.
    pub(crate) fn begin_overdue(self: &Arc<Self>, session: &Session) -> Option<CallBesideSession> {
        let (facts, since, _) = session.call.read()?;
        Some(self.add(CallBeside {
            object: facts.object,
            member: facts.member,
            peer: session.peer.clone(),
            since,
            correlation: facts.correlation,
            is_overdue: true,
        }))
    }

    fn add(self: &Arc<Self>, call: CallBeside) -> CallBesideSession {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.beside).insert(number, call);
        CallBesideSession { calls: Arc::clone(self), number }
    }

    /// The calls, the longest first; `lock_of` is the status of an object's lock.
    pub(crate) fn list(&self, lock_of: impl Fn(&str) -> Option<LockStatus>) -> Vec<CallStatus> {
        let now = Instant::now();
        let mut correlations = Vec::new();
        let mut calls = Vec::new();
        for call in lock(&self.beside).values() {
            correlations.push(call.correlation);
            calls.push(CallStatus {
                object: call.object.clone(),
                member: call.member.clone(),
                kind: if call.is_overdue { CallKind::Call } else { CallKind::Oneway },
                peer: call.peer.clone(),
                user: None,
                since: call.since.time,
                age: now.saturating_duration_since(call.since.instant),
                waits_for: None,
                is_within_running: false,
                is_overdue: call.is_overdue,
            });
        }
        let sessions: Vec<_> = lock(&self.sessions).values().cloned().collect();
        for session in sessions {
            let Some((facts, since, phase)) = session.call.read() else { continue };
            correlations.push(facts.correlation);
            calls.push(CallStatus {
                object: facts.object,
                member: facts.member,
                kind: facts.kind,
                peer: session.peer.clone(),
                user: None,
                since: since.time,
                age: now.saturating_duration_since(since.instant),
                waits_for: match phase {
                    CallPhase::Runs => None,
                    CallPhase::WaitsForTurn => Some(WaitsFor::Turn),
                    CallPhase::WaitsForLock => Some(WaitsFor::Lock { owner: None }),
                    CallPhase::WaitsForWorker => Some(WaitsFor::Worker),
                    CallPhase::WaitsForMemory => Some(WaitsFor::Memory),
                },
                is_within_running: false,
                is_overdue: false,
            });
        }
        let made_here = correlations.iter().filter(|correlation| correlation.is_made_here);
        let made_here: HashSet<[u8; 16]> = made_here.map(|correlation| correlation.id).collect();
        for (call, correlation) in calls.iter_mut().zip(&correlations) {
            call.is_within_running =
                !correlation.is_made_here && made_here.contains(&correlation.id);
        }
        calls.sort_by_key(|call| Reverse(call.age));
        // Each lock is asked once: thousands of calls may wait for it, and its status names all.
        let mut owners = HashMap::new();
        for call in &mut calls {
            let owner = owners.entry(call.object.clone());
            let owner = owner.or_insert_with(|| lock_of(&call.object)?.owner);
            let Some(owner) = owner else { continue };
            let is_named = !owner.user.is_empty();
            if owner.address == call.peer.to_string() {
                call.user = is_named.then(|| owner.user.clone());
            } else if let Some(WaitsFor::Lock { owner: known }) = &mut call.waits_for {
                *known = Some(if is_named { &owner.user } else { &owner.address }.clone());
            }
        }
        calls
    }
}

impl Drop for CallBesideSession {
    fn drop(&mut self) {
        lock(&self.calls.beside).remove(&self.number);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
