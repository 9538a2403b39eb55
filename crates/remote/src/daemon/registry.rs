//! The objects of a daemon by their ids.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

use crate::config::DAEMON_NAME;
use crate::daemon::catch_panic::{self, CallName};
use crate::object::Object;
use crate::session::Session;

type Objects = HashMap<String, Arc<RegisteredObject>>;

/// An object with the counts of its calls. A call holds it whole: the count of its users and that
/// of its calls, which begins the struct, are then mostly in one cache line, which calls on other
/// threads change too.
#[repr(C)]
pub(crate) struct RegisteredObject {
    calls: AtomicU64,
    object: Arc<dyn Object>,
    errors: AtomicU64,
    slow: AtomicU64,
}

impl Deref for RegisteredObject {
    type Target = Arc<dyn Object>;

    fn deref(&self) -> &Self::Target {
        &self.object
    }
}

/// Counts of an object's calls since the daemon has started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallCounts {
    /// Calls that have begun. A batch counts as one.
    pub calls: u64,
    /// Of these, those that have raised or were refused.
    pub errors: u64,
    /// Of these, those that took longer than the call log calls slow.
    pub slow: u64,
}

/// Reader of the counts of all objects of a daemon.
#[derive(Clone)]
pub struct CallCounter(Weak<Registry>);

impl CallCounter {
    pub(crate) fn new(registry: &Arc<Registry>) -> Self {
        CallCounter(Arc::downgrade(registry))
    }

    /// The counts of every object's calls, by the objects' ids; empty once the daemon is gone.
    pub fn counts(&self) -> Vec<(String, CallCounts)> {
        self.0.upgrade().map(|registry| registry.call_counts()).unwrap_or_default()
    }
}

/// The objects of a daemon by their ids.
#[derive(Default)]
pub(crate) struct Registry {
    objects: RwLock<Objects>,
}

impl Registry {
    pub(crate) fn get(&self, id: &str) -> Option<Arc<dyn Object>> {
        Some(Arc::clone(&self.read().get(id)?.object))
    }

    /// The same for a call of it, which is counted: one atomic addition, without another look-up.
    pub(crate) fn get_for_call(&self, id: &str) -> Option<Arc<RegisteredObject>> {
        let objects = self.read();
        let entry = objects.get(id)?;
        entry.calls.fetch_add(1, Ordering::Relaxed);
        Some(Arc::clone(entry))
    }

    /// Counts a call that has raised, or took long.
    pub(crate) fn count_fault(&self, id: &str, is_error: bool, is_slow: bool) {
        let objects = self.read();
        let Some(entry) = objects.get(id) else { return };
        entry.errors.fetch_add(u64::from(is_error), Ordering::Relaxed);
        entry.slow.fetch_add(u64::from(is_slow), Ordering::Relaxed);
    }

    /// The counts of every object.
    pub(crate) fn call_counts(&self) -> Vec<(String, CallCounts)> {
        let count = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let counts = |entry: &RegisteredObject| CallCounts {
            calls: count(&entry.calls),
            errors: count(&entry.errors),
            slow: count(&entry.slow),
        };
        self.read().iter().map(|(id, entry)| (id.clone(), counts(entry))).collect()
    }

    /// Adds an object after `prepare`; false, and nothing is done, if the id is taken.
    pub(crate) fn add(&self, id: &str, object: Arc<dyn Object>, prepare: impl FnOnce()) -> bool {
        let mut objects = self.write();
        if objects.contains_key(id) {
            return false;
        }
        prepare();
        let [calls, errors, slow] = Default::default();
        let entry = RegisteredObject { object, calls, errors, slow };
        objects.insert(id.to_owned(), Arc::new(entry));
        true
    }

    /// Removes an object; true if there was one. The daemon's own stays.
    pub(crate) fn remove(&self, id: &str) -> bool {
        id != DAEMON_NAME && self.write().remove(id).is_some()
    }

    /// Every id but those of internal objects, sorted, `Pyro.Daemon` first.
    pub(crate) fn ids(&self) -> Vec<String> {
        let objects = self.read();
        let listed = objects.iter().filter(|(_, entry)| !entry.object.is_internal());
        let mut ids: Vec<String> = listed.map(|(id, _)| id.clone()).collect();
        drop(objects);
        ids.sort_by(|a, b| (a != DAEMON_NAME, a).cmp(&(b != DAEMON_NAME, b)));
        ids
    }

    /// Every object with its id.
    pub(crate) fn all(&self) -> Vec<(String, Arc<dyn Object>)> {
        self.read().iter().map(|(id, entry)| (id.clone(), Arc::clone(&entry.object))).collect()
    }

    /// Tells every object that `session` has ended.
    pub(crate) fn end_session(&self, session: &Session) {
        for (id, object) in self.all() {
            let ended = || {
                object.session_ended(session);
                Ok(())
            };
            // A panic is in the log, and the others hear of the end all the same.
            let _ = catch_panic::run(CallName { object: &id, member: "session_ended" }, ended);
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Objects> {
        self.objects.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Objects> {
        self.objects.write().unwrap_or_else(PoisonError::into_inner)
    }
}
