//! `Pyro.NameServer`: the directory as a Pyro5 object.
//!
//! Owns the translation between calls and the directory's operations, argument checks included.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use remote::{
    Answer, Dict, Exception, Metadata, MethodCall, Object, Operation, Request, Session, Signature,
    Uri, Value, batch_now,
};

use crate::nameserver::directory::{Directory, Filter, Tags};
use crate::nameserver::store::Entry;

/// The nameserver's object.
#[derive(Debug)]
pub(crate) struct NameServerObject {
    directory: Arc<Mutex<Directory>>,
}

impl NameServerObject {
    pub(crate) fn new(directory: Arc<Mutex<Directory>>) -> Self {
        NameServerObject { directory }
    }

    fn directory(&self) -> MutexGuard<'_, Directory> {
        self.directory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call_method(&self, call: MethodCall) -> Result<Value, Exception> {
        match call.method.as_str() {
            "count" => COUNT.bind(call).map(|[]| self.directory().count().into()),
            "lookup" => self.lookup(call),
            "register" => self.register(call),
            "set_metadata" => self.set_metadata(call),
            "remove" => self.remove(call),
            "list" => self.list(call),
            "yplookup" => self.yplookup(call),
            "ping" => PING.bind(call).map(|[]| Value::None),
            _ => Err(Operation::Call(call).unexposed()),
        }
    }

    fn lookup(&self, call: MethodCall) -> Result<Value, Exception> {
        let [name, return_metadata] = LOOKUP.bind(call)?;
        let name = match name {
            Some(Value::Str(name)) => name,
            other => return Err(unknown_name(other)),
        };
        let directory = self.directory();
        let entry = directory.lookup(&name)?;
        let uri = entry
            .uri
            .parse::<Uri>()
            .map_err(|error| Exception::pyro_error(error.to_string()))?
            .to_value();
        Ok(match is_true(&return_metadata) {
            true => Value::Tuple(vec![uri, tags(&entry.metadata)]),
            false => uri,
        })
    }

    fn register(&self, call: MethodCall) -> Result<Value, Exception> {
        let [name, uri, safe, metadata] = REGISTER.bind(call)?;
        let uri = match uri {
            Some(Value::Str(uri)) => uri,
            Some(other) => Uri::from_value(&other)
                .map(|uri| uri.to_string())
                .ok_or_else(|| Exception::type_error("only URIs or strings can be registered"))?,
            None => return Err(Exception::type_error("only URIs or strings can be registered")),
        };
        // Pyro5 checks the address first, then the name.
        uri.parse::<Uri>().map_err(|error| Exception::pyro_error(error.to_string()))?;
        let name = name_of(name)?;
        let metadata = tag_set(metadata, "metadata")?.unwrap_or_default();
        self.directory().register(name, uri, is_true(&safe), metadata)?;
        Ok(Value::None)
    }

    fn set_metadata(&self, call: MethodCall) -> Result<Value, Exception> {
        let [name, metadata] = SET_METADATA.bind(call)?;
        let name = name_of(name)?;
        let metadata = tag_set(metadata, "metadata")?.unwrap_or_default();
        self.directory().set_metadata(&name, metadata)?;
        Ok(Value::None)
    }

    fn remove(&self, call: MethodCall) -> Result<Value, Exception> {
        let [name, prefix, regex] = REMOVE.bind(call)?;
        let mut directory = self.directory();
        // As Pyro5: the first that is given counts.
        let removed = if let Some(name) = text(name).filter(|name| name != remote::NAMESERVER_NAME)
        {
            directory.remove(&name)
        } else if let Some(prefix) = text(prefix) {
            directory.remove_all(&Filter::Prefix(prefix))
        } else if let Some(regex) = text(regex) {
            directory.remove_all(&Filter::regex(&regex)?)
        } else {
            0
        };
        Ok(removed.into())
    }

    fn list(&self, call: MethodCall) -> Result<Value, Exception> {
        let [prefix, regex, return_metadata] = LIST.bind(call)?;
        let filter = match (text(prefix), text(regex)) {
            (Some(_), Some(_)) => {
                return Err(Exception::value_error("you can only filter on one thing at a time"));
            }
            (Some(prefix), None) => Filter::Prefix(prefix),
            (None, Some(regex)) => Filter::regex(&regex)?,
            (None, None) => Filter::All,
        };
        let directory = self.directory();
        Ok(entries(directory.list(&filter), is_true(&return_metadata)))
    }

    fn yplookup(&self, call: MethodCall) -> Result<Value, Exception> {
        let [all, any, return_metadata] = YPLOOKUP.bind(call)?;
        let given = |value: Option<Value>| value.filter(|value| is_true(&Some(value.clone())));
        let tags = match (given(all), given(any)) {
            (Some(_), Some(_)) => {
                return Err(Exception::value_error(
                    "you can't use meta_all or meta_any at the same time",
                ));
            }
            (all @ Some(_), None) => Tags::All(tag_set(all, "metadata_all")?.unwrap_or_default()),
            (None, any @ Some(_)) => Tags::Any(tag_set(any, "metadata_any")?.unwrap_or_default()),
            (None, None) => return Ok(Value::Dict(Dict::new())),
        };
        let with_metadata = return_metadata.is_none_or(|value| is_true(&Some(value)));
        let directory = self.directory();
        Ok(entries(directory.tagged(&tags), with_metadata))
    }
}

impl Object for NameServerObject {
    fn metadata(&self) -> Result<Metadata, Exception> {
        Ok(Metadata::methods([
            "count",
            "list",
            "lookup",
            "ping",
            "register",
            "remove",
            "set_metadata",
            "yplookup",
        ]))
    }

    fn call(&self, _session: &Arc<Session>, request: Request) -> Answer {
        match request.operation {
            Operation::Call(call) => Answer::from(self.call_method(call)),
            Operation::Batch(calls) => batch_now(calls, |call| self.call_method(call)),
            other => Answer::exception(other.unexposed()),
        }
    }
}

const COUNT: Signature = Signature::none("NameServer.count");
const PING: Signature = Signature::none("NameServer.ping");
const LOOKUP: Signature =
    Signature { name: "NameServer.lookup", parameters: &["name", "return_metadata"], required: 1 };
const REGISTER: Signature = Signature {
    name: "NameServer.register",
    parameters: &["name", "uri", "safe", "metadata"],
    required: 2,
};
const SET_METADATA: Signature =
    Signature { name: "NameServer.set_metadata", parameters: &["name", "metadata"], required: 2 };
const REMOVE: Signature =
    Signature { name: "NameServer.remove", parameters: &["name", "prefix", "regex"], required: 0 };
const LIST: Signature = Signature {
    name: "NameServer.list",
    parameters: &["prefix", "regex", "return_metadata"],
    required: 0,
};
const YPLOOKUP: Signature = Signature {
    name: "NameServer.yplookup",
    parameters: &["meta_all", "meta_any", "return_metadata"],
    required: 0,
};

/// Names with their URIs, and with their tags where these are wanted.
fn entries<'a>(found: impl Iterator<Item = (&'a String, &'a Entry)>, with_metadata: bool) -> Value {
    let pair = |(name, entry): (&String, &Entry)| {
        let uri = Value::from(entry.uri.as_str());
        let value = match with_metadata {
            true => Value::Tuple(vec![uri, tags(&entry.metadata)]),
            false => uri,
        };
        (Value::from(name.as_str()), value)
    };
    Value::Dict(found.map(pair).collect::<Dict>())
}

fn tags(metadata: &BTreeSet<String>) -> Value {
    Value::Set(metadata.iter().map(|tag| Value::from(tag.as_str())).collect())
}

fn name_of(value: Option<Value>) -> Result<String, Exception> {
    match value {
        Some(Value::Str(name)) => Ok(name),
        _ => Err(Exception::type_error("name must be a str")),
    }
}

/// A text that is given and not empty.
fn text(value: Option<Value>) -> Option<String> {
    match value {
        Some(Value::Str(text)) if !text.is_empty() => Some(text),
        _ => None,
    }
}

/// Python's truth: Pyro5's own clients pass 0.0 where they mean False.
fn is_true(value: &Option<Value>) -> bool {
    match value {
        None | Some(Value::None) => false,
        Some(Value::Bool(flag)) => *flag,
        Some(Value::Int(number)) => *number != 0,
        Some(Value::BigInt(_)) => true,
        Some(Value::Float(number)) => *number != 0.0,
        Some(Value::Complex { re, im }) => *re != 0.0 || *im != 0.0,
        Some(Value::Str(text)) => !text.is_empty(),
        Some(Value::Bytes(bytes)) => !bytes.is_empty(),
        Some(Value::List(items) | Value::Tuple(items)) => !items.is_empty(),
        Some(Value::Set(items) | Value::FrozenSet(items)) => !items.is_empty(),
        Some(Value::Dict(entries)) => !entries.is_empty(),
    }
}

/// A collection of tags; `None` where none is given.
fn tag_set(value: Option<Value>, parameter: &str) -> Result<Option<BTreeSet<String>>, Exception> {
    let items: Vec<Value> = match value {
        None | Some(Value::None) => return Ok(None),
        Some(Value::Str(_)) => {
            return Err(Exception::type_error(format!(
                "{parameter} should not be a str, but another iterable (set, list, etc)"
            )));
        }
        Some(Value::Set(items) | Value::FrozenSet(items)) => items.into_vec(),
        Some(Value::List(items) | Value::Tuple(items)) => items,
        Some(other) => {
            return Err(Exception::type_error(format!(
                "'{}' object is not iterable",
                other.type_name()
            )));
        }
    };
    let tag = |item: Value| match item {
        Value::Str(tag) => Ok(tag),
        other => Err(Exception::type_error(format!(
            "{parameter} must hold str, not {}",
            other.type_name()
        ))),
    };
    items.into_iter().map(tag).collect::<Result<_, _>>().map(Some)
}

fn unknown_name(name: Option<Value>) -> Exception {
    match name {
        // Python cannot join a str and something else, and says so.
        Some(other) => Exception::type_error(format!(
            "can only concatenate str (not \"{}\") to str",
            other.type_name()
        )),
        None => Exception::type_error("name must be a str"),
    }
}
