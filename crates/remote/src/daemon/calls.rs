//! The calls of a daemon that run or wait, as its process reports them.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;

use crate::current_call::{Beginning, CallFacts, CallKind, CallPhase, Correlation, push_shortened};
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
    /// The client's identity, where that says more than its address.
    pub identity: Option<Arc<str>>,
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
    /// Counts calls that have become overdue.
    became_overdue: watch::Sender<u64>,
}

#[derive(Debug)]
struct CallBeside {
    object: String,
    member: String,
    kind: CallKind,
    peer: Peer,
    identity: Option<Arc<str>>,
    since: Beginning,
    correlation: Correlation,
    is_overdue: bool,
    /// Whether it has the turn of a `multiplex` daemon.
    has_turn: bool,
}

impl CallBeside {
    /// The call in words; a comma follows them in a sentence.
    fn words(&self) -> String {
        let CallBeside { object, member, peer, .. } = self;
        format!("'{member}' of '{object}', a call of {peer}")
    }
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

    /// The sessions that are served now.
    pub(crate) fn sessions(&self) -> Vec<Arc<Session>> {
        lock(&self.sessions).values().cloned().collect()
    }

    /// A oneway call runs beside the next calls of its session until the result is dropped.
    pub(crate) fn begin_oneway(
        self: &Arc<Self>,
        session: &Session,
        (object, member): (&str, &str),
        since: Beginning,
    ) -> CallBesideSession {
        let mut shown = String::new();
        push_shortened(&mut shown, member);
        self.add(CallBeside {
            object: object.to_owned(),
            member: shown,
            kind: CallKind::Oneway,
            peer: session.peer.clone(),
            identity: session.identity().known().cloned(),
            since,
            correlation: Correlation::default(),
            is_overdue: false,
            has_turn: false,
        })
    }

    /// The session's call takes longer than it may, and runs on without its client until the result
    /// is dropped; `has_turn`: it keeps the turn of a `multiplex` daemon.
    pub(crate) fn begin_overdue(
        self: &Arc<Self>,
        session: &Session,
        has_turn: bool,
    ) -> Option<CallBesideSession> {
        let (CallFacts { object, member, form, .. }, since, _) = session.call.read()?;
        let shown = self.add(CallBeside {
            object,
            member,
            kind: form.kind,
            peer: session.peer.clone(),
            identity: session.identity().known().cloned(),
            since,
            correlation: form.correlation,
            is_overdue: true,
            has_turn,
        });
        self.became_overdue.send_modify(|count| *count += 1);
        Some(shown)
    }

    /// An overdue call of one of these objects, in words.
    pub(crate) fn overdue(&self, is_meant: impl Fn(&str) -> bool) -> Option<String> {
        let beside = lock(&self.beside);
        let mut overdue = beside.values().filter(|call| call.is_overdue);
        overdue.find(|call| is_meant(&call.object)).map(CallBeside::words)
    }

    /// The overdue call that has the turn of a `multiplex` daemon: its number, and in words.
    pub(crate) fn overdue_turn(&self) -> Option<(u64, String)> {
        let beside = lock(&self.beside);
        let call = beside.iter().find(|(_, call)| call.is_overdue && call.has_turn);
        call.map(|(number, call)| (*number, call.words()))
    }

    /// Waits until an overdue call has kept the turn for so long; then the call in words.
    pub(crate) async fn wait_for_overdue_turn(&self, patience: Duration) -> String {
        let mut news = self.became_overdue.subscribe();
        loop {
            match self.overdue_turn() {
                Some((number, call)) => {
                    tokio::time::sleep(patience).await;
                    if self.overdue_turn().is_some_and(|(still, _)| still == number) {
                        return call;
                    }
                }
                // An error is impossible: the sender lives as long as `self`.
                None => drop(news.changed().await),
            }
        }
    }

    fn add(self: &Arc<Self>, call: CallBeside) -> CallBesideSession {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.beside).insert(number, call);
        CallBesideSession { calls: Arc::clone(self), number }
    }

    /// The calls, the longest first; `lock_of` is the status of an object's lock. Sessions whose
    /// calls are older than `marked_after` learn that these may be slow.
    pub(crate) fn list(
        &self,
        lock_of: impl Fn(&str) -> Option<LockStatus>,
        marked_after: Option<Duration>,
    ) -> Vec<CallStatus> {
        let now = Instant::now();
        let mut correlations = Vec::new();
        let mut calls = Vec::new();
        for call in lock(&self.beside).values() {
            correlations.push(call.correlation);
            calls.push(CallStatus {
                object: call.object.clone(),
                member: call.member.clone(),
                kind: call.kind,
                peer: call.peer.clone(),
                identity: call.identity.clone(),
                user: None,
                since: call.since.time(),
                age: now.saturating_duration_since(call.since.instant),
                waits_for: None,
                is_within_running: false,
                is_overdue: call.is_overdue,
            });
        }
        for session in self.sessions() {
            let Some((facts, since, phase)) = session.call.read() else { continue };
            correlations.push(facts.form.correlation);
            let age = now.saturating_duration_since(since.instant);
            if marked_after.is_some_and(|most| age >= most) {
                session.call.set_may_be_slow(true);
            }
            calls.push(CallStatus {
                object: facts.object,
                member: facts.member,
                kind: facts.form.kind,
                peer: session.peer.clone(),
                identity: session.identity().known().cloned(),
                user: None,
                since: since.time(),
                age,
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
                let identity = owner.identity.as_deref();
                let name = if is_named { &owner.user } else { identity.unwrap_or(&owner.address) };
                *known = Some(name.to_owned());
            }
        }
        calls
    }
}

impl CallBesideSession {
    /// The call takes longer than it may.
    pub(crate) fn set_overdue(&self) {
        if let Some(call) = lock(&self.calls.beside).get_mut(&self.number) {
            call.is_overdue = true;
        }
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
