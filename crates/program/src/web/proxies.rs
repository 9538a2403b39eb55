//! Connections of this process to the daemons of the lab.

use std::time::Duration;

use remote::{Dict, ELSEWHERE, Proxy, Uri, Value};

use crate::daemon_keys::DaemonKeys;

/// Time for connecting, and for answers that no instrument is waited for.
pub(super) const PROXY_TIMEOUT: Duration = Duration::from_secs(30);

/// A login of a browser, as daemons are shown it.
#[derive(Clone, Copy)]
pub(super) struct PageLogin<'a> {
    pub(super) token: &'a str,
    /// Whether the browser is on another host: it has no role of this one.
    pub(super) is_elsewhere: bool,
}

/// A proxy of an object in a daemon of this lab, for the user with this login.
pub(super) fn proxy(
    keys: &DaemonKeys,
    login: Option<PageLogin<'_>>,
    daemon: &str,
    uri: Uri,
) -> Proxy {
    let proxy = plain_proxy(keys, daemon, uri);
    let proxy = proxy.with_marshal_and_serpent_rules().with_timeout(PROXY_TIMEOUT);
    let Some(PageLogin { token, is_elsewhere }) = login else { return proxy };
    let mut handshake = Dict::with_capacity(2);
    handshake.insert("token", token);
    handshake.insert(ELSEWHERE, is_elsewhere);
    proxy.with_handshake(Value::Dict(handshake))
}

/// The same for nobody in particular, with the usual serializer and no timeout.
pub(super) fn plain_proxy(keys: &DaemonKeys, daemon: &str, uri: Uri) -> Proxy {
    let proxy = Proxy::from(uri);
    match keys.of(daemon) {
        Some(tls) => proxy.with_tls(tls),
        None => proxy,
    }
}
