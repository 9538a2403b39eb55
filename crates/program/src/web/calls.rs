//! Reads, sets and calls of members, for one request each.
//!
//! A set or a call holds the lock of the service meanwhile, where it has one that is free. Where
//! somebody else has it the daemon decides: some members are everybody's (`read_while_locked`), and
//! the refusal of the others names the owner.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use lab_config::did_you_mean;
use remote::card::{Card, Member, ParameterKind};
use remote::{Called, Dict, Error, Proxy, Value};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use super::body::read_object;
use super::problem::Problem;
use super::proxies::{PROXY_TIMEOUT, proxy};
use super::services::{find, known, local_uri};
use super::sessions::BrowserSession;
use super::shared::Shared;
use super::values::{coerce, to_json};
use super::visibility::Visibility;
use crate::card;
use crate::supervise::control::ServiceRow;

/// Calls at once; each may take as long as its driver does.
pub(super) const CALLS: usize = 64;
/// Items of a stream that are read for an answer,
const MAX_ITEMS: usize = 1000;
/// their bytes in memory, after which no further one is read,
const MAX_ITEM_BYTES: usize = 16 * 1024 * 1024;
/// and the time for them.
const ITEMS_TIME: Duration = Duration::from_secs(10);

/// The use of a member.
pub(super) enum MemberUse {
    Read,
    Set(Value),
    Call { args: Vec<Value>, kwargs: Vec<(String, Value)> },
}

/// The outcome of a call.
pub(super) enum Outcome {
    Value(Value),
    /// Items of a stream, and whether these are all.
    Items(Vec<Value>, bool),
}

/// `GET /api/services/{name}/members/{member}`
pub(super) async fn read(
    State(shared): State<Arc<Shared>>,
    Extension(session): Extension<Arc<BrowserSession>>,
    visibility: Visibility,
    Path((name, member)): Path<(String, String)>,
) -> Result<Response, Problem> {
    // A read calls the driver, which may move the instrument.
    if session.login_token().is_none()
        && let Some(why) = shared.guard.readonly()
    {
        return Err(Problem::forbidden("read-only", why));
    }
    let row = visible(&shared, &visibility, &name).await?;
    let outcome = perform(&shared, &session, &row, &member, MemberUse::Read).await?;
    answer(&shared, "value", outcome).await
}

/// `PUT /api/services/{name}/members/{member}` with `{"value": …}`
pub(super) async fn set(
    State(shared): State<Arc<Shared>>,
    Extension(session): Extension<Arc<BrowserSession>>,
    visibility: Visibility,
    Path((name, member)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let mut body = read_object(&shared.bodies, &headers, body).await?;
    let Some(value) = body.remove("value") else {
        return Err(Problem::bad_request("the body is `{\"value\": …}`"));
    };
    let row = visible(&shared, &visibility, &name).await?;
    perform(&shared, &session, &row, &member, MemberUse::Set(value)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /api/services/{name}/call/{member}` with `{"args": [], "kwargs": {}}`
pub(super) async fn call(
    State(shared): State<Arc<Shared>>,
    Extension(session): Extension<Arc<BrowserSession>>,
    visibility: Visibility,
    Path((name, member)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let body = read_object(&shared.bodies, &headers, body).await?;
    let (args, kwargs) = arguments(body)?;
    let row = visible(&shared, &visibility, &name).await?;
    let outcome =
        perform(&shared, &session, &row, &member, MemberUse::Call { args, kwargs }).await?;
    answer(&shared, "result", outcome).await
}

fn arguments(mut body: Dict) -> Result<(Vec<Value>, Vec<(String, Value)>), Problem> {
    let wrong = || Problem::bad_request("the body is `{\"args\": […], \"kwargs\": {…}}`");
    let args = match body.remove("args") {
        None | Some(Value::None) => Vec::new(),
        Some(Value::List(args) | Value::Tuple(args)) => args,
        Some(_) => return Err(wrong()),
    };
    let kwargs = match body.remove("kwargs") {
        None | Some(Value::None) => Dict::new(),
        Some(Value::Dict(kwargs)) => kwargs,
        Some(_) => return Err(wrong()),
    };
    if !body.is_empty() {
        return Err(wrong());
    }
    let named = |(key, value): (Value, Value)| match key {
        Value::Str(key) => Ok((key, value)),
        _ => Err(wrong()),
    };
    Ok((args, kwargs.into_iter().map(named).collect::<Result<_, _>>()?))
}

/// The answer with a value, under `key`.
async fn answer(
    shared: &Arc<Shared>,
    key: &'static str,
    outcome: Outcome,
) -> Result<Response, Problem> {
    let results = Arc::clone(&shared.results);
    // A large value takes its time.
    let written = tokio::task::spawn_blocking(move || match outcome {
        Outcome::Value(value) => {
            to_json(value, Some(&results)).map(|text| format!("{{\"{key}\":{text}}}"))
        }
        Outcome::Items(items, complete) => {
            let items: Result<Vec<String>, String> =
                items.into_iter().map(|item| to_json(item, Some(&results))).collect();
            let list = |items: Vec<String>| items.join(",");
            items.map(list).map(|items| {
                format!("{{\"{key}\":[{items}],\"stream\":true,\"complete\":{complete}}}")
            })
        }
    });
    let written = written.await.unwrap_or_else(|error| Err(error.to_string()));
    let text = written.map_err(|error| {
        let title = "The result cannot be shown.";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "no-json", title, error)
    })?;
    let kind = HeaderValue::from_static("application/json");
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

/// The row of a service that a client may see, once the lab is known.
async fn visible(
    shared: &Shared,
    visibility: &Visibility,
    name: &str,
) -> Result<ServiceRow, Problem> {
    known(shared).await?;
    find(shared, visibility, name)
}

/// Uses a member of a service of this lab.
///
/// # Errors
/// What the service raised, or why it was not asked.
pub(super) async fn perform(
    shared: &Arc<Shared>,
    session: &Arc<BrowserSession>,
    row: &ServiceRow,
    member: &str,
    how: MemberUse,
) -> Result<Outcome, Problem> {
    let (name, uri) = (row.name.as_str(), local_uri(shared, row).await?);
    let _place = take_place(shared)?;
    let changes = !matches!(how, MemberUse::Read);
    if let Some(held) = session.held(name)
        && changes
    {
        let mut proxy = match held.connection().await {
            Ok(proxy) => proxy,
            Err(error) => {
                if matches!(error, Error::Remote(_)) {
                    session.remove(name);
                }
                return Err(Problem::of_call(&error));
            }
        };
        return use_member(&mut proxy, name, member, how).await;
    }
    let mut proxy = proxy(&shared.keys, session.login(), &row.daemon, uri);
    let is_locked = changes && row.report.lock.is_some() && lock(&mut proxy, session).await?;
    let outcome = use_member(&mut proxy, name, member, how).await;
    if is_locked {
        proxy.set_timeout(Some(PROXY_TIMEOUT));
        // Where that fails, the lock ends with the connection.
        let _ = proxy.call("unlock", Vec::new(), Vec::new()).await;
    }
    outcome
}

pub(super) fn take_place(shared: &Arc<Shared>) -> Result<OwnedSemaphorePermit, Problem> {
    let place = Arc::clone(&shared.calls).try_acquire_owned();
    let busy = |_| Problem::unavailable("busy", format!("{CALLS} calls of the page run already"));
    place.map_err(busy)
}

/// Takes the lock for a call; false where another has it.
async fn lock(proxy: &mut Proxy, session: &BrowserSession) -> Result<bool, Problem> {
    let user = vec![Value::from(session.user.as_str())];
    match proxy.call("lock", user, Vec::new()).await {
        Ok(granted) => Ok(granted.as_bool() == Some(true)),
        Err(Error::Remote(_) | Error::Unexposed { .. }) => Ok(false),
        Err(error) => Err(Problem::of_call(&error)),
    }
}

async fn use_member(
    proxy: &mut Proxy,
    name: &str,
    member: &str,
    how: MemberUse,
) -> Result<Outcome, Problem> {
    let failed = |error: Error| Problem::of_call(&error);
    let card = card::fetch_from(proxy, name).await.map_err(failed)?;
    let Some(known) = card.member(member) else { return Err(unknown_member(&card, name, member)) };
    // A move takes as long as it takes.
    proxy.set_timeout(None);
    match how {
        MemberUse::Read => proxy.get(member).await.map(Outcome::Value).map_err(failed),
        MemberUse::Set(value) => {
            let value = coerce(value, &known.value.kind);
            proxy.set(member, value).await.map_err(failed)?;
            Ok(Outcome::Value(Value::None))
        }
        MemberUse::Call { args, kwargs } => {
            let (args, kwargs) = coerce_arguments(known, args, kwargs);
            let mut items =
                match proxy.call_or_stream(member, args, kwargs).await.map_err(failed)? {
                    Called::Value(value) => return Ok(Outcome::Value(value)),
                    Called::Items(items) => items,
                };
            let (mut read, end) = (Vec::new(), Instant::now() + ITEMS_TIME);
            let mut bytes = 0;
            while read.len() < MAX_ITEMS && bytes < MAX_ITEM_BYTES {
                match timeout_at(end, items.next()).await {
                    Ok(Ok(Some(item))) => {
                        bytes += item.memory();
                        read.push(item);
                    }
                    Ok(Ok(None)) => return Ok(Outcome::Items(read, true)),
                    Ok(Err(error)) => return Err(Problem::of_call(&error)),
                    Err(_) => break,
                }
            }
            let _ = items.close().await;
            Ok(Outcome::Items(read, false))
        }
    }
}

fn unknown_member(card: &Card, name: &str, member: &str) -> Problem {
    let names = card.members.iter().map(|member| member.name.as_str());
    let help = did_you_mean(member, names).map(|help| format!("; {help}")).unwrap_or_default();
    let detail = format!("service '{name}' has no member '{member}'{help}");
    Problem::not_found("unknown-member", detail)
}

/// Arguments in the types of the card.
fn coerce_arguments(
    member: &Member,
    args: Vec<Value>,
    kwargs: Vec<(String, Value)>,
) -> (Vec<Value>, Vec<(String, Value)>) {
    let Some(parameters) = &member.parameters else { return (args, kwargs) };
    let mut by_place = parameters
        .iter()
        .filter(|one| matches!(one.kind, ParameterKind::Either | ParameterKind::Positional));
    let rest = parameters.iter().find(|one| one.kind == ParameterKind::Variadic);
    let place = |value| match by_place.next().or(rest) {
        Some(parameter) => coerce(value, &parameter.value.kind),
        None => value,
    };
    let args = args.into_iter().map(place).collect();
    let others = parameters.iter().find(|one| one.kind == ParameterKind::Keywords);
    let name = |(key, value): (String, Value)| {
        let parameter = parameters.iter().find(|one| one.is_single() && one.name == key);
        match parameter.or(others) {
            Some(parameter) => {
                let value = coerce(value, &parameter.value.kind);
                (key, value)
            }
            None => (key, value),
        }
    };
    (args, kwargs.into_iter().map(name).collect())
}

/// The row of a service that can be locked.
pub(super) fn lockable(
    shared: &Shared,
    visibility: &Visibility,
    name: &str,
) -> Result<ServiceRow, Problem> {
    let row = find(shared, visibility, name)?;
    if row.report.uri.is_some() && row.report.lock.is_none() {
        let detail = format!(
            "'{name}' has no lock: write `classname: LockableDaemon` in the configuration of daemon \
             {}",
            row.daemon
        );
        return Err(Problem::not_found("no-lock", detail));
    }
    Ok(row)
}
