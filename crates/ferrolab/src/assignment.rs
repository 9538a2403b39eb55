//! What the supervisor tells a child to be: one line of JSON at its start.
//!
//! Owns the parts of the configuration that cross a process border. A child reads no
//! configuration file: it runs what the supervisor has checked and has in force.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::{DaemonPart, Nameserver};

/// A nameserver to be.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NameserverAssignment {
    pub(crate) config: Nameserver,
    /// Where it keeps its names with `storage: sql` and no file of its own.
    pub(crate) database: PathBuf,
}

/// A daemon to be.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DaemonAssignment {
    pub(crate) part: DaemonPart,
    /// Where Python drivers are: the relative paths in them mean the same however the lab was
    /// started. None where there are no drivers.
    pub(crate) folder: Option<PathBuf>,
    /// Where it remembers its port.
    pub(crate) state_file: PathBuf,
    /// Locked while the supervisor removes the names that an earlier process has left; no name is
    /// registered until then.
    pub(crate) names_gate: PathBuf,
    /// Where the traces of its locks are kept.
    pub(crate) locks: LockFiles,
}

/// The files of a daemon's locks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LockFiles {
    /// What makes epochs rise over restarts.
    pub(crate) state: PathBuf,
    /// Who had what, and when.
    pub(crate) log: PathBuf,
}
