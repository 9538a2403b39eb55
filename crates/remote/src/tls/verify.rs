//! Certificate verifier for servers and clients.
//!
//! A certificate in the file of accepted ones is accepted as it is. Any other must have been
//! issued by one of them. The handshake's signature is checked in both cases. A client's
//! certificate is verified after the TLS handshake, so that the client can be told in words why it
//! is refused.

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

use super::certificate::{Certificate, Issuing};
use super::x509_v1;

/// Verifier of a peer's certificate: a client's for servers, a daemon's for clients.
#[derive(Debug)]
pub(super) struct Verifier {
    accepted: Vec<CertificateDer<'static>>,
    /// Those of them that may issue others.
    roots: Arc<RootCertStore>,
    /// webpki's verifier of clients with an issued certificate; `None` where `roots` is empty.
    issued_clients: Option<Arc<dyn ClientCertVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    pub(super) fn new(
        accepted: Vec<CertificateDer<'static>>,
        provider: Arc<CryptoProvider>,
    ) -> Self {
        let mut roots = RootCertStore::empty();
        // webpki takes every root as an issuer, even one that says that it is no authority.
        let may_issue = accepted.iter().filter(|der| {
            Certificate::read(der).is_some_and(|root| root.issuing() != Issuing::Not)
        });
        // A certificate that webpki cannot read can still be accepted itself.
        roots.add_parsable_certificates(may_issue.cloned());
        let roots = Arc::new(roots);
        let builder =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider));
        Verifier { accepted, roots, issued_clients: builder.build().ok(), provider }
    }

    fn is_accepted(&self, certificate: &CertificateDer<'_>) -> bool {
        self.accepted.iter().any(|accepted| accepted.as_ref() == certificate.as_ref())
    }

    /// Verifies a client's certificate, which must be in force also where it is accepted as it is.
    pub(super) fn verify_client(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let certificate = Certificate::read(end_entity);
        if self.is_accepted(end_entity) {
            let in_force = certificate.map_or(Ok(()), |it| it.check_validity(now));
            return in_force.map_err(Error::InvalidCertificate);
        }
        if let Some(issued) = self.verify_version_1(certificate.as_ref(), now) {
            return issued;
        }
        match &self.issued_clients {
            Some(webpki) => webpki.verify_client_cert(end_entity, intermediates, now).map(drop),
            None => Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)),
        }
    }

    /// Whether an accepted certificate has issued a `leaf` of version 1; `None` for later
    /// versions, which webpki verifies.
    fn verify_version_1(
        &self,
        leaf: Option<&Certificate>,
        now: UnixTime,
    ) -> Option<Result<(), Error>> {
        let leaf = leaf.filter(|leaf| leaf.is_version_1())?;
        let issuers: Vec<_> = self.accepted.iter().filter_map(Certificate::read).collect();
        let algorithms = self.provider.signature_verification_algorithms.all;
        let verified = x509_v1::verify(leaf, issuers.iter(), now, algorithms);
        Some(verified.map_err(Error::InvalidCertificate))
    }
}

/// The methods that both of rustls' traits have.
macro_rules! verify_handshake_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            let algorithms = &self.provider.signature_verification_algorithms;
            let verified = verify_tls12_signature(message, cert, signature, algorithms);
            or_without_webpki(verified, cert, |certificate| {
                let of_scheme =
                    algorithms.mapping.iter().filter(|(scheme, _)| *scheme == signature.scheme);
                let verified = of_scheme.flat_map(|(_, algorithms)| *algorithms).any(|algorithm| {
                    certificate.has_signed(*algorithm, message, signature.signature())
                });
                verified.then(HandshakeSignatureValid::assertion)
            })
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            let algorithms = &self.provider.signature_verification_algorithms;
            let verified = verify_tls13_signature(message, cert, signature, algorithms);
            or_without_webpki(verified, cert, |certificate| {
                let key = SubjectPublicKeyInfoDer::from(certificate.public_key()?);
                verify_tls13_signature_with_raw_key(message, &key, signature, algorithms).ok()
            })
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.provider.signature_verification_algorithms.supported_schemes()
        }
    };
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.is_accepted(end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        let certificate = Certificate::read(end_entity);
        let named = match self.verify_version_1(certificate.as_ref(), now) {
            Some(issued) => {
                issued?;
                Err(Error::InvalidCertificate(CertificateError::NotValidForName))
            }
            None => {
                let parsed = ParsedCertificate::try_from(end_entity)?;
                verify_server_cert_signed_by_trust_anchor(
                    &parsed,
                    &self.roots,
                    intermediates,
                    now,
                    self.provider.signature_verification_algorithms.all,
                )?;
                verify_server_name(&parsed, server_name)
            }
        };
        let host = server_name.to_str();
        if certificate.is_some_and(|certificate| certificate.has_common_name(&host)) {
            return Ok(ServerCertVerified::assertion());
        }
        named.map(|()| ServerCertVerified::assertion())
    }

    verify_handshake_signatures!();
}

/// Request for a client's certificate. It only checks that the client has the certificate's key;
/// [`Verifier::verify_client`] verifies the certificate after the handshake.
#[derive(Debug)]
pub(super) struct CertificateRequest {
    provider: Arc<CryptoProvider>,
}

impl CertificateRequest {
    pub(super) fn new(provider: Arc<CryptoProvider>) -> Self {
        CertificateRequest { provider }
    }
}

impl ClientCertVerifier for CertificateRequest {
    /// No hints: a client shows its certificate, whatever its issuer.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    verify_handshake_signatures!();
}

/// Verifier of a client that accepts every server: its messages prove who it is.
#[derive(Debug)]
pub(super) struct AnyServer {
    provider: Arc<CryptoProvider>,
}

impl AnyServer {
    pub(super) fn new(provider: Arc<CryptoProvider>) -> Self {
        AnyServer { provider }
    }
}

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    verify_handshake_signatures!();
}

/// webpki's verdict on a handshake's signature, or ours where webpki cannot read the certificate.
fn or_without_webpki(
    verified: Result<HandshakeSignatureValid, Error>,
    cert: &CertificateDer<'_>,
    verify: impl FnOnce(&Certificate) -> Option<HandshakeSignatureValid>,
) -> Result<HandshakeSignatureValid, Error> {
    let unread = CertificateError::BadEncoding;
    match verified {
        Err(Error::InvalidCertificate(error))
            if error == unread || matches!(error, CertificateError::Other(_)) =>
        {
            let certificate = Certificate::read(cert).ok_or(Error::InvalidCertificate(error))?;
            let bad = Error::InvalidCertificate(CertificateError::BadSignature);
            verify(&certificate).ok_or(bad)
        }
        verified => verified,
    }
}
