//! Arguments of the nameserver's methods, converted to the types that the directory works with.
//!
//! As tolerant as Pyro5 (anything can be true, any collection can be tags), with Python's errors
//! for other values.

use std::collections::BTreeSet;

use remote::{Exception, Value};

/// A name to register.
pub(crate) fn name_of(value: Option<Value>) -> Result<String, Exception> {
    match value {
        Some(Value::Str(name)) => Ok(name),
        _ => Err(Exception::type_error("name must be a str")),
    }
}

/// A name to look up.
pub(crate) fn known_name(value: Option<Value>) -> Result<String, Exception> {
    match value {
        Some(Value::Str(name)) => Ok(name),
        // Python cannot join a str and something else, and says so.
        Some(other) => Err(hashable(&other).err().unwrap_or_else(|| {
            Exception::type_error(format!(
                "can only concatenate str (not \"{}\") to str",
                other.type_name()
            ))
        })),
        None => Err(Exception::type_error("name must be a str")),
    }
}

/// An argument that is given and true in Python.
pub(crate) fn given(value: Option<Value>) -> Option<Value> {
    value.filter(is_true)
}

/// A prefix that is given.
pub(crate) fn prefix_of(value: Value) -> Result<String, Exception> {
    match value {
        Value::Str(prefix) => Ok(prefix),
        // Python's `startswith` takes it, Pyro5's database does not.
        Value::Tuple(_) => Err(Exception::type_error("prefix must be str, not tuple")),
        other => Err(Exception::type_error(format!(
            "startswith first arg must be str or a tuple of str, not {}",
            other.type_name()
        ))),
    }
}

/// A pattern that is given.
pub(crate) fn pattern_of(value: Value) -> Result<String, Exception> {
    match value {
        Value::Str(pattern) => Ok(pattern),
        Value::Bytes(_) => {
            Err(Exception::type_error("cannot use a bytes pattern on a string-like object"))
        }
        other => Err(hashable(&other).err().unwrap_or_else(|| {
            Exception::type_error("first argument must be string or compiled pattern")
        })),
    }
}

/// A flag: Pyro5's own clients pass 0.0 for False.
pub(crate) fn flag(value: &Option<Value>) -> bool {
    value.as_ref().is_some_and(is_true)
}

/// A collection of tags to register; an absent one is empty.
pub(crate) fn tags_of(value: Option<Value>) -> Result<BTreeSet<String>, Exception> {
    let items = match value {
        None | Some(Value::None) => return Ok(BTreeSet::new()),
        Some(value) => items(value, "metadata")?,
    };
    let tag = |item: Value| match item {
        Value::Str(tag) => Ok(tag),
        other => Err(hashable(&other).err().unwrap_or_else(|| {
            Exception::type_error(format!("metadata must hold str, not {}", other.type_name()))
        })),
    };
    items.into_iter().map(tag).collect()
}

/// Tags to look for; `None` for a tag that is not text, which no name has.
pub(crate) fn wanted_tags(value: Value, parameter: &str) -> Result<Vec<Option<String>>, Exception> {
    let tag = |item: Value| match item {
        Value::Str(tag) => Ok(Some(tag)),
        other => hashable(&other).map(|()| None),
    };
    items(value, parameter)?.into_iter().map(tag).collect()
}

/// The items that Python's iteration over a value gives.
fn items(value: Value, parameter: &str) -> Result<Vec<Value>, Exception> {
    match value {
        Value::Str(_) => Err(Exception::type_error(format!(
            "{parameter} should not be a str, but another iterable (set, list, etc)"
        ))),
        Value::Set(items) | Value::FrozenSet(items) => Ok(items.into_vec()),
        Value::List(items) | Value::Tuple(items) => Ok(items),
        Value::Dict(entries) => Ok(entries.into_iter().map(|(key, _)| key).collect()),
        Value::Bytes(bytes) => Ok(bytes.into_iter().map(|byte| i64::from(byte).into()).collect()),
        other => {
            Err(Exception::type_error(format!("'{}' object is not iterable", other.type_name())))
        }
    }
}

fn hashable(value: &Value) -> Result<(), Exception> {
    match value {
        Value::List(_) | Value::Dict(_) | Value::Set(_) | Value::Array(_) => {
            Err(Exception::type_error(format!("unhashable type: '{}'", value.type_name())))
        }
        Value::Tuple(items) => items.iter().try_for_each(hashable),
        _ => Ok(()),
    }
}

/// Python's `bool(value)`.
fn is_true(value: &Value) -> bool {
    match value {
        Value::None => false,
        Value::Bool(flag) => *flag,
        Value::Int(number) => *number != 0,
        Value::BigInt(_) => true,
        Value::Float(number) => *number != 0.0,
        Value::Complex { re, im } => *re != 0.0 || *im != 0.0,
        Value::Str(text) => !text.is_empty(),
        Value::SurrogateStr(_) => true,
        Value::Bytes(bytes) => !bytes.is_empty(),
        Value::List(items) | Value::Tuple(items) => !items.is_empty(),
        Value::Set(items) | Value::FrozenSet(items) => !items.is_empty(),
        Value::Dict(entries) => !entries.is_empty(),
        Value::Array(array) => !array.data().is_empty(),
    }
}
