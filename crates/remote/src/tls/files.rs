//! PEM files with certificates and private keys.
//!
//! The error for a file that cannot be used names the file, the reason and the remedy.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pkcs8::{EncryptedPrivateKeyInfo, SecretDocument};
use tokio_rustls::rustls::InconsistentKeys;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;

use super::{CertificateFiles, TlsError};

const ENCRYPTED_BEGIN: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
const ENCRYPTED_END: &str = "-----END ENCRYPTED PRIVATE KEY-----";

/// Reads the certificate chain and the private key of `identity`, and checks that they match.
pub(super) fn read_identity(
    identity: &CertificateFiles,
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, TlsError> {
    let chain = read_certificates(&identity.certificate)?;
    let key_path = identity.key.as_ref().unwrap_or(&identity.certificate);
    let key = read_private_key(key_path, identity.password.as_deref())?;
    let signing = provider.key_provider.load_private_key(key).map_err(|error| {
        content(key_path, format!("the private key is of a kind that cannot be used ({error})"))
    })?;
    let certified = CertifiedKey::new(chain, signing);
    // A certificate that rustls cannot parse, such as one of X.509 version 1, is used unchecked, as
    // in Pyro5.
    if let Err(tokio_rustls::rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) =
        certified.keys_match()
    {
        return Err(TlsError::Unusable(format!(
            "the certificate {} and the private key {} do not belong together",
            identity.certificate.display(),
            key_path.display()
        )));
    }
    Ok(Arc::new(certified))
}

/// Reads every certificate of a PEM file, at least one.
pub(super) fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read("certificate file", path)?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|error| content(path, format!("the file is not well-formed PEM ({error})")))?;
    if found.is_empty() {
        return Err(content(
            path,
            "there is no certificate in it: a PEM file with a line `-----BEGIN CERTIFICATE-----` \
             is needed",
        ));
    }
    Ok(found)
}

/// Reads the certificates to accept: those of a file, or of every file in a folder.
pub(super) fn read_accepted(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    if !path.is_dir() {
        return read_certificates(path);
    }
    let fail = |source| TlsError::Read { what: "certificate folder", path: path.into(), source };
    let mut files: Vec<PathBuf> = std::fs::read_dir(path)
        .map_err(fail)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(fail)?;
    files.sort();
    let mut found: Vec<CertificateDer<'static>> = Vec::new();
    for file in files.into_iter().filter(|file| file.is_file()) {
        // Other files in the folder are skipped.
        for certificate in read_certificates(&file).unwrap_or_default() {
            if !found.contains(&certificate) {
                found.push(certificate);
            }
        }
    }
    if found.is_empty() {
        return Err(content(path, "there is no PEM file with a certificate in this folder"));
    }
    Ok(found)
}

fn read_private_key(
    path: &Path,
    password: Option<&str>,
) -> Result<PrivateKeyDer<'static>, TlsError> {
    let bytes = read("private key", path)?;
    if let Ok(key) = PrivateKeyDer::from_pem_slice(&bytes) {
        return Ok(key);
    }
    let text = String::from_utf8_lossy(&bytes);
    let encrypted = text.find(ENCRYPTED_BEGIN).and_then(|start| {
        let rest = text.get(start..)?;
        rest.get(..rest.find(ENCRYPTED_END)? + ENCRYPTED_END.len())
    });
    match (encrypted, password) {
        (Some(pem), Some(password)) => decrypt(path, pem, password),
        (Some(_), None) => Err(content(
            path,
            "the private key is encrypted, and there is no password for it (in a configuration: \
             `ssl_serverkeypasswd`)",
        )),
        (None, _) if text.contains("Proc-Type: 4,ENCRYPTED") => Err(content(
            path,
            "the private key is encrypted in OpenSSL's old form; convert it with `openssl pkcs8 \
             -topk8 -in OLD -out NEW`",
        )),
        (None, _) => Err(content(
            path,
            "there is no private key in it: a PEM file with a line `-----BEGIN PRIVATE KEY-----` \
             is needed",
        )),
    }
}

fn decrypt(path: &Path, pem: &str, password: &str) -> Result<PrivateKeyDer<'static>, TlsError> {
    let unreadable =
        |error: String| content(path, format!("the encrypted private key cannot be read: {error}"));
    let (_, document) =
        SecretDocument::from_pem(pem).map_err(|error| unreadable(error.to_string()))?;
    let encrypted = EncryptedPrivateKeyInfo::try_from(document.as_bytes())
        .map_err(|error| unreadable(error.to_string()))?;
    let key = encrypted
        .decrypt(password)
        .map_err(|_| content(path, "the password for the private key is wrong"))?;
    PrivateKeyDer::try_from(key.as_bytes().to_vec()).map_err(|error| unreadable(error.into()))
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read { what, path: path.into(), source })
}

fn content(path: &Path, problem: impl Into<String>) -> TlsError {
    TlsError::Content { path: path.into(), problem: problem.into() }
}
