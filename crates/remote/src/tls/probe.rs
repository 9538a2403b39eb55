//! TLS probe: whether a server answers a ClientHello.
//!
//! A liveness check needs no trust: no certificate is read and no handshake is completed.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore};
use wire::uri::Location;

use crate::net;

/// Types of the record that can answer a ClientHello: an alert, or the server's hello.
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
/// First byte of the version in every TLS record.
const MAJOR_VERSION: u8 = 3;

/// Whether the server at `location` answers a ClientHello with TLS, within the time `within`.
pub async fn speaks_tls(location: &Location, within: Duration) -> bool {
    let Location::Tcp { host, port } = location else { return false };
    let asking = async {
        let mut stream = net::connect_tcp(host, *port).await?;
        stream.write_all(&client_hello(net::bare_host(host))?).await?;
        let mut answer = [0; 2];
        stream.read_exact(&mut answer).await?;
        io::Result::Ok(answer)
    };
    match tokio::time::timeout(within, asking).await {
        Ok(Ok([kind, version])) => matches!(kind, ALERT | HANDSHAKE) && version == MAJOR_VERSION,
        _ => false,
    }
}

/// The record with the ClientHello.
fn client_hello(host: &str) -> io::Result<Vec<u8>> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let mut client = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let mut record = Vec::new();
    client.write_tls(&mut record)?;
    Ok(record)
}
