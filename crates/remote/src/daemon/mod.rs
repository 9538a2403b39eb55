//! A daemon: objects under their ids, served on one listening address.
//!
//! Owns which objects there are, how many connections are served, and the order in which a
//! shutdown happens. A connection's own affairs are in [`connection`].

pub(crate) mod caught;
mod closing;
mod complaints;
pub(crate) mod config;
mod connection;
mod daemon_object;
mod dispatch;
pub(crate) mod farewell;
mod guarded;
pub(crate) mod handshake;
mod oneway;
mod refusal;
mod request;
pub(crate) mod rest;
pub(crate) mod room;
mod spares;
pub(crate) mod streams;
pub(crate) mod unread;
mod waiting_room;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::io::DuplexStream;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant as Deadline;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};
use wire::exception::Exception;
use wire::uri::{Location, Uri};

use crate::daemon::caught::What;
use crate::daemon::complaints::Complaints;
use crate::daemon::config::{DaemonConfig, ServerType};
use crate::daemon::connection::Newcomer;
use crate::daemon::daemon_object::DaemonObject;
use crate::daemon::handshake::{Handshake, Validator, Welcome};
use crate::daemon::room::Room;
use crate::daemon::spares::Spares;
use crate::daemon::streams::Streams;
use crate::daemon::unread::Unread;
use crate::daemon::waiting_room::WaitingRoom;
use crate::lock::methods;
use crate::lock::table::Locks;
use crate::lock::{LockBreaker, LockLog, LockSettings, LockStatus};
use crate::net::{self, Listener, ListenerSocket};
use crate::object::{BoxFuture, Object};
use crate::session::{Peer, Session};

/// The id under which every Pyro5 daemon serves itself.
pub const DAEMON_NAME: &str = "Pyro.Daemon";

/// Pause after a failed accept: descriptors may have run out, and come back.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// Connections that are let in beyond the others, to break a lock.
const RESERVE: usize = 4;
/// Between two looks for streams whose time is up.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// Serves objects to Pyro5 clients. Cheap to clone; clones are the same daemon.
#[derive(Clone)]
pub struct Daemon {
    shared: Arc<Shared>,
}

/// What all connections of a daemon share.
pub(crate) struct Shared {
    pub(crate) config: DaemonConfig,
    objects: RwLock<HashMap<String, Arc<dyn Object>>>,
    pub(crate) validator: RwLock<Option<Validator>>,
    pub(crate) streams: Streams,
    pub(crate) unread: Arc<Unread>,
    pub(crate) locks: Locks,
    /// Objects that are being brought to a safe state.
    pub(crate) resting: TaskTracker,
    /// A place for each connection that is served, where there may be only so many.
    pub(crate) places: Option<Arc<Semaphore>>,
    /// Places beyond those, for who comes to break a lock: all others may be waiting for it.
    pub(crate) reserve: Arc<Semaphore>,
    /// The right to run a call in a `multiplex` daemon; handed out in order of arrival.
    pub(crate) turn: Option<Arc<Semaphore>>,
    /// For requests that take much memory.
    pub(crate) room: Room,
    waiting_room: Arc<WaitingRoom>,
    pub(crate) spares: Spares,
    pub(crate) complaints: Complaints,
    /// Of oneway calls that raised: nobody else is told of those.
    pub(crate) oneway_complaints: Complaints,
    next_session: AtomicU64,
    locations: RwLock<Vec<Location>>,
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
            oneway_complaints: Complaints::default(),
            streams: Streams::new(config.streams.clone()),
            unread: Arc::new(Unread::new(config.unread)),
            locks: Locks::new(config.first_epoch),
            resting: TaskTracker::new(),
            config,
            objects: RwLock::new(HashMap::from([(
                DAEMON_NAME.to_owned(),
                Arc::new(DaemonObject::new(shared.clone())) as Arc<dyn Object>,
            )])),
            validator: RwLock::default(),
            places,
            reserve: Arc::new(Semaphore::new(RESERVE)),
            turn,
            next_session: AtomicU64::new(1),
            locations: RwLock::new(Vec::new()),
        });
        let weak = Arc::downgrade(&shared);
        shared.streams.close_by(move |ended| {
            if let Some(shared) = weak.upgrade() {
                closing::close(&shared, ended);
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

    /// Serves connections of `listener` until `stop` is cancelled; then lets running calls end
    /// (for the time that the configuration gives them) and closes every connection.
    ///
    /// To end it, cancel `stop` and wait: where this future is only dropped, nobody new is let in,
    /// but those who are in are served on.
    pub async fn serve(self, listener: Listener, stop: CancellationToken) {
        let Shared { config, locations, .. } = &*self.shared;
        locations.write().unwrap_or_else(PoisonError::into_inner).push(listener.location().clone());
        info!(daemon = %config.name, location = %listener.location(), "serving");
        let connections = TaskTracker::new();
        // Connections outlive `stop` by the time their running calls need.
        let abandon = CancellationToken::new();
        let mut housekeeping = tokio::time::interval(HOUSEKEEPING);
        self.shared.spares.refill();
        loop {
            let accepted = tokio::select! {
                accepted = accept(&listener.socket) => accepted,
                _ = housekeeping.tick() => {
                    let now = Instant::now();
                    self.shared.streams.expire(now);
                    self.shared.spares.refill();
                    if let Some(count) = self.shared.complaints.kept_back(now) {
                        warn!(daemon = %config.name, count,
                            "more connections were refused or sent what is no message");
                    }
                    if let Some(count) = self.shared.oneway_complaints.kept_back(now) {
                        warn!(daemon = %config.name, count, "more oneway calls raised");
                    }
                    continue;
                }
                () = stop.cancelled() => break,
            };
            match accepted {
                Ok((stream, peer)) => {
                    if self.shared.has_room() {
                        self.admit(&connections, stream, peer, &stop, &abandon);
                    } else {
                        // Nobody can be heard now: to be sent away at once is an answer too.
                        drop(stream);
                        self.shared.spares.refill();
                    }
                }
                Err(error) => {
                    if self.shared.complaints.one_more(Instant::now()) {
                        warn!(daemon = %config.name, %error, "cannot accept a connection");
                    }
                    // With a spare descriptor the next in line is taken at least.
                    if !self.shared.spares.lend() {
                        tokio::time::sleep(ACCEPT_BACKOFF).await;
                        self.shared.spares.refill();
                    }
                }
            }
        }
        drop(listener);
        self.shared.spares.give_up();
        connections.close();
        if tokio::time::timeout(config.shutdown_grace, connections.wait()).await.is_err() {
            warn!(
                daemon = %config.name,
                connections = connections.len(),
                "calls still run after {:?}; leaving them",
                config.shutdown_grace
            );
            abandon.cancel();
            connections.wait().await;
        }
        self.shared.resting.close();
        if tokio::time::timeout(config.rest_timeout, self.shared.resting.wait()).await.is_err() {
            warn!(daemon = %config.name, "some objects have not come to a safe state in time");
        }
        info!(daemon = %config.name, "stopped serving");
    }

    /// Serves a connection without a socket until it ends: how tests drive a daemon.
    #[doc(hidden)]
    pub async fn serve_in_memory(&self, stream: DuplexStream, peer: Peer, stop: CancellationToken) {
        let newcomer = self.newcomer(peer);
        connection::serve(Arc::clone(&self.shared), stream, newcomer, stop).await;
    }

    fn newcomer(&self, peer: Peer) -> Newcomer {
        let stay = self.shared.waiting_room.enter(&peer);
        let deadline = later(Deadline::now(), self.shared.config.handshake_timeout);
        Newcomer { peer, stay, deadline }
    }

    fn admit(
        &self,
        connections: &TaskTracker,
        stream: Accepted,
        peer: Peer,
        stop: &CancellationToken,
        abandon: &CancellationToken,
    ) {
        let newcomer = self.newcomer(peer);
        let shared = Arc::clone(&self.shared);
        let (stop, abandon) = (stop.clone(), abandon.clone());
        connections.spawn(async move {
            // Pinned here and lent: to hand it on would keep room for it twice.
            let mut serving = pin!(async {
                match stream {
                    Accepted::Tcp(stream) => {
                        connection::serve(shared, stream, newcomer, stop).await;
                    }
                    Accepted::Unix(stream) => {
                        connection::serve(shared, stream, newcomer, stop).await;
                    }
                }
            });
            tokio::select! {
                () = &mut serving => {}
                () = abandon.cancelled() => {}
            }
        });
    }
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
    fn has_room(&self) -> bool {
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
    fn nat(&self, own: &Location) -> Option<Location> {
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
            farewell::say(self, session);
        }
        debug!(daemon = %self.config.name, session = session.id, peer = %session.peer, "ended");
    }

    /// Tells every object that `session` has ended.
    pub(crate) fn tell_end(&self, session: &Session) {
        for (id, object) in self.objects() {
            let ended = || {
                object.session_ended(session);
                Ok(())
            };
            // It is in the log, and the others hear of the end all the same.
            let _ = caught::run(What { object: &id, member: "session_ended" }, ended);
        }
    }

    fn objects(&self) -> Vec<(String, Arc<dyn Object>)> {
        let objects = self.objects.read().unwrap_or_else(PoisonError::into_inner);
        objects.iter().map(|(id, object)| (id.clone(), Arc::clone(object))).collect()
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

/// `time` from `now`, or as good as never where the clock cannot say it.
fn later(now: Deadline, time: Duration) -> Deadline {
    const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    now.checked_add(time).or_else(|| now.checked_add(NEVER)).unwrap_or(now)
}

enum Accepted {
    Tcp(tokio::net::TcpStream),
    Unix(tokio::net::UnixStream),
}

async fn accept(socket: &ListenerSocket) -> io::Result<(Accepted, Peer)> {
    match socket {
        ListenerSocket::Tcp(listener) => {
            let (stream, address) = listener.accept().await?;
            if let Err(error) = net::tune_accepted(&stream) {
                debug!(%address, %error, "cannot set the options of a new connection");
            }
            Ok((Accepted::Tcp(stream), Peer::Tcp(address)))
        }
        ListenerSocket::Unix { listener, .. } => {
            let (stream, _) = listener.accept().await?;
            Ok((Accepted::Unix(stream), Peer::Unix))
        }
    }
}
