//! Names of an object's remote members, as Pyro5's metadata has them.

use wire::value::{Dict, Value};

/// Names of an object's remote members, as Pyro5's metadata has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Methods that can be called, the oneway ones included.
    pub methods: Vec<String>,
    /// Methods whose callers do not wait for an answer.
    pub oneway: Vec<String>,
    /// Properties that can be read or set.
    pub attrs: Vec<String>,
    /// The documentation of members, by their names. Pyro5's metadata has none, so the handshake
    /// leaves it out; `Pyro.Daemon`'s `get_metadata` has it.
    pub docs: Vec<(String, String)>,
}

impl Metadata {
    /// Metadata of an object that has methods only.
    pub fn methods<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        Metadata { methods: names.into_iter().map(Into::into).collect(), ..Metadata::default() }
    }

    /// The metadata in a daemon's answer; unknown parts count as empty.
    pub fn from_value(value: &Value) -> Self {
        let names = |key: &str| -> Vec<String> {
            let text = |name: &Value| name.as_str().map(str::to_owned);
            match value.as_dict().and_then(|dict| dict.get(key)) {
                Some(Value::Set(names) | Value::FrozenSet(names)) => {
                    names.iter().filter_map(text).collect()
                }
                Some(names) => {
                    names.as_list().unwrap_or_default().iter().filter_map(text).collect()
                }
                None => Vec::new(),
            }
        };
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let docs = value.as_dict().and_then(|dict| dict.get("docs")).and_then(Value::as_dict);
        let docs = docs.into_iter().flat_map(Dict::iter);
        Metadata {
            methods: names("methods"),
            oneway: names("oneway"),
            attrs: names("attrs"),
            docs: docs.filter_map(|(name, doc)| Some((text(name)?, text(doc)?))).collect(),
        }
    }

    /// Whether nothing can be called or read.
    pub fn is_empty(&self) -> bool {
        self.methods.is_empty() && self.attrs.is_empty()
    }

    /// The dict that proxies read: sets of names, as Pyro5 sends them.
    pub fn to_value(&self) -> Value {
        let names = |names: &[String]| {
            Value::Set(names.iter().map(|name| Value::from(name.as_str())).collect())
        };
        let mut dict = Dict::with_capacity(3);
        dict.insert("methods", names(&self.methods));
        dict.insert("oneway", names(&self.oneway));
        dict.insert("attrs", names(&self.attrs));
        Value::Dict(dict)
    }

    /// The same dict, with the documentation under `docs` where there is some. Stock clients read
    /// the other entries and overlook this one.
    pub fn to_documented_value(&self) -> Value {
        let mut value = self.to_value();
        if let (Value::Dict(dict), false) = (&mut value, self.docs.is_empty()) {
            let docs = self.docs.iter().map(|(name, doc)| (name.as_str(), doc.as_str()));
            dict.insert("docs", docs.collect::<Dict>());
        }
        value
    }
}
