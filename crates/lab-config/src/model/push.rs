//! Time series databases that values are sent to.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::seconds;
use crate::secret::Secret;

/// A database that values are sent to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Push {
    /// The address that takes lines; it may have a password in it.
    pub url: Secret,
    /// A token of InfluxDB.
    pub token: Option<Secret>,
    /// Further header fields.
    pub headers: BTreeMap<String, Secret>,
    /// The time between two requests.
    #[serde(with = "seconds")]
    pub every: Option<Duration>,
    /// Which values, as `SERVICE.MEMBER` with `*` for any text; all if empty.
    #[serde(rename = "match")]
    pub patterns: Vec<String>,
}
