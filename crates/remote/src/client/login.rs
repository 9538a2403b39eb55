//! Login of a client in a lab, shown by its connections where that is safe.
//!
//! The certificate is shown to servers that the lab's authority has certified. A server without TLS
//! gets the token, if it is on this host: nobody can read it on its way.

use std::fmt;
use std::io;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::Error;

use crate::client::reach::Reach;
use crate::error::ConnectError;
use crate::net;
use crate::tls::ClientTls;

/// A login in a lab, or one of several in labs of one host. Cheap to clone.
#[derive(Clone)]
pub struct ClientLogin {
    /// TLS of each login, which trusts its lab's authority and shows its certificate.
    tls: Arc<[ClientTls]>,
    token: Option<Arc<str>>,
}

/// A connection on which a login was shown.
pub(crate) enum LoginStream {
    Tls(Box<TlsStream<TcpStream>>),
    /// A plain one, with the token for its handshake.
    Plain(TcpStream, Option<String>),
}

impl ClientLogin {
    /// A login by TLS: the first of these whose authority has certified the server. The token is
    /// for servers without TLS. `None` without any login.
    pub fn new(tls: impl IntoIterator<Item = ClientTls>, token: Option<String>) -> Option<Self> {
        let tls: Arc<[ClientTls]> = tls.into_iter().collect();
        (!tls.is_empty()).then(|| ClientLogin { tls, token: token.map(Arc::from) })
    }

    /// Connects to the server at `host`: with TLS, or plainly where it has none.
    pub(crate) async fn connect(
        &self,
        host: &str,
        port: u16,
        reach: Reach,
    ) -> Result<LoginStream, ConnectError> {
        let mut untrusted = None;
        for tls in self.tls.iter() {
            let stream = reach.connect(host, port).await?;
            match tls.connect(net::bare_host(host), stream).await {
                Ok(stream) => return Ok(LoginStream::Tls(Box::new(stream))),
                // It may be of the lab of the next login.
                Err(error) if is_untrusted(&error) => {
                    untrusted.get_or_insert(error);
                }
                Err(error) if is_alert(&error) => return Err(ConnectError::Tls(error)),
                // It has answered with something else than TLS.
                Err(_) => {
                    let stream = reach.connect(host, port).await?;
                    let is_here = stream.peer_addr()?.ip().to_canonical().is_loopback();
                    let token = self.token.as_deref().filter(|_| is_here);
                    return Ok(LoginStream::Plain(stream, token.map(str::to_owned)));
                }
            }
        }
        let nothing = || io::Error::other("there is no login");
        Err(ConnectError::Tls(untrusted.unwrap_or_else(nothing)))
    }
}

/// Whether the client does not trust a server that speaks TLS.
fn is_untrusted(error: &io::Error) -> bool {
    matches!(tls_error(error), Some(Error::InvalidCertificate(_)))
}

/// Whether a server that speaks TLS refuses the client.
fn is_alert(error: &io::Error) -> bool {
    matches!(tls_error(error), Some(Error::AlertReceived(_)))
}

fn tls_error(error: &io::Error) -> Option<&Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}

impl fmt::Debug for ClientLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientLogin").finish_non_exhaustive()
    }
}
