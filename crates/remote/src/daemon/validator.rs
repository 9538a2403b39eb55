//! The daemon's validator: which clients are let in, by the data of their handshakes.

use std::sync::Arc;

use wire::exception::Exception;
use wire::message::Annotations;
use wire::value::Value;

use crate::object::BoxFuture;
use crate::session::Peer;
use crate::tls::ClientCertificate;

/// The handshake of a client.
#[derive(Clone, Debug)]
pub struct Handshake {
    /// Its address.
    pub peer: Peer,
    /// The verified certificate that it has shown, if any.
    pub certificate: Option<ClientCertificate>,
    /// The id of the object that it wants.
    pub object: String,
    /// The data that its user has set (`_pyroHandshake`).
    pub data: Value,
    /// The annotations of its handshake.
    pub annotations: Annotations,
    /// Its correlation id, or one made for it.
    pub correlation_id: [u8; 16],
}

/// The answer to a client that the validator accepts.
#[derive(Clone, Debug)]
pub struct Welcome {
    /// For the client's `_pyroValidateHandshake`.
    pub response: Value,
    /// Annotations of the answer.
    pub annotations: Annotations,
}

impl Default for Welcome {
    /// As Pyro5's daemon does, unless told otherwise.
    fn default() -> Self {
        Welcome { response: "hello".into(), annotations: Annotations::new() }
    }
}

/// Decides which clients are let in.
pub(crate) type Validator =
    Arc<dyn Fn(Handshake) -> BoxFuture<Result<Welcome, Exception>> + Send + Sync>;
