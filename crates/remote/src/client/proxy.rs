//! `Proxy`: calls on a remote object.
//!
//! Owns one connection, made at the first use and made again after it was lost. A call that was
//! sent is never sent twice unless its user has said that this does no harm: an instrument must
//! not move twice.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use wire::Limits;
use wire::message::Annotations;
use wire::serializer::Serializer;
use wire::uri::Uri;
use wire::value::Value;

use crate::client::connection::{ClientConnection, ConnectionSettings};
use crate::error::Error;
use crate::object::Metadata;
use crate::tls::ClientTls;

/// Judges a daemon's answer to the handshake data; the error is the reason to stay away.
pub(crate) type HandshakeCheck = Arc<dyn Fn(&Value) -> Result<(), String> + Send + Sync>;

/// A client's stand-in for a remote object. One call at a time; make another proxy for more.
pub struct Proxy {
    pub(super) uri: Uri,
    pub(super) settings: ConnectionSettings,
    pub(super) timeout: Option<Duration>,
    pub(super) handshake_check: Option<HandshakeCheck>,
    pub(super) retries: u32,
    pub(super) connected: Option<Connected>,
    pub(super) received_annotations: Annotations,
    /// Streams that were left before their end, to be closed.
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

    /// The URI that the proxy was made for.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Closes the connection; the next call makes a new one.
    pub fn release(&mut self) {
        self.connected = None;
    }

    /// What came along with the last answer, or with the daemon's welcome.
    pub fn response_annotations(&self) -> &Annotations {
        &self.received_annotations
    }

    /// A stream is left before its end.
    pub(super) fn abandon_stream(&mut self, stream: String) {
        self.abandoned_streams.push(stream);
    }

    /// The same proxy with a limit on connecting and on each call.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// The same proxy with another serializer than serpent.
    #[must_use]
    pub fn with_serializer(mut self, serializer: Serializer) -> Self {
        self.settings.serializer = serializer;
        self
    }

    /// The same proxy with data for the daemon's handshake (`_pyroHandshake`).
    #[must_use]
    pub fn with_handshake(mut self, data: Value) -> Self {
        self.settings.handshake = data;
        self
    }

    /// The same proxy with a judge of what the daemon answers to the handshake
    /// (`_pyroValidateHandshake`); where it gives an error, the connection is given up.
    #[must_use]
    pub fn with_handshake_check(
        mut self,
        judge: impl Fn(&Value) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.handshake_check = Some(Arc::new(judge));
        self
    }

    /// The same proxy, speaking TLS with daemons on TCP. Nameservers are asked without; where a
    /// nameserver has TLS too, ask a proxy for its object ([`NAMESERVER_NAME`](crate::NAMESERVER_NAME)).
    #[must_use]
    pub fn with_tls(mut self, tls: ClientTls) -> Self {
        self.settings.tls = Some(tls);
        self
    }

    /// The same proxy, compressing what it sends.
    #[must_use]
    pub fn with_compression(mut self) -> Self {
        self.settings.compression = true;
        self
    }

    /// The same proxy with other limits on what it sends and receives.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.settings.limits = limits;
        self
    }

    /// The same proxy, sending these annotations along with everything.
    #[must_use]
    pub fn with_annotations(mut self, annotations: Annotations) -> Self {
        self.settings.annotations = annotations;
        self
    }

    /// The same proxy with a correlation id on all of its requests.
    #[must_use]
    pub fn with_correlation_id(mut self, id: [u8; 16]) -> Self {
        self.settings.correlation_id = Some(id);
        self
    }

    /// The same proxy, making a call up to `retries` times more when its connection is lost, when
    /// its time is up, or when no connection comes about (Pyro5's `MAX_RETRIES`).
    ///
    /// Such a call may have been carried out already: this is for objects whose calls can be made
    /// twice without harm, and off unless it is asked for. An item of a stream is never asked for
    /// twice.
    #[must_use]
    pub fn with_retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// What the next requests send along, from now on.
    pub fn set_annotations(&mut self, annotations: Annotations) {
        self.settings.annotations = annotations;
    }

    /// The correlation id of the next requests; none leaves it to the daemon.
    pub fn set_correlation_id(&mut self, id: Option<[u8; 16]>) {
        self.settings.correlation_id = id;
    }

    /// The limit on connecting and on each call from now on.
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
                handshake: Value::from("hello"),
                annotations: Annotations::new(),
                correlation_id: None,
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
