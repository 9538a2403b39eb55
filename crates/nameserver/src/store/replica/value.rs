//! Values of the shared directory's keys: JSON, so that people can read them with `etcdctl`.
//!
//! ```text
//! ferrolab              {"format": 1}                       whose prefix this is
//! names/NAME            {"uri", "tags", "host", "owner"}    stays until it is removed
//! hosts/HOST/REPLICA    the replica's address               ends with the replica's lease
//! replicas/REPLICA      the replica's address               ends with the replica's lease
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::store::index::Entry;

/// Folder of the names.
pub(super) const NAMES: &str = "names/";
/// Folder of the hosts that are there.
pub(super) const HOSTS: &str = "hosts/";
/// Folder of the nameservers that serve this directory.
pub(super) const REPLICAS: &str = "replicas/";

/// A name, as the directory keeps it. Unknown keys are those of a later version.
#[derive(Serialize, Deserialize)]
struct NameValue {
    uri: String,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    tags: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
}

/// A key of the directory.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Key<'a> {
    Name(&'a str),
    Host {
        host: &'a str,
        replica: &'a str,
    },
    Replica(&'a str),
    /// Of a later version.
    Other,
}

impl Key<'_> {
    pub(super) fn parse(key: &str) -> Key<'_> {
        if let Some(name) = key.strip_prefix(NAMES) {
            return Key::Name(name);
        }
        if let Some((host, replica)) = key.strip_prefix(HOSTS).and_then(|rest| rest.split_once('/'))
        {
            return Key::Host { host, replica };
        }
        key.strip_prefix(REPLICAS).map_or(Key::Other, Key::Replica)
    }
}

/// The value of a name.
pub(super) fn write_name(entry: &Entry) -> Vec<u8> {
    let value = NameValue {
        uri: entry.uri.to_string(),
        tags: entry.tags.iter().map(|tag| tag.to_string()).collect(),
        host: entry.host.as_deref().map(str::to_owned),
        owner: entry.owner.as_deref().map(str::to_owned),
    };
    // Texts alone cannot fail.
    serde_json::to_vec(&value).unwrap_or_default()
}

/// The entry of a name; `None` for another value.
pub(super) fn read_name(value: &[u8]) -> Option<Entry> {
    let NameValue { uri, tags, host, owner } = serde_json::from_slice(value).ok()?;
    let mut entry = Entry::new(uri, tags);
    entry.host = host.map(Arc::from);
    entry.owner = owner.map(Arc::from);
    Some(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_was_written() {
        let mut entry = Entry::new("PYRO:o@h:1".into(), BTreeSet::from(["a tag".to_owned()]));
        let plain = entry.clone();
        assert_eq!(read_name(&write_name(&plain)), Some(plain));
        entry.host = Some("h1".into());
        entry.owner = Some("ada".into());
        assert_eq!(read_name(&write_name(&entry)), Some(entry));
        let later = br#"{"uri": "PYRO:o@h:1", "colour": "red"}"#;
        assert!(read_name(later).is_some(), "a key of a later version");
        for other in [&b"{}"[..], b"", b"PYRO:o@h:1", b"{\"uri\": 5}", b"\xff"] {
            assert_eq!(read_name(other), None);
        }
    }

    #[test]
    fn keys_are_told_apart() {
        assert_eq!(Key::parse("names/lab/a"), Key::Name("lab/a"));
        assert_eq!(Key::parse("hosts/h/r"), Key::Host { host: "h", replica: "r" });
        assert_eq!(Key::parse("replicas/r"), Key::Replica("r"));
        assert_eq!(Key::parse("hosts/h"), Key::Other);
        assert_eq!(Key::parse("ferrolab"), Key::Other);
    }
}
