//! Conversion between JSON and the wire's values, for listings that another lab sends.

use remote::{Dict, Value};
use serde_json::Value as Json;

use crate::log::sanitize;

/// A JSON value for the wire.
pub(super) fn to_value(json: Json) -> Value {
    match json {
        Json::Null => Value::None,
        Json::Bool(value) => value.into(),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => whole.into(),
            None => number.as_f64().unwrap_or_default().into(),
        },
        Json::String(text) => Value::Str(text),
        Json::Array(items) => Value::List(items.into_iter().map(to_value).collect()),
        Json::Object(fields) => {
            let mut dict = Dict::with_capacity(fields.len());
            for (key, value) in fields {
                dict.insert(key, to_value(value));
            }
            Value::Dict(dict)
        }
    }
}

/// The JSON form of what another lab has sent. Its texts are made safe for a terminal here, once:
/// its drivers and clients can put anything into them.
pub(super) fn to_json(value: &Value) -> Json {
    match value {
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        Value::Float(value) => (*value).into(),
        Value::Str(text) => sanitize::lines(text, "").into(),
        Value::List(items) | Value::Tuple(items) => items.iter().map(to_json).collect(),
        Value::Dict(dict) => {
            let field = |(key, value): (&Value, &Value)| {
                Some((sanitize::line(key.as_str()?), to_json(value)))
            };
            Json::Object(dict.iter().filter_map(field).collect())
        }
        _ => Json::Null,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_listing_survives_and_cannot_move_a_cursor() {
        let sent = json!({
            "name": "lab.laser", "since": null, "restarts": 3, "age": 0.5, "up": true,
            "rows": [{"error": "first\nsecond"}],
        });
        assert_eq!(to_json(&to_value(sent.clone())), sent);
        let hostile = to_value(json!({"error": "\u{1b}[2Jgone"}));
        assert_eq!(to_json(&hostile), json!({"error": "\u{fffd}[2Jgone"}));
    }
}
