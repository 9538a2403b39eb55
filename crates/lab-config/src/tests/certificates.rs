//! Keys of TLS that contradict each other.

use super::*;

#[test]
fn keys_of_tls_that_do_nothing_are_refused() {
    let cases: &[(&str, &[&str])] = &[
        (
            "daemons: {d: {ssl: maybe}}",
            &["1:20 daemons.d.ssl: expected `true`, `false` or `offered`"],
        ),
        (
            "daemons: {d: {ssl_servercert: a.pem}}",
            &["1:31 does nothing without `ssl` (write `ssl: true` beside it)"],
        ),
        (
            "daemons: {d: {ssl_requireclientcert: true}}",
            &["1:38 `ssl_requireclientcert` does nothing without `ssl` (write `ssl: true`"],
        ),
        (
            "nameservers: {n: {ssl: offered, ssl_requireclientcert: true}}",
            &["1:56 clients without TLS show no certificate, and `ssl: offered` lets them in"],
        ),
        (
            "nameservers: {n: {ssl: true, ssl_serverkey: a.pem}}",
            &["1:45 `ssl_serverkey` does nothing without `ssl_servercert`"],
        ),
    ];
    for (text, expected) in cases {
        check(text, expected);
    }
}

#[test]
fn nameservers_have_the_keys_of_daemons() {
    let lab = right(
        "nameservers: {n: {ssl: offered}, m: {ns_port: 9092, ssl: true, ssl_requireclientcert: true}}
daemons: {default: {ssl: off}}",
    );
    let modes: Vec<TlsMode> = lab.nameservers.iter().map(|entry| entry.tls().mode).collect();
    assert_eq!(modes, [TlsMode::Offered, TlsMode::Required]);
    assert_eq!(lab.daemons[0].tls().mode, TlsMode::Off);
    let json = serde_json::to_string(&lab).unwrap();
    assert_eq!(serde_json::from_str::<Configuration>(&json).unwrap(), lab);
}
