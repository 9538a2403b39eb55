//! Test: certificates that are not the lab's, or not any more, let nobody in.
//!
//! Some hundred each time; `FERROLAB_TEST_EXTENDED=1` shows ten thousand.

use std::path::{Path, PathBuf};

use base64::Engine;
use rcgen::{CertificateParams, Issuer, KeyPair};
use remote::{AcceptedClients, CertificateFiles, ClientTls, ServerTls};
use tokio_rustls::rustls::pki_types::ServerName;

use super::super::{Authority, AuthorityFiles, Issued, Subject, authority_params, common_name};

/// Days for which the certificates are issued.
const DAYS: i32 = 90;

fn file(certificate: PathBuf) -> CertificateFiles {
    CertificateFiles { certificate, key: None, password: None }
}

/// Whether a client with this certificate is let in.
async fn is_let_in(server: &ServerTls, trusted: &Path, folder: &Path, shown: &Issued) -> bool {
    let path = folder.join("shown.pem");
    crate::files::replace(&path, format!("{}{}", shown.certificate, shown.key).as_bytes()).unwrap();
    // One that its own client cannot use is shown by nobody.
    let Ok(client) = ClientTls::with_identity(trusted, &file(path)) else { return false };
    let (near, far) = tokio::io::duplex(64 * 1024);
    let name = ServerName::try_from("localhost").unwrap();
    let connector = client.connector().await;
    let (accepted, connected) =
        tokio::join!(server.accept_client(far), connector.connect(name, near));
    drop(connected);
    accepted.is_ok_and(|(_, is_certified)| is_certified)
}

/// The certificate with one bit of its DER changed.
fn with_flipped_bit(issued: Issued, number: usize) -> Issued {
    let engine = base64::engine::general_purpose::STANDARD;
    let body: String = issued.certificate.lines().filter(|line| !line.starts_with('-')).collect();
    let mut der = engine.decode(body).unwrap();
    let bit = number * 7919 % (der.len() * 8);
    der[bit / 8] ^= 1 << (bit % 8);
    let certificate =
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", engine.encode(der));
    Issued { certificate, ..issued }
}

#[tokio::test]
async fn wrong_certificates_let_nobody_in() {
    let is_extended = std::env::var("FERROLAB_TEST_EXTENDED").is_ok_and(|it| !it.is_empty());
    let count = if is_extended { 10_000 } else { 300 };
    let folder = tempfile::tempdir().unwrap();
    let files = |name: &str| AuthorityFiles::in_folder(folder.path().join(name));
    let (lab, other) = (files("lab"), files("other"));
    lab.prepare_host(&["localhost".to_owned()]).unwrap();
    let (authority, foreign) = (lab.open().unwrap(), other.open().unwrap());
    let accepted = [lab.certificate()];
    let server =
        ServerTls::load_for(&file(lab.host()), AcceptedClients::Certified(&accepted)).unwrap();
    let ada = Subject::Client { name: "ada" };
    // An authority of the same name, with another key.
    let name = remote::read_certificate(&lab.certificate()).unwrap().common_name.unwrap();
    let issuer = Issuer::new(authority_params(&name), KeyPair::generate().unwrap());
    let forged = Authority { issuer };
    let self_signed = || {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name("ada");
        let certificate = params.self_signed(&key).unwrap().pem();
        Issued { certificate, key: key.serialize_pem() }
    };
    let mut let_in = Vec::new();
    for number in 0..count {
        let past = -2 - i32::try_from(number % 1000).unwrap();
        let shown = match number % 5 {
            0 => foreign.issue_with_key(ada, DAYS).unwrap(),
            1 => forged.issue_with_key(ada, DAYS).unwrap(),
            2 => self_signed(),
            3 => authority.issue_with_key(ada, past).unwrap(),
            _ => with_flipped_bit(authority.issue_with_key(ada, DAYS).unwrap(), number),
        };
        if is_let_in(&server, &lab.certificate(), folder.path(), &shown).await {
            let_in.push(number);
        }
    }
    assert!(let_in.is_empty(), "{let_in:?}");
    let good = authority.issue_with_key(ada, DAYS).unwrap();
    assert!(is_let_in(&server, &lab.certificate(), folder.path(), &good).await);
}
