//! Recorded values as CSV and JSON.

use std::io::{self, BufWriter, Write};

use jiff::Timestamp;
use remote::Value;
use serde_json::{Value as Json, json};

use super::answers::{Curve, Samples, SeriesName};

/// The columns of an export. Those of parts of a curve are the means, with minima and maxima.
pub(super) struct Columns {
    pub(super) unit: String,
    /// Unix seconds.
    pub(super) times: Vec<f64>,
    pub(super) values: Vec<Value>,
    pub(super) qualities: Vec<String>,
    pub(super) bounds: Option<Bounds>,
}

/// Minima and maxima.
pub(super) struct Bounds {
    pub(super) minima: Vec<Option<f64>>,
    pub(super) maxima: Vec<Option<f64>>,
}

impl From<Samples> for Columns {
    fn from(samples: Samples) -> Self {
        let Samples { unit, times, values, qualities } = samples;
        Columns { unit, times, values, qualities, bounds: None }
    }
}

impl From<Curve> for Columns {
    fn from(curve: Curve) -> Self {
        let Curve { unit, times, minima, maxima, means, last, qualities } = curve;
        // Texts have no mean.
        let values = means.into_iter().zip(last);
        let values = values.map(|(mean, last)| mean.map_or(last, Value::Float)).collect();
        let bounds = Some(Bounds { minima, maxima });
        Columns { unit, times, values, qualities, bounds }
    }
}

/// Writes lines of `time,value,quality`, and `min,max` where there are.
pub(super) fn csv(columns: &Columns, out: &mut impl Write) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    let further = if columns.bounds.is_some() { ",min,max" } else { "" };
    writeln!(out, "time,value,quality{further}")?;
    for (index, time) in columns.times.iter().enumerate() {
        let value = columns.values.get(index).map(field).unwrap_or_default();
        let quality = columns.qualities.get(index).map(String::as_str).unwrap_or_default();
        write!(out, "{},{value},{quality}", utc(*time))?;
        if let Some(Bounds { minima, maxima }) = &columns.bounds {
            let number = |column: &[Option<f64>]| {
                column.get(index).copied().flatten().map(|it| it.to_string()).unwrap_or_default()
            };
            write!(out, ",{},{}", number(minima), number(maxima))?;
        }
        writeln!(out)?;
    }
    out.flush()
}

/// One object with a list for each column; times are Unix seconds.
pub(super) fn json(name: &SeriesName, columns: &Columns) -> Json {
    let values: Vec<Json> = columns.values.iter().map(json_value).collect();
    let mut object = json!({
        "service": name.service, "member": name.member, "unit": columns.unit,
        "t": columns.times, "value": values, "quality": columns.qualities,
    });
    if let (Some(Bounds { minima, maxima }), Some(fields)) =
        (&columns.bounds, object.as_object_mut())
    {
        fields.insert("min".to_owned(), json!(minima));
        fields.insert("max".to_owned(), json!(maxima));
    }
    object
}

/// A time as people and programs read it: RFC 3339 in UTC, with microseconds.
pub(super) fn utc(seconds: f64) -> String {
    let time = Timestamp::from_microsecond((seconds * 1e6).round() as i64);
    time.map_or_else(|_| String::new(), |time| format!("{time:.6}"))
}

/// A value as a field of CSV: texts that need it in quotes.
fn field(value: &Value) -> String {
    match value {
        Value::None => String::new(),
        Value::Bool(flag) => flag.to_string(),
        Value::Float(number) => number.to_string(),
        value => match value.as_str() {
            Some(text) if text.contains([',', '"', '\n', '\r']) => {
                format!("\"{}\"", text.replace('"', "\"\""))
            }
            Some(text) => text.to_owned(),
            None => value.to_string(),
        },
    }
}

fn json_value(value: &Value) -> Json {
    match value {
        Value::Bool(flag) => json!(flag),
        Value::Float(number) => json!(number),
        value => match (value.as_i64(), value.as_str()) {
            (Some(number), _) => json!(number),
            (None, Some(text)) => json!(text),
            (None, None) => Json::Null,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_has_empty_fields_for_gaps_and_quotes_where_needed() {
        let mut columns = Columns {
            unit: "K".to_owned(),
            times: vec![1_764_000_000.25, 1_764_000_001.0, 1_764_000_002.0],
            values: vec![Value::Float(0.1), Value::None, Value::from("a \"b\", c")],
            qualities: ["good", "no data", "good"].map(str::to_owned).to_vec(),
            bounds: None,
        };
        let text = |columns: &Columns| {
            let mut bytes = Vec::new();
            csv(columns, &mut bytes).unwrap();
            String::from_utf8(bytes).unwrap()
        };
        assert_eq!(
            text(&columns),
            "time,value,quality\n2025-11-24T16:00:00.250000Z,0.1,good\n\
             2025-11-24T16:00:01.000000Z,,no data\n\
             2025-11-24T16:00:02.000000Z,\"a \"\"b\"\", c\",good\n"
        );
        columns.bounds =
            Some(Bounds { minima: vec![Some(0.0), None, None], maxima: vec![None; 3] });
        assert!(text(&columns).contains("Z,0.1,good,0,\n"), "{}", text(&columns));
        let name = SeriesName { service: "lab".to_owned(), member: "t".to_owned() };
        let object = json(&name, &columns);
        assert_eq!(object["value"], json!([0.1, null, "a \"b\", c"]));
        assert_eq!(object["min"], json!([0.0, null, null]));
    }
}
