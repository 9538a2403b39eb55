//! What a call of the nameserver comes to: a question, a search or a change.
//!
//! Owns the methods' parameters, and what answers look like. Carries nothing out.

use std::collections::BTreeSet;
use std::sync::Arc;

use remote::{Dict, Exception, MethodCall, Operation, Signature, Uri, Value};

use crate::arguments::{
    flag, given, known_name, name_of, pattern_of, prefix_of, tags_of, wanted_tags,
};
use crate::directory::{self, Which};
use crate::limits::{self, Budget};
use crate::snapshot::Selection;
use crate::store::{Change, Entry, Index, Named};

/// What a call comes to.
pub(crate) enum Plan {
    /// A question about one name, or about none.
    Ask(Question),
    /// A question that may have many names for its answer.
    List { which: Which, with_metadata: bool },
    /// Names to be compared with a pattern, which takes its time.
    Search { pattern: String, then: Then },
    /// A change, and what to answer for its count.
    Change(Change, fn(usize) -> Value),
}

/// What stands around a name in an answer, and around a tag: quotes, brackets, commas.
const AROUND_NAME: usize = 16;
const AROUND_TAG: usize = 4;

/// What is put into words where it is found, at most: bytes of tags, and what stands for the time
/// that a name and a tag take.
const LITTLE: usize = 128 * 1024;
const LITTLE_OF_NAME: usize = 64;
const LITTLE_OF_TAG: usize = 64;

/// A question. What is found is put into words after the names have been let go.
pub(crate) type Question = Box<dyn FnOnce(&Index) -> Result<Found, Exception> + Send>;

/// What becomes of the names that match.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Then {
    List { with_metadata: bool },
    Remove,
}

/// What was found.
pub(crate) enum Found {
    /// What has words already.
    Value(Value),
    Count(usize),
    Nothing,
    Entry {
        entry: Arc<Entry>,
        with_metadata: bool,
    },
    Many {
        names: Selection,
        with_metadata: bool,
    },
    Names {
        names: Vec<Named>,
        with_metadata: bool,
    },
}

/// Reads a call.
pub(crate) fn plan(call: MethodCall) -> Result<Plan, Exception> {
    match call.method.as_str() {
        "count" => {
            let [] = COUNT.bind(call)?;
            Ok(Plan::Ask(Box::new(|names| Ok(Found::Count(names.len())))))
        }
        "ping" => {
            let [] = PING.bind(call)?;
            Ok(Plan::Ask(Box::new(|_| Ok(Found::Nothing))))
        }
        "lookup" => lookup(call),
        "register" => register(call),
        "set_metadata" => {
            let [name, metadata] = SET_METADATA.bind(call)?;
            let change = directory::set_metadata(name_of(name)?, tags_of(metadata)?)?;
            Ok(Plan::Change(change, |_| Value::None))
        }
        "remove" => remove(call),
        "list" => list(call),
        "yplookup" => yplookup(call),
        _ => Err(Operation::Call(call).unexposed()),
    }
}

impl Found {
    /// Whether to put it into words takes no time to speak of.
    pub(crate) fn is_little(&self) -> bool {
        let little = |entry: &Entry, with_metadata: bool| -> usize {
            let tags = if with_metadata { &*entry.tags } else { &[] };
            LITTLE_OF_NAME + tags.iter().map(|tag| LITTLE_OF_TAG + tag.len()).sum::<usize>()
        };
        match self {
            Found::Value(_) | Found::Count(_) | Found::Nothing => true,
            Found::Entry { entry, with_metadata } => little(entry, *with_metadata) <= LITTLE,
            Found::Names { names, with_metadata } => {
                let mut sum = 0_usize;
                names.iter().all(|(_, entry)| {
                    sum = sum.saturating_add(little(entry, *with_metadata));
                    sum <= LITTLE
                })
            }
            Found::Many { .. } => false,
        }
    }

    /// Takes the room that the answer needs.
    pub(crate) fn charge(&self, budget: &mut Budget) -> Result<(), Exception> {
        match self {
            Found::Value(_) | Found::Count(_) | Found::Nothing => Ok(()),
            Found::Entry { entry, with_metadata } => {
                let (texts, tags) = described_size(entry, *with_metadata);
                budget.take(1, texts, limits::written(&entry.uri) + tags)
            }
            Found::Names { names, with_metadata } => names.iter().try_for_each(|(name, entry)| {
                let (texts, tags) = described_size(entry, *with_metadata);
                let written = limits::written(name) + limits::written(&entry.uri);
                budget.take(1, 1 + texts, AROUND_NAME + written + tags)
            }),
            Found::Many { names, with_metadata } => {
                names.written().try_for_each(|(written, entry)| {
                    let (texts, tags) = described_size(entry, *with_metadata);
                    budget.take(1, 1 + texts, AROUND_NAME + written + tags)
                })
            }
        }
    }

    /// As it is answered.
    pub(crate) fn into_value(self) -> Result<Value, Exception> {
        Ok(match self {
            Found::Value(value) => value,
            Found::Count(count) => count.into(),
            Found::Nothing => Value::None,
            Found::Entry { entry, with_metadata } => {
                let uri = entry.uri.parse::<Uri>();
                let uri = uri.map_err(|error| Exception::pyro_error(error.to_string()))?;
                described(uri.to_value(), &entry, with_metadata)
            }
            Found::Names { names, with_metadata } => {
                let pair = |(name, entry): &Named| {
                    let uri = Value::from(&*entry.uri);
                    (Value::from(&**name), described(uri, entry, with_metadata))
                };
                Value::Dict(names.iter().map(pair).collect::<Dict>())
            }
            Found::Many { names, with_metadata } => {
                let mut dict = Dict::with_capacity(names.len());
                dict.extend(names.iter().map(|(name, uri, entry)| {
                    (Value::from(name), described(Value::from(uri), entry, with_metadata))
                }));
                Value::Dict(dict)
            }
        })
    }
}

/// The texts of an entry in an answer, and the room for its tags.
fn described_size(entry: &Entry, with_metadata: bool) -> (usize, usize) {
    if !with_metadata {
        return (1, 0);
    }
    let tags = entry.tags.iter().map(|tag| AROUND_TAG + limits::written(tag)).sum();
    // A set and the tuple around it are as much as two.
    (3 + entry.tags.len(), tags)
}

/// A URI, with the tags where these are wanted.
fn described(uri: Value, entry: &Entry, with_metadata: bool) -> Value {
    match with_metadata {
        false => uri,
        true => {
            let tags = entry.tags.iter().map(|tag| Value::from(&**tag));
            Value::Tuple(vec![uri, Value::Set(tags.collect())])
        }
    }
}

fn lookup(call: MethodCall) -> Result<Plan, Exception> {
    let [name, return_metadata] = LOOKUP.bind(call)?;
    let (name, with_metadata) = (known_name(name)?, flag(&return_metadata));
    Ok(Plan::Ask(Box::new(move |names| {
        Ok(Found::Entry { entry: directory::lookup(names, &name)?, with_metadata })
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

fn remove(call: MethodCall) -> Result<Plan, Exception> {
    let [name, prefix, regex] = REMOVE.bind(call)?;
    let change = |change| Ok(Plan::Change(change, Value::from));
    // As Pyro5: the first that is given counts.
    let name = given(name)
        .filter(|name| !matches!(name, Value::Str(name) if name == remote::NAMESERVER_NAME));
    match (name, given(prefix), given(regex)) {
        (Some(Value::Str(name)), ..) => change(directory::remove(name)),
        (Some(unhashable @ (Value::List(_) | Value::Dict(_) | Value::Set(_))), ..) => {
            change(known_name(Some(unhashable)).map(directory::remove)?)
        }
        // What is no text is nobody's name.
        (Some(_), ..) => change(Box::new(|_| Ok(0))),
        (None, Some(prefix), _) => change(directory::remove_all(prefix_of(prefix)?)),
        (None, None, Some(regex)) => {
            Ok(Plan::Search { pattern: pattern_of(regex)?, then: Then::Remove })
        }
        (None, None, None) => change(Box::new(|_| Ok(0))),
    }
}

fn list(call: MethodCall) -> Result<Plan, Exception> {
    let [prefix, regex, return_metadata] = LIST.bind(call)?;
    let with_metadata = flag(&return_metadata);
    let prefix = match (given(prefix), given(regex)) {
        (Some(_), Some(_)) => {
            return Err(Exception::value_error("you can only filter on one thing at a time"));
        }
        (None, Some(regex)) => {
            let then = Then::List { with_metadata };
            return Ok(Plan::Search { pattern: pattern_of(regex)?, then });
        }
        (Some(prefix), None) => prefix_of(prefix)?,
        (None, None) => String::new(),
    };
    Ok(Plan::List { which: Which::Prefix(prefix), with_metadata })
}

fn yplookup(call: MethodCall) -> Result<Plan, Exception> {
    let [all, any, return_metadata] = YPLOOKUP.bind(call)?;
    let which = match (given(all), given(any)) {
        (Some(_), Some(_)) => {
            return Err(Exception::value_error(
                "you can't use meta_all or meta_any at the same time",
            ));
        }
        (Some(all), None) => {
            match wanted_tags(all, "metadata_all")?.into_iter().collect::<Option<_>>() {
                Some(tags) => Which::All(tags),
                None => Which::Any(BTreeSet::new()),
            }
        }
        (None, Some(any)) => {
            Which::Any(wanted_tags(any, "metadata_any")?.into_iter().flatten().collect())
        }
        (None, None) => Which::Any(BTreeSet::new()),
    };
    if let Which::All(tags) | Which::Any(tags) = &which {
        limits::check_wanted(tags.len())?;
    }
    let with_metadata = return_metadata.is_none_or(|value| flag(&Some(value)));
    Ok(Plan::List { which, with_metadata })
}

const COUNT: Signature = Signature::empty("NameServer.count");
const PING: Signature = Signature::empty("NameServer.ping");
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
