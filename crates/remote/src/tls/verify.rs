//! Whose certificates are accepted.
//!
//! Owns one decision, for both sides: a certificate that is itself among the accepted ones is its
//! owner's word and is taken as it is; any other must have been issued by one of them. Signatures
//! in the handshake are always checked.

use std::sync::Arc;

use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, verify_tls12_signature, verify_tls13_signature,
    verify_tls13_signature_with_raw_key,
};
use tokio_rustls::rustls::pki_types::{
    CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};

use super::certificate::{self, Issuing, Parts};
use super::version1;

/// The certificates that one side accepts.
#[derive(Debug)]
pub(super) struct Accepted {
    pinned: Vec<CertificateDer<'static>>,
    /// Those of them that may issue others.
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl Accepted {
    pub(super) fn new(
        certificates: Vec<CertificateDer<'static>>,
        provider: Arc<CryptoProvider>,
    ) -> Self {
        let mut roots = RootCertStore::empty();
        // The library takes a root at its owner's word, also one that says that it is none.
        let may_issue = certificates.iter().filter(|certificate| {
            certificate::parts(certificate).is_some_and(|parts| parts.issuing != Issuing::Not)
        });
        // One that cannot issue others can still be accepted itself.
        roots.add_parsable_certificates(may_issue.cloned());
        Accepted { pinned: certificates, roots: Arc::new(roots), provider }
    }

    fn is_pinned(&self, certificate: &CertificateDer<'_>) -> bool {
        self.pinned.iter().any(|pinned| pinned.as_ref() == certificate.as_ref())
    }

    /// Whether one of the accepted ones has issued a certificate of version 1; `None` where it is
    /// of a later one, which is the library's to verify.
    fn has_issued_version_1(
        &self,
        parts: Option<&Parts<'_>>,
        now: UnixTime,
    ) -> Option<Result<(), Error>> {
        let parts = parts.filter(|parts| parts.is_version_1)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        Some(
            version1::verify(parts, &self.pinned, now, algorithms)
                .map_err(Error::InvalidCertificate),
        )
    }

    fn tls12(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        let verified = verify_tls12_signature(message, cert, signature, algorithms);
        or_by_parts(verified, cert, |parts| {
            let of_scheme =
                algorithms.mapping.iter().filter(|(scheme, _)| *scheme == signature.scheme);
            let verified = of_scheme.flat_map(|(_, algorithms)| *algorithms).any(|algorithm| {
                version1::verifies(*algorithm, parts, message, signature.signature())
            });
            let bad = Error::InvalidCertificate(CertificateError::BadSignature);
            verified.then(HandshakeSignatureValid::assertion).ok_or(bad)
        })
    }

    fn tls13(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        let verified = verify_tls13_signature(message, cert, signature, algorithms);
        or_by_parts(verified, cert, |parts| {
            let key = SubjectPublicKeyInfoDer::from(parts.public_key);
            verify_tls13_signature_with_raw_key(message, &key, signature, algorithms)
        })
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// What the library says of a signature, or our own reading of the certificate where it cannot.
fn or_by_parts(
    verified: Result<HandshakeSignatureValid, Error>,
    cert: &CertificateDer<'_>,
    verify: impl FnOnce(&Parts<'_>) -> Result<HandshakeSignatureValid, Error>,
) -> Result<HandshakeSignatureValid, Error> {
    match verified {
        Err(error) if is_the_parsers(&error) => verify(&certificate::parts(cert).ok_or(error)?),
        verified => verified,
    }
}

/// Whether only the library's parser is at a loss: the key is there, and so is its signature.
fn is_the_parsers(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidCertificate(CertificateError::BadEncoding | CertificateError::Other(_))
    )
}

/// The handshake's signatures, by the `accepted` of either verifier: both of the library's traits
/// ask for the same three methods.
macro_rules! signatures_as_accepted {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            self.accepted.tls12(message, cert, signature)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            self.accepted.tls13(message, cert, signature)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.accepted.schemes()
        }
    };
}

/// Accepts servers.
#[derive(Debug)]
pub(super) struct Servers {
    accepted: Accepted,
}

impl Servers {
    pub(super) fn new(accepted: Accepted) -> Self {
        Servers { accepted }
    }
}

impl ServerCertVerifier for Servers {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let accepted = &self.accepted;
        if accepted.is_pinned(end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        let parts = certificate::parts(end_entity);
        let named = match accepted.has_issued_version_1(parts.as_ref(), now) {
            Some(issued) => {
                issued?;
                Err(Error::InvalidCertificate(CertificateError::NotValidForName))
            }
            None => {
                let certificate = ParsedCertificate::try_from(end_entity)?;
                verify_server_cert_signed_by_trust_anchor(
                    &certificate,
                    &accepted.roots,
                    intermediates,
                    now,
                    accepted.provider.signature_verification_algorithms.all,
                )?;
                verify_server_name(&certificate, server_name)
            }
        };
        // As Python does, the common name counts where there are no alternative names.
        let by_common_name = parts.is_some_and(|parts| {
            !parts.has_alternative_names
                && parts
                    .common_name
                    .is_some_and(|name| name.eq_ignore_ascii_case(&server_name.to_str()))
        });
        if by_common_name {
            return Ok(ServerCertVerified::assertion());
        }
        named.map(|()| ServerCertVerified::assertion())
    }

    signatures_as_accepted!();
}

/// Accepts clients; one without a certificate is refused.
#[derive(Debug)]
pub(super) struct Clients {
    accepted: Accepted,
    /// For those that one of the accepted ones has issued; none of them may be able to.
    issued: Option<Arc<dyn ClientCertVerifier>>,
}

impl Clients {
    pub(super) fn new(accepted: Accepted) -> Self {
        let issued = WebPkiClientVerifier::builder_with_provider(
            Arc::clone(&accepted.roots),
            Arc::clone(&accepted.provider),
        )
        .build()
        .ok();
        Clients { accepted, issued }
    }
}

impl ClientCertVerifier for Clients {
    /// None: a client shows the certificate that it has, whoever has issued it.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if self.accepted.is_pinned(end_entity) {
            return Ok(ClientCertVerified::assertion());
        }
        let parts = certificate::parts(end_entity);
        if let Some(issued) = self.accepted.has_issued_version_1(parts.as_ref(), now) {
            return issued.map(|()| ClientCertVerified::assertion());
        }
        match &self.issued {
            Some(issued) => issued.verify_client_cert(end_entity, intermediates, now),
            None => Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)),
        }
    }

    signatures_as_accepted!();
}
