//! Login of a browser with a user's token: from then on its requests are the user's.
//!
//! The token stays in this process, for as long as the session lasts, and goes to daemons in the
//! handshake, as a Python client's does. It is judged again with each request, so that a removed
//! user is out at once. A login begins a new session, with another cookie.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use remote::{Credential, TokenHash, UserDirectory, Value, Verdict};
use serde_json::json;

use super::body::read_object;
use super::locks::release_all;
use super::problem::Problem;
use super::server::ClientAddress;
use super::sessions::BrowserSession;
use super::shared::Shared;

/// Bytes of a token.
const MAX_TOKEN: usize = 4096;

/// `POST /api/login` with `{"token": …}`
pub(super) async fn log_in(
    State(shared): State<Arc<Shared>>,
    Extension(ClientAddress(address)): Extension<ClientAddress>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let mut body = read_object(&shared.bodies, &headers, body).await?;
    if !address.ip().is_loopback() {
        let detail = "a token is not accepted over a plain connection from another host: others could \
                      read it; an SSH tunnel, or a proxy with TLS on the lab's host, leads here";
        return Err(Problem::forbidden("plain-connection", detail));
    }
    let token = match body.remove("token") {
        Some(Value::Str(token)) if token.len() <= MAX_TOKEN => token.trim().to_owned(),
        _ => return Err(Problem::bad_request("the body is `{\"token\": …}`")),
    };
    if !shared.users.has_tokens() {
        let detail = "this lab has no users: `ferrolab user add NAME` adds one";
        return Err(Problem::not_found("no-users", detail));
    }
    let user = match shared.users.judge(&credential(&token)) {
        Verdict::User(user) => user,
        Verdict::Refused(why) => return Err(unauthorized(why)),
        Verdict::Foreign => {
            return Err(unauthorized("this is no token of this lab".to_owned()));
        }
    };
    let session = shared.sessions.open(&user, token);
    let mut response = Json(json!({ "user": &*user })).into_response();
    if let Ok(cookie) = HeaderValue::from_str(&shared.sessions.cookie(&session)) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// `POST /api/logout`: ends the session, and gives its locks back.
pub(super) async fn log_out(
    State(shared): State<Arc<Shared>>,
    Extension(session): Extension<Arc<BrowserSession>>,
) -> StatusCode {
    shared.sessions.close(&session);
    release_all(&session).await;
    StatusCode::NO_CONTENT
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
