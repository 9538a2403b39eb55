//! `GET /api/lab` and `GET /api/services/{name}`: the lab, and one service with its card.
//!
//! With `lab=NAME` in the query they are about other labs of the configuration, which are asked.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::{Extension, Json};
use jiff::Timestamp;
use lab_config::did_you_mean;
use remote::{Location, Uri};
use serde_json::{Value as JsonValue, json};
use tokio::time::{Instant, timeout_at};

use super::lab::unix_seconds;
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

/// The query of a request that may be about other labs: pairs of keys and values.
pub(super) type LabQuery = Query<Vec<(String, String)>>;

/// `GET /api/lab`; with `?tag=` only services that have the tag, or all of several; with `?lab=`
/// only other labs, of these names or all (`*`).
pub(super) async fn lab(
    State(shared): State<Arc<Shared>>,
    Query(wanted): LabQuery,
    Extension(session): Extension<Arc<BrowserSession>>,
    visibility: Visibility,
) -> Result<Json<JsonValue>, Problem> {
    known(&shared).await?;
    let tags: Vec<&String> =
        wanted.iter().filter(|(key, _)| key == "tag").map(|(_, tag)| tag).collect();
    if let Some(names) = ask_labs(&shared, &visibility, &wanted).await? {
        let mut labs = shared.lab.others.to_json(Some(&names));
        labs.iter_mut().for_each(|lab| keep_tagged(lab, &tags));
        return Ok(Json(json!({ "now": unix_seconds(Timestamp::now()), "labs": labs })));
    }
    let mut json = JsonValue::Object(shared.lab.to_json());
    visibility.limit_json(&mut json);
    keep_tagged(&mut json, &tags);
    let others = json.get_mut("labs").and_then(JsonValue::as_array_mut);
    others.into_iter().flatten().for_each(|lab| keep_tagged(lab, &tags));
    let JsonValue::Object(mut lab) = json else { return Ok(Json(json)) };
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

/// Takes services out of a lab that do not have all of these tags.
fn keep_tagged(lab: &mut JsonValue, tags: &[&String]) {
    let Some(JsonValue::Array(rows)) = lab.get_mut("services") else { return };
    rows.retain(|row| {
        let own = row["tags"].as_array();
        tags.iter().all(|tag| own.is_some_and(|own| own.iter().any(|one| one == tag.as_str())))
    });
}

/// Asks the other labs that a query names, `*` for all of them; `None` where it names none.
async fn ask_labs(
    shared: &Shared,
    visibility: &Visibility,
    query: &[(String, String)],
) -> Result<Option<Vec<String>>, Problem> {
    let wanted: Vec<&String> =
        query.iter().filter(|(key, _)| key == "lab").map(|(_, name)| name).collect();
    if wanted.is_empty() {
        return Ok(None);
    }
    let shown = if visibility.shows_lab() { shared.lab.others.names() } else { Vec::new() };
    for name in &wanted {
        if *name != "*" && !shown.contains(name) {
            let help = did_you_mean(name, shown.iter().map(String::as_str));
            let help = help.map(|help| format!("; {help}")).unwrap_or_default();
            let detail = format!("`labs` in the configuration has no lab '{name}'{help}");
            return Err(Problem::not_found("unknown-lab", detail));
        }
    }
    let is_wanted = |name: &String| wanted.iter().any(|one| *one == "*" || *one == name);
    let names: Vec<String> = shown.into_iter().filter(is_wanted).collect();
    shared.lab.others.ask(&names).await;
    Ok(Some(names))
}

/// `GET /api/values`: the latest values; with `?lab=` those of other labs.
pub(super) async fn values(
    State(shared): State<Arc<Shared>>,
    visibility: Visibility,
    Query(wanted): LabQuery,
) -> Result<Json<JsonValue>, Problem> {
    known(&shared).await?;
    if let Some(names) = ask_labs(&shared, &visibility, &wanted).await? {
        return Ok(Json(json!({ "values": shared.lab.others.values_json(&names) })));
    }
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
    if let Some(lab) = other_lab(&shared, &visibility, &name) {
        shared.lab.others.ask(std::slice::from_ref(&lab)).await;
        let mut json = shared.lab.others.service_json(&lab, &name).map_err(|reason| {
            let detail = format!("'{name}' cannot be shown: {reason}");
            Problem::not_found("unknown-service", detail)
        })?;
        json["card"] = JsonValue::Null;
        json["card_error"] = format!("the page of the lab {lab} has its card").into();
        return Ok(Json(json));
    }
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

/// `GET /api/services/{lab}/{name}`: one service of another lab, written without `%2F`.
pub(super) async fn service_of_lab(
    state: State<Arc<Shared>>,
    session: Extension<Arc<BrowserSession>>,
    visibility: Visibility,
    Path((lab, name)): Path<(String, String)>,
) -> Result<Json<JsonValue>, Problem> {
    service(state, session, visibility, Path(format!("{lab}/{name}"))).await
}

/// The other lab that a name belongs to, where the client may see other labs.
fn other_lab(shared: &Shared, visibility: &Visibility, name: &str) -> Option<String> {
    shared.lab.others.lab_of(name).filter(|_| visibility.shows_lab())
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
    if let Some(lab) = other_lab(shared, visibility, name) {
        let page = shared.lab.others.page_of(&lab);
        let page = page.map(|page| format!(" ({page})")).unwrap_or_default();
        let detail = format!(
            "'{name}' is of the lab {lab}, which is only shown here: the page of that lab{page} \
             drives it, with the rights of the user who is logged in there"
        );
        return Err(Problem::forbidden("other-lab", detail));
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
