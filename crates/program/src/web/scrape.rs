//! `GET /metrics` for Prometheus.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use remote::{ClientTls, Uri};
use tokio::task::JoinSet;
use tracing::debug;

use super::problem::Problem;
use super::services::known;
use super::shared::Shared;
use super::visibility::Visibility;
use crate::host::feed::scrape::{Scraped, scrape};
use crate::metrics::{self, Snapshot};

/// `GET /metrics`. A daemon that does not answer has no counts and no values on the page, and is
/// not up where it does not run.
pub(super) async fn metrics(
    State(shared): State<Arc<Shared>>,
    visibility: Visibility,
) -> Result<Response, Problem> {
    known(&shared).await?;
    let _place = super::calls::take_place(&shared)?;
    let listing = shared.lab.listing();
    let mut looks = JoinSet::new();
    for row in &listing.daemons {
        let address = row.address.as_deref().and_then(|address| address.parse().ok());
        let Some(address) = address else { continue };
        let tls = shared.keys.of(&row.name);
        looks.spawn(look(address, tls));
    }
    let mut snapshot = Snapshot::of((*listing).clone());
    for scraped in looks.join_all().await.into_iter().flatten() {
        snapshot.add(scraped);
    }
    visibility.limit_snapshot(&mut snapshot);
    let text = metrics::text(snapshot).map_err(|error| {
        let title = "The metrics cannot be shown.";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "no-metrics", title, error.to_string())
    })?;
    Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response())
}

async fn look(address: Uri, tls: Option<ClientTls>) -> Option<Scraped> {
    let scraped = scrape(&address, tls).await;
    scraped.inspect_err(|error| debug!(%address, error, "a daemon is not scraped")).ok()
}
