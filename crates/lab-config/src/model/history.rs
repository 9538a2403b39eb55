//! The history of live values.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::process::Supervision;
use super::seconds;
use crate::address::Host;

/// The history process of a host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// How long samples of a member are kept that has no `keep`; no limit if absent.
    #[serde(with = "seconds")]
    pub keep: Option<Duration>,
    /// Bytes of all samples on the disk, at most.
    pub size: u64,
    /// Where they are; in the state directory if absent.
    pub folder: Option<PathBuf>,
    /// Where the process listens, besides its Unix socket.
    pub host: Host,
    /// Its port there; it listens on no address of the network if absent.
    pub port: Option<u16>,
    /// How its process is looked after.
    pub supervision: Supervision,
}

impl History {
    /// The folder in the state directory, where the file names none.
    pub const FOLDER: &str = "history";
}
