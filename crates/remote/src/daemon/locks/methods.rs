//! The methods that a lock adds to its object: `lock`, `unlock`, `islocked`, `lock_info`; and
//! `release`, which a daemon has for those who break a lock.
//!
//! Owns their names, arguments and results.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use wire::exception::Exception;
use wire::uri::Uri;
use wire::value::{Dict, Value};

use super::breaker::LockBreaker;
use super::table::Locks;
use crate::arguments::Signature;
use crate::daemon::Shared;
use crate::lock::status::{LockState, LockWaiter};
use crate::lock::token::TokenHash;
use crate::lock::types::{Break, Outcome};
use crate::object::MethodCall;
use crate::session::Session;

/// The methods of an object that can be locked, beside its own.
pub(crate) const METHODS: [&str; 4] = ["lock", "unlock", "islocked", "lock_info"];

/// The method of a daemon by which a lock is broken.
pub(crate) const RELEASE: &str = "release";

const LOCK: Signature =
    Signature { name: "Lockable.lock", parameters: &["user", "wait", "token", "ttl"], required: 0 };
const UNLOCK: Signature = Signature::none("Lockable.unlock");
const IS_LOCKED: Signature = Signature::none("Lockable.islocked");
const LOCK_INFO: Signature = Signature::none("Lockable.lock_info");
const RELEASE_SIGNATURE: Signature =
    Signature { name: "Daemon.release", parameters: &["uri", "reason", "user"], required: 1 };

/// How long a lock with a token outlives its connection where the owner does not say.
const TTL: Duration = Duration::from_secs(60);
/// Characters that a name or a reason may have; both are shown to people.
const LONGEST_TEXT: usize = 256;
/// Bytes that a token may have.
const LONGEST_TOKEN: usize = 1024;

/// Whether a call is a `lock` that may wait for as long as it says.
pub(crate) fn waits(call: &MethodCall) -> bool {
    let by_place = LOCK.parameters.iter().position(|name| *name == "wait");
    let by_place = by_place.and_then(|place| call.args.get(place));
    let by_name = call.kwargs.iter().find(|(name, _)| name == "wait").map(|(_, value)| value);
    call.method == "lock" && by_place.or(by_name).is_some_and(|wait| !wait.is_none())
}

/// Carries out one of [`METHODS`].
pub(crate) async fn call(
    shared: &Arc<Shared>,
    id: &str,
    session: &Arc<Session>,
    call: MethodCall,
) -> Result<Value, Exception> {
    match call.method.as_str() {
        "lock" => lock(shared, id, session, call).await,
        "unlock" => {
            let token = shown("unlock", UNLOCK, call)?;
            Ok(Locks::unlock(shared, id, session, token)?.into())
        }
        "islocked" => {
            IS_LOCKED.bind(call).map(|[]| ())?;
            Ok(shared.locks.look(id).is_some_and(|(status, _)| status.owner.is_some()).into())
        }
        _ => {
            let token = shown("lock_info", LOCK_INFO, call)?;
            Ok(info(shared, id, token))
        }
    }
}

async fn lock(
    shared: &Arc<Shared>,
    id: &str,
    session: &Arc<Session>,
    call: MethodCall,
) -> Result<Value, Exception> {
    let [user, wait, token, ttl] = LOCK.bind(call)?;
    let user = text("user", user)?;
    let settings = shared.locks.settings(id).unwrap_or_default();
    let wait = seconds("wait", wait, ("lock_max_wait", settings.max_wait))?;
    let ttl = seconds("ttl", ttl, ("lock_max_ttl", settings.max_ttl))?;
    let token = hash("lock", token)?;
    if token.is_none() && ttl.is_some() {
        return Err(Exception::value_error("lock(): 'ttl' needs a 'token' to come back with"));
    }
    let token = token.map(|token| (token, ttl.unwrap_or(TTL.min(settings.max_ttl))));
    match Locks::request(shared, id, session, user, wait, token).await {
        Outcome::Granted { .. } => Ok(true.into()),
        Outcome::TimedOut => Ok(false.into()),
        Outcome::Refused(refusal) => Err(refusal.into()),
    }
}

/// `release(uri, reason="", user="")` on behalf of a client at `address`.
///
/// # Errors
/// The arguments are wrong, or there is no such lock.
pub(crate) fn release(
    breaker: &LockBreaker,
    address: &str,
    call: MethodCall,
) -> Result<Value, Exception> {
    let [uri, reason, user] = RELEASE_SIGNATURE.bind(call)?;
    let uri = uri.unwrap_or(Value::None);
    let uri = match &uri {
        Value::Str(text) => text.parse::<Uri>().ok(),
        other => Uri::from_value(other),
    };
    let Some(Uri::Pyro { object, .. }) = uri else {
        return Err(Exception::pyro_error("invalid uri"));
    };
    let (reason, user) = (text("reason", reason)?, text("user", user)?);
    let by = if user.is_empty() { address.to_owned() } else { format!("{user} at {address}") };
    breaker.break_lock(&object, Break { by, reason }).map(Value::from)
}

fn info(shared: &Shared, id: &str, token: Option<TokenHash>) -> Value {
    let Some((status, idle)) = shared.locks.look(id) else { return Value::None };
    let mut dict = Dict::with_capacity(12);
    let owner = status.owner.as_ref();
    let away = owner.and_then(|owner| owner.away);
    let left = away.map(|until| until.saturating_duration_since(Instant::now()));
    let (next, after) = match &status.state {
        LockState::Granting { next } => (Some(next.clone()), None),
        LockState::Ending { after } | LockState::Resting { after } => (None, Some(after.clone())),
        LockState::Free | LockState::Locked | LockState::Away => (None, None),
    };
    dict.insert("locked", owner.is_some());
    dict.insert("state", status.state.word());
    dict.insert("user", owner.map(|owner| owner.user.clone()));
    dict.insert("address", owner.map(|owner| owner.address.clone()));
    dict.insert("since", owner.map(|owner| timestamp(owner.since)));
    dict.insert("epoch", owner.and_then(|owner| i64::try_from(owner.epoch).ok()));
    dict.insert("idle", owner.map(|_| idle.as_secs_f64()));
    dict.insert("away", away.is_some());
    dict.insert("expires_in", left.map(|left| left.as_secs_f64()));
    dict.insert("next", next);
    dict.insert("after", after);
    if let Some(token) = token {
        dict.insert("yours", shared.locks.is_by(id, token));
    }
    dict.insert("waiting", Value::List(status.waiting.into_iter().map(waiter).collect()));
    Value::Dict(dict)
}

fn waiter(waiter: LockWaiter) -> Value {
    let mut dict = Dict::with_capacity(3);
    dict.insert("user", waiter.user);
    dict.insert("address", waiter.address);
    dict.insert("since", timestamp(waiter.since));
    Value::Dict(dict)
}

/// As Python's `time.time()`.
fn timestamp(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// A text for people. PyroLab takes whatever a client gives as its name, and so do we.
fn text(name: &str, value: Option<Value>) -> Result<String, Exception> {
    let text = match value {
        None | Some(Value::None) => String::new(),
        Some(Value::Str(text)) => text,
        Some(other) => other.to_string(),
    };
    if text.chars().count() > LONGEST_TEXT {
        return Err(Exception::value_error(format!(
            "'{name}' has more than {LONGEST_TEXT} characters"
        )));
    }
    Ok(text)
}

/// The token that a method without other arguments was given, by its name only: PyroLab's `unlock()`
/// takes no argument.
fn shown(
    method: &str,
    without: Signature,
    call: MethodCall,
) -> Result<Option<TokenHash>, Exception> {
    let [token] = match call.args.is_empty() {
        true => Signature { parameters: &["token"], ..without }.bind(call)?,
        false => without.bind(call).map(|[]| [None])?,
    };
    hash(method, token)
}

/// The hash of a token, if one was given.
fn hash(method: &str, token: Option<Value>) -> Result<Option<TokenHash>, Exception> {
    let length = match &token {
        Some(Value::Str(token)) => token.len(),
        Some(Value::Bytes(token)) => token.len(),
        _ => 0,
    };
    if length > LONGEST_TOKEN {
        return Err(Exception::value_error(format!(
            "{method}(): 'token' has {length} bytes; at most {LONGEST_TOKEN} will do"
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

/// No time may be longer: clocks end somewhere.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

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
    let most = most.min(FOR_EVER);
    let time = Duration::try_from_secs_f64(number).ok().filter(|time| *time <= most);
    let limit = || format!(" and at most {} (the service's {setting})", most.as_secs_f64());
    time.map(Some).ok_or_else(|| wrong(limit()))
}
