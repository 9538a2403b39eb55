//! Certificate signing requests of clients with a P-256 key, and certificates as texts.

use tokio_rustls::rustls::SignatureScheme;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};
use x509_cert::der::{Decode, Encode};
use x509_cert::request::CertReq;

use super::TlsError;
use super::certificate::{Certificate, is};

/// Bytes of an uncompressed point on the curve P-256.
const P256_POINT_BYTES: usize = 65;

/// Reads a signing request in PEM, and checks that its client has the private key; then the public
/// key: a point on the curve P-256.
///
/// # Errors
/// It is no such request, has another kind of key, or its signature is wrong.
pub fn read_signing_request(pem: &str) -> Result<Vec<u8>, TlsError> {
    let unusable = |reason: &str| TlsError::Unusable(format!("no signing request: {reason}"));
    let der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes())
        .map_err(|error| unusable(&error.to_string()))?;
    let request = CertReq::from_der(&der).map_err(|error| unusable(&error.to_string()))?;
    let message = request.info.to_der().map_err(|error| unusable(&error.to_string()))?;
    let key = &request.info.public_key;
    let point = key.subject_public_key.as_bytes();
    let point = point.filter(|point| point.len() == P256_POINT_BYTES);
    let (Some(point), Some(signature)) = (point, request.signature.as_bytes()) else {
        return Err(unusable("its key is not of the curve P-256"));
    };
    let algorithms = ring::default_provider().signature_verification_algorithms;
    let of_scheme =
        |(scheme, _): &&(SignatureScheme, _)| *scheme == SignatureScheme::ECDSA_NISTP256_SHA256;
    let candidates = algorithms.mapping.iter().filter(of_scheme).flat_map(|(_, known)| *known);
    let is_signed = candidates
        .filter(|algorithm| {
            is(&key.algorithm, algorithm.public_key_alg_id().as_ref())
                && is(&request.algorithm, algorithm.signature_alg_id().as_ref())
        })
        .any(|algorithm| algorithm.verify_signature(point, &message, signature).is_ok());
    if is_signed { Ok(point.to_vec()) } else { Err(unusable("its signature is wrong")) }
}

/// The public key of a client's certificate in DER: a point on the curve P-256.
///
/// # Errors
/// It is no certificate, or has another kind of key.
pub fn certificate_key(der: &[u8]) -> Result<Vec<u8>, TlsError> {
    let certificate = Certificate::read(&CertificateDer::from(der));
    let key = certificate.and_then(|certificate| certificate.key_bits());
    let point = key.filter(|key| key.len() == P256_POINT_BYTES);
    point.ok_or_else(|| TlsError::Unusable("its key is not of the curve P-256".to_owned()))
}

/// The first certificate of a text in PEM, in DER.
///
/// # Errors
/// It has no certificate.
pub fn certificate_der(pem: &str) -> Result<Vec<u8>, TlsError> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes());
    let der = der.map_err(|error| TlsError::Unusable(format!("no certificate: {error}")))?;
    Ok(der.to_vec())
}
