//! Abort methods of a daemon's objects, and the aborts that are asked for and under way.
//!
//! One abort of an object at a time: a crowd of clients that go at once must not enter its driver
//! as a crowd. Requests that come meanwhile are carried out together by the next one, which is
//! needed: a call may have begun after the methods of the first one were called.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::admission::limits::HANGING_ABORTS;
use crate::session::Session;

/// The abort methods of a daemon's objects.
#[derive(Default)]
pub(crate) struct Aborts {
    /// Saves daemons without them the look into `state`.
    any: AtomicBool,
    state: Mutex<AbortState>,
}

#[derive(Default)]
struct AbortState {
    by_id: HashMap<String, ObjectAborts>,
    /// Parts, each with the id of their object.
    shares: HashMap<String, String>,
}

/// The aborts of one object.
#[derive(Default)]
struct ObjectAborts {
    methods: Arc<[String]>,
    /// Carried out next.
    next: Option<AbortRequest>,
    is_running: bool,
    /// Calls of each method that have not returned in time.
    hanging: BTreeMap<String, usize>,
    /// The last failure of each method, in words.
    troubles: BTreeMap<String, String>,
}

/// A request to abort the calls of an object.
pub(super) struct AbortRequest {
    /// A session that it has to do with.
    pub(super) session: Arc<Session>,
    /// The sessions whose calls are meant; `None` for all.
    pub(super) sessions: Option<BTreeSet<u64>>,
    /// The reasons, for the log.
    pub(super) reasons: Vec<String>,
    pub(super) answers: Vec<oneshot::Sender<AbortReport>>,
}

/// The outcome of an abort.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AbortReport {
    /// Methods that were called, and have returned.
    pub called: Vec<String>,
    /// Failures, in words.
    pub troubles: Vec<String>,
}

impl Aborts {
    /// Sets the methods of an object; without any it has no aborts from now on. An abort that runs
    /// goes on.
    pub(crate) fn set_methods(&self, id: &str, methods: Vec<String>) {
        let mut state = self.lock();
        if methods.is_empty() {
            state.by_id.remove(id);
            return;
        }
        let object = state.by_id.entry(id.to_owned()).or_default();
        object.troubles.retain(|method, _| methods.contains(method));
        object.methods = methods.into();
        self.any.store(true, Ordering::Release);
    }

    pub(super) fn share(&self, id: &str, with: &str) {
        let mut state = self.lock();
        // Also where the object has no methods: it may get some while the daemon runs.
        let owner = state.shares.get(with).cloned().unwrap_or_else(|| with.to_owned());
        state.shares.insert(id.to_owned(), owner);
    }

    pub(super) fn end_share(&self, id: &str) {
        self.lock().shares.remove(id);
    }

    /// Whether any object has abort methods.
    pub(crate) fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// Whether the object of this id has abort methods.
    pub(super) fn has(&self, id: &str) -> bool {
        self.owner(id).is_some()
    }

    /// The id of the object whose methods abort the calls of this one: mostly the same.
    pub(super) fn owner(&self, id: &str) -> Option<String> {
        if !self.any() {
            return None;
        }
        let state = self.lock();
        let owner = state.shares.get(id).map_or(id, String::as_str);
        state.by_id.contains_key(owner).then(|| owner.to_owned())
    }

    /// The failures of the last abort of an object, if there were any.
    pub(crate) fn trouble(&self, id: &str) -> Option<String> {
        if !self.any() {
            return None;
        }
        let state = self.lock();
        let troubles = &state.by_id.get(id)?.troubles;
        let troubles: Vec<&str> = troubles.values().map(String::as_str).collect();
        (!troubles.is_empty()).then(|| troubles.join("; "))
    }

    /// Adds a request; true if nobody carries out aborts of this object now.
    pub(super) fn add_request(&self, id: &str, request: AbortRequest) -> bool {
        let mut state = self.lock();
        let Some(object) = state.by_id.get_mut(id) else { return false };
        match &mut object.next {
            None => object.next = Some(request),
            Some(next) => {
                next.sessions = match (next.sessions.take(), request.sessions) {
                    (Some(mut sessions), Some(more)) => {
                        sessions.extend(more);
                        Some(sessions)
                    }
                    _ => None,
                };
                next.reasons.extend(request.reasons);
                next.answers.extend(request.answers);
            }
        }
        !std::mem::replace(&mut object.is_running, true)
    }

    /// The next abort to be carried out, with the methods; `None` ends the carrying out.
    pub(super) fn take_request(&self, id: &str) -> Option<(Arc<[String]>, AbortRequest)> {
        let mut state = self.lock();
        let object = state.by_id.get_mut(id)?;
        let next = object.next.take();
        object.is_running = next.is_some();
        Some((Arc::clone(&object.methods), next?))
    }

    /// Whether a method may be called: not too many earlier calls of it hang.
    pub(super) fn may_call(&self, id: &str, method: &str) -> bool {
        let state = self.lock();
        let hanging = state.by_id.get(id).and_then(|object| object.hanging.get(method));
        hanging.is_none_or(|hanging| *hanging < HANGING_ABORTS)
    }

    /// A call of a method has not returned in time.
    pub(super) fn add_hanging(&self, id: &str, method: &str) {
        if let Some(object) = self.lock().by_id.get_mut(id) {
            *object.hanging.entry(method.to_owned()).or_insert(0) += 1;
        }
    }

    /// Such a call has ended after all.
    pub(super) fn remove_hanging(&self, id: &str, method: &str) {
        if let Some(object) = self.lock().by_id.get_mut(id)
            && let Some(hanging) = object.hanging.get_mut(method)
        {
            *hanging = hanging.saturating_sub(1);
        }
    }

    /// Sets or clears the failure of a method.
    pub(super) fn set_trouble(&self, id: &str, method: &str, trouble: Option<String>) {
        if let Some(object) = self.lock().by_id.get_mut(id) {
            match trouble {
                Some(trouble) => object.troubles.insert(method.to_owned(), trouble),
                None => object.troubles.remove(method),
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, AbortState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
