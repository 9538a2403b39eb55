//! Certificates made with OpenSSL, for the tests of TLS.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use remote::CertificateFiles;
use tempfile::TempDir;

/// OpenSSL's options for a key that is made quickly, and for the one of every tutorial.
const ELLIPTIC: &[&str] = &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
pub(crate) const RSA: &[&str] = &["-newkey", "rsa:2048"];

/// Temporary folder of certificates.
pub(crate) struct Certificates {
    folder: TempDir,
}

/// A certificate and its private key.
#[derive(Clone)]
pub(crate) struct Made {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Made {
    pub(crate) fn identity(&self) -> CertificateFiles {
        CertificateFiles {
            certificate: self.certificate.clone(),
            key: Some(self.key.clone()),
            password: None,
        }
    }
}

impl Certificates {
    /// A new folder; `None` if OpenSSL is not installed.
    pub(crate) fn new() -> Option<Self> {
        openssl(Path::new("."), &["version"])?;
        Some(Certificates { folder: tempfile::tempdir().unwrap() })
    }

    /// A key and a self-signed certificate, with OpenSSL's `options`.
    pub(crate) fn self_signed(&self, name: &str, subject: &str, options: &[&str]) -> Made {
        let (certificate, key) = (format!("{name}.pem"), format!("{name}.key"));
        let subject = format!("/CN={subject}");
        let secret: &[&str] = if options.contains(&"-passout") { &[] } else { &["-nodes"] };
        let kind: &[&str] = if options.contains(&"-newkey") { &[] } else { ELLIPTIC };
        let request = ["req", "-x509", "-days", "2"];
        let files = ["-subj", &subject, "-keyout", &key, "-out", &certificate];
        self.openssl(&[&request[..], &files, kind, secret, options].concat());
        self.made(name)
    }

    /// A key and a certificate that `issuer` has signed. Without `extensions` it is of X.509
    /// version 1.
    pub(crate) fn issued(&self, issuer: &str, name: &str, subject: &str, extensions: &str) -> Made {
        self.issued_with(issuer, name, subject, extensions, "2")
    }

    /// As [`Certificates::issued`], without extensions, valid for `days`.
    pub(crate) fn issued_for(&self, issuer: &str, name: &str, subject: &str, days: &str) -> Made {
        self.issued_with(issuer, name, subject, "", days)
    }

    fn issued_with(
        &self,
        issuer: &str,
        name: &str,
        subject: &str,
        extensions: &str,
        days: &str,
    ) -> Made {
        let (certificate, key) = (format!("{name}.pem"), format!("{name}.key"));
        let (by, by_key) = (format!("{issuer}.pem"), format!("{issuer}.key"));
        let subject = format!("/CN={subject}");
        self.openssl(
            &[
                &["req", "-nodes", "-subj", &subject][..],
                ELLIPTIC,
                &["-keyout", &key, "-out", "request"],
            ]
            .concat(),
        );
        std::fs::write(self.folder.path().join("extensions"), extensions).unwrap();
        let extended: &[&str] =
            if extensions.is_empty() { &[] } else { &["-extfile", "extensions"] };
        self.openssl(
            &[
                &["x509", "-req", "-in", "request", "-days", days, "-out", &certificate][..],
                &["-CA", &by, "-CAkey", &by_key, "-CAcreateserial"],
                extended,
            ]
            .concat(),
        );
        self.made(name)
    }

    fn made(&self, name: &str) -> Made {
        let file = |end: &str| self.folder.path().join(format!("{name}.{end}"));
        Made { certificate: file("pem"), key: file("key") }
    }

    fn openssl(&self, arguments: &[&str]) {
        assert!(openssl(self.folder.path(), arguments).unwrap(), "openssl {arguments:?}");
    }
}

/// Runs OpenSSL; true if it succeeds, `None` if it is not installed.
fn openssl(folder: &Path, arguments: &[&str]) -> Option<bool> {
    let quiet = Stdio::null;
    let mut command = Command::new("openssl");
    command.args(arguments).current_dir(folder).stdin(quiet()).stdout(quiet()).stderr(quiet());
    Some(command.status().ok()?.success())
}
