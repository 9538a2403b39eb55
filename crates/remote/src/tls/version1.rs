//! Certificates of X.509 version 1 that an accepted certificate has issued.
//!
//! `openssl x509 -req -CA ...` makes them where nobody asks for extensions. Python takes them, and
//! the TLS library refuses to look into them; so this looks instead. Owns one question: has one of
//! the accepted certificates, itself and not by way of others, issued this one, and is it in
//! force? What such a certificate cannot say (a usage, an alternative name) is not asked.
//!
//! All arithmetic is the TLS library's: its algorithms verify the signature, and those that it
//! does not have (MD5, SHA-1, short keys) do not count.

use std::time::Duration;

use pkcs8::der::Decode;
use pkcs8::der::asn1::{GeneralizedTime, UtcTime};
use tokio_rustls::rustls::CertificateError;
use tokio_rustls::rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};

use super::certificate::{self, Issuing, Parts};

/// Verifies that one of `issuers` has issued `leaf`, which is of version 1.
///
/// # Errors
/// Why it is not accepted; `UnknownIssuer` where nobody has.
pub(super) fn verify(
    leaf: &Parts<'_>,
    issuers: &[CertificateDer<'static>],
    now: UnixTime,
    algorithms: &[&dyn SignatureVerificationAlgorithm],
) -> Result<(), CertificateError> {
    if !leaf.is_version_1 || leaf.algorithms[0] != leaf.algorithms[1] {
        return Err(CertificateError::BadEncoding);
    }
    in_force(leaf, now)?;
    let mut reason = CertificateError::UnknownIssuer;
    for issuer in issuers.iter().filter_map(|issuer| certificate::parts(issuer)) {
        // One whose limits are unknown here issues nothing here.
        if issuer.issuing != Issuing::Any || issuer.subject != leaf.issuer {
            continue;
        }
        // Another of the same name may have done it.
        match in_force(&issuer, now).and_then(|()| signed(leaf, &issuer, algorithms)) {
            Ok(()) => return Ok(()),
            Err(error) => reason = error,
        }
    }
    Err(reason)
}

fn signed(
    leaf: &Parts<'_>,
    issuer: &Parts<'_>,
    algorithms: &[&dyn SignatureVerificationAlgorithm],
) -> Result<(), CertificateError> {
    let verified = algorithms.iter().any(|algorithm| {
        algorithm.signature_alg_id().as_ref() == leaf.algorithms[0]
            && verifies(*algorithm, issuer, leaf.signed, leaf.signature)
    });
    verified.then_some(()).ok_or(CertificateError::BadSignature)
}

/// Whether `signature` is that of a certificate's owner under `message`. Each kind of signature has
/// an algorithm for each kind of key that can make it; another one says no.
pub(super) fn verifies(
    algorithm: &dyn SignatureVerificationAlgorithm,
    owner: &Parts<'_>,
    message: &[u8],
    signature: &[u8],
) -> bool {
    certificate::key(owner.public_key).is_some_and(|(kind, key)| {
        algorithm.public_key_alg_id().as_ref() == kind
            && algorithm.verify_signature(key, message, signature).is_ok()
    })
}

fn in_force(parts: &Parts<'_>, now: UnixTime) -> Result<(), CertificateError> {
    let [from, to] = parts.validity.map(time);
    let (Some(from), Some(to)) = (from, to) else { return Err(CertificateError::BadEncoding) };
    let now = Duration::from_secs(now.as_secs());
    if now < from {
        return Err(CertificateError::NotValidYet);
    }
    if now > to {
        return Err(CertificateError::Expired);
    }
    Ok(())
}

/// A point of time in either of its two notations, since 1970.
fn time(der: &[u8]) -> Option<Duration> {
    let short = UtcTime::from_der(der).map(|time| time.to_unix_duration());
    short.or_else(|_| GeneralizedTime::from_der(der).map(|time| time.to_unix_duration())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_both_notations() {
        let cases: [(&[u8], Option<u64>); 4] = [
            (b"\x17\x0d700101000010Z", Some(10)),
            (b"\x18\x0f20500101000000Z", Some(2_524_608_000)),
            (b"\x17\x0d700101000010X", None),
            (b"\x04\x01a", None),
        ];
        for (der, expected) in cases {
            assert_eq!(time(der), expected.map(Duration::from_secs), "{der:?}");
        }
    }
}
