//! TLS for daemons and proxies, configured with the PEM files of Pyro5's SSL settings.
//!
//! | certificate of the peer | accepted |
//! |---|---|
//! | in the file of accepted ones | always: laboratories have self-signed ones |
//! | X.509 version 3 | if an accepted certificate that may issue others has issued it |
//! | X.509 version 1 (OpenSSL without extensions) | the same, without intermediate ones |
//!
//! Changed files are taken up while a daemon or a client runs.

mod certificate;
mod client;
mod client_certificate;
mod facts;
mod file_backed;
mod files;
mod server;
mod signing_request;
mod verify;
mod x509_v1;

use std::path::PathBuf;

pub use client::{ClientTls, speaks_tls};
pub use client_certificate::ClientCertificate;
pub use facts::{CertificateFacts, read_certificate};
pub use server::{AcceptedClients, ServerTls};
pub use signing_request::{certificate_der, certificate_key, read_signing_request};

/// Certificate with its private key, in PEM files.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, followed by the intermediate ones that issued it.
    pub certificate: PathBuf,
    /// The private key; `None` if it is in the certificate's file.
    pub key: Option<PathBuf>,
    /// The password of an encrypted private key.
    pub password: Option<String>,
}

impl std::fmt::Debug for CertificateFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The password must not be logged.
        f.debug_struct("CertificateFiles")
            .field("certificate", &self.certificate)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// First byte of a TLS handshake. A Pyro5 message begins with `P`.
pub(crate) const TLS_HANDSHAKE: u8 = 0x16;
/// First byte of a TLS alert.
pub(crate) const TLS_ALERT: u8 = 0x15;

/// Why TLS cannot be set up with the given files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read the {what} {}: {source}", .path.display())]
    Read {
        /// The file's expected content.
        what: &'static str,
        /// The file's path.
        path: PathBuf,
        /// The operating system's error.
        #[source]
        source: std::io::Error,
    },
    /// A file lacks the expected content.
    #[error("{}: {problem}", .path.display())]
    Content {
        /// The file's path.
        path: PathBuf,
        /// The problem and its remedy.
        problem: String,
    },
    /// Certificate and key do not match, or rustls refuses the settings.
    #[error("{0}")]
    Unusable(String),
}
