//! A daemon: objects under their ids, served on one listening address.
//!
//! Owns which objects there are, and what can be asked of a daemon and set in it. How it serves is in
//! [`serving`], a connection's own affairs are in [`connection`].

pub(crate) mod accept;
pub(crate) mod call;
pub(crate) mod catch_panic;
pub(crate) mod config;
pub(crate) mod locks;
pub(crate) mod session;
mod shared;
pub(crate) mod streams;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::{Semaphore, watch};
use tokio_util::task::TaskTracker;
use wire::exception::Exception;
use wire::uri::Uri;

use crate::admission::answer_budget::Unread;
use crate::admission::log_limiter::Complaints;
use crate::admission::orphaned_calls::Abandoned;
use crate::admission::pending_handshakes::WaitingRoom;
use crate::admission::request_budget::Room;
use crate::admission::reserved_fds::Spares;
use crate::daemon::call::daemon_object::DaemonObject;
use crate::daemon::call::oneway::{AllOneways, Most};
use crate::daemon::config::{DaemonConfig, ServerType};
use crate::daemon::config::{Handshake, Welcome};
use crate::daemon::locks::breaker::LockBreaker;
use crate::daemon::locks::table::Locks;
use crate::daemon::locks::{methods, stream_end};
pub(crate) use crate::daemon::shared::Shared;
use crate::daemon::streams::Streams;
use crate::lock::{LockLog, LockSettings, LockStatus};
use crate::net::Listener;
use crate::object::{BoxFuture, Object};

/// The id under which every Pyro5 daemon serves itself.
pub const DAEMON_NAME: &str = "Pyro.Daemon";

/// Oneway calls that have not ended, of all connections: so many times those of one.
const ALL_ONEWAYS: usize = 10;
/// Connections that are let in beyond the others, to break a lock.
const RESERVE: usize = 4;
/// The same from one address.
const RESERVE_PER_ADDRESS: usize = 2;
/// Serves objects to Pyro5 clients. Cheap to clone; clones are the same daemon.
#[derive(Clone)]
pub struct Daemon {
    shared: Arc<Shared>,
}

/// An object cannot be registered.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an object is already registered with the id '{0}'")]
pub struct RegisterError(String);

impl Daemon {
    /// A daemon without objects of its own but `Pyro.Daemon`.
    pub fn new(config: DaemonConfig) -> Self {
        let pool = match config.server_type {
            ServerType::Thread => Some(config.threadpool_size),
            ServerType::Multiplex => None,
        };
        let places = pool.into_iter().chain(config.connections).min().map(|places| {
            // More than that is without limit, and the semaphore would panic.
            Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS)))
        });
        let turn = match config.server_type {
            ServerType::Thread => None,
            ServerType::Multiplex => Some(Arc::new(Semaphore::new(1))),
        };
        let shared = Arc::new_cyclic(|shared| Shared {
            waiting_room: Arc::new(WaitingRoom::new(
                config.handshakes,
                config.handshakes_per_address,
            )),
            spares: Spares::default(),
            room: Room::new(config.large_requests),
            complaints: Complaints::default(),
            oneways: Arc::new(AllOneways::new(Most {
                calls: config.oneways.saturating_mul(ALL_ONEWAYS),
                bytes: config.large_requests,
            })),
            oneway_complaints: Complaints::default(),
            streams: Streams::new(config.streams.clone()),
            unread: Arc::new(Unread::new(config.unread)),
            arriving: Arc::new(Unread::new(Some(config.large_requests))),
            locks: Locks::new(config.first_epoch),
            resting: TaskTracker::new(),
            abandoned: Arc::new(Abandoned::new(&config)),
            config,
            objects: RwLock::new(HashMap::from([(
                DAEMON_NAME.to_owned(),
                Arc::new(DaemonObject::new(shared.clone())) as Arc<dyn Object>,
            )])),
            validator: RwLock::default(),
            places,
            reserve: Arc::new(WaitingRoom::new(RESERVE, RESERVE_PER_ADDRESS)),
            turn,
            next_session: AtomicU64::new(1),
            locations: RwLock::new(Vec::new()),
        });
        let weak = Arc::downgrade(&shared);
        shared.streams.close_by(move |ended| {
            if let Some(shared) = weak.upgrade() {
                stream_end::close(&shared, ended);
            }
        });
        Daemon { shared }
    }

    /// The same daemon, with `validator` to decide which clients are let in, by the data of their
    /// handshakes (Pyro5's `validateHandshake`).
    ///
    /// What it answers is for the client; its exception's message tells the client why it is
    /// refused. It has what is left of the handshake's time.
    #[must_use]
    pub fn with_validator<F>(self, validator: F) -> Self
    where
        F: Fn(Handshake) -> BoxFuture<Result<Welcome, Exception>> + Send + Sync + 'static,
    {
        let mut place = self.shared.validator.write().unwrap_or_else(PoisonError::into_inner);
        *place = Some(Arc::new(validator));
        drop(place);
        self
    }

    /// Serves `object` under `id` from now on.
    ///
    /// # Errors
    /// The id is taken.
    pub fn register(&self, id: &str, object: Arc<dyn Object>) -> Result<(), RegisterError> {
        let mut objects = self.shared.objects.write().unwrap_or_else(PoisonError::into_inner);
        if objects.contains_key(id) {
            return Err(RegisterError(id.to_owned()));
        }
        objects.insert(id.to_owned(), object);
        Ok(())
    }

    /// Serves `object` under `id` from now on, and lets its clients lock it.
    ///
    /// # Errors
    /// The id is taken.
    pub fn register_lockable(
        &self,
        id: &str,
        object: Arc<dyn Object>,
        settings: LockSettings,
    ) -> Result<(), RegisterError> {
        // The lock first: there must be no moment at which the object has none.
        if self.shared.object(id).is_none() {
            self.shared.locks.add(id, settings);
        }
        self.register(id, object)
    }

    /// Serves `object` under `id` from now on, as a part of the object `with`: its lock, if it has one,
    /// is the lock of both.
    ///
    /// # Errors
    /// The id is taken.
    pub fn register_part(
        &self,
        id: &str,
        object: Arc<dyn Object>,
        with: &str,
    ) -> Result<(), RegisterError> {
        let mut objects = self.shared.objects.write().unwrap_or_else(PoisonError::into_inner);
        if objects.contains_key(id) {
            return Err(RegisterError(id.to_owned()));
        }
        // The lock first, as above.
        self.shared.locks.share(id, with);
        objects.insert(id.to_owned(), object);
        Ok(())
    }

    /// The methods by which clients lock the object of this id, if they can.
    pub fn lock_methods(&self, id: &str) -> &'static [&'static str] {
        if self.shared.locks.settings(id).is_some() { &methods::METHODS } else { &[] }
    }

    /// Hands every record of the locks to `log` from now on, in order.
    pub fn log_locks(&self, log: LockLog) {
        self.shared.locks.set_log(log);
    }

    /// How it stands with the locks, sorted by id.
    pub fn locks(&self) -> Vec<LockStatus> {
        self.shared.locks.status()
    }

    /// Changes whenever [`locks`](Self::locks) may have.
    pub fn lock_changes(&self) -> watch::Receiver<u64> {
        self.shared.locks.changes()
    }

    /// What breaks locks of this daemon; for an object that is its own face.
    pub fn lock_breaker(&self) -> LockBreaker {
        LockBreaker { shared: Arc::downgrade(&self.shared) }
    }

    /// Stops serving the object of this id; true if there was one.
    pub fn unregister(&self, id: &str) -> bool {
        let mut objects = self.shared.objects.write().unwrap_or_else(PoisonError::into_inner);
        let is_gone = id != DAEMON_NAME && objects.remove(id).is_some();
        if is_gone {
            self.shared.locks.end_share(id);
        }
        is_gone
    }

    /// The URI of the object `id` at `listener`, or at the NAT address where one is set.
    pub fn uri_for(&self, id: &str, listener: &Listener) -> Uri {
        let own = listener.location();
        let location = self.shared.nat(own).unwrap_or_else(|| own.clone());
        Uri::Pyro { object: id.to_owned(), location }
    }
}

impl fmt::Debug for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Daemon")
            .field("config", &self.shared.config)
            .field("objects", &self.shared.ids())
            .finish_non_exhaustive()
    }
}
