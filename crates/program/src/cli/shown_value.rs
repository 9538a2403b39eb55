//! Results of `ferrolab call`, in the form that people or scripts read.
//!
//! A result that would be shown without what matters is refused.

use miette::{IntoDiagnostic, Report, miette};
use remote::{Dict, Serializer, Value};

/// The class name of proxies on the wire.
const PROXY_CLASS: &str = "Pyro5.client.Proxy";

/// Whose result it is, and for whom.
pub(super) struct Printer<'a> {
    pub(super) called: &'a str,
    pub(super) member: &'a str,
    pub(super) json: bool,
}

impl Printer<'_> {
    /// Prints a result in one line; without `json` nothing for one that does not exist.
    ///
    /// # Errors
    /// It cannot be shown.
    pub(super) fn print(&self, result: Option<Value>) -> Result<(), Report> {
        let result = result.map(|value| plainly(value, !self.json));
        let value = result.as_ref().unwrap_or(&Value::None);
        if let Some(class) = emptied_class(value) {
            return Err(unshown(self.called, self.member, value, class));
        }
        match (self.json, &result) {
            (true, _) => println!("{}", json(self.called, self.member, value)?),
            (false, Some(value)) => println!("{value}"),
            (false, None) => {}
        }
        Ok(())
    }
}

/// A result as it is printed: an object that the service hands out is its URI, for `call --uri`.
/// With `has_bytes`, bytes that serpent carries as base64 text are bytes again: JSON has none.
fn plainly(value: Value, has_bytes: bool) -> Value {
    let is_carried = value.as_dict().is_some_and(|dict| dict.len() == 2);
    if has_bytes
        && is_carried
        && let Some(bytes) = wire::serpent::to_bytes(&value)
    {
        return Value::bytes(bytes);
    }
    let within = |value| plainly(value, has_bytes);
    match value {
        Value::List(items) => Value::List(items.into_iter().map(within).collect()),
        Value::Tuple(items) => Value::Tuple(items.into_iter().map(within).collect()),
        Value::Dict(dict) if dict.class() == Some(PROXY_CLASS) => match proxy_uri(&dict) {
            Some(uri) => Value::from(uri),
            None => Value::Dict(dict),
        },
        Value::Dict(dict) => {
            Value::Dict(dict.into_iter().map(|(key, value)| (key, within(value))).collect())
        }
        other => other,
    }
}

/// The URI in the class dict of a proxy: the first item of its state.
fn proxy_uri(dict: &Dict) -> Option<String> {
    let (_, state) = dict.iter().find(|(key, _)| key.as_str() == Some("state"))?;
    match state {
        Value::List(items) | Value::Tuple(items) => Some(items.first()?.as_str()?.to_owned()),
        _ => None,
    }
}

/// The first class in a value of which only the name has arrived: a Path, the data of a DataFrame.
fn emptied_class(value: &Value) -> Option<&str> {
    match value {
        Value::List(items) | Value::Tuple(items) => items.iter().find_map(emptied_class),
        Value::Dict(dict) => match dict.class() {
            Some(class) if dict.len() == 1 => Some(class),
            _ => dict.values().find_map(emptied_class),
        },
        _ => None,
    }
}

/// The refusal of a result whose printed form would lack what matters.
fn unshown(called: &str, member: &str, value: &Value, emptied: &str) -> Report {
    let whole = value.as_dict().and_then(Dict::class).unwrap_or(emptied);
    let held = match whole == emptied {
        true => String::new(),
        false => format!(" (it holds a {emptied})"),
    };
    miette!(
        help = "let the driver return plain data, such as `str(path)` or `frame.to_dict(\"list\")`, or \
                register a converter for the class (`register_class_to_dict`)",
        "the result of {called}.{member} is a {whole}{held}, of which only the name has arrived"
    )
}

/// A result for scripts, in one line.
fn json(called: &str, member: &str, value: &Value) -> Result<String, Report> {
    let mut text = Vec::new();
    Serializer::Json.encode(value, &mut text).map_err(|error| {
        miette!(
            help = "without `--json` it is printed as Python would print it",
            "the result of {called}.{member} has no JSON form: {error}"
        )
    })?;
    String::from_utf8(text).into_diagnostic()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_that_has_lost_its_content_is_told_apart() {
        let path = || Dict::from_iter([("__class__", "pathlib.PosixPath")]);
        let frame = Dict::from_iter([
            (Value::from("__class__"), Value::from("pandas.core.frame.DataFrame")),
            (Value::from("_mgr"), Value::Dict(path())),
        ]);
        let point = Dict::from_iter([
            (Value::from("__class__"), Value::from("lab.Point")),
            (Value::from("x"), Value::from(1)),
        ]);
        let list = Value::List(vec![Value::from(1), Value::Dict(path())]);
        for (value, class) in [
            (Value::Dict(path()), Some("pathlib.PosixPath")),
            (Value::Dict(frame), Some("pathlib.PosixPath")),
            (list, Some("pathlib.PosixPath")),
            (Value::Dict(point), None),
            (Value::Dict(Dict::new()), None),
        ] {
            assert_eq!(emptied_class(&value), class, "{value}");
        }
    }
}
