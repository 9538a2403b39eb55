//! The rules of access as a daemon applies them: to the objects that it serves, for the clients
//! that it knows.
//!
//! Without rules a call costs one look at a flag. With them, each connection keeps its rights on
//! the object that it used last. Which role may do what is decided in [`access`](crate::access).

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Instant;

use tracing::{info, warn};
use wire::exception::Exception;

use crate::access::{
    AccessCaller, AccessKind, AccessObject, AccessRefusal, AccessRules, Decision, Rights,
};
use crate::daemon::log_limiter::LogLimiter;
use crate::session::{Peer, Session};
use crate::users::UserDirectory;
use crate::value_text::beginning;

/// Bytes of a member's name in a refusal: it has come from the client.
const MAX_MEMBER_BYTES: usize = 80;
/// Bytes of an object's name in a refusal: those of a nameserver come from the client.
const MAX_OBJECT_BYTES: usize = 1024;

/// An event of access: a refusal, or an act that needs the role `admin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessEvent {
    /// The client, as locks and logs name it.
    pub who: Arc<str>,
    /// Its address.
    pub from: String,
    /// The object's id, or a name of a nameserver.
    pub object: String,
    /// The member; empty where it is about the whole object.
    pub member: String,
    /// The use that it asked for.
    pub kind: AccessKind,
    /// Why it was refused; `None` where it was carried out.
    pub refused: Option<String>,
}

/// A client that was refused before it had a session: its credential, or its TLS handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedClient {
    /// Its address.
    pub peer: Peer,
    /// The reason, which it is told where it can hear it.
    pub reason: String,
}

/// Receives refused clients. It is called in their handshakes, and must not block.
pub type RefusedClientLog = Arc<dyn Fn(RefusedClient) + Send + Sync>;

/// Receives events of access. It is called on the thread of the call, and must not block.
pub type AccessLog = Arc<dyn Fn(&AccessEvent) + Send + Sync>;

/// The rules that a daemon applies, and its log of refusals.
#[derive(Default)]
pub struct AccessGate {
    is_on: AtomicBool,
    /// Rises with each change of the rules.
    generation: AtomicU64,
    table: RwLock<Table>,
    log: OnceLock<AccessLog>,
    refused_clients: OnceLock<RefusedClientLog>,
    limiter: LogLimiter,
    refused: AtomicU64,
}

#[derive(Default)]
struct Table {
    rules: Option<Arc<AccessRules>>,
    /// The users, who may belong to groups.
    users: Option<Arc<dyn UserDirectory>>,
    /// Objects that have the rules of a service: its parts, and objects that its driver registers.
    services: HashMap<String, String>,
}

impl AccessGate {
    /// Whether there are rules at all.
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Acquire)
    }

    /// Applies these rules from now on.
    pub(crate) fn set_rules(&self, rules: Option<AccessRules>) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let is_on = rules.is_some();
        table.rules = rules.map(Arc::new);
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.is_on.store(is_on, Ordering::Release);
    }

    /// Asks these users for their groups from now on.
    pub(crate) fn set_users(&self, users: Arc<dyn UserDirectory>) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        table.users = Some(users);
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Has the rights of all connections looked up anew: users have other groups.
    pub fn forget_rights(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn set_log(&self, log: AccessLog) {
        let _ = self.log.set(log);
    }

    pub(crate) fn set_refused_client_log(&self, log: RefusedClientLog) {
        let _ = self.refused_clients.set(log);
    }

    /// Hands on that a client was refused in its handshake.
    pub(crate) fn tell_refused_client(&self, peer: &Peer, reason: impl FnOnce() -> String) {
        if let Some(log) = self.refused_clients.get() {
            log(RefusedClient { peer: peer.clone(), reason: reason() });
        }
    }

    /// How many refusals there were.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// From now on the object of this id has the rules of the service of `with`.
    pub(crate) fn share(&self, id: &str, with: &str) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let service = table.service(with).to_owned();
        table.services.insert(id.to_owned(), service);
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// The object of this id is not served any longer.
    pub(crate) fn end_share(&self, id: &str) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        if table.services.remove(id).is_some() {
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// The rights of a client on an object.
    fn rights(&self, session: &Session, id: &str) -> Arc<Rights> {
        // Read before the rules: rights of newer rules are only thrown away once too often.
        let generation = self.generation.load(Ordering::Acquire);
        session.access.get(generation, id, || {
            let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
            let Some(rules) = &table.rules else { return Rights::default() };
            let object = AccessObject::of(id, table.service(id));
            let name = session.identity().known().map(|name| &**name);
            let groups = name.zip(table.users.as_ref()).map(|(name, users)| users.groups_of(name));
            let (groups, is_local) = (groups.unwrap_or_default(), session.is_local());
            rules.rights(AccessCaller { name, groups: &groups, is_local }, object)
        })
    }

    /// Whether a client may do something; `holds_lock` is asked where that counts.
    pub(crate) fn allows(
        &self,
        session: &Session,
        id: &str,
        (member, kind): (&str, AccessKind),
        holds_lock: impl FnOnce() -> bool,
    ) -> bool {
        !self.is_on()
            || match self.rights(session, id).decide(member, kind) {
                Decision::Allowed => true,
                Decision::WithLock => holds_lock(),
                Decision::Refused { .. } => false,
            }
    }

    /// Checks whether a client may do something now, and returns whether it may only with the lock.
    /// Without rules only a client whose login was withdrawn is refused.
    ///
    /// # Errors
    /// It may not: a built-in `PermissionError`, which is counted and logged.
    pub(crate) fn check(
        &self,
        session: &Session,
        id: &str,
        (member, kind): (&str, AccessKind),
        holds_lock: impl FnOnce() -> bool,
    ) -> Result<bool, Exception> {
        // Of a batch or a stream that began before.
        if let Some(reason) = session.revocation() {
            return Err(Exception::new("builtins.PermissionError", reason));
        }
        if !self.is_on() {
            return Ok(false);
        }
        match self.rights(session, id).decide(member, kind) {
            Decision::Allowed => Ok(false),
            Decision::WithLock if holds_lock() => Ok(true),
            decision => Err(self.refuse(session, id, (member, kind), decision)),
        }
    }

    /// Whether a client may use a member of an object without its lock. Unlike a check, it is not
    /// logged.
    pub fn may(&self, session: &Session, id: &str, member: &str, kind: AccessKind) -> bool {
        self.allows(session, id, (member, kind), || false)
    }

    /// Checks whether a client may do something with a name, or with an object as a whole.
    ///
    /// # Errors
    /// It may not: a built-in `PermissionError`, which is counted and logged.
    pub fn check_name(
        &self,
        session: &Session,
        name: &str,
        kind: AccessKind,
    ) -> Result<(), Exception> {
        match self.is_on() {
            true => self.check(session, name, ("", kind), || false).map(drop),
            false => Ok(()),
        }
    }

    /// The exception of a refusal, which is counted, logged and handed to the audit.
    pub(crate) fn refuse(
        &self,
        session: &Session,
        id: &str,
        (member, kind): (&str, AccessKind),
        decision: Decision,
    ) -> Exception {
        let identity = session.identity();
        let (who, is_anonymous) = (&*identity.name, identity.known().is_none());
        let member = beginning(member, MAX_MEMBER_BYTES);
        let object = beginning(id, MAX_OBJECT_BYTES);
        let refusal = AccessRefusal { who, is_anonymous, object, member, kind, decision };
        let exception = refusal.exception();
        self.refused.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        if let Some(count) = self.limiter.take_suppressed(now) {
            warn!(count, "more calls were refused: their clients may not make them");
        }
        if self.limiter.allow(now) {
            warn!(peer = %session.peer, refusal = %refusal, "a call is refused");
        }
        self.tell(session, id, (member, kind), Some(exception.message()));
        exception
    }

    /// Logs an act that needs the role `admin`, and that is carried out.
    pub(crate) fn log_admin_act(
        &self,
        session: &Session,
        id: &str,
        member: &str,
        kind: AccessKind,
    ) {
        if self.is_on() {
            let who = session.identity();
            info!(peer = %session.peer, %who, object = id, member, "an act of an admin");
        }
        self.tell(session, id, (member, kind), None);
    }

    fn tell(
        &self,
        session: &Session,
        id: &str,
        (member, kind): (&str, AccessKind),
        refused: Option<String>,
    ) {
        let Some(log) = self.log.get() else { return };
        log(&AccessEvent {
            who: Arc::clone(&session.identity().name),
            from: session.peer.to_string(),
            object: beginning(id, MAX_OBJECT_BYTES).to_owned(),
            member: member.to_owned(),
            kind,
            refused,
        });
    }
}

impl Table {
    /// The service whose rules an object has: mostly its own.
    fn service<'a>(&'a self, id: &'a str) -> &'a str {
        self.services.get(id).map_or(id, String::as_str)
    }
}

impl fmt::Debug for AccessGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessGate").field("is_on", &self.is_on()).finish_non_exhaustive()
    }
}
