//! Notifications of faults.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::data::Data;
use crate::secret::Secret;

/// Targets of notifications.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notify {
    /// Address of a POST request; it may have a token in it.
    pub url: Option<Secret>,
    /// Header fields of the request.
    pub headers: BTreeMap<String, Secret>,
    /// Further fields of the JSON object; always a mapping.
    pub fields: Data,
    /// A program and its arguments; empty for none.
    pub command: Vec<String>,
}

impl Default for Notify {
    fn default() -> Self {
        Notify {
            url: None,
            headers: BTreeMap::new(),
            fields: Data::Map(Vec::new()),
            command: Vec::new(),
        }
    }
}
