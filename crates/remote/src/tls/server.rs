//! TLS settings and handshake of a daemon.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::sign::SingleCertAndKey;
use tokio_rustls::server::TlsStream;

use super::certificate::Certificate;
use super::verify::Verifier;
use super::{CertificateFiles, TlsError, files};

/// TLS settings of a daemon: its certificate, and the clients that it accepts. Cheap to clone.
#[derive(Clone)]
pub struct ServerTls {
    acceptor: TlsAcceptor,
}

impl ServerTls {
    /// Reads the daemon's certificate. With `clients`, a file or a folder, clients must show a
    /// certificate that is in it, or that one in it has issued.
    ///
    /// # Errors
    /// A file cannot be used; the error names it.
    pub fn load(identity: &CertificateFiles, clients: Option<&Path>) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let certified = files::read_identity(identity, &provider)?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Unusable(error.to_string()))?;
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let verifier = Verifier::new(files::read_accepted(path)?, provider);
                builder.with_client_cert_verifier(Arc::new(verifier))
            }
        };
        let config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        Ok(ServerTls { acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    /// Does the TLS handshake with a client.
    pub(crate) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
    ) -> io::Result<TlsStream<S>> {
        self.acceptor.accept(stream).await
    }
}

/// The common name of the certificate that a client has shown and that was verified.
pub(crate) fn client_name<S>(stream: &TlsStream<S>) -> Option<Arc<str>> {
    let (_, connection) = stream.get_ref();
    let certificate = connection.peer_certificates()?.first()?;
    Certificate::read(certificate)?.common_name().map(Arc::from)
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").finish_non_exhaustive()
    }
}
