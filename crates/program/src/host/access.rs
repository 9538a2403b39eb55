//! Rules of access of a daemon process, from its part of the configuration.

use lab_config::DaemonPart;
use remote::Daemon;

use crate::access::rules;

/// Has a daemon apply the rules of its part of the configuration, on open connections too.
pub(super) fn apply(daemon: &Daemon, part: &DaemonPart) {
    daemon.set_access(part.access.as_ref().map(|access| rules(access, &part.services)));
}
