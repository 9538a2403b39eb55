//! `GET /api/lab` and `GET /api/services/{name}`: the lab, and one service with its card.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::{Extension, Json};
use lab_config::did_you_mean;
use remote::{Location, Uri};
use serde_json::{Value as JsonValue, json};
use tokio::time::{Instant, timeout_at};

use super::problem::Problem;
use super::proxies::{PageLogin, proxy};
use super::sessions::BrowserSession;
use super::shared::Shared;
use super::visibility::Visibility;
use crate::card::{self, DescribedService};
use crate::supervise::control::ServiceRow;

/// The reason why an empty lab is shown.
const HIDDEN: &str = "this lab shows itself to its users only: log in (`access` in its configuration \
                      gives your address no role)";
/// Longest wait of a request for a daemon that starts.
const START_WAIT: Duration = Duration::from_secs(2);

/// `GET /api/lab`; with `?tag=` only services that have the tag, or all of several.
pub(super) async fn lab(
    State(shared): State<Arc<Shared>>,
    Query(wanted): Query<Vec<(String, String)>>,
    Extension(session): Extension<Arc<BrowserSession>>,
    visibility: Visibility,
) -> Result<Json<JsonValue>, Problem> {
    known(&shared).await?;
    let mut json = JsonValue::Object(shared.lab.to_json());
    visibility.limit_json(&mut json);
    let JsonValue::Object(mut lab) = json else { return Ok(Json(json)) };
    let tags: Vec<&String> =
        wanted.iter().filter(|(key, _)| key == "tag").map(|(_, tag)| tag).collect();
    if let Some(JsonValue::Array(rows)) = lab.get_mut("services").filter(|_| !tags.is_empty()) {
        rows.retain(|row| {
            let own = row["tags"].as_array();
            tags.iter().all(|tag| own.is_some_and(|own| own.iter().any(|one| one == tag.as_str())))
        });
    }
    if visibility.shows_nothing(&shared.lab.listing()) {
        for key in ["host", "version", "since", "supervisor"] {
            lab.insert(key.to_owned(), JsonValue::Null);
        }
        lab.insert("hidden".to_owned(), HIDDEN.into());
    }
    let readonly = shared.guard.readonly().filter(|_| session.login_token().is_none());
    lab.insert("readonly".to_owned(), readonly.is_some().into());
    lab.insert("readonly_reason".to_owned(), readonly.into());
    lab.extend(session_json(&session));
    Ok(Json(JsonValue::Object(lab)))
}

/// `GET /api/values`: the latest values.
pub(super) async fn values(
    State(shared): State<Arc<Shared>>,
    visibility: Visibility,
) -> Result<Json<JsonValue>, Problem> {
    known(&shared).await?;
    let mut json = json!({ "values": shared.lab.values_json() });
    visibility.limit_json(&mut json);
    Ok(Json(json))
}

/// `GET /api/session`: the user of this browser, and the locks that it holds.
pub(super) async fn session(Extension(session): Extension<Arc<BrowserSession>>) -> Json<JsonValue> {
    Json(JsonValue::Object(session_json(&session)))
}

fn session_json(session: &BrowserSession) -> serde_json::Map<String, JsonValue> {
    let epochs = session.epochs().into_iter();
    let locks: serde_json::Map<_, _> =
        epochs.map(|(service, epoch)| (service, epoch.into())).collect();
    let pairs = [
        ("user", session.user.clone().into()),
        ("logged_in", session.login_token().is_some().into()),
        ("locks", locks.into()),
    ];
    pairs.into_iter().map(|(key, value): (_, JsonValue)| (key.to_owned(), value)).collect()
}

/// `GET /api/services/{name}`
pub(super) async fn service(
    State(shared): State<Arc<Shared>>,
    Extension(session): Extension<Arc<BrowserSession>>,
    visibility: Visibility,
    Path(name): Path<String>,
) -> Result<Json<JsonValue>, Problem> {
    known(&shared).await?;
    let row = find(&shared, &visibility, &name)?;
    let mut json = shared.lab.service_json(&name).unwrap_or_default();
    visibility.limit_service(&mut json);
    // A service whose daemon does not run is shown all the same.
    json["card"] = match describe(&shared, session.login(), &row).await {
        Ok(described) => card::description(&described),
        Err(problem) => {
            json["card_error"] = problem.detail().into();
            JsonValue::Null
        }
    };
    Ok(Json(json))
}

/// Refuses a request while nothing is known of the lab.
pub(super) async fn known(shared: &Shared) -> Result<(), Problem> {
    match shared.lab.is_known().await {
        true => Ok(()),
        false => Err(Problem::unavailable("no-supervisor", "the lab's supervisor does not answer")),
    }
}

/// The row of a service of this lab. One that the client may not see does not exist for it.
pub(super) fn find(
    shared: &Shared,
    visibility: &Visibility,
    name: &str,
) -> Result<ServiceRow, Problem> {
    let listing = shared.lab.listing();
    let shown = listing.services.iter().filter(|row| visibility.shows_service(&row.name));
    if let Some(row) = shown.clone().find(|row| row.name == name) {
        return Ok(row.clone());
    }
    let names = shown.map(|row| row.name.as_str());
    let help = did_you_mean(name, names);
    let help = help.map(|help| format!("; {help}")).unwrap_or_default();
    Err(Problem::not_found("unknown-service", format!("there is no service '{name}'{help}")))
}

/// The URI of a service at the address by which this host reaches its daemon. One that starts is
/// waited for, for a while.
pub(super) async fn local_uri(shared: &Shared, row: &ServiceRow) -> Result<Uri, Problem> {
    let mut changes = shared.lab.listings();
    let end = Instant::now() + START_WAIT;
    let location = loop {
        changes.mark_unchanged();
        let listing = shared.lab.listing();
        let daemon = listing.daemons.iter().find(|daemon| daemon.name == row.daemon);
        let location = daemon.and_then(|daemon| daemon.address.as_deref()).and_then(location_of);
        let starts = daemon.is_some_and(|daemon| daemon.status == "starting");
        if location.is_some() || !starts || timeout_at(end, changes.changed()).await.is_err() {
            break location;
        }
    };
    match location {
        Some(location) => Ok(Uri::Pyro { object: row.name.clone(), location }),
        None => {
            let detail = format!(
                "service '{}' is {}: its daemon {} does not run",
                row.name, row.report.status, row.daemon
            );
            Err(Problem::unavailable("not-running", detail))
        }
    }
}

fn location_of(address: &str) -> Option<Location> {
    match address.parse::<Uri>() {
        Ok(Uri::Pyro { location, .. }) => Some(location),
        _ => None,
    }
}

/// A service with its card, from its daemon, for the user with this login. The driver is not asked.
pub(super) async fn describe(
    shared: &Shared,
    login: Option<PageLogin<'_>>,
    row: &ServiceRow,
) -> Result<DescribedService, Problem> {
    let uri = local_uri(shared, row).await?;
    let mut proxy = proxy(&shared.keys, login, &row.daemon, uri.clone());
    let card = card::fetch_from(&mut proxy, &row.name).await;
    let card = card.map_err(|error| Problem::of_call(&error))?;
    Ok(DescribedService { name: row.name.clone(), uri, card })
}
