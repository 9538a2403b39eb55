//! The table of routes.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware;
use axum::routing::{get, post};

use super::problem::Problem;
use super::shared::Shared;
use super::{
    alarms, calls, files, gateway, history, layers, locks, login, logs, openapi, results, scrape,
    services, stream,
};

/// All routes of this server.
pub(super) fn routes(shared: Arc<Shared>) -> Router {
    let api = Router::new()
        .route("/api/lab", get(services::lab))
        .route(layers::LOGIN_PATH, post(login::log_in))
        .route("/api/logout", post(login::log_out))
        .route("/api/session", get(services::session))
        .route("/api/services/{name}", get(services::service))
        .route("/api/services/{name}/{service}", get(services::service_of_lab))
        .route("/api/services/{name}/members/{member}", get(calls::read).put(calls::set))
        .route("/api/services/{name}/call/{member}", post(calls::call))
        .route("/api/services/{name}/lock", post(locks::lock))
        .route("/api/services/{name}/unlock", post(locks::unlock))
        .route("/api/services/{name}/break", post(locks::break_lock))
        .route("/api/results/{name}", get(results::download))
        .route("/api/stream", get(stream::stream))
        .route("/api/logs", get(logs::lines))
        .route("/api/calls", get(logs::calls))
        .route("/api/calls/history", get(logs::call_history))
        .route("/api/locks", get(logs::locks))
        .route("/api/values", get(services::values))
        .route("/api/history", get(history::read))
        .route("/api/alarms", get(alarms::list))
        .route("/api/alarms/ack", post(alarms::acknowledge))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&shared), layers::attach_session));
    Router::new()
        .route("/", get(files::index))
        .route("/page/{*path}", get(files::file))
        .route("/favicon.ico", get(files::favicon))
        .route("/metrics", get(scrape::metrics))
        .route("/openapi.json", get(openapi::document))
        .route("/pyro", get(gateway::redirect))
        .route("/pyro/", get(gateway::index))
        .route("/pyro/{name}/{member}", get(gateway::call).post(gateway::call))
        .merge(api)
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), layers::check_request))
        .with_state(shared)
}

async fn unknown(request: Request) -> Problem {
    let path = request.uri().path();
    Problem::not_found("unknown-path", format!("nothing is served at {path}"))
}

async fn wrong_method(request: Request) -> Problem {
    let (method, path) = (request.method(), request.uri().path());
    Problem::wrong_method(format!("{path} takes no {method}"))
}
