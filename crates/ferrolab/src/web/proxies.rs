//! Connections of this process to the daemons of the lab.

use std::time::Duration;

use remote::{Proxy, Uri};

use super::keys::DaemonKeys;

/// Time for connecting, and for answers that no instrument is waited for.
pub(super) const TIMEOUT: Duration = Duration::from_secs(30);

/// A proxy of an object in a daemon of this lab.
pub(super) fn proxy(keys: &DaemonKeys, daemon: &str, uri: Uri) -> Proxy {
    plain_proxy(keys, daemon, uri).with_marshal_and_serpent_rules().with_timeout(TIMEOUT)
}

/// The same with the usual serializer, and no timeout.
pub(super) fn plain_proxy(keys: &DaemonKeys, daemon: &str, uri: Uri) -> Proxy {
    let proxy = Proxy::from(uri);
    match keys.of(daemon) {
        Some(tls) => proxy.with_tls(tls),
        None => proxy,
    }
}
