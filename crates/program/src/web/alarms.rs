//! Alarms: those that are not ok, and the note that somebody looks after one.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use serde_json::{Value as JsonValue, json};

use super::body::{read_object, text};
use super::problem::Problem;
use super::services::known;
use super::sessions::BrowserSession;
use super::shared::Shared;
use super::visibility::Visibility;
use crate::supervise::control::Request;
use crate::supervise::control::client::{Client, ControlError, News};

/// `GET /api/alarms`
pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    visibility: Visibility,
) -> Result<Json<JsonValue>, Problem> {
    known(&shared).await?;
    let mut json = json!({ "alarms": shared.lab.alarms_json() });
    visibility.limit_json(&mut json);
    Ok(Json(json))
}

/// `POST /api/alarms/ack` with `{"service": …, "member": …, "reason": …, "user": …}`; without a
/// member for all of the service.
pub(super) async fn acknowledge(
    State(shared): State<Arc<Shared>>,
    Extension(session): Extension<Arc<BrowserSession>>,
    visibility: Visibility,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<JsonValue>, Problem> {
    let mut body = read_object(&shared.bodies, &headers, body).await?;
    let service = text(body.remove("service"), "service")?;
    let service = service.ok_or_else(|| Problem::bad_request("`service` is missing"))?;
    let name = match text(body.remove("member"), "member")? {
        Some(member) => format!("{service}.{member}"),
        None => service,
    };
    let reason = text(body.remove("reason"), "reason")?.unwrap_or_default();
    // A login is not somebody else.
    let named = text(body.remove("user"), "user")?.filter(|_| session.login_token().is_none());
    let by = named.unwrap_or_else(|| session.user.clone());
    let request = Request::AcknowledgeAlarms {
        name,
        by: by.clone(),
        reason: reason.clone(),
        client: Some(visibility.client().clone()),
    };
    let mut done = Vec::new();
    let asked = async {
        let hear = |news: News<'_>| {
            if let News::Note(text) = news {
                done.push(text.to_owned());
            }
        };
        Client::connect(&shared.socket).await?.ask_for_news(&request, hear).await
    };
    match asked.await {
        Ok(_) => Ok(Json(json!({ "acknowledged": done, "by": by, "reason": reason }))),
        Err(ControlError::Refused(reason)) => {
            let title = "The alarm cannot be acknowledged.";
            Err(Problem::new(StatusCode::CONFLICT, "not-acknowledged", title, reason))
        }
        Err(error) => Err(Problem::unavailable("no-supervisor", error.to_string())),
    }
}
