//! Messages to the task that owns the copy of the directory.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::registry::{KeyValue, Snapshot};
use crate::store::index::Named;

/// A message to the task that owns the copy.
pub(super) enum Signal {
    Snapshot(Snapshot),
    Changed(Vec<KeyValue>),
    /// Why changes are not followed.
    Feed(Option<String>),
    /// Why hosts are not announced.
    Presence(Option<String>),
    HostLive(Arc<str>, Duration),
    HostSilent(Arc<str>),
    /// Asks for the names that are hidden with their hosts.
    Hidden {
        prefix: String,
        reply: oneshot::Sender<Vec<Named>>,
    },
}
