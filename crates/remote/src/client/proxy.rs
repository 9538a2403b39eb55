//! `Proxy`, the client's stand-in for a remote object, and its settings.
//!
//! It opens its connection at the first use, and again after a loss. A request that was sent is
//! never repeated without [`Proxy::with_retries`]: an instrument must not move twice.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use wire::Limits;
use wire::message::{Annotations, Flags};
use wire::serializer::Serializer;
use wire::uri::Uri;
use wire::value::Value;

use crate::client::connection::{ClientConnection, ConnectionSettings};
use crate::client::login::ClientLogin;
use crate::client::reach::Reach;
use crate::error::Error;
use crate::object::Metadata;
use crate::tls::ClientTls;

/// Check of a daemon's answer to the handshake data; its error is the reason to refuse the daemon.
pub(crate) type HandshakeCheck = Arc<dyn Fn(&Value) -> Result<(), String> + Send + Sync>;

/// Stand-in for a remote object. One call at a time; make another proxy for concurrent calls.
pub struct Proxy {
    pub(super) uri: Uri,
    pub(super) settings: ConnectionSettings,
    pub(super) timeout: Option<Duration>,
    pub(super) handshake_check: Option<HandshakeCheck>,
    pub(super) retries: u32,
    pub(super) connected: Option<Connected>,
    pub(super) received_annotations: Annotations,
    /// Ids of streams that were dropped before their end; the next request closes them.
    pub(super) abandoned_streams: Vec<String>,
}

pub(super) struct Connected {
    pub(super) connection: ClientConnection,
    pub(super) object: String,
    pub(super) metadata: Metadata,
}

impl Proxy {
    /// A proxy for the object at `uri` (`PYRO:`, `PYRONAME:` or `PYROMETA:`); connects at the
    /// first call.
    ///
    /// # Errors
    /// `uri` is not a Pyro URI.
    pub fn new(uri: &str) -> Result<Self, Error> {
        Ok(Self::from(uri.parse::<Uri>()?))
    }

    /// The proxy's URI, as it was given.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Closes the connection; the next call opens a new one.
    pub fn release(&mut self) {
        self.connected = None;
    }

    /// The annotations of the last answer; after a connect, those of the handshake.
    pub fn response_annotations(&self) -> &Annotations {
        &self.received_annotations
    }

    /// Marks a stream that was dropped before its end.
    pub(super) fn abandon_stream(&mut self, stream: String) {
        self.abandoned_streams.push(stream);
    }

    /// Sets a limit on connecting and on each call.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets the serializer; the default is serpent.
    #[must_use]
    pub fn with_serializer(mut self, serializer: Serializer) -> Self {
        self.settings.serializer = serializer;
        self
    }

    /// Sets the serializer to `marshal`, with objects in results as data by serpent's rules: bytes
    /// and tuples stay what they are. For Ferrolab's own daemons; a Python daemon would not know
    /// the rules.
    #[must_use]
    pub fn with_marshal_and_serpent_rules(mut self) -> Self {
        self.settings.serializer = Serializer::Marshal;
        self.settings.flags = Flags::SERPENT_RULES;
        self
    }

    /// Sets the handshake data for the daemon (`_pyroHandshake`).
    #[must_use]
    pub fn with_handshake(mut self, data: Value) -> Self {
        self.settings.handshake = data;
        self
    }

    /// Sets a check of the daemon's answer to the handshake (`_pyroValidateHandshake`). If it
    /// returns an error, the connection is closed.
    #[must_use]
    pub fn with_handshake_check(
        mut self,
        check: impl Fn(&Value) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.handshake_check = Some(Arc::new(check));
        self
    }

    /// Sets TLS for servers on TCP, as Pyro5's `SSL` setting does: for the daemon, and for the
    /// nameserver that resolves the name. Where only the daemon speaks TLS, give the proxy what
    /// [`resolve`](crate::resolve) returns.
    #[must_use]
    pub fn with_tls(mut self, tls: ClientTls) -> Self {
        self.settings.tls = Some(tls);
        self
    }

    /// Shows a login in the server's lab, if TLS is not set.
    #[must_use]
    pub fn with_login(mut self, login: ClientLogin) -> Self {
        self.settings.login = Some(login);
        self
    }

    /// Refuses connections that lead to this host, whatever its name or address: for an address
    /// that another host has named, where it would mean another object.
    #[must_use]
    pub fn with_other_hosts_only(mut self) -> Self {
        self.settings.reach = Reach::OtherHosts;
        self
    }

    /// Compresses the requests.
    #[must_use]
    pub fn with_compression(mut self) -> Self {
        self.settings.compression = true;
        self
    }

    /// Sets the limits on messages, both ways.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.settings.limits = limits;
        self
    }

    /// Sets the annotations of every request.
    #[must_use]
    pub fn with_annotations(mut self, annotations: Annotations) -> Self {
        self.settings.annotations = annotations;
        self
    }

    /// Sets the correlation id of every request.
    #[must_use]
    pub fn with_correlation_id(mut self, id: [u8; 16]) -> Self {
        self.settings.correlation_id = Some(id);
        self
    }

    /// Repeats a failed call up to `retries` times: after a lost connection, a timeout, or a failed
    /// connect (Pyro5's `MAX_RETRIES`). The default is 0.
    ///
    /// The failed call may have been carried out, so this is for objects whose calls do no harm
    /// when they are made twice. The request for a stream's item is never repeated.
    #[must_use]
    pub fn with_retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Replaces the annotations of the following requests.
    pub fn set_annotations(&mut self, annotations: Annotations) {
        self.settings.annotations = annotations;
    }

    /// Replaces the correlation id of the following requests; with `None` the daemon makes one.
    pub fn set_correlation_id(&mut self, id: Option<[u8; 16]>) {
        self.settings.correlation_id = id;
    }

    /// Replaces the limit on connecting and on each call; `None` means no limit.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.timeout = timeout;
    }
}

impl From<Uri> for Proxy {
    fn from(uri: Uri) -> Self {
        Proxy {
            uri,
            settings: ConnectionSettings {
                serializer: Serializer::Serpent,
                limits: Limits::default(),
                compression: false,
                tls: None,
                login: None,
                handshake: Value::from("hello"),
                annotations: Annotations::new(),
                correlation_id: None,
                flags: Flags::default(),
                reach: Reach::default(),
            },
            timeout: None,
            handshake_check: None,
            retries: 0,
            connected: None,
            received_annotations: Annotations::new(),
            abandoned_streams: Vec::new(),
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("uri", &self.uri.to_string())
            .field("serializer", &self.settings.serializer)
            .field("connected", &self.connected.is_some())
            .finish_non_exhaustive()
    }
}
