//! HTTPS of the page's port: the first byte of a connection tells HTTPS and HTTP apart.
//!
//! Where the port takes HTTPS only, HTTP is answered in words, and a browser is sent on.

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use remote::ServerTls;
use tokio::net::TcpStream;

use super::guard::Guard;
use super::problem::Problem;

/// The way in which a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Plain,
    Tls,
}

/// HTTPS of the port.
#[derive(Clone)]
pub(super) struct Https {
    pub(super) tls: ServerTls,
    /// Routes for HTTP; `None` where the page answers it too.
    pub(super) plain: Option<Router>,
    /// Routes for browsers that do not show the certificate that they must show.
    pub(super) uncertified: Router,
}

impl Https {
    pub(super) fn new(tls: ServerTls, guard: Arc<Guard>) -> Self {
        let plain =
            (!tls.accepts_plain()).then(|| Router::new().fallback(send_on).with_state(guard));
        Https { tls, plain, uncertified: Router::new().fallback(refuse) }
    }
}

/// Whether a connection begins as TLS; `None` if it ends before.
pub(super) async fn begins_with_tls(stream: &TcpStream) -> io::Result<Option<bool>> {
    let mut first = [0];
    Ok((stream.peek(&mut first).await? > 0).then_some(ServerTls::is_handshake(first[0])))
}

/// Answers HTTP on a port that takes HTTPS only.
async fn send_on(State(guard): State<Arc<Guard>>, request: Request) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    // A foreign name in the Host must not lead anywhere.
    let Some(host) = host.filter(|host| guard.is_own(host)) else {
        return Problem::bad_request("this port speaks HTTPS").into_response();
    };
    let address = format!("https://{host}/");
    let detail = format!("this port speaks HTTPS only: {address}");
    let title = "The request is not encrypted.";
    let mut response =
        Problem::new(StatusCode::BAD_REQUEST, "https-only", title, detail).into_response();
    if request.method().is_safe()
        && request.uri().path() == "/"
        && let Ok(address) = HeaderValue::from_str(&address)
    {
        *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
        response.headers_mut().insert(header::LOCATION, address);
    }
    response
}

async fn refuse() -> Problem {
    let detail = "this page is for browsers that show a certificate (`ssl_requireclientcert`): \
                  `ferrolab cert client NAME` on the lab's host issues one";
    Problem::forbidden("no-certificate", detail)
}
