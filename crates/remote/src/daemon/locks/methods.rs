//! The methods that a lock adds to its object: `lock`, `unlock`, `islocked`, `lock_info`; and
//! `release` and `abort` of a daemon, which break a lock and abort calls.
//!
//! Their names, arguments and results.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use wire::exception::Exception;
use wire::uri::Uri;
use wire::value::{Dict, Value};

use crate::access::{AccessKind, Decision, Role};
use crate::arguments::Signature;
use crate::daemon::locks::abort;
use crate::daemon::locks::table::LockTable;
use crate::lock::status::{LockState, LockWaiter};
use crate::lock::types::{Break, Outcome, Refusal};
use crate::object::MethodCall;
use crate::session::Session;
use crate::token::TokenHash;

/// The methods of an object that can be locked, beside its own.
pub(crate) const METHODS: [&str; 4] = [LOCK_METHOD, "unlock", "islocked", "lock_info"];

/// The one of them that may wait.
pub(crate) const LOCK_METHOD: &str = "lock";

/// The method of a daemon by which a lock is broken.
pub(crate) const RELEASE: &str = "release";

/// The method of a daemon by which running calls are aborted.
pub(crate) const ABORT: &str = "abort";

const LOCK: Signature =
    Signature { name: "Lockable.lock", parameters: &["user", "wait", "token", "ttl"], required: 0 };
const ABORT_CALL: Signature =
    Signature { name: "Daemon.abort", parameters: &["uri", "reason", "user"], required: 1 };
const RELEASE_CALL: Signature =
    Signature { name: "Daemon.release", parameters: &["uri", "reason", "user"], required: 1 };
const UNLOCK: Signature = Signature::empty("Lockable.unlock");
const IS_LOCKED: Signature = Signature::empty("Lockable.islocked");
const LOCK_INFO: Signature = Signature::empty("Lockable.lock_info");

/// How long a lock with a token outlives its connection by default.
const DEFAULT_TTL: Duration = Duration::from_secs(60);
/// Characters of a name or a reason; both are shown to people.
const MAX_TEXT_CHARS: usize = 256;
/// Bytes of a token.
const MAX_TOKEN_BYTES: usize = 1024;

/// The use that a call of `method` makes of an object, for the rules of access.
pub(crate) fn access_kind(method: &str, has_lock: bool) -> AccessKind {
    match method {
        LOCK_METHOD | "unlock" if has_lock => AccessKind::Lock,
        "islocked" | "lock_info" if has_lock => AccessKind::Describe,
        _ => AccessKind::Call,
    }
}

/// Whether a call is a `lock` with a `wait`.
pub(crate) fn waits(call: &MethodCall) -> bool {
    let by_place = LOCK.parameters.iter().position(|name| *name == "wait");
    let by_place = by_place.and_then(|place| call.args.get(place));
    let by_name = call.kwargs.iter().find(|(name, _)| name == "wait").map(|(_, value)| value);
    call.method == "lock" && by_place.or(by_name).is_some_and(|wait| !wait.is_none())
}

/// Carries out one of [`METHODS`].
pub(crate) async fn call(
    locks: &Arc<LockTable>,
    id: &str,
    session: &Arc<Session>,
    call: MethodCall,
) -> Result<Value, Exception> {
    match call.method.as_str() {
        "lock" => lock(locks, id, session, call).await,
        "unlock" => {
            let token = token_argument("unlock", UNLOCK, call)?;
            Ok(locks.unlock(id, session, token)?.into())
        }
        "islocked" => {
            IS_LOCKED.bind(call).map(|[]| ())?;
            Ok(locks.status_of(id).is_some_and(|(status, _)| status.owner.is_some()).into())
        }
        _ => {
            let token = token_argument("lock_info", LOCK_INFO, call)?;
            Ok(info(locks, id, token))
        }
    }
}

async fn lock(
    locks: &Arc<LockTable>,
    id: &str,
    session: &Arc<Session>,
    call: MethodCall,
) -> Result<Value, Exception> {
    let [user, wait, token, ttl] = LOCK.bind(call)?;
    let user = text("user", user)?;
    let settings = locks.settings(id).unwrap_or_default();
    let wait = seconds("wait", wait, ("lock_max_wait", settings.max_wait))?;
    let ttl = seconds("ttl", ttl, ("lock_max_ttl", settings.max_ttl))?;
    let token = hash_token("lock", token)?;
    if token.is_none() && ttl.is_some() {
        return Err(Exception::value_error("lock(): 'ttl' needs a 'token' to come back with"));
    }
    let token = token.map(|token| (token, ttl.unwrap_or(DEFAULT_TTL.min(settings.max_ttl))));
    match locks.request(id, session, user, wait, token).await {
        Outcome::Granted { .. } => Ok(true.into()),
        Outcome::TimedOut => Ok(false.into()),
        Outcome::Refused(refusal @ Refusal::Busy) => Err(match locks.overdue_call(id) {
            Some(call) => Exception::connection_refused(format!(
                "Pyro object is busy: {call}, is overdue (`call_timeout`) and still runs; its lock \
                 can be had when that has ended"
            )),
            None => refusal.into(),
        }),
        Outcome::Refused(refusal) => Err(refusal.into()),
    }
}

fn info(locks: &LockTable, id: &str, token: Option<TokenHash>) -> Value {
    let Some((status, idle)) = locks.status_of(id) else { return Value::None };
    let mut dict = Dict::with_capacity(13);
    let owner = status.owner.as_ref();
    let expires = owner.and_then(|owner| owner.expires);
    let left = expires.map(|at| at.saturating_duration_since(Instant::now()));
    let idle_limit = owner.and_then(|owner| owner.idle_limit);
    let (next, after) = match &status.state {
        LockState::Granting { next } => (Some(next.clone()), None),
        LockState::Ending { after } | LockState::Resting { after } => (None, Some(after.clone())),
        LockState::Free | LockState::Locked | LockState::Away => (None, None),
    };
    dict.insert("locked", owner.is_some());
    dict.insert("state", status.state.word());
    dict.insert("user", owner.map(|owner| owner.user.clone()));
    if let Some(identity) = owner.and_then(|owner| owner.identity.as_deref()) {
        dict.insert("identity", identity);
    }
    dict.insert("address", owner.map(|owner| owner.address.clone()));
    dict.insert("since", owner.map(|owner| timestamp(owner.since)));
    dict.insert("epoch", owner.and_then(|owner| i64::try_from(owner.epoch).ok()));
    dict.insert("idle", owner.map(|_| idle.as_secs_f64()));
    dict.insert("idle_limit", idle_limit.map(|limit| limit.as_secs_f64()));
    dict.insert("away", owner.is_some_and(|owner| owner.away.is_some()));
    dict.insert("expires_in", left.map(|left| left.as_secs_f64()));
    dict.insert("next", next);
    dict.insert("after", after);
    if let Some(token) = token {
        dict.insert("yours", locks.is_held_with(id, token));
    }
    dict.insert("waiting", Value::List(status.waiting.into_iter().map(waiter).collect()));
    Value::Dict(dict)
}

fn waiter(waiter: LockWaiter) -> Value {
    let mut dict = Dict::with_capacity(3);
    dict.insert("user", waiter.user);
    if let Some(identity) = waiter.identity.as_deref() {
        dict.insert("identity", identity);
    }
    dict.insert("address", waiter.address);
    dict.insert("since", timestamp(waiter.since));
    Value::Dict(dict)
}

/// As Python's `time.time()`.
fn timestamp(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// A text for people. As in PyroLab, any value that a client gives as its name will do.
fn text(name: &str, value: Option<Value>) -> Result<String, Exception> {
    let text = match value {
        None | Some(Value::None) => String::new(),
        Some(Value::Str(text)) => text,
        Some(other) => other.to_string(),
    };
    if text.chars().count() > MAX_TEXT_CHARS {
        return Err(Exception::value_error(format!(
            "'{name}' has more than {MAX_TEXT_CHARS} characters"
        )));
    }
    Ok(text)
}

/// The token given to a method without other arguments, by keyword only: PyroLab's `unlock()` takes
/// no argument.
fn token_argument(
    method: &str,
    without: Signature,
    call: MethodCall,
) -> Result<Option<TokenHash>, Exception> {
    let [token] = match call.args.is_empty() {
        true => Signature { parameters: &["token"], ..without }.bind(call)?,
        false => without.bind(call).map(|[]| [None])?,
    };
    hash_token(method, token)
}

/// The hash of a token, if one was given.
fn hash_token(method: &str, token: Option<Value>) -> Result<Option<TokenHash>, Exception> {
    let length = match &token {
        Some(Value::Str(token)) => token.len(),
        Some(Value::Bytes(token)) => token.len(),
        _ => 0,
    };
    if length > MAX_TOKEN_BYTES {
        return Err(Exception::value_error(format!(
            "{method}(): 'token' has {length} bytes; at most {MAX_TOKEN_BYTES} will do"
        )));
    }
    match token {
        None | Some(Value::None) => Ok(None),
        Some(Value::Str(token)) if !token.is_empty() => Ok(Some(TokenHash::of(token.as_bytes()))),
        Some(Value::Bytes(token)) if !token.is_empty() => Ok(Some(TokenHash::of(&token))),
        Some(_) => Err(Exception::value_error(format!(
            "{method}(): 'token' must be a text that others cannot guess, as secrets.token_hex() \
             makes one"
        ))),
    }
}

/// No time is longer than this: clocks end somewhere.
const MAX_TIME: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// A time of at most what the setting of this name says.
fn seconds(
    name: &str,
    value: Option<Value>,
    (setting, most): (&str, Duration),
) -> Result<Option<Duration>, Exception> {
    let Some(value) = value.filter(|value| !value.is_none()) else { return Ok(None) };
    let wrong = |what: String| {
        Exception::value_error(format!(
            "lock(): '{name}' must be a number of seconds, 0 or more{what}, not {value}"
        ))
    };
    let number = value.as_f64().filter(|number| *number >= 0.0);
    let number = number.ok_or_else(|| wrong(String::new()))?;
    let most = most.min(MAX_TIME);
    let time = Duration::try_from_secs_f64(number).ok().filter(|time| *time <= most);
    let limit = || format!(" and at most {} (the service's {setting})", most.as_secs_f64());
    time.map(Some).ok_or_else(|| wrong(limit()))
}

/// `abort(uri, reason="", user="")` of a daemon, called by `session`: a dict with the methods that
/// were called, and their failures.
pub(crate) async fn abort_calls(
    locks: Arc<LockTable>,
    session: Arc<Session>,
    call: MethodCall,
) -> Result<Value, Exception> {
    let (object, broken) = object_and_break(&session, ABORT_CALL.bind(call)?)?;
    let access = Arc::clone(&locks.access);
    let mut may_break = true;
    if access.is_on() {
        let holds_lock = || locks.is_owner(&object, session.id);
        access.check(&session, &object, ("", AccessKind::Abort), holds_lock)?;
        may_break = access.allows(&session, &object, ("", AccessKind::Break), || false);
    }
    let report = match abort::abort_all(&locks, &object, &session, broken, may_break).await? {
        Some(report) => report,
        None => {
            let refused = Decision::Refused { wanted: Role::Admin };
            return Err(access.refuse(&session, &object, ("", AccessKind::Break), refused));
        }
    };
    access.log_admin_act(&session, &object, ABORT, AccessKind::Abort);
    let texts = |texts: Vec<String>| Value::List(texts.into_iter().map(Value::from).collect());
    let mut dict = Dict::with_capacity(2);
    dict.insert("called", texts(report.called));
    dict.insert("troubles", texts(report.troubles));
    Ok(Value::Dict(dict))
}

/// The exception for a `release` or `abort` in a batch.
pub(crate) fn not_in_batch() -> Exception {
    Exception::value_error("`release` and `abort` cannot be in a batch: call them by themselves")
}

/// The object that a call of `release` or `abort` names, and who has made the call and why.
fn object_and_break(
    session: &Session,
    [uri, reason, user]: [Option<Value>; 3],
) -> Result<(String, Break), Exception> {
    let uri = uri.unwrap_or(Value::None);
    let uri = match &uri {
        Value::Str(text) => text.parse::<Uri>().ok(),
        other => Uri::from_value(other),
    };
    let Some(Uri::Pyro { object, .. }) = uri else {
        return Err(Exception::pyro_error("invalid uri"));
    };
    let (reason, user) = (text("reason", reason)?, text("user", user)?);
    Ok((object, Break { by: session.client_text(&user), reason }))
}

/// A handle that breaks locks of a daemon, for objects that the daemon itself serves; it does not
/// keep the daemon alive.
#[derive(Clone)]
pub struct LockBreaker {
    pub(crate) locks: Weak<LockTable>,
}

impl LockBreaker {
    /// The exception for a `release` in a batch.
    pub fn not_in_batch() -> Exception {
        not_in_batch()
    }

    /// PyroLab's `release(uri, reason="", user="")`, called by `session`.
    ///
    /// # Errors
    /// The arguments are wrong, or there is no such lock.
    pub fn release(&self, session: &Session, call: MethodCall) -> Result<Value, Exception> {
        let (object, broken) = object_and_break(session, RELEASE_CALL.bind(call)?)?;
        let locks = self.locks.upgrade();
        if let Some(locks) = locks.as_ref().filter(|locks| locks.access.is_on())
            && !locks.is_owner(&object, session.id)
        {
            locks.access.check(session, &object, ("", AccessKind::Break), || false)?;
        }
        let was_locked = self.break_lock(&object, broken)?;
        if let Some(locks) = locks.filter(|_| was_locked) {
            locks.access.log_admin_act(session, &object, RELEASE, AccessKind::Break);
        }
        Ok(was_locked.into())
    }

    /// Takes the lock of an object away from its owner; false if it is free.
    ///
    /// # Errors
    /// There is no such lock.
    pub fn break_lock(&self, id: &str, broken: Break) -> Result<bool, Exception> {
        let locks = self.locks.upgrade();
        locks.and_then(|locks| locks.break_lock(id, broken)).ok_or_else(|| {
            // PyroLab's, for whom an unknown object is a missing key.
            Exception::new("builtins.KeyError", id)
        })
    }
}

impl fmt::Debug for LockBreaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LockBreaker")
    }
}
