//! Logs: the host's log, the call log, the lock log, and what runs now.
//!
//! Files are read on a thread that may block, few at a time.

use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value as JsonValue, json};

use super::lab::unix_seconds;
use super::problem::Problem;
use super::services::known;
use super::shared::Shared;
use super::visibility::Visibility;
use crate::log::query::{Filter, Level, Place, moment};
use crate::log::{self, call_log, lock_log};

/// Lines of an answer where the request does not say,
const DEFAULT_LINES: usize = 200;
/// and at most.
const MAX_LINES: usize = 5000;
/// Readers of files at once.
pub(super) const READERS: usize = 2;

/// Which lines of the host's log.
#[derive(Debug, Deserialize)]
pub(super) struct WantedLines {
    lines: Option<usize>,
    /// Of this service only,
    service: Option<String>,
    /// of this entry (`daemon bench`, or `bench`),
    entry: Option<String>,
    /// at least so bad: `info`, `warn`, `error`,
    level: Option<String>,
    /// from then on: `10m`, `2h` ago, or a date.
    since: Option<String>,
}

/// `GET /api/logs`
pub(super) async fn lines(
    State(shared): State<Arc<Shared>>,
    visibility: Visibility,
    Query(wanted): Query<WantedLines>,
) -> Result<Json<JsonValue>, Problem> {
    let level = wanted.level.as_deref().filter(|level| !level.is_empty()).map(|level| {
        let unknown = || Problem::bad_request("`level` is trace, debug, info, warn or error");
        Level::from_name(level).ok_or_else(unknown)
    });
    let filter = Filter {
        services: wanted.service.into_iter().collect(),
        entries: wanted.entry.into_iter().collect(),
        level: level.transpose()?,
        since: time(wanted.since.as_deref())?,
        ..Filter::default()
    };
    let most = count(wanted.lines);
    let file = shared.log_file.clone();
    let lines = read(&shared, move || last_lines(&file, &filter, &visibility, most)).await?;
    Ok(Json(json!({ "lines": lines })))
}

fn last_lines(
    file: &Path,
    filter: &Filter,
    visibility: &Visibility,
    most: usize,
) -> io::Result<Vec<JsonValue>> {
    let mut last = VecDeque::new();
    log::snapshot(file)?.read(Place::default(), |line| {
        if filter.wants(&line) {
            let line = line.with_unix_time();
            if visibility.shows_line(line["service"].as_str().unwrap_or_default()) {
                last.push_back(line);
            }
            if last.len() > most {
                last.pop_front();
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(last.into())
}

/// `GET /api/calls`
pub(super) async fn calls(
    State(shared): State<Arc<Shared>>,
    visibility: Visibility,
) -> Result<Json<JsonValue>, Problem> {
    known(&shared).await?;
    let mut json = json!({ "calls": shared.lab.calls_json() });
    visibility.limit_json(&mut json);
    Ok(Json(json))
}

/// Which lines of the call log or the lock log.
#[derive(Debug, Deserialize)]
pub(super) struct WantedCalls {
    lines: Option<usize>,
    service: Option<String>,
    /// A user, an address or a host.
    caller: Option<String>,
    since: Option<String>,
    /// Only calls that raised or were refused.
    #[serde(default)]
    errors: bool,
}

/// `GET /api/calls/history`
pub(super) async fn call_history(
    State(shared): State<Arc<Shared>>,
    visibility: Visibility,
    Query(wanted): Query<WantedCalls>,
) -> Result<Json<JsonValue>, Problem> {
    let since = time(wanted.since.as_deref())?;
    let (most, folder) = (count(wanted.lines), shared.log_dir.clone());
    let lines = read(&shared, move || {
        call_log::read(&folder, most, |line| {
            let is_meant = line.outcome == "unrecorded"
                || wanted.service.as_ref().is_none_or(|service| *service == line.service)
                    && wanted.caller.as_ref().is_none_or(|caller| line.is_by(caller))
                    && (!wanted.errors || line.is_error());
            is_meant
                && since.is_none_or(|since| line.time >= since)
                && visibility.shows_line(&line.service)
        })
    });
    let lines = lines.await?;
    let lines: Vec<_> = lines.iter().map(|line| timed(line, line.time)).collect();
    Ok(Json(json!({ "lines": lines })))
}

/// `GET /api/locks`: who has which lock, who waits, and the lock log.
pub(super) async fn locks(
    State(shared): State<Arc<Shared>>,
    visibility: Visibility,
    Query(wanted): Query<WantedCalls>,
) -> Result<Json<JsonValue>, Problem> {
    known(&shared).await?;
    let since = time(wanted.since.as_deref())?;
    let (most, folder) = (count(wanted.lines), shared.log_dir.clone());
    let service = wanted.service.clone();
    let mut lines = read(&shared, move || lock_log::read(&folder)).await?;
    lines.retain(|line| {
        service.as_ref().is_none_or(|service| *service == line.service)
            && since.is_none_or(|since| line.time >= since)
            && visibility.shows_line(&line.service)
    });
    let lines = lines.split_off(lines.len().saturating_sub(most));
    let lines: Vec<_> = lines.iter().map(|line| timed(line, line.time)).collect();
    let mut json = json!({ "locks": shared.lab.locks_json(), "lines": lines });
    visibility.limit_json(&mut json);
    Ok(Json(json))
}

/// A line as JSON, with its time in Unix seconds.
fn timed(line: &impl Serialize, time: Timestamp) -> JsonValue {
    let mut json = serde_json::to_value(line).unwrap_or_default();
    json["t"] = unix_seconds(time).into();
    json
}

fn count(lines: Option<usize>) -> usize {
    lines.unwrap_or(DEFAULT_LINES).min(MAX_LINES)
}

fn time(text: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    let text = text.filter(|text| !text.is_empty());
    let wrong = || Problem::bad_request("`since` is `10m`, `2h`, `3d`, `08:30` or a date");
    text.map(|text| moment(text, &jiff::Zoned::now()).ok_or_else(wrong)).transpose()
}

/// Reads files on a thread that may block.
async fn read<T: Send + 'static>(
    shared: &Shared,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Problem> {
    let unreadable = |error: String| {
        Problem::unavailable("unreadable-log", format!("the log cannot be read: {error}"))
    };
    let place = Arc::clone(&shared.readers).acquire_owned().await;
    // A client that goes away ends no reading: its place is taken until then.
    let work = move || {
        let _place = place;
        work()
    };
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|error| unreadable(error.to_string()))?;
    done.map_err(|error| unreadable(error.to_string()))
}
