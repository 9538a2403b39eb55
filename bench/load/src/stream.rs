//! Socket to a server, plain or with TLS.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// Socket to a server.
pub(crate) enum LoadStream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl LoadStream {
    /// Begins TLS with the server `host`, which a certificate of `cacerts` must have issued.
    pub(crate) fn with_tls(socket: TcpStream, host: &str, cacerts: &Path) -> Result<Self, String> {
        let failed = |error: &dyn std::fmt::Display| format!("no TLS: {error}");
        let mut roots = RootCertStore::empty();
        let certificates =
            CertificateDer::pem_file_iter(cacerts).map_err(|error| failed(&error))?;
        roots.add_parsable_certificates(certificates.flatten());
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(&error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(host.to_owned()).map_err(|error| failed(&error))?;
        let connection =
            ClientConnection::new(Arc::new(config), name).map_err(|error| failed(&error))?;
        Ok(LoadStream::Tls(Box::new(StreamOwned::new(connection, socket))))
    }

    /// The socket, to be watched; `None` with TLS, whose bytes may wait beside the socket.
    pub(crate) fn plain_socket(&self) -> Option<&TcpStream> {
        match self {
            LoadStream::Plain(socket) => Some(socket),
            LoadStream::Tls(_) => None,
        }
    }
}

impl Read for LoadStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            LoadStream::Plain(socket) => socket.read(buffer),
            LoadStream::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for LoadStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            LoadStream::Plain(socket) => socket.write(bytes),
            LoadStream::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            LoadStream::Plain(socket) => socket.flush(),
            LoadStream::Tls(stream) => stream.flush(),
        }
    }
}
