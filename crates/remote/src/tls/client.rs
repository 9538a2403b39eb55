//! A client's side of TLS.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::sign::SingleCertAndKey;

use super::verify::Verifier;
use super::{Identity, TlsError, files};

/// The servers that a client trusts, and its own certificate. Cheap to clone.
#[derive(Clone)]
pub struct ClientTls {
    connector: TlsConnector,
}

impl ClientTls {
    /// Trusts the certificates of `cacerts`, a file or a folder (Pyro5's `SSL_CACERTS`): servers
    /// that show one of them, and servers that show their host's name issued by one of them.
    ///
    /// # Errors
    /// A file cannot be used; the error names it.
    pub fn trusting(cacerts: &Path) -> Result<Self, TlsError> {
        Self::load(cacerts, None)
    }

    /// As [`ClientTls::trusting`], and shows a certificate to servers that ask for one.
    ///
    /// # Errors
    /// A file cannot be used; the error names it.
    pub fn with_identity(cacerts: &Path, identity: &Identity) -> Result<Self, TlsError> {
        Self::load(cacerts, Some(identity))
    }

    fn load(cacerts: &Path, identity: Option<&Identity>) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let verifier = Verifier::new(files::read_accepted(cacerts)?, Arc::clone(&provider));
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Unfit(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let certified = files::read_identity(identity, &provider)?;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
            }
        };
        Ok(ClientTls { connector: TlsConnector::from(Arc::new(config)) })
    }

    /// Shakes hands with the server at `host`.
    pub(crate) async fn connect(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        self.connector.connect(name, stream).await
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls").finish_non_exhaustive()
    }
}
