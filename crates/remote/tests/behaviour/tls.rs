//! TLS with certificates of OpenSSL's one-liners, and with those that must be refused.

use std::path::Path;

use remote::{
    CertificateFiles, ClientTls, ConnectError, DaemonConfig, Error, Proxy, ServerTls, Value,
};

use crate::certificates::{Certificates, Made, RSA};
use crate::common::Serving;

async fn serve(server: &CertificateFiles, clients: Option<&Path>) -> Serving {
    let tls = Some(ServerTls::load(server, clients).unwrap());
    Serving::echo(DaemonConfig { tls, ..DaemonConfig::default() }).await
}

async fn greets(proxy: Proxy, tls: ClientTls) -> Result<(), Error> {
    let mut proxy = proxy.with_tls(tls);
    let echoed = proxy.call("echo", vec![5.into()], Vec::new()).await?;
    assert_eq!(echoed, Value::List(vec![5.into()]));
    Ok(())
}

/// Connects without a client certificate to `server`, trusting `trusted`; the error of TLS if it
/// is refused.
async fn seen(server: &Made, trusted: &Made) -> Result<(), String> {
    let serving = serve(&server.identity(), None).await;
    let tls = ClientTls::trusting(&trusted.certificate).unwrap();
    match greets(serving.proxy("echo"), tls).await {
        Ok(()) => Ok(()),
        Err(Error::Connect { source: ConnectError::Tls(reason), .. }) => Err(reason.to_string()),
        Err(other) => panic!("{other}"),
    }
}

/// Whether `server`, which accepts `accepted`, admits a client with this certificate.
async fn lets_in(server: &Made, accepted: &Made, client: &Made) -> bool {
    let serving = serve(&server.identity(), Some(&accepted.certificate)).await;
    let tls = ClientTls::with_identity(&server.certificate, &client.identity()).unwrap();
    greets(serving.proxy("echo"), tls).await.is_ok()
}

#[tokio::test]
async fn certificates_as_people_make_them() {
    let Some(made) = Certificates::new() else { return };
    let cases: &[(&str, &[&str], Option<&str>)] = &[
        ("plain", RSA, None),
        ("elliptic", &[], None),
        ("no-authority", &["-addext", "basicConstraints=CA:FALSE"], None),
        ("other-name", &["-addext", "subjectAltName=DNS:elsewhere"], None),
        ("encrypted", &["-passout", "pass:secret"], Some("secret")),
    ];
    for (name, options, password) in cases {
        let server = made.self_signed(name, "localhost", options);
        let identity =
            CertificateFiles { password: password.map(str::to_owned), ..server.identity() };
        let serving = serve(&identity, None).await;
        let tls = ClientTls::trusting(&server.certificate).unwrap();
        greets(serving.proxy("echo"), tls).await.expect(name);
        // A client without TLS cannot connect.
        assert!(serving.proxy("echo").connect().await.is_err());
    }
}

/// `openssl x509 -req` makes certificates of version 1 if no extension is requested.
#[tokio::test]
async fn an_issued_certificate_of_version_1_is_accepted() {
    let Some(made) = Certificates::new() else { return };
    for kind in [RSA, &[]] {
        let authority = made.self_signed("authority", "The lab", kind);
        let server = made.issued("authority", "server", "localhost", "");
        seen(&server, &authority).await.unwrap();
        let later = made.issued("authority", "later", "localhost", "subjectAltName=DNS:localhost");
        seen(&later, &authority).await.unwrap();
        let client = made.issued("authority", "client", "me", "");
        assert!(lets_in(&server_of_its_own(&made), &authority, &client).await);
    }
}

fn server_of_its_own(made: &Certificates) -> Made {
    made.self_signed("own", "localhost", &[])
}

#[tokio::test]
async fn a_certificate_of_version_1_is_looked_at_as_any_other() {
    let Some(made) = Certificates::new() else { return };
    let authority = made.self_signed("authority", "The lab", &[]);
    let own = server_of_its_own(&made);
    // Another authority of the same name.
    made.self_signed("impostor", "The lab", &[]);
    made.self_signed("stranger", "Somebody", &[]);
    // One that may not issue others, and one with limits, which are not checked for version 1.
    let leaf = made.self_signed("leaf", "A leaf", &["-addext", "basicConstraints=CA:FALSE"]);
    let limits = "nameConstraints=critical,permitted;DNS:elsewhere";
    let limited = made.self_signed("limited", "Limited", &["-addext", limits]);
    let cases = [
        ("impostor", &authority, "localhost", "BadSignature"),
        ("stranger", &authority, "localhost", "UnknownIssuer"),
        ("leaf", &leaf, "localhost", "UnknownIssuer"),
        ("limited", &limited, "localhost", "UnknownIssuer"),
        ("authority", &authority, "elsewhere", "NotValidForName"),
    ];
    for (issuer, trusted, subject, reason) in cases {
        let server = made.issued(issuer, "server", subject, "");
        let refused = seen(&server, trusted).await.unwrap_err();
        assert!(refused.contains(reason), "{issuer}: {refused}");
        let client = made.issued(issuer, "client", "me", "");
        let let_in = lets_in(&own, trusted, &client).await;
        // A client's name is not checked.
        assert_eq!(let_in, reason == "NotValidForName", "{issuer}");
    }
}

/// As in Python, a certificate that says that it is no authority issues none.
#[tokio::test]
async fn only_an_authority_issues_certificates() {
    let Some(made) = Certificates::new() else { return };
    let no_authority = ["-addext", "basicConstraints=CA:FALSE"];
    let leaf = made.self_signed("leaf", "localhost", &no_authority);
    seen(&leaf, &leaf).await.unwrap();
    let server = made.issued("leaf", "server", "localhost", "subjectAltName=DNS:localhost");
    let refused = seen(&server, &leaf).await.unwrap_err();
    assert!(refused.contains("UnknownIssuer"), "{refused}");
    let client = made.issued("leaf", "client", "me", "keyUsage=digitalSignature");
    assert!(!lets_in(&server_of_its_own(&made), &leaf, &client).await);
}

#[tokio::test]
async fn a_time_that_is_over_is_over() {
    let Some(made) = Certificates::new() else { return };
    let authority = made.self_signed("authority", "The lab", &[]);
    // It expires before it begins.
    let server = made.issued_for("authority", "server", "localhost", "-1");
    let refused = seen(&server, &authority).await.unwrap_err();
    assert!(refused.contains("xpired"), "{refused}");
}
