//! `GET /api/lab` and `GET /api/services/{name}`: the lab, and one service with its card.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use lab_config::did_you_mean;
use remote::{Location, Uri};
use serde_json::Value as JsonValue;

use super::problem::Problem;
use super::sessions::BrowserSession;
use super::shared::Shared;
use crate::card::{self, DescribedService};
use crate::supervise::control::ServiceRow;

/// `GET /api/lab`
pub(super) async fn lab(
    State(shared): State<Arc<Shared>>,
    Extension(session): Extension<Arc<BrowserSession>>,
) -> Result<Json<JsonValue>, Problem> {
    known(&shared).await?;
    let mut lab = shared.lab.to_json();
    let readonly = shared.guard.readonly();
    lab.insert("readonly".to_owned(), readonly.is_some().into());
    lab.insert("readonly_reason".to_owned(), readonly.into());
    lab.insert("user".to_owned(), session.user.clone().into());
    // The epochs of the locks that this browser holds.
    let locks: serde_json::Map<_, _> =
        session.epochs().into_iter().map(|(service, epoch)| (service, epoch.into())).collect();
    lab.insert("locks".to_owned(), locks.into());
    Ok(Json(JsonValue::Object(lab)))
}

/// `GET /api/services/{name}`
pub(super) async fn service(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
) -> Result<Json<JsonValue>, Problem> {
    known(&shared).await?;
    let row = find(&shared, &name)?;
    let mut json = shared.lab.service_json(&name).unwrap_or_default();
    // A service whose daemon does not run is shown all the same.
    json["card"] = match describe(&shared, &row).await {
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

/// The row of a service of this lab.
pub(super) fn find(shared: &Shared, name: &str) -> Result<ServiceRow, Problem> {
    let listing = shared.lab.listing();
    if let Some(row) = listing.services.iter().find(|row| row.name == name) {
        return Ok(row.clone());
    }
    let names = listing.services.iter().map(|row| row.name.as_str());
    let help = did_you_mean(name, names);
    let help = help.map(|help| format!("; {help}")).unwrap_or_default();
    Err(Problem::not_found("unknown-service", format!("there is no service '{name}'{help}")))
}

/// The URI of a service at the address by which this host reaches its daemon.
pub(super) fn local_uri(shared: &Shared, row: &ServiceRow) -> Result<Uri, Problem> {
    let listing = shared.lab.listing();
    let daemon = listing.daemons.iter().find(|daemon| daemon.name == row.daemon);
    let location = daemon.and_then(|daemon| daemon.address.as_deref()).and_then(location_of);
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

/// A service with its card, from its daemon. The driver is not asked.
pub(super) async fn describe(
    shared: &Shared,
    row: &ServiceRow,
) -> Result<DescribedService, Problem> {
    let uri = local_uri(shared, row)?;
    let described = card::fetch(&row.name, uri).await;
    described.map_err(|error| Problem::of_call(&error))
}
