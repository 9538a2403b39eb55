//! Bodies of requests: bounded in bytes, in time, and all of them together in memory.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, StatusCode, header};
use remote::{Dict, Value};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::problem::Problem;
use super::values::from_json;

/// Bytes of a body.
const MAX_BODY: usize = 4 * 1024 * 1024;
/// Bytes of a user's name or a reason.
const MAX_TEXT: usize = 200;
/// Bytes of all bodies that are read at a time.
pub(super) const ALL_BODIES: usize = 32 * 1024 * 1024;
/// Longest time in which a body arrives.
const ARRIVAL: Duration = Duration::from_secs(20);

/// The JSON object in a body; an empty body is an empty object.
///
/// # Errors
/// It is too large, too slow, or something else.
pub(super) async fn read_object(
    budget: &Arc<Semaphore>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Dict, Problem> {
    let announced = headers.get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse().ok());
    let length = announced.unwrap_or(MAX_BODY);
    if length > MAX_BODY {
        return Err(too_large());
    }
    let _reserved = reserve(budget, length).await?;
    let bytes = match timeout(ARRIVAL, to_bytes(body, MAX_BODY)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) => return Err(too_large()),
        Err(_) => {
            let title = "The request is too slow.";
            let detail = format!("the body has not arrived within {} s", ARRIVAL.as_secs());
            return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "slow-body", title, detail));
        }
    };
    if bytes.trim_ascii().is_empty() {
        return Ok(Dict::new());
    }
    match from_json(&bytes) {
        Ok(Value::Dict(dict)) => Ok(dict),
        Ok(other) => {
            let found = other.type_name();
            Err(Problem::bad_request(format!("the body is a JSON object, and not a {found}")))
        }
        Err(error) => Err(Problem::bad_request(error)),
    }
}

async fn reserve(budget: &Arc<Semaphore>, length: usize) -> Result<OwnedSemaphorePermit, Problem> {
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    let reserving = Arc::clone(budget).acquire_many_owned(length);
    match timeout(ARRIVAL, reserving).await {
        Ok(Ok(reserved)) => Ok(reserved),
        _ => Err(Problem::unavailable("busy", "too many large requests arrive at a time")),
    }
}

fn too_large() -> Problem {
    let detail = format!("a body has at most {} MiB", MAX_BODY / (1024 * 1024));
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The request is too large.", detail)
}

/// A text of a request, without control characters.
pub(super) fn text(value: Option<Value>, key: &str) -> Result<Option<String>, Problem> {
    match value {
        None | Some(Value::None) => Ok(None),
        Some(Value::Str(text)) if text.len() <= MAX_TEXT && !text.chars().any(char::is_control) => {
            Ok(Some(text).filter(|text| !text.is_empty()))
        }
        Some(_) => {
            let detail = format!("`{key}` is one line of at most {MAX_TEXT} bytes");
            Err(Problem::bad_request(detail))
        }
    }
}
