//! What a [`Proxy`] is told before it connects.
//!
//! Owns the builder's side of it. What the settings do is [`connection`](super::connection)'s and
//! [`proxy`](super::proxy)'s.

use std::sync::Arc;
use std::time::Duration;

use wire::Limits;
use wire::message::Annotations;
use wire::serializer::Serializer;
use wire::value::Value;

use crate::client::proxy::Proxy;
use crate::tls::ClientTls;

/// Judges a daemon's answer to the handshake data; the error is the reason to stay away.
pub(crate) type HandshakeCheck = Arc<dyn Fn(&Value) -> Result<(), String> + Send + Sync>;

impl Proxy {
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
