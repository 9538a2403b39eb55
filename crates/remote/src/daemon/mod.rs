//! A daemon: objects under their ids, served on one listening address.
//!
//! Its rooms, each of which knows only those after it: [`accept`] (listening, handshakes, the
//! pool), [`session`] (one connection), [`call`] (one request) and [`locks`].

pub(crate) mod accept;
pub(crate) mod access_gate;
pub(crate) mod batch_entries;
pub(crate) mod call;
pub(crate) mod call_log;
pub(crate) mod call_rules;
pub(crate) mod calls;
pub(crate) mod catch_panic;
pub(crate) mod connections;
pub(crate) mod locks;
pub(crate) mod log_limiter;
pub(crate) mod registry;
pub(crate) mod session;
mod shared;
pub(crate) mod streams;
pub(crate) mod validator;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::watch;
use wire::exception::Exception;
use wire::uri::Uri;

use crate::access::AccessRules;
use crate::admission::Admission;
use crate::config::{DAEMON_NAME, DaemonConfig};
use crate::daemon::access_gate::{AccessGate, AccessLog, RefusedClientLog};
use crate::daemon::call::daemon_object::DaemonObject;
use crate::daemon::call::own_call::OwnCaller;
use crate::daemon::call_log::{AuditLog, CallLog, CallLogger};
use crate::daemon::call_rules::{CallRules, RuleTable};
use crate::daemon::calls::{CallStatus, RunningCalls};
use crate::daemon::connections::ConnectionsStatus;
use crate::daemon::locks::table::LockTable;
use crate::daemon::locks::{LockBreaker, methods, safe_state};
use crate::daemon::registry::{CallCounter, Registry};
use crate::daemon::shared::LogLimits;
pub(crate) use crate::daemon::shared::Shared;
use crate::daemon::streams::Streams;
use crate::daemon::validator::{Handshake, Welcome};
use crate::lock::{KeptLock, LockLog, LockSettings, LockStatus};
use crate::net::Listener;
use crate::object::{BoxFuture, Object};
use crate::session::OwnCallReason;
use crate::users::{self, UserDirectory};

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
    /// A daemon whose only object is `Pyro.Daemon`.
    pub fn new(config: DaemonConfig) -> Self {
        let admission = Admission::new(&config);
        let registry = Arc::new(Registry::default());
        let streams = Arc::new(Streams::new(config.streams.clone()));
        let calls: Arc<RunningCalls> = Arc::default();
        let access: Arc<AccessGate> = Arc::default();
        let locks = Arc::new(LockTable::new(
            &config,
            Arc::clone(&calls),
            Arc::clone(&registry),
            Arc::clone(&streams),
            &admission,
            Arc::clone(&access),
            safe_state::REACTIONS,
        ));
        let weak = Arc::downgrade(&locks);
        streams.close_by(move |ended| {
            if let Some(locks) = weak.upgrade() {
                safe_state::end_stream(&locks, ended);
            }
        });
        let shared = Arc::new(Shared {
            validator: RwLock::default(),
            users: RwLock::default(),
            registry,
            streams,
            locks,
            admission,
            calls,
            access,
            call_rules: RuleTable::default(),
            call_log: CallLogger::default(),
            log_limits: LogLimits::default(),
            next_session: AtomicU64::new(1),
            locations: RwLock::default(),
            config,
        });
        let own = DaemonObject::new(Arc::downgrade(&shared));
        shared.registry.add(DAEMON_NAME, Arc::new(own), || ());
        Daemon { shared }
    }

    /// The same daemon, with `validator` to decide which clients are let in, by the data of their
    /// handshakes (Pyro5's `validateHandshake`).
    ///
    /// Its answer is sent to the client; the message of its exception is the reason of the refusal.
    /// It has the rest of the handshake's time.
    #[must_use]
    pub fn with_validator<F>(self, validator: F) -> Self
    where
        F: Fn(Handshake) -> BoxFuture<Result<Welcome, Exception>> + Send + Sync + 'static,
    {
        let validators = self.shared.validator.write();
        *validators.unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(validator));
        self
    }

    /// Knows its clients by these users from now on: by tokens in handshakes, and by certificates.
    pub fn set_users(&self, users: Arc<dyn UserDirectory>) {
        self.shared.access.set_users(Arc::clone(&users));
        *self.shared.users.write().unwrap_or_else(PoisonError::into_inner) = Some(users);
    }

    /// Ends the connections whose credentials its users refuse now. Call it when they have changed.
    /// A client hears why at its next call; its locks end at once, also those of clients that are
    /// away.
    pub fn end_refused_sessions(&self) {
        let Some(users) = self.shared.users() else { return };
        for session in self.shared.calls.sessions() {
            if let Some(login) = session.login() {
                login.judge_again(&*users);
            }
        }
        let locks = &self.shared.locks;
        locks.revoke_away(|credential| users::refusal(&*users, credential).is_some());
    }

    /// Serves `object` under `id` from now on.
    ///
    /// # Errors
    /// The id is taken.
    pub fn register(&self, id: &str, object: Arc<dyn Object>) -> Result<(), RegisterError> {
        self.add(id, object, || ())
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
        self.add(id, object, || self.shared.locks.add(id, settings))
    }

    /// Serves `object` under `id` from now on, as a part of the object `with`: its lock, if it has
    /// one, is the lock of both.
    ///
    /// # Errors
    /// The id is taken.
    pub fn register_part(
        &self,
        id: &str,
        object: Arc<dyn Object>,
        with: &str,
    ) -> Result<(), RegisterError> {
        self.add(id, object, || {
            self.shared.locks.share(id, with);
            self.shared.call_rules.share(id, with);
            self.shared.access.share(id, with);
        })
    }

    /// The lock comes first: there must be no moment at which the object has none.
    fn add(
        &self,
        id: &str,
        object: Arc<dyn Object>,
        add_lock: impl FnOnce(),
    ) -> Result<(), RegisterError> {
        let is_added = self.shared.registry.add(id, object, add_lock);
        if is_added { Ok(()) } else { Err(RegisterError(id.to_owned())) }
    }

    /// Sets the rules for calls of the object of this id, and of its parts. Those of
    /// `Pyro.Daemon` are for all objects without rules.
    pub fn set_call_rules(&self, id: &str, rules: CallRules) {
        self.shared.call_log.allow(rules.log, rules.is_audited);
        self.shared.call_rules.set(id, rules);
    }

    /// Hands a record of each call that the rules of its object log to `log` from now on. Calls
    /// that take longer than `slow` are found by [`calls`](Self::calls), which must be called once
    /// a second.
    pub fn log_calls(&self, log: CallLog, slow: Option<Duration>) {
        self.shared.call_log.start(log, slow);
    }

    /// Applies these rules of access from now on, to open connections too; with `None` every client
    /// may do everything.
    pub fn set_access(&self, rules: Option<AccessRules>) {
        self.shared.access.set_rules(rules);
    }

    /// Hands refusals by the rules of access, and acts that need the role `admin`, to `log`.
    pub fn log_access(&self, log: AccessLog) {
        self.shared.access.set_log(log);
    }

    /// Hands clients that are refused in their handshakes to `log`.
    pub fn log_refused_clients(&self, log: RefusedClientLog) {
        self.shared.access.set_refused_client_log(log);
    }

    /// How many calls the rules of access have refused.
    pub fn refused_calls(&self) -> u64 {
        self.shared.access.refused()
    }

    /// The rules as this daemon applies them, for objects that
    /// [check access](Object::checks_access) themselves.
    pub fn access_gate(&self) -> Arc<AccessGate> {
        Arc::clone(&self.shared.access)
    }

    /// Hands records to `audit` from now on: of calls that are refused or break locks, and of each
    /// call where the rules of its object say so. While `failing` is set, the latter are refused.
    pub fn audit_calls(&self, audit: AuditLog, failing: Option<Arc<AtomicBool>>) {
        self.shared.call_log.start_audit(audit, failing);
    }

    /// Has running calls of the object of this id, and of its parts, aborted by these methods of
    /// it: when a client goes during its call, when an owner loses its lock, when a call takes
    /// longer than it may, and by the method `abort` of `Pyro.Daemon`. Without methods nothing
    /// aborts them.
    pub fn abort_calls_by(&self, id: &str, methods: Vec<String>) {
        self.shared.locks.aborts.set_methods(id, methods);
    }

    /// The failures of the last abort of an object's calls, if there were any.
    pub fn abort_trouble(&self, id: &str) -> Option<String> {
        self.shared.locks.aborts.trouble(id)
    }

    /// Replaces the settings of an object's lock, if it has one; who has the lock and who waits for
    /// it stays.
    pub fn set_lock_settings(&self, id: &str, settings: LockSettings) {
        self.shared.locks.set_settings(id, settings);
    }

    /// The methods by which clients lock the object of this id, if they can.
    pub fn lock_methods(&self, id: &str) -> &'static [&'static str] {
        if self.shared.locks.settings(id).is_some() { &methods::METHODS } else { &[] }
    }

    /// Hands every record of the locks to `log` from now on, in order.
    pub fn log_locks(&self, log: LockLog) {
        self.shared.locks.set_log(log);
    }

    /// The status of every lock, sorted by id.
    pub fn locks(&self) -> Vec<LockStatus> {
        self.shared.locks.status()
    }

    /// The calls that run or wait now, the longest first.
    pub fn calls(&self) -> Vec<CallStatus> {
        let locks = &self.shared.locks;
        let lock_of = |id: &str| locks.status_of(id).map(|(status, _)| status);
        self.shared.calls.list(lock_of, self.shared.call_log.marked_after())
    }

    /// A handle that counts the calls of this daemon's objects, for objects that it serves.
    pub fn call_counter(&self) -> CallCounter {
        CallCounter::new(&self.shared.registry)
    }

    /// The connections that are served now.
    pub fn connections(&self) -> ConnectionsStatus {
        ConnectionsStatus::of(&self.shared.admission.pool)
    }

    /// The maker of the daemon's own calls of the object of this id, for one reason.
    pub fn own_caller(&self, id: &str, reason: OwnCallReason) -> OwnCaller {
        OwnCaller::new(&self.shared, id, reason)
    }

    /// Changes whenever [`locks`](Self::locks) may have.
    pub fn lock_changes(&self) -> watch::Receiver<u64> {
        self.shared.locks.changes()
    }

    /// The locks that outlive this process: those with a token. The next process of the daemon
    /// [restores](Self::restore_lock) them.
    pub fn kept_locks(&self) -> Vec<KeptLock> {
        self.shared.locks.kept()
    }

    /// Restores a lock of an earlier process of this daemon, for an owner who may come back with
    /// the token within `left`. Call it before the daemon serves. False if its object has no lock,
    /// or its epoch is not below those of this process.
    pub fn restore_lock(&self, lock: &KeptLock, left: Duration) -> bool {
        self.shared.locks.restore(lock, left)
    }

    /// A handle that breaks locks of this daemon, for objects that it serves.
    pub fn lock_breaker(&self) -> LockBreaker {
        LockBreaker { locks: Arc::downgrade(&self.shared.locks) }
    }

    /// Stops serving the object of this id; true if there was one.
    pub fn unregister(&self, id: &str) -> bool {
        let is_removed = self.shared.registry.remove(id);
        if is_removed {
            self.shared.locks.end_share(id);
            self.shared.call_rules.remove(id);
            self.shared.access.end_share(id);
        }
        is_removed
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
            .field("objects", &self.shared.registry.ids())
            .finish_non_exhaustive()
    }
}
