//! The object `ferrolab.History`: questions about recorded values.
//!
//! Times are Unix seconds; `None` stands for what is not known. Columns are lists of one length:
//!
//! ```text
//! series(service, member)                    [{service, member, unit, daemon, first, last, count}]
//! query(service, member, start, end, points) {unit, t, min, max, mean, last, quality}
//! raw(service, member, start, end)           {unit, t, value, quality, next}
//! alarms(start, end, limit)                  [{t, daemon, service, member, state, value, text}]
//! ```
//!
//! `query` has a row for each part of the range that has samples, with the time of its beginning,
//! and a row without a value where a gap begins: a line may be drawn between any two others. `next`
//! is where the rest of a long range begins.

use std::sync::Arc;

use history::{CurvePoint, Page, Range, Reading, SeriesKey, SeriesRow, Store, StoreError};
use lab_config::did_you_mean;
use remote::{Dict, Exception, Value};
use serde_json::Value as Json;

use super::recorder::Recorder;

/// Points of a curve, where the caller does not say how many.
const DEFAULT_POINTS: i64 = 1000;
/// Alarms of one answer.
const DEFAULT_ALARMS: i64 = 1000;
const MAX_ALARMS: i64 = 10_000;

/// The object.
pub(super) struct HistoryObject {
    recorder: Arc<Recorder>,
}

impl HistoryObject {
    pub(super) fn new(recorder: Arc<Recorder>) -> Self {
        HistoryObject { recorder }
    }

    fn store(&self) -> Result<Arc<Store>, Exception> {
        let store = self.recorder.store();
        store.ok_or_else(|| {
            let text = "the history is not open yet; `ferrolab status` says what it waits for";
            Exception::runtime_error(text)
        })
    }

    /// A range as the store takes it: from the first sample to now, where nothing else is said.
    fn range(
        &self,
        row: &SeriesRow,
        start: Option<f64>,
        end: Option<f64>,
    ) -> Result<Range, Exception> {
        let now = self.recorder.now().wall;
        let last = row.last.map_or(now, |last| now.max(last.saturating_add(1)));
        let start = start.map(|time| microseconds(time, "start")).transpose()?;
        let end = end.map(|time| microseconds(time, "end")).transpose()?.unwrap_or(last);
        let start = start.unwrap_or(row.first.unwrap_or(end));
        if start > end {
            let text = "the start is after the end: swap `start` and `end`";
            return Err(Exception::value_error(text));
        }
        Ok(Range { start, end })
    }
}

#[remote::expose]
impl HistoryObject {
    /// The recorded series, all or those of a service or of a member.
    #[blocking]
    pub fn series(
        &self,
        #[default(None)] service: Option<String>,
        #[default(None)] member: Option<String>,
    ) -> Result<Vec<Value>, Exception> {
        let mut rows = self.store()?.series().map_err(failed)?;
        rows.retain(|row| {
            service.as_ref().is_none_or(|service| *service == row.service)
                && member.as_ref().is_none_or(|member| *member == row.member)
        });
        Ok(rows.iter().map(series_value).collect())
    }

    /// The curve of a series from `start` to before `end`, in `points` parts at most; where there
    /// are fewer samples, each is a point.
    #[blocking]
    pub fn query(
        &self,
        service: String,
        member: String,
        #[default(None)] start: Option<f64>,
        #[default(None)] end: Option<f64>,
        #[default(DEFAULT_POINTS)] points: i64,
    ) -> Result<Value, Exception> {
        let Ok(points @ 1..) = usize::try_from(points) else {
            let text = format!("`points` must be from 1 to {}", history::MAX_POINTS);
            return Err(Exception::value_error(text));
        };
        let store = self.store()?;
        let row = find(&store, &service, &member)?;
        let range = self.range(&row, start, end)?;
        let key = SeriesKey::new(&service, &member);
        let rows = store.query(&key, range, points).map_err(failed)?.unwrap_or_default();
        let column =
            |value: fn(&CurvePoint) -> Value| Value::List(rows.iter().map(value).collect());
        let number = |number: Option<f64>| number.map_or(Value::None, Value::Float);
        let mut dict = Dict::with_capacity(8);
        dict.insert("unit", row.unit);
        dict.insert("t", column(|row| Value::Float(seconds(row.time))));
        dict.insert("min", Value::List(rows.iter().map(|row| number(row.minimum)).collect()));
        dict.insert("max", Value::List(rows.iter().map(|row| number(row.maximum)).collect()));
        dict.insert("mean", Value::List(rows.iter().map(|row| number(row.mean)).collect()));
        dict.insert("last", column(|row| reading_value(&row.last)));
        dict.insert("quality", column(|row| Value::from(row.quality.word())));
        dict.insert("newest", row.last.map_or(Value::None, |time| Value::Float(seconds(time))));
        Ok(Value::Dict(dict))
    }

    /// The samples of a series from `start` to before `end` as they were recorded; of a long range
    /// the first part, and where the rest begins.
    #[blocking]
    pub fn raw(
        &self,
        service: String,
        member: String,
        #[default(None)] start: Option<f64>,
        #[default(None)] end: Option<f64>,
    ) -> Result<Value, Exception> {
        let store = self.store()?;
        let row = find(&store, &service, &member)?;
        let range = self.range(&row, start, end)?;
        let key = SeriesKey::new(&service, &member);
        let Page { samples, next } = store.page(&key, range).map_err(failed)?.unwrap_or_default();
        let mut dict = Dict::with_capacity(5);
        let times = samples.iter().map(|sample| Value::Float(seconds(sample.time)));
        let values = samples.iter().map(|sample| reading_value(&sample.reading));
        let qualities = samples.iter().map(|sample| Value::from(sample.quality.word()));
        dict.insert("unit", row.unit);
        dict.insert("t", Value::List(times.collect()));
        dict.insert("value", Value::List(values.collect()));
        dict.insert("quality", Value::List(qualities.collect()));
        dict.insert("next", next.map_or(Value::None, |next| Value::Float(seconds(next))));
        Ok(Value::Dict(dict))
    }

    /// The last changes of alarms, in the order of their times.
    #[blocking]
    pub fn alarms(
        &self,
        #[default(None)] start: Option<f64>,
        #[default(None)] end: Option<f64>,
        #[default(DEFAULT_ALARMS)] limit: i64,
    ) -> Result<Vec<Value>, Exception> {
        let start = start.map(|time| microseconds(time, "start")).transpose()?;
        let end = end.map(|time| microseconds(time, "end")).transpose()?;
        let range = Range { start: start.unwrap_or(i64::MIN), end: end.unwrap_or(i64::MAX) };
        let limit = u32::try_from(limit.clamp(0, MAX_ALARMS)).unwrap_or_default();
        let notes = self.store()?.notes(range, limit).map_err(failed)?;
        Ok(notes.iter().map(|(time, text)| alarm_value(*time, text)).collect())
    }
}

/// A series by its name; the error names those that there are.
fn find(store: &Store, service: &str, member: &str) -> Result<SeriesRow, Exception> {
    if let Some(row) = store.find(&SeriesKey::new(service, member)).map_err(failed)? {
        return Ok(row);
    }
    let rows = store.series().map_err(failed)?;
    let members: Vec<&str> =
        rows.iter().filter(|row| row.service == service).map(|row| &*row.member).collect();
    let help = match members.as_slice() {
        [] => {
            let mut services: Vec<&str> = rows.iter().map(|row| &*row.service).collect();
            services.dedup();
            let near = did_you_mean(service, services.iter().copied());
            near.unwrap_or_else(|| match services.as_slice() {
                [] => "nothing has been recorded yet".to_owned(),
                services => format!("there are series of: {}", services.join(", ")),
            })
        }
        members => format!("there are: {}", members.join(", ")),
    };
    let text = format!("there is no series of {service}.{member}; {help}");
    Err(Exception::new("builtins.LookupError", text))
}

fn series_value(row: &SeriesRow) -> Value {
    let time = |time: Option<i64>| time.map_or(Value::None, |time| Value::Float(seconds(time)));
    let mut dict = Dict::with_capacity(7);
    dict.insert("service", row.service.as_str());
    dict.insert("member", row.member.as_str());
    dict.insert("unit", row.unit.as_str());
    dict.insert("daemon", row.daemon.as_str());
    dict.insert("first", time(row.first));
    dict.insert("last", time(row.last));
    dict.insert("count", row.count);
    Value::Dict(dict)
}

fn reading_value(reading: &Reading) -> Value {
    match reading {
        Reading::Nothing => Value::None,
        Reading::Float(number) => Value::Float(*number),
        Reading::Int(number) => Value::from(*number),
        Reading::Bool(flag) => Value::Bool(*flag),
        Reading::Text(text) => Value::from(&**text),
    }
}

fn alarm_value(time: i64, text: &str) -> Value {
    let mut dict = Dict::with_capacity(8);
    dict.insert("t", seconds(time));
    if let Ok(Json::Object(fields)) = serde_json::from_str(text) {
        for (key, value) in fields {
            let value = match value {
                Json::String(text) => Value::from(text),
                Json::Number(number) => number.as_f64().map_or(Value::None, Value::Float),
                Json::Bool(flag) => Value::Bool(flag),
                Json::Null | Json::Array(_) | Json::Object(_) => Value::None,
            };
            dict.insert(key, value);
        }
    }
    Value::Dict(dict)
}

fn seconds(microseconds: i64) -> f64 {
    microseconds as f64 / 1e6
}

fn microseconds(seconds: f64, name: &str) -> Result<i64, Exception> {
    if !seconds.is_finite() {
        let text = format!("`{name}` must be a time in Unix seconds, not {seconds}");
        return Err(Exception::value_error(text));
    }
    Ok((seconds * 1e6).round() as i64)
}

fn failed(error: StoreError) -> Exception {
    Exception::runtime_error(error.to_string())
}
