//! X.509 certificates that webpki does not read: version 1, common names, the right to issue.
//!
//! webpki reads version 3 only, and takes every root as an issuer. OpenSSL's one-liners make all
//! kinds of certificates, and Python accepts them; so this module reads them with `x509-cert`.
//! It does not decide which certificate is accepted: see [`verify`](super::verify).

use std::time::{Duration, SystemTime};

use tokio_rustls::rustls::CertificateError;
use tokio_rustls::rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use x509_cert::certificate::{CertificateInner, Raw, Version};
use x509_cert::der::oid::{AssociatedOid, ObjectIdentifier};
use x509_cert::der::{Decode, Encode, EncodeValue};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    BasicConstraints, ExtendedKeyUsage, KeyUsage, NameConstraints, SubjectAltName,
};
use x509_cert::spki::AlgorithmIdentifierOwned;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// Characters of a common name, as X.520 bounds it.
const MAX_NAME_CHARS: usize = 64;

/// An X.509 certificate. `Raw`: serial numbers of every length, as OpenSSL has it.
pub(super) struct Certificate(pub(super) CertificateInner<Raw>);

/// Whether a certificate may issue others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Issuing {
    /// It is an authority, or of version 1, which cannot say.
    Any,
    /// It is an authority with limits that only webpki checks.
    Limited,
    /// It is no authority.
    Not,
}

impl Certificate {
    /// Reads a certificate; `None` if `der` is not one.
    pub(super) fn read(der: &CertificateDer<'_>) -> Option<Self> {
        CertificateInner::from_der(der).ok().map(Certificate)
    }

    /// Whether it is of version 1: it has no extensions.
    pub(super) fn is_version_1(&self) -> bool {
        let tbs = &self.0.tbs_certificate;
        tbs.version == Version::V1 && tbs.extensions.is_none()
    }

    pub(super) fn issuing(&self) -> Issuing {
        issuing(self.0.tbs_certificate.version == Version::V1, self.extensions())
    }

    /// Whether its common name is `host`. As in Python, it counts only where there are no
    /// alternative names.
    pub(super) fn has_common_name(&self, host: &str) -> bool {
        let common_name = self.common_name_bytes();
        !self.extensions().iter().any(|extension| extension.extn_id == SubjectAltName::OID)
            && common_name.is_some_and(|name| name.eq_ignore_ascii_case(host.as_bytes()))
    }

    /// Its common name, without characters that a terminal or a log takes for something else.
    pub(super) fn common_name(&self) -> Option<String> {
        let name = String::from_utf8_lossy(self.common_name_bytes()?);
        let is_plain = |letter: &char| !letter.is_control();
        let name: String = name.trim().chars().filter(is_plain).take(MAX_NAME_CHARS).collect();
        (!name.is_empty()).then_some(name)
    }

    fn common_name_bytes(&self) -> Option<&[u8]> {
        let mut names = self.0.tbs_certificate.subject.0.iter().flat_map(|set| set.0.iter());
        let common_name = names.rfind(|name| name.oid == COMMON_NAME)?;
        Some(common_name.value.value())
    }

    /// Its alternative names: hosts, and addresses as `address_text` has them.
    pub(super) fn alternative_names(
        &self,
        address_text: impl Fn(&[u8]) -> Option<String>,
    ) -> Vec<String> {
        let extension = self.extensions().iter().find(|it| it.extn_id == SubjectAltName::OID);
        let names =
            extension.and_then(|it| SubjectAltName::from_der(it.extn_value.as_bytes()).ok());
        let text = |name: GeneralName| match name {
            GeneralName::DnsName(name) => Some(name.to_string()),
            GeneralName::IpAddress(address) => address_text(address.as_bytes()),
            _ => None,
        };
        names.map_or_else(Vec::new, |names| names.0.into_iter().filter_map(text).collect())
    }

    /// When it expires.
    pub(super) fn expires(&self) -> SystemTime {
        self.0.tbs_certificate.validity.not_after.to_date_time().to_system_time()
    }

    /// Checks that it is in force.
    pub(super) fn check_validity(&self, now: UnixTime) -> Result<(), CertificateError> {
        let validity = &self.0.tbs_certificate.validity;
        let now = Duration::from_secs(now.as_secs());
        if now < validity.not_before.to_unix_duration() {
            return Err(CertificateError::NotValidYet);
        }
        if now > validity.not_after.to_unix_duration() {
            return Err(CertificateError::Expired);
        }
        Ok(())
    }

    /// The subject's SubjectPublicKeyInfo, in DER.
    pub(super) fn public_key(&self) -> Option<Vec<u8>> {
        self.0.tbs_certificate.subject_public_key_info.to_der().ok()
    }

    /// The bits of its public key.
    pub(super) fn key_bits(&self) -> Option<Vec<u8>> {
        let key = &self.0.tbs_certificate.subject_public_key_info.subject_public_key;
        key.as_bytes().map(<[u8]>::to_vec)
    }

    /// Whether `signature` is this certificate's under `message`. Each kind of signature has one
    /// algorithm for each kind of key; those of other keys say no.
    pub(super) fn has_signed(
        &self,
        algorithm: &dyn SignatureVerificationAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        let key = &self.0.tbs_certificate.subject_public_key_info;
        is(&key.algorithm, algorithm.public_key_alg_id().as_ref())
            && key
                .subject_public_key
                .as_bytes()
                .is_some_and(|key| algorithm.verify_signature(key, message, signature).is_ok())
    }

    fn extensions(&self) -> &[Extension] {
        self.0.tbs_certificate.extensions.as_deref().unwrap_or_default()
    }
}

/// Whether an algorithm is the one that webpki writes as `content`, which has no outer SEQUENCE.
pub(super) fn is(algorithm: &AlgorithmIdentifierOwned, content: &[u8]) -> bool {
    let mut bytes = Vec::new();
    algorithm.encode_value(&mut bytes).is_ok() && bytes == content
}

/// As in OpenSSL, and so in Python: a certificate that does not say that it may issue others may
/// not, except those of version 1, which cannot say.
fn issuing(is_version_1: bool, extensions: &[Extension]) -> Issuing {
    let is_authority = read::<BasicConstraints>(extensions, |constraints| constraints.ca);
    let may_sign = read::<KeyUsage>(extensions, |usage| usage.key_cert_sign());
    let limits = |extension: &Extension| {
        let id = extension.extn_id;
        let known = id == BasicConstraints::OID || id == KeyUsage::OID;
        let limiting = id == NameConstraints::OID || id == ExtendedKeyUsage::OID;
        limiting || extension.critical && !known
    };
    match (is_authority, may_sign) {
        (Some(false), _) | (_, Some(false)) => Issuing::Not,
        (None, None) if !is_version_1 => Issuing::Not,
        _ if extensions.iter().any(limits) => Issuing::Limited,
        _ => Issuing::Any,
    }
}

/// Reads extension `T` and applies `says`; false if it is unreadable, `None` if it is absent.
fn read<'a, T: Decode<'a> + AssociatedOid>(
    extensions: &'a [Extension],
    says: impl Fn(T) -> bool,
) -> Option<bool> {
    let extension = extensions.iter().find(|extension| extension.extn_id == T::OID)?;
    Some(T::from_der(extension.extn_value.as_bytes()).is_ok_and(says))
}

#[cfg(test)]
mod tests {
    use x509_cert::der::asn1::OctetString;

    use super::*;

    #[test]
    fn which_certificates_may_issue_others() {
        let extension = |extn_id, value: &[u8]| Extension {
            extn_id,
            critical: true,
            extn_value: OctetString::new(value).unwrap(),
        };
        let authority = || extension(BasicConstraints::OID, b"\x30\x03\x01\x01\xff");
        let no_authority = || extension(BasicConstraints::OID, b"\x30\x00");
        let signs = || extension(KeyUsage::OID, b"\x03\x02\x01\x06");
        let signs_not = || extension(KeyUsage::OID, b"\x03\x02\x07\x80");
        let names = || extension(NameConstraints::OID, b"\x30\x00");
        let cases = [
            (true, vec![], Issuing::Any),
            (false, vec![], Issuing::Not),
            (false, vec![authority()], Issuing::Any),
            (false, vec![authority(), signs()], Issuing::Any),
            (false, vec![signs()], Issuing::Any),
            (false, vec![authority(), signs_not()], Issuing::Not),
            (false, vec![no_authority()], Issuing::Not),
            (false, vec![no_authority(), signs()], Issuing::Not),
            (false, vec![extension(BasicConstraints::OID, b"nonsense")], Issuing::Not),
            (false, vec![authority(), names()], Issuing::Limited),
            (false, vec![authority(), extension(COMMON_NAME, b"")], Issuing::Limited),
        ];
        for (number, (is_version_1, extensions, expected)) in cases.into_iter().enumerate() {
            assert_eq!(issuing(is_version_1, &extensions), expected, "case {number}");
        }
    }
}
