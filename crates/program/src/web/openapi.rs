//! `GET /openapi.json`: the API of this lab, made from the cards of its services.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Map, Value as JsonValue, json};
use tokio::task::JoinSet;

use super::problem::Problem;
use super::services::{describe, known};
use super::shared::Shared;
use super::visibility::Visibility;
use crate::card;

/// Cards that are fetched at a time.
const FETCHED: usize = 8;

/// The paths that are the same in every lab: method, path, and a sentence.
const PATHS: [(&str, &str, &str); 16] = [
    (
        "get",
        "/api/lab",
        "Everything that the lab has, as it is now; `tag`: only services with it; `lab`: other labs.",
    ),
    (
        "get",
        "/api/services/{name}",
        "One service, with its card; of another lab `LAB/NAME`, without it.",
    ),
    ("post", "/api/services/{name}/lock", "Takes the lock for this browser: `user`, `wait`."),
    ("post", "/api/services/{name}/unlock", "Gives the lock back."),
    ("post", "/api/services/{name}/break", "Breaks another's lock: `reason`, `user`."),
    ("get", "/api/results/{name}", "A large result of a call, as .npy, .png or .bin."),
    ("get", "/api/stream", "Changes, as server-sent events."),
    ("get", "/api/values", "The latest values of all services; `lab`: of other labs."),
    (
        "get",
        "/api/logs",
        "The last lines of the log: `lines`, `service`, `entry`, `level`, `since`.",
    ),
    ("get", "/api/calls", "Calls that run or wait."),
    (
        "get",
        "/api/calls/history",
        "Calls that have been: `lines`, `service`, `caller`, `since`, `errors`.",
    ),
    ("get", "/api/locks", "Locks now, and the lock log."),
    ("get", "/api/alarms", "Alarms that are not ok."),
    (
        "post",
        "/api/alarms/ack",
        "Says that somebody looks after an alarm: `service`, `member`, `reason`.",
    ),
    (
        "get",
        "/api/history",
        "Values of a series over time: `service`, `member`, `start`, `end`, `points`, `format`.",
    ),
    ("get", "/metrics", "Metrics for Prometheus."),
];

/// `GET /openapi.json`
pub(super) async fn document(
    State(shared): State<Arc<Shared>>,
    visibility: Visibility,
) -> Result<Json<JsonValue>, Problem> {
    known(&shared).await?;
    let mut paths = Map::new();
    for (method, path, summary) in PATHS {
        let parameters = match path.contains("{name}") {
            true => json!([{
                "name": "name", "in": "path", "required": true, "schema": { "type": "string" },
            }]),
            false => json!([]),
        };
        let own = json!({ method: {
            "summary": summary,
            "parameters": parameters,
            "responses": {
                "200": { "description": "done" },
                "default": { "$ref": "#/components/responses/Problem" },
            },
        }});
        paths.insert(path.to_owned(), own);
    }
    let listing = visibility.listing(&shared.lab.listing());
    for rows in listing.services.chunks(FETCHED) {
        let mut fetching = JoinSet::new();
        for row in rows {
            let (shared, row) = (Arc::clone(&shared), row.clone());
            fetching.spawn(async move { describe(&shared, None, &row).await });
        }
        while let Some(fetched) = fetching.join_next().await {
            // A service that does not run has no card, and the others are described all the same.
            if let Ok(Ok(service)) = fetched {
                paths.extend(card::api_paths(&service));
            }
        }
    }
    let problem = json!({
        "type": "object",
        "properties": {
            "type": { "type": "string" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string" },
            "python": { "type": "object", "properties": {
                "class": { "type": "string" },
                "text": { "type": "string" },
                "traceback": { "type": ["string", "null"] },
            }},
        },
    });
    Ok(Json(json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Ferrolab",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Requests that change something need the header `X-Ferrolab: 1`.",
        },
        "paths": paths,
        "components": {
            "schemas": { "Problem": problem },
            "responses": { "Problem": {
                "description": "a refusal or a failure",
                "content": { "application/problem+json": {
                    "schema": { "$ref": "#/components/schemas/Problem" },
                }},
            }},
        },
    })))
}
