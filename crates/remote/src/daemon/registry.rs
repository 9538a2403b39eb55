//! The objects of a daemon by their ids.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::config::DAEMON_NAME;
use crate::daemon::catch_panic::{self, CallName};
use crate::object::Object;
use crate::session::Session;

type Objects = HashMap<String, Arc<dyn Object>>;

/// The objects of a daemon by their ids.
#[derive(Default)]
pub(crate) struct Registry {
    objects: RwLock<Objects>,
}

impl Registry {
    pub(crate) fn get(&self, id: &str) -> Option<Arc<dyn Object>> {
        self.read().get(id).cloned()
    }

    /// Adds an object after `prepare`; false, and nothing is done, if the id is taken.
    pub(crate) fn add(&self, id: &str, object: Arc<dyn Object>, prepare: impl FnOnce()) -> bool {
        let mut objects = self.write();
        if objects.contains_key(id) {
            return false;
        }
        prepare();
        objects.insert(id.to_owned(), object);
        true
    }

    /// Removes an object; true if there was one. The daemon's own stays.
    pub(crate) fn remove(&self, id: &str) -> bool {
        id != DAEMON_NAME && self.write().remove(id).is_some()
    }

    /// Every id, sorted, `Pyro.Daemon` first.
    pub(crate) fn ids(&self) -> Vec<String> {
        let mut ids: Vec<String> = self.read().keys().cloned().collect();
        ids.sort_by(|a, b| (a != DAEMON_NAME, a).cmp(&(b != DAEMON_NAME, b)));
        ids
    }

    /// Every object with its id.
    pub(crate) fn all(&self) -> Vec<(String, Arc<dyn Object>)> {
        self.read().iter().map(|(id, object)| (id.clone(), Arc::clone(object))).collect()
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
