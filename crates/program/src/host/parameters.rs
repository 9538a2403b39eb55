//! Conversion of a service's parameters and arguments from the configuration's data
//! (`lab_config::Data`) to `remote::Value`, for native services and for Python workers.

use lab_config::Data;
use remote::{Dict, Value};

/// Plain data as a value.
pub(super) fn value(data: &Data) -> Value {
    match data {
        Data::Null => Value::None,
        Data::Bool(flag) => Value::Bool(*flag),
        Data::Int(number) => Value::Int(*number),
        Data::BigInt(number) => Value::int(number.clone()),
        Data::Float(number) => Value::Float(*number),
        Data::Text(text) => Value::from(text.as_str()),
        Data::Date(iso) => Value::Dict(date(iso)),
        Data::List(items) => Value::List(items.iter().map(value).collect()),
        Data::Map(_) => Value::Dict(dict(data)),
    }
}

/// A date for a driver in Python, as the worker's `loading.py` reads it.
fn date(iso: &str) -> Dict {
    let class = if iso.contains('T') { "datetime.datetime" } else { "datetime.date" };
    [("__class__", class), ("iso", iso)].into_iter().collect()
}

/// A mapping as a dict; anything else as an empty one.
pub(super) fn dict(data: &Data) -> Dict {
    match data {
        Data::Map(entries) => {
            entries.iter().map(|(key, data)| (Value::from(key.as_str()), value(data))).collect()
        }
        _ => Dict::new(),
    }
}
