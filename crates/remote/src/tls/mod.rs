//! TLS for daemons and proxies, with what Pyro5's SSL settings name: PEM files.
//!
//! Owns how certificates and keys are read, and whose are accepted. A certificate in the file of
//! accepted ones is accepted as it is, whatever it says of itself: self-signed ones, made with one
//! line of OpenSSL, are what laboratories have. Any other must have been issued by an accepted one
//! that may do so; one of X.509 version 1, which OpenSSL makes where nobody asks for an extension,
//! by an accepted one itself and not through others in between. Knows nothing of messages.

mod certificate;
mod client;
mod files;
mod probe;
mod server;
mod verify;
mod version1;

use std::path::PathBuf;

pub use client::ClientTls;
pub use probe::begins_tls;
pub use server::ServerTls;

/// A certificate with its private key, in PEM files.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// The certificate, with those that it was issued by behind it where there are some.
    pub certificate: PathBuf,
    /// The private key; none where it is in the certificate's file.
    pub key: Option<PathBuf>,
    /// What the private key is encrypted with, if it is.
    pub password: Option<String>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The password is nobody's business.
        f.debug_struct("Identity")
            .field("certificate", &self.certificate)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// Why TLS cannot be used with the given files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read the {what} {}: {source}", .path.display())]
    Read {
        /// What it should hold.
        what: &'static str,
        /// Where it is.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{}: {problem}", .path.display())]
    Content {
        /// Where it is.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The files do not go together.
    #[error("{0}")]
    Unfit(String),
}
