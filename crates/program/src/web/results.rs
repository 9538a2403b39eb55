//! `GET /api/results/{name}`: large results of calls, as files.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::problem::Problem;
use super::shared::Shared;
use super::values::KEPT_FOR;

/// `GET /api/results/{name}`: `ID.npy`, `ID.png` or `ID.bin`.
pub(super) async fn download(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let is_picture = name.ends_with(".png");
    let results = Arc::clone(&shared.results);
    // A large array takes its time.
    let made = tokio::task::spawn_blocking(move || results.file(&name)).await;
    let Some(bytes) = made.ok().flatten() else {
        let minutes = KEPT_FOR.as_secs() / 60;
        let detail = format!(
            "there is no such file: results are kept for {minutes} minutes at most, and only those of \
             two axes, or three colours, are pictures"
        );
        return Err(Problem::not_found("unknown-result", detail));
    };
    let (kind, disposition) = match is_picture {
        true => ("image/png", "inline"),
        false => ("application/octet-stream", "attachment"),
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static(disposition)),
    ];
    Ok((headers, bytes).into_response())
}
