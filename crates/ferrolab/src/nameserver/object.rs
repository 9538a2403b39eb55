//! `Pyro.NameServer`: the names as a Pyro5 object.
//!
//! Owns the translation of calls into questions and changes, and how a batch of them is carried
//! out.

use std::collections::BTreeSet;
use std::sync::Arc;

use remote::{
    Answer, Dict, Exception, Metadata, MethodCall, Object, Operation, Reply, Request, Session,
    Signature, Uri, Value, batch_now,
};
use tokio::sync::oneshot;

use crate::nameserver::arguments::{
    flag, given, known_name, name_of, pattern_of, prefix_of, tags_of, wanted_tags,
};
use crate::nameserver::directory::{self, Filter, Tags};
use crate::nameserver::limits;
use crate::nameserver::store::{Change, Changed, Index, Named, Store};

/// The nameserver's object.
pub(crate) struct NameServerObject {
    store: Arc<Store>,
}

/// What a call comes to.
enum Plan {
    /// A question. The answer is put into words after the names have been let go.
    Ask(Box<dyn FnOnce(&Index) -> Result<Found, Exception> + Send>),
    /// A change, and what to answer for its count.
    Change(Change, fn(usize) -> Value),
}

/// What was found.
enum Found {
    Value(Value),
    Names { names: Vec<Named>, with_metadata: bool },
}

impl NameServerObject {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        NameServerObject { store }
    }

    fn call_method(&self, call: MethodCall) -> Answer {
        match plan(call) {
            Err(exception) => Answer::exception(exception),
            Ok(Plan::Ask(ask)) => {
                let found = ask(&self.store.read());
                Answer::from(found.and_then(Found::into_value))
            }
            Ok(Plan::Change(change, value)) => match self.store.change(change) {
                Changed::Now(outcome) => Answer::from(outcome.map(value)),
                Changed::Later(outcome) => Answer::Pending(Box::pin(async move {
                    outcome.await.map(|count| Reply::from(value(count)))
                })),
            },
        }
    }

    /// Carries out a batch as one change: its registrations wait for the disk once, not each.
    fn call_batch(&self, calls: Vec<MethodCall>) -> Answer {
        let (done, results) = oneshot::channel();
        let batch: Change = Box::new(move |names| {
            let answer = batch_now(calls, |call| match plan(call)? {
                Plan::Ask(ask) => ask(names.index())?.into_value(),
                Plan::Change(change, value) => change(names).map(value),
            });
            // Who does not wait any more does not want the results.
            let _ = done.send(answer);
            Ok(0)
        });
        let changed = self.store.change(batch);
        Answer::Pending(Box::pin(async move {
            changed.wait().await?;
            match results.await {
                Ok(answer) => answer.wait().await,
                Err(_) => Err(Exception::naming_error("the nameserver is stopping")),
            }
        }))
    }
}

/// Reads a call.
fn plan(call: MethodCall) -> Result<Plan, Exception> {
    match call.method.as_str() {
        "count" => {
            let [] = COUNT.bind(call)?;
            Ok(Plan::Ask(Box::new(|names| Ok(Found::Value(names.len().into())))))
        }
        "ping" => {
            let [] = PING.bind(call)?;
            Ok(Plan::Ask(Box::new(|_| Ok(Found::Value(Value::None)))))
        }
        "lookup" => lookup(call),
        "register" => register(call),
        "set_metadata" => {
            let [name, metadata] = SET_METADATA.bind(call)?;
            let change = directory::set_metadata(name_of(name)?, tags_of(metadata)?)?;
            Ok(Plan::Change(change, |_| Value::None))
        }
        "remove" => remove(call).map(|change| Plan::Change(change, Value::from)),
        "list" => list(call),
        "yplookup" => yplookup(call),
        _ => Err(Operation::Call(call).unexposed()),
    }
}

fn lookup(call: MethodCall) -> Result<Plan, Exception> {
    let [name, return_metadata] = LOOKUP.bind(call)?;
    let (name, with_metadata) = (known_name(name)?, flag(&return_metadata));
    Ok(Plan::Ask(Box::new(move |names| {
        let entry = directory::lookup(names, &name)?;
        let uri = entry
            .uri
            .parse::<Uri>()
            .map_err(|error| Exception::pyro_error(error.to_string()))?
            .to_value();
        Ok(Found::Value(match with_metadata {
            true => Value::Tuple(vec![uri, tags(&entry.metadata)]),
            false => uri,
        }))
    })))
}

fn register(call: MethodCall) -> Result<Plan, Exception> {
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
    let change = directory::register(name, uri, flag(&safe), tags_of(metadata)?)?;
    Ok(Plan::Change(change, |_| Value::None))
}

fn remove(call: MethodCall) -> Result<Change, Exception> {
    let [name, prefix, regex] = REMOVE.bind(call)?;
    // As Pyro5: the first that is given counts.
    let name = given(name)
        .filter(|name| !matches!(name, Value::Str(name) if name == remote::NAMESERVER_NAME));
    Ok(match (name, given(prefix), given(regex)) {
        (Some(Value::Str(name)), ..) => directory::remove(name),
        (Some(unhashable @ (Value::List(_) | Value::Dict(_) | Value::Set(_))), ..) => {
            known_name(Some(unhashable)).map(directory::remove)?
        }
        // What is no text is nobody's name.
        (Some(_), ..) => Box::new(|_| Ok(0)),
        (None, Some(prefix), _) => directory::remove_all(Filter::Prefix(prefix_of(prefix)?)),
        (None, None, Some(regex)) => directory::remove_all(Filter::regex(&pattern_of(regex)?)?),
        (None, None, None) => Box::new(|_| Ok(0)),
    })
}

fn list(call: MethodCall) -> Result<Plan, Exception> {
    let [prefix, regex, return_metadata] = LIST.bind(call)?;
    let filter = match (given(prefix), given(regex)) {
        (Some(_), Some(_)) => {
            return Err(Exception::value_error("you can only filter on one thing at a time"));
        }
        (Some(prefix), None) => Filter::Prefix(prefix_of(prefix)?),
        (None, Some(regex)) => Filter::regex(&pattern_of(regex)?)?,
        (None, None) => Filter::All,
    };
    let with_metadata = flag(&return_metadata);
    Ok(Plan::Ask(Box::new(move |names| {
        Ok(Found::Names { names: directory::list(names, &filter), with_metadata })
    })))
}

fn yplookup(call: MethodCall) -> Result<Plan, Exception> {
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
        (None, None) => Tags::Any(BTreeSet::new()),
    };
    let with_metadata = return_metadata.is_none_or(|value| flag(&Some(value)));
    Ok(Plan::Ask(Box::new(move |names| {
        Ok(Found::Names { names: directory::tagged(names, &tags), with_metadata })
    })))
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
            Operation::Batch(calls) => self.call_batch(calls),
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

impl Found {
    fn into_value(self) -> Result<Value, Exception> {
        match self {
            Found::Value(value) => Ok(value),
            Found::Names { names, with_metadata } => entries(&names, with_metadata),
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
