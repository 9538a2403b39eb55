//! What all connections of a daemon share.
//!
//! Owns the questions that any of them may have of the whole daemon, and who is told of a session's
//! end.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tracing::debug;
use wire::uri::Location;

use crate::admission::answer_budget::Unread;
use crate::admission::log_limiter::Complaints;
use crate::admission::orphaned_calls::Abandoned;
use crate::admission::pending_handshakes::WaitingRoom;
use crate::admission::request_budget::Room;
use crate::admission::reserved_fds::Spares;
use crate::daemon::DAEMON_NAME;
use crate::daemon::call::oneway::AllOneways;
use crate::daemon::catch_panic::{self, What};
use crate::daemon::config::DaemonConfig;
use crate::daemon::config::Validator;
use crate::daemon::locks::session_end;
use crate::daemon::locks::table::Locks;
use crate::daemon::streams::Streams;
use crate::object::Object;
use crate::session::Session;

/// What all connections of a daemon share.
pub(crate) struct Shared {
    pub(crate) config: DaemonConfig,
    pub(super) objects: RwLock<HashMap<String, Arc<dyn Object>>>,
    pub(crate) validator: RwLock<Option<Validator>>,
    pub(crate) streams: Streams,
    pub(crate) unread: Arc<Unread>,
    /// Large requests that have not arrived whole: the same, the other way.
    pub(crate) arriving: Arc<Unread>,
    pub(crate) locks: Locks,
    /// Objects that are being brought to a safe state.
    pub(crate) resting: TaskTracker,
    /// A place for each connection that is served, where there may be only so many.
    pub(crate) places: Option<Arc<Semaphore>>,
    /// Calls that go on without their clients.
    pub(crate) abandoned: Arc<Abandoned>,
    /// Places beyond those, for who comes to break a lock: all others may be waiting for it. The next
    /// one takes the place of the first, so that nobody can keep them.
    pub(crate) reserve: Arc<WaitingRoom>,
    /// The right to run a call in a `multiplex` daemon; handed out in order of arrival.
    pub(crate) turn: Option<Arc<Semaphore>>,
    /// For requests that take much memory.
    pub(crate) room: Room,
    pub(super) waiting_room: Arc<WaitingRoom>,
    pub(crate) spares: Spares,
    pub(crate) complaints: Complaints,
    pub(crate) oneways: Arc<AllOneways>,
    /// Of oneway calls that raised: nobody else is told of those.
    pub(crate) oneway_complaints: Complaints,
    pub(super) next_session: AtomicU64,
    pub(super) locations: RwLock<Vec<Location>>,
}

impl Shared {
    pub(crate) fn object(&self, id: &str) -> Option<Arc<dyn Object>> {
        self.objects.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// Every id there is, sorted, `Pyro.Daemon` first.
    pub(crate) fn ids(&self) -> Vec<String> {
        let objects = self.objects.read().unwrap_or_else(PoisonError::into_inner);
        let mut ids: Vec<String> = objects.keys().cloned().collect();
        ids.sort_by(|a, b| (a != DAEMON_NAME, a).cmp(&(b != DAEMON_NAME, b)));
        ids
    }

    /// Whether a newcomer can be heard. Where descriptors run out, whoever has been about to
    /// connect for longest goes for it.
    pub(super) fn has_room(&self) -> bool {
        if self.spares.refill() {
            return true;
        }
        self.waiting_room.show_out_longest();
        self.spares.any()
    }

    pub(crate) fn session_id(&self) -> u64 {
        self.next_session.fetch_add(1, Ordering::Relaxed)
    }

    /// Where the daemon listens, in the words of `Pyro.Daemon.info()`.
    pub(crate) fn locations(&self) -> String {
        let locations = self.locations.read().unwrap_or_else(PoisonError::into_inner);
        locations.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }

    /// The NAT address that stands for a location of ours.
    pub(super) fn nat(&self, own: &Location) -> Option<Location> {
        match (&self.config.nat, own) {
            (Some((host, 0)), Location::Tcp { port, .. }) => {
                Some(Location::Tcp { host: host.clone(), port: *port })
            }
            (Some((host, port)), Location::Tcp { .. }) => {
                Some(Location::Tcp { host: host.clone(), port: *port })
            }
            _ => None,
        }
    }

    /// The NAT address of the first location, in the words of `Pyro.Daemon.info()`.
    pub(crate) fn nat_location(&self) -> Option<Location> {
        let locations = self.locations.read().unwrap_or_else(PoisonError::into_inner);
        locations.iter().find_map(|own| self.nat(own))
    }

    /// `session` has ended. Its objects hear of it now, or when all that comes to rest because of it
    /// has: several may have what is the session's from one and the same place.
    pub(crate) fn session_ended(self: &Arc<Self>, session: &Arc<Session>) {
        self.streams.end_session(session.id, Instant::now());
        Locks::forget(self, session.id);
        if !self.locks.defer_end(session) {
            session_end::say(self, session);
        }
        debug!(daemon = %self.config.name, session = session.id, peer = %session.peer, "ended");
    }

    /// Tells every object that `session` has ended.
    pub(crate) fn tell_end(&self, session: &Session) {
        session.set_ended();
        // A oneway call may have read a stream meanwhile, which made that the session's again.
        self.streams.end_session(session.id, Instant::now());
        for (id, object) in self.objects() {
            let ended = || {
                object.session_ended(session);
                Ok(())
            };
            // It is in the log, and the others hear of the end all the same.
            let _ = catch_panic::run(What { object: &id, member: "session_ended" }, ended);
        }
    }

    pub(super) fn objects(&self) -> Vec<(String, Arc<dyn Object>)> {
        let objects = self.objects.read().unwrap_or_else(PoisonError::into_inner);
        objects.iter().map(|(id, object)| (id.clone(), Arc::clone(object))).collect()
    }
}
