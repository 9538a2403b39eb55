//! Login of a browser with a user's token, or with the code of a link: from then on its requests
//! are the user's.
//!
//! A link has its code after `#`: browsers send that in no request and no Referer, so it is in no
//! log. The page sends it here.
//!
//! The token stays in this process, for as long as the session lasts, and goes to daemons in the
//! handshake, as a Python client's does. It is judged again with each request, so that a removed
//! user is out at once. A login begins a new session, with another cookie.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use remote::{Credential, TokenHash, UserDirectory, Value, Verdict};
use serde_json::json;
use tracing::{info, warn};

use super::body::read_object;
use super::https::Transport;
use super::locks::release_all;
use super::problem::Problem;
use super::server::ClientAddress;
use super::sessions::BrowserSession;
use super::shared::Shared;
use crate::access::{self, LoginCode, UsersError};
use crate::audit::{AuditLine, LOGIN};

/// The same for every code that does not work, whatever the reason.
const BAD_CODE: &str = "this login link is not known here: it was used already, is older than 15 minutes, \
    or is of another lab; `ferrolab user add NAME --link` on the lab's host prints a new one";
/// Bytes of a token.
const MAX_TOKEN: usize = 4096;

/// `POST /api/login` with `{"token": …}`, or with `{"code": …}` of a link.
pub(super) async fn log_in(
    State(shared): State<Arc<Shared>>,
    Extension(ClientAddress { address, is_local }): Extension<ClientAddress>,
    Extension(transport): Extension<Transport>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let client = ClientAddress { address, is_local };
    let logged_in = open_session(&shared, (client, transport), &headers, body).await;
    if let Some(audit) = &shared.audit {
        let line = AuditLine { from: address.to_string(), ..AuditLine::now(LOGIN) };
        audit.record(match &logged_in {
            Ok(session) => AuditLine { who: session.user.clone(), ..line },
            Err(problem) => AuditLine {
                who: format!("anonymous@{}", address.ip()),
                outcome: format!("refused: {}", problem.detail()),
                ..line
            },
        });
    }
    let session = logged_in?;
    let mut response = Json(json!({ "user": session.user })).into_response();
    if let Ok(cookie) = HeaderValue::from_str(&shared.sessions.cookie(&session, transport)) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// A new session for the user whose token or code a request has.
async fn open_session(
    shared: &Arc<Shared>,
    (ClientAddress { address, is_local }, transport): (ClientAddress, Transport),
    headers: &HeaderMap,
    body: Body,
) -> Result<Arc<BrowserSession>, Problem> {
    let mut body = read_object(&shared.bodies, headers, body).await?;
    if !address.ip().is_loopback() && transport != Transport::Tls {
        let detail = "a login is not accepted over a plain connection from another host: others could \
                      read it; `web: {ssl: true}`, an SSH tunnel, or a proxy with TLS on the lab's host \
                      keeps it secret";
        return Err(Problem::forbidden("plain-connection", detail));
    }
    let mut shown = |key| match body.remove(key) {
        Some(Value::Str(text)) if text.len() <= MAX_TOKEN => Some(text.trim().to_owned()),
        _ => None,
    };
    let (token, code) = (shown("token"), shown("code"));
    if !shared.users.has_tokens() {
        let detail = "this lab has no users: `ferrolab user add NAME` adds one";
        return Err(Problem::not_found("no-users", detail));
    }
    let token = match (token, code) {
        (Some(token), None) => token,
        (None, Some(code)) => token_for_code(shared, &code, address).await?,
        _ => {
            let detail = "the body is `{\"token\": …}`, or `{\"code\": …}` with the code of a link";
            return Err(Problem::bad_request(detail));
        }
    };
    let user = match shared.users.judge(&credential(&token)) {
        Verdict::User(user) => user,
        Verdict::Refused(why) => return Err(unauthorized(why)),
        Verdict::Foreign => {
            return Err(unauthorized("this is no token of this lab".to_owned()));
        }
    };
    Ok(shared.sessions.open(&user, token, !is_local))
}

/// `POST /api/logout`: ends the session, and gives its locks back.
pub(super) async fn log_out(
    State(shared): State<Arc<Shared>>,
    Extension(session): Extension<Arc<BrowserSession>>,
) -> StatusCode {
    shared.sessions.close(&session);
    release_all(&session).await;
    if let Some(token) = session.login_token().map(str::to_owned) {
        let ending =
            tokio::task::spawn_blocking(move || access::end_browser(shared.users.folder(), &token));
        if let Ok(Err(error)) = ending.await {
            warn!(%error, "a login by a link was not ended");
        }
    }
    StatusCode::NO_CONTENT
}

/// The token of a new login with the code of a link, which is used up.
async fn token_for_code(
    shared: &Arc<Shared>,
    code: &str,
    address: SocketAddr,
) -> Result<String, Problem> {
    let code = LoginCode::parse(code).ok_or_else(|| unauthorized(BAD_CODE.to_owned()))?;
    let (users, from) = (Arc::clone(&shared.users), address.ip().to_string());
    let logged_in = tokio::task::spawn_blocking(move || {
        let login = access::log_in_browser(users.folder(), &code, &from);
        login.inspect(|login| info!(user = login.user, from, "a browser logged in by a link"))
    });
    match logged_in.await {
        Ok(Ok(login)) => Ok(login.token),
        Ok(Err(UsersError::UnknownCode)) => Err(unauthorized(BAD_CODE.to_owned())),
        Ok(Err(error)) => {
            warn!(%error, "a login by a link has failed");
            Err(Problem::unavailable(
                "no-login",
                "the login has failed in this lab: its log says why",
            ))
        }
        Err(_) => Err(Problem::unavailable("no-login", "the login has failed in this lab")),
    }
}

/// Whether a cookie of this session counts at an address. Others could have read one of a login
/// that has come over the network without TLS, as with tokens.
pub(super) fn may_use(
    session: &BrowserSession,
    client: Option<ClientAddress>,
    transport: Transport,
) -> bool {
    let is_local = client.is_none_or(|client| client.is_local);
    // One of this host may have rights that the same user has nowhere else.
    session
        .login()
        .is_none_or(|login| is_local || transport == Transport::Tls && login.is_elsewhere)
}

/// Whether the user of a session is still one; a session without a login has none to lose.
pub(super) fn is_good(shared: &Shared, session: &BrowserSession) -> bool {
    session.login_token().is_none_or(|token| {
        shared.users.refresh();
        let verdict = shared.users.judge(&credential(token));
        matches!(verdict, Verdict::User(user) if *user == *session.user)
    })
}

fn credential(token: &str) -> Credential {
    Credential::Token(TokenHash::of(token.as_bytes()))
}

fn unauthorized(why: String) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "not-logged-in", "The login is not accepted.", why)
}
