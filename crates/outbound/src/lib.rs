//! HTTP requests that a lab host makes: notifications, values for databases, names in etcd.
//!
//! Owns the HTTP client ([`http_client`]) and the registry of nameservers in etcd ([`etcd`]). Must
//! not know command lines, processes and files of the lab: callers say what is sent where.

pub mod etcd;
pub mod http_client;

use remote::{CertificateFiles, ClientTls, TlsError};

/// TLS that trusts the authorities of the operating system, and shows the certificate `own` where a
/// server asks for one.
///
/// # Errors
/// The certificate cannot be used.
pub fn tls_of_the_system(own: Option<&CertificateFiles>) -> Result<ClientTls, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    ClientTls::trusting_der(found.certs.into_iter().map(|der| der.to_vec()), own)
}
