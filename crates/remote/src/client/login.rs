//! Login of a client in a lab, shown by its connections where that is safe.
//!
//! The certificate is shown to servers that the lab's authority has certified. A server without TLS
//! gets the token, if it is on this host: nobody can read it on its way.

use std::fmt;
use std::io;

use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::Error;

use crate::error::ConnectError;
use crate::net;
use crate::tls::ClientTls;

/// A login in a lab. Cheap to clone.
#[derive(Clone)]
pub struct ClientLogin {
    tls: ClientTls,
    token: String,
}

/// A connection on which a login was shown.
pub(crate) enum LoginStream {
    Tls(Box<TlsStream<TcpStream>>),
    /// A plain one, with the token for its handshake.
    Plain(TcpStream, Option<String>),
}

impl ClientLogin {
    /// A login with a token, and with TLS that trusts the lab's authority and shows a certificate.
    pub fn new(tls: ClientTls, token: String) -> Self {
        ClientLogin { tls, token }
    }

    /// Connects to the server at `host`: with TLS, or plainly where it has none.
    pub(crate) async fn connect(&self, host: &str, port: u16) -> Result<LoginStream, ConnectError> {
        let stream = net::connect_tcp(host, port).await?;
        match self.tls.connect(net::bare_host(host), stream).await {
            Ok(stream) => Ok(LoginStream::Tls(Box::new(stream))),
            Err(error) if is_about_trust(&error) => Err(ConnectError::Tls(error)),
            // It has answered with something else than TLS.
            Err(_) => {
                let stream = net::connect_tcp(host, port).await?;
                let is_here = stream.peer_addr()?.ip().to_canonical().is_loopback();
                Ok(LoginStream::Plain(stream, is_here.then(|| self.token.clone())))
            }
        }
    }
}

/// Whether a server that speaks TLS is not trusted, or does not trust this client.
fn is_about_trust(error: &io::Error) -> bool {
    let error = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    matches!(error, Some(Error::InvalidCertificate(_) | Error::AlertReceived(_)))
}

impl fmt::Debug for ClientLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientLogin").finish_non_exhaustive()
    }
}
