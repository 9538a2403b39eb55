//! TLS settings and handshake of a client; and a probe whether a server speaks TLS.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::danger::ServerCertVerifier;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::sign::SingleCertAndKey;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, Error, RootCertStore};
use wire::uri::Location;

use super::file_backed::FileBacked;
use super::verify::{AnyServer, Verifier};
use super::{CertificateFiles, TLS_ALERT, TLS_HANDSHAKE, TlsError, files};
use crate::net;

/// First byte of the version in every TLS record.
const MAJOR_VERSION: u8 = 3;

/// Least time between two looks whether a client's files have changed.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// TLS settings of a client: the servers that it trusts, and its own certificate. Cheap to clone.
///
/// Changed files are taken up before a connection: a server may have a new certificate that is
/// trusted by its file, and a client's own may have been renewed.
#[derive(Clone)]
pub struct ClientTls {
    files: Arc<FileBacked<TlsConnector>>,
}

impl ClientTls {
    /// Trusts the certificates of `cacerts`, a file or a folder (Pyro5's `SSL_CACERTS`). A server
    /// is trusted with one of these certificates, or with one for its host's name that one of these
    /// has issued.
    ///
    /// # Errors
    /// A file cannot be used; the error names it.
    pub fn trusting(cacerts: &Path) -> Result<Self, TlsError> {
        Self::load(cacerts, None)
    }

    /// As [`ClientTls::trusting`], with a client certificate for servers that request one.
    ///
    /// # Errors
    /// A file cannot be used; the error names it.
    pub fn with_identity(cacerts: &Path, identity: &CertificateFiles) -> Result<Self, TlsError> {
        Self::load(cacerts, Some(identity))
    }

    /// As [`ClientTls::trusting`], with a client certificate if there is one.
    ///
    /// # Errors
    /// A file cannot be used; the error names it.
    pub fn load(cacerts: &Path, identity: Option<&CertificateFiles>) -> Result<Self, TlsError> {
        let path = cacerts.to_path_buf();
        let trusted = move || files::read_accepted(&path);
        Self::with(vec![cacerts.to_path_buf()], trusted, identity)
    }

    /// Trusts the certificates of each of these files, of which some may be missing or unusable,
    /// with a client certificate if there is one.
    ///
    /// # Errors
    /// None of the files can be used, or one of the identity; the error names the first.
    pub fn trusting_any(
        paths: &[PathBuf],
        identity: Option<&CertificateFiles>,
    ) -> Result<Self, TlsError> {
        let of_files = paths.to_vec();
        let trusted = move || {
            let read: Vec<_> = of_files.iter().map(|path| files::read_accepted(path)).collect();
            if read.iter().any(Result::is_ok) {
                return Ok(read.into_iter().flatten().flatten().collect());
            }
            read.into_iter().collect::<Result<Vec<_>, _>>().map(|read| read.concat())
        };
        Self::with(paths.to_vec(), trusted, identity)
    }

    /// Trusts the certificates `trusted`, in DER: those of the operating system, for example.
    ///
    /// # Errors
    /// A file of the identity cannot be used; the error names it.
    pub fn trusting_der(
        trusted: impl IntoIterator<Item = Vec<u8>>,
        identity: Option<&CertificateFiles>,
    ) -> Result<Self, TlsError> {
        let trusted: Vec<_> = trusted.into_iter().map(CertificateDer::from).collect();
        Self::with(Vec::new(), move || Ok(trusted.clone()), identity)
    }

    /// The same for connections that are not Pyro's.
    pub async fn connector(&self) -> TlsConnector {
        self.look_if_due().await;
        TlsConnector::clone(&self.files.current())
    }

    /// `paths` are those that `trusted` reads.
    fn with(
        paths: Vec<PathBuf>,
        trusted: impl Fn() -> Result<Vec<CertificateDer<'static>>, TlsError> + Send + Sync + 'static,
        identity: Option<&CertificateFiles>,
    ) -> Result<Self, TlsError> {
        let identity = identity.cloned();
        let own = identity.iter().flat_map(|own| [Some(&own.certificate), own.key.as_ref()]);
        let watched = own.flatten().chain(&paths).cloned().collect();
        let read = move || {
            let provider = Arc::new(ring::default_provider());
            let verifier = Arc::new(Verifier::new(trusted()?, Arc::clone(&provider)));
            connector(verifier, provider, identity.as_ref())
        };
        Ok(ClientTls { files: Arc::new(FileBacked::open(watched, read)?) })
    }

    /// Accepts every server. Only for messages that prove themselves who has sent them, and have no
    /// secrets in them.
    ///
    /// # Errors
    /// rustls refuses its own defaults.
    pub fn unverified() -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let verifier: Arc<AnyServer> = Arc::new(AnyServer::new(Arc::clone(&provider)));
        let read = move || connector(Arc::clone(&verifier) as _, Arc::clone(&provider), None);
        Ok(ClientTls { files: Arc::new(FileBacked::open(Vec::new(), read)?) })
    }

    /// Does the TLS handshake with the server at `host`.
    pub(crate) async fn connect(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        self.look_if_due().await;
        self.files.current().connect(name, stream).await.map_err(explain)
    }

    async fn look_if_due(&self) {
        if self.files.is_due(LOOK_INTERVAL) {
            let files = Arc::clone(&self.files);
            let _ = tokio::task::spawn_blocking(move || files.look()).await;
        }
    }
}

fn connector(
    verifier: Arc<dyn ServerCertVerifier>,
    provider: Arc<CryptoProvider>,
    identity: Option<&CertificateFiles>,
) -> Result<TlsConnector, TlsError> {
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Unusable(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let certified = files::read_identity(identity, &provider)?;
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
        }
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The error in words where the server has answered with something that is not TLS.
fn explain(error: io::Error) -> io::Error {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match tls {
        Some(Error::InvalidMessage(_)) => io::Error::new(
            error.kind(),
            "the server does not speak TLS there (`ssl: offered` in its configuration takes both)",
        ),
        _ => error,
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls").finish_non_exhaustive()
    }
}

/// Whether the server at `location` answers a ClientHello with TLS, within the time `within`. A
/// liveness check needs no trust: no certificate is read and no handshake is completed.
pub async fn speaks_tls(location: &Location, within: Duration) -> bool {
    let Location::Tcp { host, port } = location else { return false };
    let asking = async {
        let mut stream = net::connect_tcp(host, *port).await?;
        stream.write_all(&client_hello(net::bare_host(host))?).await?;
        let mut answer = [0; 2];
        stream.read_exact(&mut answer).await?;
        io::Result::Ok(answer)
    };
    match tokio::time::timeout(within, asking).await {
        Ok(Ok([kind, version])) => {
            matches!(kind, TLS_ALERT | TLS_HANDSHAKE) && version == MAJOR_VERSION
        }
        _ => false,
    }
}

/// The record with the ClientHello.
fn client_hello(host: &str) -> io::Result<Vec<u8>> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let mut client = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let mut record = Vec::new();
    client.write_tls(&mut record)?;
    Ok(record)
}
