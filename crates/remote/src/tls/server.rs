//! TLS settings and handshake of a daemon.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use pkcs8::der::pem::{LineEnding, encode_string};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};
use tokio_rustls::rustls::sign::SingleCertAndKey;
use tokio_rustls::server::TlsStream;

use super::certificate::Certificate;
use super::client_certificate::{ClientCertificate, Verdict};
use super::file_backed::FileBacked;
use super::verify::{CertificateRequest, Verifier};
use super::{CertificateFiles, TLS_HANDSHAKE, TlsError, files};

/// The clients that a daemon accepts, by their certificates.
#[derive(Clone, Copy, Debug)]
pub enum AcceptedClients<'a> {
    /// Every client; no certificate is requested.
    All,
    /// Every client; a certificate that is in these files, or was issued by one in them, names it.
    Named(&'a [PathBuf]),
    /// Clients with such a certificate.
    Certified(&'a [PathBuf]),
}

/// TLS settings of a daemon: its certificate, and the clients that it accepts. Cheap to clone.
#[derive(Clone)]
pub struct ServerTls {
    files: Arc<FileBacked<Loaded>>,
    requires_certificate: bool,
    accepts_plain: bool,
}

/// The settings as the files have them.
struct Loaded {
    acceptor: TlsAcceptor,
    /// Verifier of clients' certificates; `None` where none is requested.
    verifier: Option<Arc<Verifier>>,
    expires: Option<SystemTime>,
    /// The daemon's certificate itself, without those that issued it.
    own: Option<CertificateDer<'static>>,
}

impl ServerTls {
    /// Reads the daemon's certificate. With `clients`, a file or a folder, clients must show a
    /// certificate that is in it, or that one in it has issued.
    ///
    /// # Errors
    /// A file cannot be used; the error names it.
    pub fn load(files: &CertificateFiles, clients: Option<&Path>) -> Result<Self, TlsError> {
        match clients {
            None => Self::load_for(files, AcceptedClients::All),
            Some(path) => Self::load_for(files, AcceptedClients::Certified(&[path.to_path_buf()])),
        }
    }

    /// Reads the daemon's certificate, and those by which it accepts `clients`. The daemon's own
    /// certificate is accepted too: other processes of its owner may show it.
    ///
    /// # Errors
    /// A file cannot be used; the error names it.
    pub fn load_for(
        files: &CertificateFiles,
        clients: AcceptedClients<'_>,
    ) -> Result<Self, TlsError> {
        let (accepted, requires_certificate) = match clients {
            AcceptedClients::All => (None, false),
            AcceptedClients::Named(paths) => (Some(paths.to_vec()), false),
            AcceptedClients::Certified(paths) => (Some(paths.to_vec()), true),
        };
        let own = [Some(&files.certificate), files.key.as_ref()].into_iter().flatten();
        let watched = own.chain(accepted.iter().flatten()).cloned().collect();
        let files = files.clone();
        let read = move || read_files(&files, accepted.as_deref());
        let files = Arc::new(FileBacked::open(watched, read)?);
        Ok(ServerTls { files, requires_certificate, accepts_plain: false })
    }

    /// Looks at the files, and takes changed ones up: for connections from now on. Where they
    /// cannot be used, those before stay in force ([`trouble`](Self::trouble)). Blocks.
    pub fn look_at_files(&self) {
        self.files.look();
    }

    /// Why changed files are not in force; the text names one.
    pub fn trouble(&self) -> Option<String> {
        self.files.trouble()
    }

    /// The same, for a port that also accepts clients without TLS.
    #[must_use]
    pub fn beside_plain(self) -> Self {
        ServerTls { accepts_plain: true, ..self }
    }

    /// When the daemon's certificate, or one that it depends on, expires.
    pub fn expires(&self) -> Option<SystemTime> {
        self.files.current().expires
    }

    /// The daemon's certificate that connections are shown now, in PEM, without its issuers.
    pub fn certificate_pem(&self) -> Option<String> {
        let loaded = self.files.current();
        encode_string("CERTIFICATE", LineEnding::LF, loaded.own.as_ref()?).ok()
    }

    /// Whether clients without TLS are accepted too.
    pub fn accepts_plain(&self) -> bool {
        self.accepts_plain
    }

    /// Why a client without TLS is refused, in words for it.
    pub(crate) fn plain_refusal(&self, daemon: &str) -> String {
        let certificate = match self.requires_certificate {
            true => ", and PYRO_SSL_CLIENTCERT and PYRO_SSL_CLIENTKEY to your certificate",
            false => "",
        };
        format!(
            "'{daemon}' takes TLS connections only, and this one is plain: in your environment set \
             PYRO_SSL=true, PYRO_SSL_CACERTS to the file with its certificate authority{certificate}"
        )
    }

    /// Whether a connection that begins with this byte speaks TLS.
    pub fn is_handshake(first: u8) -> bool {
        first == TLS_HANDSHAKE
    }

    /// Does the TLS handshake with a client of another protocol than Pyro5's. The second value:
    /// whether it has shown the certificate that it must show, if any.
    ///
    /// # Errors
    /// The handshake fails.
    pub async fn accept_client<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
    ) -> io::Result<(TlsStream<S>, bool)> {
        let (stream, verdict) = self.accept(stream).await?;
        Ok((stream, verdict.is_ok()))
    }

    /// Does the TLS handshake with a client, and verifies its certificate. The verdict is not
    /// TLS's: a client that is refused hears the reason in the answer to its Pyro5 handshake.
    pub(crate) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
    ) -> io::Result<(TlsStream<S>, Verdict)> {
        let loaded = self.files.current();
        let stream = loaded.acceptor.accept(stream).await?;
        let Some(verifier) = &loaded.verifier else { return Ok((stream, Ok(None))) };
        let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let verdict = match shown.split_first() {
            None if self.requires_certificate => Err("this daemon wants a client certificate: in \
                your environment set PYRO_SSL_CLIENTCERT and PYRO_SSL_CLIENTKEY to the files with \
                your certificate and its key"
                .to_owned()),
            None => Ok(None),
            Some((own, issuers)) => {
                let verified = verifier.verify_client(own, issuers, UnixTime::now());
                ClientCertificate::judge(own, verified, self.requires_certificate)
            }
        };
        Ok((stream, verdict))
    }
}

/// Reads the daemon's certificate, and those that are `accepted` of clients.
fn read_files(files: &CertificateFiles, accepted: Option<&[PathBuf]>) -> Result<Loaded, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let certified = files::read_identity(files, &provider)?;
    let own = certified.cert.first().cloned();
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Unusable(error.to_string()))?;
    let (builder, verifier) = match accepted {
        None => (builder.with_no_client_auth(), None),
        Some(paths) => {
            // Only the certificate itself: its authority's clients are no clients of ours.
            let mut accepted: Vec<_> = own.iter().cloned().collect();
            for path in paths {
                accepted.extend(files::read_accepted(path)?);
            }
            let verifier = Arc::new(Verifier::new(accepted, Arc::clone(&provider)));
            let request = CertificateRequest::new(provider);
            (builder.with_client_cert_verifier(Arc::new(request)), Some(verifier))
        }
    };
    let chain = certified.cert.iter().filter_map(Certificate::read);
    let expires = chain.map(|certificate| certificate.expires()).min();
    let config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    Ok(Loaded { acceptor: TlsAcceptor::from(Arc::new(config)), verifier, expires, own })
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").finish_non_exhaustive()
    }
}
