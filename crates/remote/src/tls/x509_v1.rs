//! Verification of X.509 version 1 certificates against the accepted ones.
//!
//! `openssl x509 -req -CA ...` makes version 1 where nobody asks for extensions. Python accepts
//! such certificates, webpki refuses to read them. Only one step is allowed: an accepted
//! certificate must have issued this one itself. A key usage or an alternative name, which
//! version 1 does not have, is not required.
//!
//! Signatures are verified by the TLS library's algorithms; those that it lacks (MD5, SHA-1,
//! short keys) are refused.

use tokio_rustls::rustls::CertificateError;
use tokio_rustls::rustls::pki_types::{SignatureVerificationAlgorithm, UnixTime};
use x509_cert::der::Encode;

use super::certificate::{Certificate, Issuing, is};

/// Verifies that one of `issuers` has issued `leaf`, and that both are in force.
///
/// # Errors
/// Why it is not accepted; `UnknownIssuer` where none of them has.
pub(super) fn verify<'a>(
    leaf: &Certificate,
    issuers: impl Iterator<Item = &'a Certificate>,
    now: UnixTime,
    algorithms: &[&dyn SignatureVerificationAlgorithm],
) -> Result<(), CertificateError> {
    leaf.check_validity(now)?;
    let mut reason = CertificateError::UnknownIssuer;
    for issuer in issuers {
        // An issuer with limits (Issuing::Limited) issues nothing here: only webpki checks them.
        let named = issuer.0.tbs_certificate.subject == leaf.0.tbs_certificate.issuer;
        if issuer.issuing() != Issuing::Any || !named {
            continue;
        }
        // Several issuers may have the same name: all are tried.
        let verified = issuer.check_validity(now);
        match verified.and_then(|()| check_signature(leaf, issuer, algorithms)) {
            Ok(()) => return Ok(()),
            Err(error) => reason = error,
        }
    }
    Err(reason)
}

fn check_signature(
    leaf: &Certificate,
    issuer: &Certificate,
    algorithms: &[&dyn SignatureVerificationAlgorithm],
) -> Result<(), CertificateError> {
    let leaf = &leaf.0;
    if leaf.signature_algorithm != leaf.tbs_certificate.signature {
        return Err(CertificateError::BadEncoding);
    }
    let bad = CertificateError::BadSignature;
    // Bytes that were not DER were refused by the parser, so this gives the ones that were signed.
    let Ok(signed) = leaf.tbs_certificate.to_der() else { return Err(bad) };
    let Some(signature) = leaf.signature.as_bytes() else { return Err(bad) };
    let verified = algorithms.iter().any(|algorithm| {
        is(&leaf.signature_algorithm, algorithm.signature_alg_id().as_ref())
            && issuer.has_signed(*algorithm, &signed, signature)
    });
    verified.then_some(()).ok_or(bad)
}
