//! Client of HTTP/1.1, plain or with TLS: POST requests against the host's trusted authorities, and
//! connections for those that ask more (`etcd`).
//!
//! The only HTTP client here. Errors name the host and never the path, which may have a token.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::http::request;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use lab_config::Secret;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_util::task::AbortOnDropHandle;

/// Time for a whole request.
const HTTP_REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// Bytes of an answer's text that are read, at most: servers say there what they refuse.
const MAX_TEXT_BYTES: usize = 500;

/// A POST request.
#[derive(Clone, Copy, Debug)]
pub struct Post<'a> {
    /// Its address: `http://` or `https://`.
    pub url: &'a str,
    /// Header fields beside `Content-Type`.
    pub headers: &'a BTreeMap<String, Secret>,
    /// The body's type.
    pub content_type: &'a str,
}

/// Why a request was not accepted, in words without the address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    /// It has not reached the server, or there was no answer.
    #[error("{0}")]
    NoAnswer(String),
    /// The server's answer is another one than "done".
    #[error("its answer is {status}{text}")]
    Refused {
        /// The answer's status.
        status: StatusCode,
        /// Empty, or a colon and the server's words.
        text: String,
    },
}

/// The host of an address, for people; `unknown` where it has none.
pub fn host_of(url: &str, unknown: &str) -> String {
    let uri = url.parse::<Uri>().ok();
    let host = uri.as_ref().and_then(Uri::host);
    host.map_or_else(|| unknown.to_owned(), str::to_owned)
}

impl Post<'_> {
    /// Sends a body.
    ///
    /// # Errors
    /// It was not accepted.
    pub async fn send(self, body: Vec<u8>) -> Result<(), PostError> {
        let answer = tokio::time::timeout(HTTP_REQUEST_TIMEOUT, self.exchange(body)).await;
        let (status, text) = answer
            .map_err(|_| format!("no answer within {} s", HTTP_REQUEST_TIMEOUT.as_secs()))
            .flatten()
            .map_err(PostError::NoAnswer)?;
        match status.is_success() {
            true => Ok(()),
            false => Err(PostError::Refused { status, text }),
        }
    }

    async fn exchange(self, body: Vec<u8>) -> Result<(StatusCode, String), String> {
        let uri: Uri = self.url.parse().map_err(|_| "the address cannot be read".to_owned())?;
        let server = Server::of(&uri)?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = server
            .request(Method::POST, path)
            .header("content-type", self.content_type)
            .header("user-agent", concat!("ferrolab/", env!("CARGO_PKG_VERSION")));
        for (name, Secret(value)) in self.headers {
            request = request.header(name, value);
        }
        let request = request
            .body(Full::new(Bytes::from(body)))
            .map_err(|_| "a header field cannot be sent".to_owned())?;
        let mut connection = server.connect(connector).await?;
        let answer = connection.requests.send_request(request).await;
        let answer = answer.map_err(|error| format!("no answer: {error}"))?;
        let status = answer.status();
        // The words of a success are nothing to anybody.
        let text = if status.is_success() { String::new() } else { text_of(answer).await };
        Ok((status, text))
    }
}

/// The server that an address names.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    host: String,
    port: u16,
    is_tls: bool,
    /// The field `Host` of its requests.
    authority: String,
}

/// A connection to a server, which ends when it is dropped.
pub(crate) struct Connection {
    pub(crate) requests: http1::SendRequest<Full<Bytes>>,
    _driver: AbortOnDropHandle<()>,
}

impl Server {
    /// The server of an address.
    ///
    /// # Errors
    /// The address has no host.
    pub(crate) fn of(uri: &Uri) -> Result<Self, String> {
        let host = uri.host().ok_or("the address has no host")?.to_owned();
        let is_tls = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let authority = if uri.port().is_some() { format!("{host}:{port}") } else { host.clone() };
        Ok(Server { host: host.trim_matches(['[', ']']).to_owned(), port, is_tls, authority })
    }

    /// Host and port, for people.
    pub(crate) fn shown(&self) -> &str {
        &self.authority
    }

    /// A request to it.
    pub(crate) fn request(&self, method: Method, path: &str) -> request::Builder {
        Request::builder().method(method).uri(path).header("host", &self.authority)
    }

    /// Connects; `tls` is asked only where the address wants it.
    ///
    /// # Errors
    /// There is no connection, in words without the host.
    pub(crate) async fn connect(
        &self,
        tls: impl FnOnce() -> Result<TlsConnector, String>,
    ) -> Result<Connection, String> {
        let port = self.port;
        let stream = TcpStream::connect((self.host.as_str(), port))
            .await
            .map_err(|error| format!("cannot connect to port {port}: {error}"))?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        if !self.is_tls {
            return shake_hands(stream).await;
        }
        let name = ServerName::try_from(self.host.clone())
            .map_err(|_| "its name fits no certificate".to_owned())?;
        let stream = tls()?
            .connect(name, stream)
            .await
            .map_err(|error| format!("no TLS connection: {error}"))?;
        shake_hands(stream).await
    }
}

async fn shake_hands<S>(stream: S) -> Result<Connection, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (requests, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| format!("no HTTP connection: {error}"))?;
    let driving = tokio::spawn(async move {
        // The next request finds out why it has ended.
        let _ = connection.await;
    });
    Ok(Connection { requests, _driver: AbortOnDropHandle::new(driving) })
}

/// The first line of an answer, after a colon.
async fn text_of(answer: Response<Incoming>) -> String {
    let mut body = answer.into_body();
    let mut bytes = Vec::new();
    while bytes.len() < MAX_TEXT_BYTES
        && let Some(Ok(frame)) = body.frame().await
    {
        bytes.extend(frame.into_data().unwrap_or_default());
    }
    bytes.truncate(MAX_TEXT_BYTES);
    let text = String::from_utf8_lossy(&bytes);
    match text.trim().lines().next() {
        None | Some("") => String::new(),
        Some(line) => format!(": {line}"),
    }
}

fn connector() -> Result<TlsConnector, String> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        return Err("this host has no certificates of trusted authorities".to_owned());
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_see_the_host_only() {
        let cases = [
            ("https://hooks.example.com/services/T0/SECRET", "hooks.example.com"),
            ("http://ntfy.sh:8080/topic?auth=SECRET", "ntfy.sh"),
            ("https://user:SECRET@h/x", "h"),
            ("http://[::1]:80/", "[::1]"),
            ("what SECRET", "the target"),
        ];
        for (url, host) in cases {
            assert_eq!(host_of(url, "the target"), host, "{url}");
        }
    }
}
