//! Layers around every request: the guard before it, its browser session, headers on the answer.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::info;

use super::https::Transport;
use super::locks::{release_all, take_up};
use super::login;
use super::problem::Problem;
use super::server::ClientAddress;
use super::sessions::SessionOrigin;
use super::shared::Shared;

/// The page may load files of this server and show pictures that it has made, and nothing else.
const CONTENT_POLICY: &str = "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; \
                              base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// The path at which a browser logs in.
pub(super) const LOGIN_PATH: &str = "/api/login";

/// Checks a request, and puts the headers of this server on the answer.
pub(super) async fn check_request(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    let checked = shared.guard.check(request.method(), request.uri().path(), request.headers());
    let mut response = match checked {
        Ok(()) => next.run(request).await,
        Err(problem) => {
            let address = request.extensions().get::<ClientAddress>();
            let address = address.map(|client| client.address.to_string());
            info!(
                address,
                path = request.uri().path(),
                why = problem.detail(),
                "refused a request"
            );
            problem.into_response()
        }
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let fresh = HeaderValue::from_static("no-store");
    headers.entry(header::CACHE_CONTROL).or_insert(fresh);
    response
}

/// Gives each request its session, and a browser that has none a cookie.
pub(super) async fn attach_session(
    State(shared): State<Arc<Shared>>,
    mut request: Request,
    next: Next,
) -> Response {
    let address = request.extensions().get::<ClientAddress>().copied();
    let transport = request.extensions().get().copied().unwrap_or(Transport::Plain);
    let (mut session, mut origin) = shared.sessions.of(request.headers(), address, transport);
    if !login::may_use(&session, address, transport) {
        (session, origin) = shared.sessions.of(&HeaderMap::new(), address, transport);
    }
    if !login::is_good(&shared, &session) {
        shared.sessions.close(&session);
        let left = Arc::clone(&session);
        tokio::spawn(async move { release_all(&left).await });
        (session, origin) = shared.sessions.of(&HeaderMap::new(), address, transport);
    }
    let path = request.uri().path();
    if !request.method().is_safe()
        && path != LOGIN_PATH
        && session.login_token().is_none()
        && let Some(why) = shared.guard.readonly()
    {
        return Problem::forbidden("read-only", why).into_response();
    }
    let cookie =
        (origin == SessionOrigin::New).then(|| shared.sessions.cookie(&session, transport));
    if origin == SessionOrigin::OfEarlierProcess {
        tokio::spawn(take_up(Arc::clone(&shared), Arc::clone(&session)));
    }
    request.extensions_mut().insert(session);
    let mut response = next.run(request).await;
    if let Some(Ok(cookie)) = cookie.map(|cookie| HeaderValue::from_str(&cookie)) {
        // A login has given it another one.
        response.headers_mut().entry(header::SET_COOKIE).or_insert(cookie);
    }
    response
}
