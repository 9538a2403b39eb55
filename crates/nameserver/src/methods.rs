//! The nameserver's methods: their parameters, and the form of their answers.
//!
//! Checks the arguments of a call and says what kind of work it is. Does none of the work.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use remote::{Dict, Exception, MethodCall, Operation, Signature, Uri, Value};

use crate::arguments::{
    flag, given, known_name, name_of, pattern_of, prefix_of, tags_of, wanted_tags,
};
use crate::directory::{self, Which};
use crate::limits::{self, Budget};
use crate::store::{Change, Entry, Index, Named};

/// A call with its arguments checked.
pub(crate) enum NameCall {
    Ask(Question),
    /// A change, and the answer for its count.
    Change(Change, fn(usize) -> Value),
    /// Names by prefix or by tags.
    List {
        which: Which,
        with_metadata: bool,
    },
    /// Names by pattern.
    Search {
        pattern: String,
        with_metadata: bool,
    },
    RemoveMatching {
        pattern: String,
    },
    /// Names that are hidden because their hosts are away, as the call of `list` finds names.
    ListHidden(Box<NameCall>),
    /// Removes one of those.
    RemoveHidden {
        name: String,
    },
}

/// A question about at most one name. The answer is built after the index is unlocked.
pub(crate) type Question = Box<dyn Fn(&Index) -> Result<Found, Exception> + Send>;

/// The result of a call.
pub(crate) enum Found {
    Value(Value),
    Entry { entry: Arc<Entry>, with_metadata: bool },
    Names { names: Vec<Named>, with_metadata: bool },
}

/// Method of a nameserver that is one of several replicas: as `list`, for names of hosts that are
/// away. Stock clients never see it.
pub(crate) const LIST_HIDDEN: &str = "list_hidden";
/// The same for the removal of one such name; 1 if it was there.
pub(crate) const REMOVE_HIDDEN: &str = "remove_hidden";

/// Bytes of a value that takes no time to build.
const SMALL_VALUE: usize = 128 * 1024;
/// Bytes that take as long as a text of a value beside its letters.
const TIME_OF_TEXT: usize = 64;

/// Bytes of an IPv6 address with its brackets.
const LONGEST_ADDRESS: usize = 41;
/// Bytes around a name in an answer: quotes, brackets, commas.
const AROUND_NAME: usize = 16;
/// Bytes around a tag.
const AROUND_TAG: usize = 4;

impl NameCall {
    /// Checks the arguments of a call; `other_host` is the address of its client's host, where
    /// that is not this one.
    ///
    /// # Errors
    /// Pyro5's for an unknown method and for wrong arguments.
    pub(crate) fn parse(call: MethodCall, other_host: Option<IpAddr>) -> Result<Self, Exception> {
        match call.method.as_str() {
            "count" => {
                let [] = COUNT.bind(call)?;
                Ok(NameCall::Ask(Box::new(|names| Ok(Found::Value(names.len().into())))))
            }
            "ping" => {
                let [] = PING.bind(call)?;
                Ok(NameCall::Ask(Box::new(|_| Ok(Found::Value(Value::None)))))
            }
            "lookup" => lookup(call),
            "register" => register(call, other_host),
            "set_metadata" => {
                let [name, metadata] = SET_METADATA.bind(call)?;
                let change = directory::set_metadata(name_of(name)?, tags_of(metadata)?)?;
                Ok(NameCall::Change(change, |_| Value::None))
            }
            "remove" => remove(call),
            "list" => list(LIST, call),
            LIST_HIDDEN => {
                list(LIST_HIDDEN_SIGNATURE, call).map(Box::new).map(NameCall::ListHidden)
            }
            REMOVE_HIDDEN => {
                let [name] = REMOVE_HIDDEN_SIGNATURE.bind(call)?;
                Ok(NameCall::RemoveHidden { name: name_of(name)? })
            }
            "yplookup" => yplookup(call),
            _ => Err(Operation::Call(call).unexposed()),
        }
    }
}

impl Found {
    /// Counts the answer against what the request may take.
    pub(crate) fn charge(&self, budget: &mut Budget) -> Result<(), Exception> {
        match self {
            Found::Value(_) => Ok(()),
            Found::Entry { entry, with_metadata } => {
                let (texts, tags) = described_size(entry, *with_metadata);
                budget.take(1, texts, uri_size(entry) + tags)
            }
            Found::Names { names, with_metadata } => names.iter().try_for_each(|(name, entry)| {
                let (texts, tags) = described_size(entry, *with_metadata);
                let written = limits::written(name) + uri_size(entry);
                budget.take(1, 1 + texts, AROUND_NAME + written + tags)
            }),
        }
    }

    /// Whether the value takes no time to build. Looks at sizes only.
    pub(crate) fn is_small(&self) -> bool {
        let size = |entry: &Entry, with_metadata: bool| -> usize {
            let tags = if with_metadata { &*entry.tags } else { &[] };
            TIME_OF_TEXT + tags.iter().map(|tag| TIME_OF_TEXT + tag.len()).sum::<usize>()
        };
        match self {
            Found::Value(_) => true,
            Found::Entry { entry, with_metadata } => size(entry, *with_metadata) <= SMALL_VALUE,
            Found::Names { names, with_metadata } => {
                let mut sum = 0_usize;
                names.iter().all(|(name, entry)| {
                    let written = name.len() + entry.uri.len();
                    sum = sum.saturating_add(written + size(entry, *with_metadata));
                    sum <= SMALL_VALUE
                })
            }
        }
    }

    /// The value that the caller gets. It has reached this host at the address `reached_at`, which
    /// stands in the URIs of daemons that listen at all addresses of this host.
    pub(crate) fn into_value(self, reached_at: Option<IpAddr>) -> Result<Value, Exception> {
        match self {
            Found::Value(value) => Ok(value),
            Found::Entry { entry, with_metadata } => {
                let uri = entry.uri.parse::<Uri>();
                let uri = uri.map_err(|error| Exception::pyro_error(error.to_string()))?;
                let uri = match reached_at {
                    Some(host) => uri.reached_at(host),
                    None => uri,
                };
                Ok(described(uri.to_value(), &entry, with_metadata))
            }
            Found::Names { names, with_metadata } => {
                let mut dict = Dict::with_capacity(names.len());
                dict.extend(names.iter().map(|(name, entry)| {
                    let uri = match reached_at {
                        Some(host) if entry.is_everywhere => at_host(&entry.uri, host).into(),
                        _ => Value::from(&*entry.uri),
                    };
                    (Value::from(&**name), described(uri, entry, with_metadata))
                }));
                Ok(Value::Dict(dict))
            }
        }
    }
}

/// Bytes of a URI in an answer.
fn uri_size(entry: &Entry) -> usize {
    let longer = if entry.is_everywhere { LONGEST_ADDRESS } else { 0 };
    limits::written(&entry.uri) + longer
}

/// A URI that is everywhere, at one address of this host.
fn at_host(uri: &str, host: IpAddr) -> String {
    uri.parse::<Uri>().map_or_else(|_| uri.to_owned(), |uri| uri.reached_at(host).to_string())
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

fn lookup(call: MethodCall) -> Result<NameCall, Exception> {
    let [name, return_metadata] = LOOKUP.bind(call)?;
    let (name, with_metadata) = (known_name(name)?, flag(&return_metadata));
    Ok(NameCall::Ask(Box::new(move |names| {
        Ok(Found::Entry { entry: directory::lookup(names, &name)?, with_metadata })
    })))
}

fn register(call: MethodCall, other_host: Option<IpAddr>) -> Result<NameCall, Exception> {
    let [name, uri, safe, metadata] = REGISTER.bind(call)?;
    let uri = match uri {
        Some(Value::Str(uri)) => uri,
        Some(other) => Uri::from_value(&other)
            .map(|uri| uri.to_string())
            .ok_or_else(|| Exception::type_error("only URIs or strings can be registered"))?,
        None => return Err(Exception::type_error("only URIs or strings can be registered")),
    };
    // Pyro5 checks the address first, then the name.
    let parsed = uri.parse::<Uri>().map_err(|error| Exception::pyro_error(error.to_string()))?;
    // All addresses of another host mean nothing here.
    let uri = match other_host.filter(|_| parsed.is_everywhere()) {
        Some(host) => parsed.reached_at(host).to_string(),
        None => uri,
    };
    let name = name_of(name)?;
    let change = directory::register(name, uri, flag(&safe), tags_of(metadata)?)?;
    Ok(NameCall::Change(change, |_| Value::None))
}

fn remove(call: MethodCall) -> Result<NameCall, Exception> {
    let [name, prefix, regex] = REMOVE.bind(call)?;
    let change = |change| Ok(NameCall::Change(change, Value::from));
    // As Pyro5: the first that is given counts.
    let name = given(name)
        .filter(|name| !matches!(name, Value::Str(name) if name == remote::NAMESERVER_NAME));
    match (name, given(prefix), given(regex)) {
        (Some(Value::Str(name)), ..) => change(directory::remove(name)),
        (Some(unhashable @ (Value::List(_) | Value::Dict(_) | Value::Set(_))), ..) => {
            change(known_name(Some(unhashable)).map(directory::remove)?)
        }
        // No name is anything but text.
        (Some(_), ..) => change(Box::new(|_| Ok(0))),
        (None, Some(prefix), _) => change(directory::remove_all(prefix_of(prefix)?)),
        (None, None, Some(regex)) => Ok(NameCall::RemoveMatching { pattern: pattern_of(regex)? }),
        (None, None, None) => change(Box::new(|_| Ok(0))),
    }
}

fn list(signature: Signature, call: MethodCall) -> Result<NameCall, Exception> {
    let [prefix, regex, return_metadata] = signature.bind(call)?;
    let with_metadata = flag(&return_metadata);
    let prefix = match (given(prefix), given(regex)) {
        (Some(_), Some(_)) => {
            return Err(Exception::value_error("you can only filter on one thing at a time"));
        }
        (None, Some(regex)) => {
            return Ok(NameCall::Search { pattern: pattern_of(regex)?, with_metadata });
        }
        (Some(prefix), None) => prefix_of(prefix)?,
        (None, None) => String::new(),
    };
    Ok(NameCall::List { which: Which::Prefix(prefix), with_metadata })
}

fn yplookup(call: MethodCall) -> Result<NameCall, Exception> {
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
    Ok(NameCall::List { which, with_metadata })
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
const LIST_HIDDEN_SIGNATURE: Signature =
    Signature { name: "NameServer.list_hidden", parameters: LIST.parameters, required: 0 };
const REMOVE_HIDDEN_SIGNATURE: Signature =
    Signature { name: "NameServer.remove_hidden", parameters: &["name"], required: 1 };
const YPLOOKUP: Signature = Signature {
    name: "NameServer.yplookup",
    parameters: &["meta_all", "meta_any", "return_metadata"],
    required: 0,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_long_names_is_not_small() {
        for (name_bytes, is_small) in [(40, true), (1000, false)] {
            let named = |number: usize| -> Named {
                let name = format!("{number:0>name_bytes$}");
                let uri = format!("PYRO:{name}@localhost:9090");
                (Arc::from(name), Arc::new(Entry::new(uri, BTreeSet::new())))
            };
            let names = (0..500).map(named).collect();
            assert_eq!(Found::Names { names, with_metadata: false }.is_small(), is_small);
        }
    }
}
