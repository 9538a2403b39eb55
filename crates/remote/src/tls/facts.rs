//! Facts of a certificate file that people and warnings need: names, expiry, fingerprint.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use super::certificate::Certificate;
use super::{TlsError, files};

/// Facts of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The common name of its subject.
    pub common_name: Option<String>,
    /// Host names and addresses that it is for.
    pub names: Vec<String>,
    /// When it expires.
    pub expires: SystemTime,
    /// SHA-256 of the certificate in DER.
    pub sha256: [u8; 32],
}

/// Reads the first certificate of a PEM file.
///
/// # Errors
/// The file cannot be read, or has no certificate.
pub fn read_certificate(path: &Path) -> Result<CertificateFacts, TlsError> {
    let unusable = || TlsError::Content {
        path: path.into(),
        problem: "its first certificate cannot be read".to_owned(),
    };
    let der = files::read_certificates(path)?.into_iter().next().ok_or_else(unusable)?;
    let certificate = Certificate::read(&der).ok_or_else(unusable)?;
    Ok(CertificateFacts {
        common_name: certificate.common_name(),
        names: certificate.alternative_names(address_text),
        expires: certificate.expires(),
        sha256: Sha256::digest(&der).into(),
    })
}

/// An address of a certificate as text.
fn address_text(bytes: &[u8]) -> Option<String> {
    match bytes.len() {
        4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).to_string()),
        16 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_string()),
        _ => None,
    }
}
