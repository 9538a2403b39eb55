//! `GET /api/history`: values of a series over time, from the history process.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use remote::{ConnectError, Dict, Error, Location, Proxy, Serializer, Uri, Value};
use serde::Deserialize;

use super::problem::Problem;
use super::shared::Shared;
use super::values::to_json;
use super::visibility::Visibility;
use crate::history_process::HISTORY;

/// Time for an answer: a year of samples takes some seconds.
const HISTORY_TIMEOUT: Duration = Duration::from_secs(60);
/// Points of a curve, at most.
const MAX_POINTS: u32 = 10_000;
/// Columns of a curve, in the order of a CSV file.
const COLUMNS: [&str; 6] = ["t", "min", "max", "mean", "last", "quality"];

/// The part of a series that is asked for; without a service, all series are listed.
#[derive(Debug, Deserialize)]
pub(super) struct WantedRange {
    service: Option<String>,
    member: Option<String>,
    /// Unix seconds.
    start: Option<f64>,
    end: Option<f64>,
    points: Option<u32>,
    /// `csv` for a file.
    format: Option<String>,
}

/// `GET /api/history?service=&member=&start=&end=&points=&format=csv`
pub(super) async fn read(
    State(shared): State<Arc<Shared>>,
    visibility: Visibility,
    Query(wanted): Query<WantedRange>,
) -> Result<Response, Problem> {
    let Some(socket) = &shared.history_socket else {
        let detail = "no history is configured: `history: true` in the configuration keeps one";
        return Err(Problem::not_found("no-history", detail));
    };
    let location = Location::Unix { path: socket.display().to_string() };
    let uri = Uri::Pyro { object: HISTORY.to_owned(), location };
    let mut proxy =
        Proxy::from(uri).with_serializer(Serializer::Marshal).with_timeout(HISTORY_TIMEOUT);
    let is_file = wanted.format.as_deref() == Some("csv");
    let (method, args) = match (wanted.service, wanted.member) {
        (Some(service), Some(member)) => {
            if !visibility.shows_value(&service, &member) {
                let detail = format!("there is no series of {service}.{member}");
                return Err(Problem::not_found("unknown-series", detail));
            }
            let points = wanted.points.unwrap_or(1000).clamp(1, MAX_POINTS);
            let range =
                [wanted.start, wanted.end].map(|time| time.map_or(Value::None, Value::Float));
            let [start, end] = range;
            let args = vec![service.into(), member.into(), start, end, i64::from(points).into()];
            ("query", args)
        }
        (service, member) => ("series", vec![service.into(), member.into()]),
    };
    let mut answer = proxy.call(method, args, Vec::new()).await.map_err(explain)?;
    if method == "series"
        && let Value::List(rows) = &mut answer
    {
        rows.retain(|row| is_shown(&visibility, row));
    }
    if is_file && method == "query" {
        let kind = HeaderValue::from_static("text/csv; charset=utf-8");
        let disposition = HeaderValue::from_static("attachment; filename=\"history.csv\"");
        let headers = [(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, disposition)];
        return Ok((headers, csv(answer.as_dict())).into_response());
    }
    let kind = HeaderValue::from_static("application/json");
    let text = match method {
        "series" => to_json(answer, None).map(|text| format!("{{\"series\":{text}}}")),
        _ => to_json(answer, None),
    };
    let text = text.map_err(|error| Problem::unavailable("no-history", error))?;
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

/// Whether a client may see the values of a row of `series`.
fn is_shown(visibility: &Visibility, row: &Value) -> bool {
    let text = |key: &str| row.as_dict().and_then(|row| row.get(key)).and_then(Value::as_str);
    let (service, member) = (text("service"), text("member"));
    visibility.shows_value(service.unwrap_or_default(), member.unwrap_or_default())
}

fn explain(error: Error) -> Problem {
    match error {
        Error::Connect { source: ConnectError::Io(_), .. } => {
            let detail = "the history process does not answer; `ferrolab status` says why";
            Problem::unavailable("no-history", detail)
        }
        Error::Remote(exception) if exception.short_class() == "LookupError" => {
            Problem::not_found("unknown-series", exception.message())
        }
        error => Problem::of_call(&error),
    }
}

/// A line for each point; a field without a value is empty.
fn csv(curve: Option<&Dict>) -> String {
    let column =
        |name: &str| curve.and_then(|curve| curve.get(name)?.as_list()).unwrap_or_default();
    let columns = COLUMNS.map(column);
    let mut text = format!("{}\r\n", COLUMNS.join(","));
    for row in 0..columns[0].len() {
        let fields = columns.map(|column| column.get(row).map_or_else(String::new, field));
        text.push_str(&fields.join(","));
        text.push_str("\r\n");
    }
    text
}

fn field(value: &Value) -> String {
    match value {
        Value::None => String::new(),
        Value::Str(text) => {
            // A spreadsheet takes a text that begins like this for a formula.
            let text = match text.starts_with(['=', '+', '-', '@']) {
                true => format!("'{text}"),
                false => text.clone(),
            };
            match text.contains(['"', ',', '\n', '\r']) {
                true => format!("\"{}\"", text.replace('"', "\"\"")),
                false => text,
            }
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_empty_fields() {
        let list = |values: [Value; 2]| Value::List(values.to_vec());
        let curve = Dict::from_iter([
            ("t", list([1.5.into(), 2.5.into()])),
            ("min", list([1.0.into(), Value::None])),
            ("last", list(["=1+\"1\"".into(), Value::None])),
            ("quality", list(["good".into(), "no data".into()])),
        ]);
        let expected = "t,min,max,mean,last,quality\r\n1.5,1.0,,,\"'=1+\"\"1\"\"\",good\r\n2.5,,,,,no data\r\n";
        assert_eq!(csv(Some(&curve)), expected);
        assert_eq!(csv(None), "t,min,max,mean,last,quality\r\n");
    }
}
