//! Calls whose clients are gone.
//!
//! Owns how many there are, and what becomes of their places. Under Pyro5 a call that hangs keeps its
//! client's place when the client has long given up, and one that tries again takes the next: in the
//! end there are no places, and nobody has any. Here the place is free again, and the call goes on
//! without: it cannot be ended from outside. Its object may have only so many of those.
//!
//! Only calls that have begun are counted. In a `multiplex` daemon that is one, and those that wait
//! for their turn are no sign of anything wrong: nothing is counted there.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OwnedSemaphorePermit;
use tracing::{debug, warn};
use wire::exception::Exception;

use crate::daemon::config::DaemonConfig;
use crate::daemon::{DAEMON_NAME, Shared};
use crate::session::Session;

/// The abandoned calls of a daemon.
#[derive(Debug)]
pub(crate) struct Abandoned {
    /// Of one object; with as many it takes no further call.
    most: usize,
    /// Without a place, over all objects: their connections still have their descriptors.
    most_without_place: usize,
    all: AtomicUsize,
    by_object: Mutex<HashMap<String, usize>>,
}

/// A connection's place among those that are served, where there are only so many.
#[derive(Debug, Default)]
pub(crate) struct Place {
    permit: Option<OwnedSemaphorePermit>,
    /// Its client is gone.
    abandoned: Option<One>,
}

/// One of them; they are counted until their connections have ended.
#[derive(Debug)]
struct One {
    abandoned: Arc<Abandoned>,
    object: String,
}

impl Abandoned {
    pub(crate) fn new(config: &DaemonConfig) -> Self {
        let pool = config.threadpool_size;
        let most_without_place =
            config.connections.map_or(usize::MAX, |all| all.saturating_sub(pool));
        Abandoned {
            most: pool,
            most_without_place,
            all: AtomicUsize::new(0),
            by_object: Mutex::default(),
        }
    }

    /// Whether a call of this object may begin.
    ///
    /// # Errors
    /// It has too many whose clients are gone.
    pub(crate) fn check(&self, object: &str) -> Result<(), Exception> {
        // This is all that it costs as long as everything is as it should be.
        if self.all.load(Ordering::Relaxed) < self.most || object == DAEMON_NAME {
            return Ok(());
        }
        match self.lock().get(object) {
            Some(calls) if *calls >= self.most => Err(Exception::daemon_error(format!(
                "'{object}' takes no further calls: {calls} of clients that are gone have not ended \
                 (at most {} may); what it drives may hang, and to restart its daemon ends them",
                self.most
            ))),
            _ => Ok(()),
        }
    }

    fn enter(self: &Arc<Self>, object: &str) -> One {
        let calls = {
            let mut by_object = self.lock();
            let calls = by_object.entry(object.to_owned()).or_insert(0);
            *calls += 1;
            *calls
        };
        self.all.fetch_add(1, Ordering::Relaxed);
        if calls == self.most && object != DAEMON_NAME {
            warn!(
                object,
                calls,
                "takes no further calls: as many of clients that are gone have not \
                ended; what it drives may hang"
            );
        }
        One { abandoned: Arc::clone(self), object: object.to_owned() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.by_object.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    pub(crate) fn new(permit: Option<OwnedSemaphorePermit>) -> Self {
        Place { permit, abandoned: None }
    }

    /// The client is gone, and its call still runs: the place is another's.
    pub(crate) fn leave(&mut self, shared: &Shared, session: &Session) {
        debug!(daemon = %shared.config.name, session = session.id, peer = %session.peer,
            "the client has gone during a call");
        if self.abandoned.is_some() || shared.turn.is_some() {
            return;
        }
        let without_place = shared.abandoned.all.load(Ordering::Relaxed);
        self.abandoned = Some(shared.abandoned.enter(&session.object));
        if without_place < shared.abandoned.most_without_place {
            self.permit = None;
        }
    }
}

impl Drop for One {
    fn drop(&mut self) {
        let mut by_object = self.abandoned.lock();
        if let Some(calls) = by_object.get_mut(&self.object) {
            *calls = calls.saturating_sub(1);
            if *calls == 0 {
                by_object.remove(&self.object);
            }
        }
        self.abandoned.all.fetch_sub(1, Ordering::Relaxed);
    }
}
