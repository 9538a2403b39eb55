//! `Pyro.NameServer`: the directory as a Pyro5 object.
//!
//! Owns the translation between calls and the directory's operations.

use std::collections::BTreeSet;
use std::sync::Arc;

use remote::{
    Answer, Dict, Exception, Metadata, MethodCall, Object, Operation, Reply, Request, Session,
    Signature, Uri, Value, batch,
};

use crate::nameserver::arguments::{
    flag, given, known_name, name_of, pattern_of, prefix_of, tags_of, wanted_tags,
};
use crate::nameserver::directory::{Directory, Filter, Tags};
use crate::nameserver::limits;
use crate::nameserver::store::{Changed, Named};

/// The nameserver's object.
#[derive(Clone)]
pub(crate) struct NameServerObject {
    directory: Arc<Directory>,
}

impl NameServerObject {
    pub(crate) fn new(directory: Arc<Directory>) -> Self {
        NameServerObject { directory }
    }

    fn call_method(&self, call: MethodCall) -> Answer {
        let answered = match call.method.as_str() {
            "count" => COUNT.bind(call).map(|[]| Answer::value(self.directory.count())),
            "lookup" => self.lookup(call).map(Answer::value),
            "register" => self.register(call).map(|changed| answer(changed, |_| Value::None)),
            "set_metadata" => {
                self.set_metadata(call).map(|changed| answer(changed, |_| Value::None))
            }
            "remove" => self.remove(call).map(|changed| answer(changed, Value::from)),
            "list" => self.list(call).map(Answer::value),
            "yplookup" => self.yplookup(call).map(Answer::value),
            "ping" => PING.bind(call).map(|[]| Answer::value(Value::None)),
            _ => Err(Operation::Call(call).unexposed()),
        };
        answered.unwrap_or_else(Answer::exception)
    }

    fn lookup(&self, call: MethodCall) -> Result<Value, Exception> {
        let [name, return_metadata] = LOOKUP.bind(call)?;
        let entry = self.directory.lookup(&known_name(name)?)?;
        let uri = entry
            .uri
            .parse::<Uri>()
            .map_err(|error| Exception::pyro_error(error.to_string()))?
            .to_value();
        Ok(match flag(&return_metadata) {
            true => Value::Tuple(vec![uri, tags(&entry.metadata)]),
            false => uri,
        })
    }

    fn register(&self, call: MethodCall) -> Result<Changed, Exception> {
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
        Ok(self.directory.register(name, uri, flag(&safe), tags_of(metadata)?))
    }

    fn set_metadata(&self, call: MethodCall) -> Result<Changed, Exception> {
        let [name, metadata] = SET_METADATA.bind(call)?;
        let name = name_of(name)?;
        Ok(self.directory.set_metadata(name, tags_of(metadata)?))
    }

    fn remove(&self, call: MethodCall) -> Result<Changed, Exception> {
        let [name, prefix, regex] = REMOVE.bind(call)?;
        // As Pyro5: the first that is given counts.
        let name = given(name)
            .filter(|name| !matches!(name, Value::Str(name) if name == remote::NAMESERVER_NAME));
        Ok(match (name, given(prefix), given(regex)) {
            (Some(Value::Str(name)), ..) => self.directory.remove(name),
            // What is no text is nobody's name.
            (Some(other), ..) => Changed::Now(match other {
                Value::List(_) | Value::Dict(_) | Value::Set(_) => {
                    known_name(Some(other)).map(|_| 0)
                }
                _ => Ok(0),
            }),
            (None, Some(prefix), _) => {
                self.directory.remove_all(Filter::Prefix(prefix_of(prefix)?))
            }
            (None, None, Some(regex)) => {
                self.directory.remove_all(Filter::regex(&pattern_of(regex)?)?)
            }
            (None, None, None) => Changed::Now(Ok(0)),
        })
    }

    fn list(&self, call: MethodCall) -> Result<Value, Exception> {
        let [prefix, regex, return_metadata] = LIST.bind(call)?;
        let filter = match (given(prefix), given(regex)) {
            (Some(_), Some(_)) => {
                return Err(Exception::value_error("you can only filter on one thing at a time"));
            }
            (Some(prefix), None) => Filter::Prefix(prefix_of(prefix)?),
            (None, Some(regex)) => Filter::regex(&pattern_of(regex)?)?,
            (None, None) => Filter::All,
        };
        entries(&self.directory.list(&filter), flag(&return_metadata))
    }

    fn yplookup(&self, call: MethodCall) -> Result<Value, Exception> {
        let [all, any, return_metadata] = YPLOOKUP.bind(call)?;
        let tags = match (given(all), given(any)) {
            (Some(_), Some(_)) => {
                return Err(Exception::value_error(
                    "you can't use meta_all or meta_any at the same time",
                ));
            }
            (Some(all), None) => {
                match wanted_tags(all, "metadata_all")?.into_iter().collect::<Option<_>>() {
                    Some(tags) => Tags::All(tags),
                    None => Tags::Any(BTreeSet::new()),
                }
            }
            (None, Some(any)) => {
                Tags::Any(wanted_tags(any, "metadata_any")?.into_iter().flatten().collect())
            }
            (None, None) => return Ok(Value::Dict(Dict::new())),
        };
        let with_metadata = return_metadata.is_none_or(|value| flag(&Some(value)));
        entries(&self.directory.tagged(&tags), with_metadata)
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
            Operation::Call(call) => self.call_method(call),
            Operation::Batch(calls) => {
                let object = self.clone();
                Answer::Pending(Box::pin(async move {
                    batch(calls, |call| object.call_method(call)).await
                }))
            }
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

/// A change as the answer to its call.
fn answer(changed: Changed, value: fn(usize) -> Value) -> Answer {
    match changed {
        Changed::Now(outcome) => Answer::from(outcome.map(value)),
        Changed::Later(outcome) => {
            Answer::Pending(Box::pin(async move { outcome.await.map(|n| Reply::from(value(n))) }))
        }
    }
}

/// Names with their URIs, and with their tags where these are wanted.
fn entries(found: &[Named], with_metadata: bool) -> Result<Value, Exception> {
    let size = |(name, entry): &Named| {
        name.len() + if with_metadata { entry.bytes() } else { entry.uri.len() }
    };
    limits::check_answer(found.len(), found.iter().map(size).sum())?;
    let pair = |(name, entry): &Named| {
        let uri = Value::from(entry.uri.as_str());
        let value = match with_metadata {
            true => Value::Tuple(vec![uri, tags(&entry.metadata)]),
            false => uri,
        };
        (Value::from(&**name), value)
    };
    Ok(Value::Dict(found.iter().map(pair).collect::<Dict>()))
}

fn tags(metadata: &BTreeSet<String>) -> Value {
    Value::Set(metadata.iter().map(|tag| Value::from(tag.as_str())).collect())
}
