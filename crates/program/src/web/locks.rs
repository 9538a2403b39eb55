//! Locks that a browser session takes, gives back and breaks.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use remote::{DAEMON_NAME, Error, Uri, Value};
use serde_json::{Value as JsonValue, json};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::body::{read_object, text};
use super::calls::lockable;
use super::held::{HeldLock, TTL};
use super::problem::Problem;
use super::proxies::proxy;
use super::services::{known, local_uri};
use super::sessions::BrowserSession;
use super::shared::Shared;
use super::visibility::Visibility;

/// The longest wait for a lock, in seconds: a browser gives a request up after five minutes.
const MAX_WAIT: f64 = 240.0;
/// Time between two looks at a held lock.
const LOCK_CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// Sessions at once for which locks of an earlier process are looked for.
pub(super) const TAKE_UPS: usize = 4;
/// Time between two attempts to take a lock up, where the lab does not change.
const TAKE_UP_INTERVAL: Duration = Duration::from_secs(1);

/// `POST /api/services/{name}/lock` with `{"user": …, "wait": SECONDS}`
pub(super) async fn lock(
    State(shared): State<Arc<Shared>>,
    Extension(session): Extension<Arc<BrowserSession>>,
    visibility: Visibility,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<JsonValue>, Problem> {
    let mut body = read_object(&shared.bodies, &headers, body).await?;
    known(&shared).await?;
    let row = lockable(&shared, &visibility, &name)?;
    let user = text(body.remove("user"), "user")?.unwrap_or_else(|| session.user.clone());
    let wait = match body.remove("wait") {
        None | Some(Value::None) => None,
        Some(wait) => {
            let seconds = wait.as_f64().filter(|seconds| (0.0..=MAX_WAIT).contains(seconds));
            let wrong = || Problem::bad_request(format!("`wait` is from 0 to {MAX_WAIT} seconds"));
            Some(Duration::from_secs_f64(seconds.ok_or_else(wrong)?))
        }
    };
    let proxy = proxy(&shared.keys, session.login(), &row.daemon, local_uri(&shared, &row).await?);
    let held = HeldLock::take(session.token(&name), &name, proxy, user.clone(), wait).await;
    let Some(held) = held.map_err(|error| Problem::of_call(&error))? else {
        let detail = format!("'{name}' is still locked by another");
        let title = "Somebody else has the lock.";
        return Err(Problem::new(StatusCode::LOCKED, "locked", title, detail));
    };
    let held = Arc::new(held);
    let epoch = held.epoch();
    session.add(&name, Arc::clone(&held));
    tokio::spawn(keep(session, held, shared.stopping.clone()));
    Ok(Json(json!({ "locked": true, "user": user, "epoch": epoch })))
}

/// `POST /api/services/{name}/unlock`
pub(super) async fn unlock(
    State(shared): State<Arc<Shared>>,
    Extension(session): Extension<Arc<BrowserSession>>,
    visibility: Visibility,
    Path(name): Path<String>,
) -> Result<Json<JsonValue>, Problem> {
    known(&shared).await?;
    lockable(&shared, &visibility, &name)?;
    let unlocked = match session.remove(&name) {
        Some(held) => held.release().await.map_err(|error| Problem::of_call(&error))?,
        None => false,
    };
    Ok(Json(json!({ "unlocked": unlocked })))
}

/// `POST /api/services/{name}/break` with `{"reason": …, "user": …}`
pub(super) async fn break_lock(
    State(shared): State<Arc<Shared>>,
    Extension(session): Extension<Arc<BrowserSession>>,
    visibility: Visibility,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<JsonValue>, Problem> {
    let mut body = read_object(&shared.bodies, &headers, body).await?;
    known(&shared).await?;
    let row = lockable(&shared, &visibility, &name)?;
    let reason = text(body.remove("reason"), "reason")?;
    let Some(reason) = reason.filter(|reason| !reason.trim().is_empty()) else {
        let detail =
            "say why: the owner of the lock is shown the `reason`, and the history keeps it";
        return Err(Problem::bad_request(detail));
    };
    let user = text(body.remove("user"), "user")?.unwrap_or_else(|| session.user.clone());
    let uri = local_uri(&shared, &row).await?;
    let request = vec![Value::from(uri.to_string()), reason.as_str().into(), user.as_str().into()];
    // Of the daemon itself, which lets us in for this even where all its places are taken.
    let daemon = match uri {
        Uri::Pyro { location, .. } => Uri::Pyro { object: DAEMON_NAME.into(), location },
        other => other,
    };
    let mut proxy = proxy(&shared.keys, session.login(), &row.daemon, daemon);
    let broken = proxy.call_daemon("release", request).await;
    let broken = broken.map_err(|error: Error| Problem::of_call(&error))?;
    match broken.as_bool() {
        Some(true) => Ok(Json(json!({ "broken": true, "by": user, "reason": reason }))),
        _ => Err(Problem::not_found("not-locked", format!("'{name}' is not locked"))),
    }
}

/// Gives all locks of a session back.
pub(super) async fn release_all(session: &BrowserSession) {
    for held in session.remove_all() {
        // Where that fails, the lock ends with its time.
        let _ = held.release().await;
    }
}

/// Takes up the locks of a session that this process does not know: one before it had them. A
/// daemon that is not known yet, or does not answer, is tried again while it can keep such a lock.
pub(super) async fn take_up(shared: Arc<Shared>, session: Arc<BrowserSession>) {
    let end = Instant::now() + TTL;
    let mut listings = shared.lab.listings();
    // Services that another has locked.
    let mut others = HashSet::new();
    // Anybody can make up a cookie: only a few sessions are looked after at once, and none that
    // has made room for others.
    while Instant::now() < end && !shared.stopping.is_cancelled() && shared.sessions.has(&session) {
        listings.mark_unchanged();
        if let Ok(_place) = shared.take_ups.try_acquire() {
            take_up_listed(&shared, &session, &mut others).await;
        }
        let _ = timeout(TAKE_UP_INTERVAL, listings.changed()).await;
    }
}

async fn take_up_listed(
    shared: &Arc<Shared>,
    session: &Arc<BrowserSession>,
    others: &mut HashSet<String>,
) {
    let listing = shared.lab.listing();
    for row in &listing.services {
        let is_locked = row.report.lock.as_ref().is_some_and(|lock| lock.owner.is_some());
        if !is_locked || others.contains(&row.name) || session.held(&row.name).is_some() {
            continue;
        }
        let Ok(uri) = local_uri(shared, row).await else { continue };
        let proxy = proxy(&shared.keys, session.login(), &row.daemon, uri);
        match HeldLock::resume(session.token(&row.name), &row.name, proxy).await {
            Ok(Some(held)) => {
                let held = Arc::new(held);
                session.add(&row.name, Arc::clone(&held));
                tokio::spawn(keep(Arc::clone(session), held, shared.stopping.clone()));
            }
            Ok(None) => drop(others.insert(row.name.clone())),
            Err(error) => info!(service = row.name, %error, "a lock cannot be taken up yet"),
        }
    }
}

/// Looks after a held lock: keeps its connection, forgets it when it is lost, and gives it back
/// when its session has no tab any more.
async fn keep(session: Arc<BrowserSession>, held: Arc<HeldLock>, stopping: CancellationToken) {
    loop {
        if stopping.run_until_cancelled(sleep(LOCK_CHECK_INTERVAL)).await.is_none() {
            return;
        }
        let is_ours = session.held(&held.service).is_some_and(|own| Arc::ptr_eq(&own, &held));
        if !is_ours {
            return;
        }
        if session.is_left() {
            info!(service = held.service, "the lock of a page that is closed is given back");
            session.remove(&held.service);
            let _ = held.release().await;
            return;
        }
        if !held.is_held().await {
            info!(service = held.service, "a lock of the page is lost");
            session.remove(&held.service);
            return;
        }
    }
}
