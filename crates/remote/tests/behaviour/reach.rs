//! Proxies for other hosts only: an address that leads to this one.

use remote::{ClientLogin, ClientTls, ConnectError, Error, Proxy};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::certificates::Certificates;
use crate::common::within;

#[tokio::test]
async fn nothing_is_sent_to_this_host_where_others_are_meant() {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let ways = Certificates::new().map(|made| {
        let authority = made.self_signed("authority", "localhost", &[]);
        let tls = ClientTls::trusting(&authority.certificate).unwrap();
        (tls.clone(), ClientLogin::new([tls], Some("secret".to_owned())).unwrap())
    });
    let own = remote::public_address().filter(std::net::IpAddr::is_ipv4);
    let hosts = ["localhost", "127.0.0.1", "127.0.0.2"].map(str::to_owned);
    for host in hosts.into_iter().chain(own.map(|own| own.to_string())) {
        let proxy = || Proxy::new(&format!("PYRO:x@{host}:{port}")).unwrap();
        let (tls, login) = ways.clone().unzip();
        let proxies = [
            Some(proxy()),
            tls.map(|tls| proxy().with_tls(tls)),
            login.map(|it| proxy().with_login(it)),
        ];
        for proxy in proxies.into_iter().flatten() {
            let refused = proxy.with_other_hosts_only().connect().await;
            assert!(
                matches!(refused, Err(Error::Connect { source: ConnectError::ThisHost, .. })),
                "{host}: {refused:?}"
            );
            let (mut accepted, _) = listener.accept().await.unwrap();
            let mut sent = Vec::new();
            within(accepted.read_to_end(&mut sent)).await.unwrap();
            assert!(sent.is_empty(), "{host}: {sent:?}");
        }
    }
    let socket = Proxy::new("PYRO:x@./u:/nowhere").unwrap().with_other_hosts_only().connect().await;
    assert!(matches!(socket, Err(Error::Connect { source: ConnectError::ThisHost, .. })));
}
