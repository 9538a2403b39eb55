//! Certificate of a client after its verification: the name in it, or the reason for a refusal.

use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::{CertificateError, Error};

use super::certificate::Certificate;

/// A client's verified certificate, `None` without one; or why the client is refused, in words for
/// it.
pub(crate) type Verdict = Result<Option<ClientCertificate>, String>;

/// Verified certificate of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    der: CertificateDer<'static>,
}

impl ClientCertificate {
    /// The common name of its subject: the client's name.
    pub fn common_name(&self) -> Option<String> {
        Certificate::read(&self.der)?.common_name()
    }

    /// A certificate that this daemon has verified in an earlier process.
    pub fn from_verified_der(der: Vec<u8>) -> Self {
        ClientCertificate { der: CertificateDer::from(der) }
    }

    /// The bits of its public key.
    pub fn public_key(&self) -> Option<Vec<u8>> {
        Certificate::read(&self.der)?.key_bits()
    }

    /// The certificate in DER.
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// The verdict on a client with this certificate. Where none is required, one that cannot be
    /// verified counts as none: it is for another lab.
    pub(super) fn judge(
        der: &CertificateDer<'_>,
        verified: Result<(), Error>,
        is_required: bool,
    ) -> Verdict {
        let error = match verified {
            Ok(()) => return Ok(Some(ClientCertificate { der: der.clone().into_owned() })),
            Err(error) => error,
        };
        let certificate = Certificate::read(der);
        let name = certificate.as_ref().and_then(Certificate::common_name);
        let name = name.map_or_else(String::new, |name| format!(" ('{name}')"));
        let validity = certificate.map(|it| it.0.tbs_certificate.validity);
        let why = match (&error, &validity) {
            (Error::InvalidCertificate(error), Some(validity)) => match error {
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    Some(format!(
                        "has expired on {}: get a new one (`ferrolab login HOST` renews that of a \
                         login)",
                        validity.not_after
                    ))
                }
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    Some(format!(
                        "is not valid before {}: a clock is wrong, yours or this host's",
                        validity.not_before
                    ))
                }
                _ => None,
            },
            _ => None,
        };
        let purpose = matches!(
            error,
            Error::InvalidCertificate(
                CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. }
            )
        );
        let why = match why {
            Some(why) => why,
            None if !is_required => return Ok(None),
            None if purpose => "is not for clients (extended key usage clientAuth)".to_owned(),
            None => "was not issued by an authority that this daemon knows".to_owned(),
        };
        Err(format!("your client certificate{name} {why}"))
    }
}
