//! The event stream of a tab (server-sent events): what changes in the lab, as it does.
//!
//! A tab that comes back names the last event that it has (`Last-Event-ID`) and gets what it has
//! missed. Where that is gone, or was of another process, the event `reset` asks it to load the lab
//! anew. The event `tick` each second shows that the connection lives.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use jiff::Timestamp;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, timeout_at};

use super::lab::{RingEvent, unix_seconds};
use super::login::is_good;
use super::problem::Problem;
use super::sessions::{BrowserSession, Tab};
use super::shared::Shared;
use super::visibility::Visibility;
use crate::access::AccessClient;

/// Streams at once: open tabs, and programs that follow the lab.
pub(super) const STREAMS: usize = 256;
/// Time between two signs of life.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// First line: a browser comes back half a second after a lost connection.
const OPENING: &str = "retry: 500\n\n";

/// Where to begin, for a client that has loaded the lab.
#[derive(Debug, Deserialize)]
pub(super) struct From {
    /// The `event` of `/api/lab`.
    after: Option<String>,
}

/// `GET /api/stream`
pub(super) async fn stream(
    State(shared): State<Arc<Shared>>,
    Extension(session): Extension<Arc<BrowserSession>>,
    visibility: Visibility,
    Query(from): Query<From>,
    headers: HeaderMap,
) -> Response {
    let Ok(place) = Arc::clone(&shared.streams).try_acquire_owned() else {
        let detail = format!("{STREAMS} tabs and programs follow the lab already; close some");
        return Problem::unavailable("too-many-streams", detail).into_response();
    };
    let id = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let ring = shared.lab.ring();
    let position = id.or(from.after.as_deref()).and_then(|id| ring.number(id));
    // One part is on its way at most: the ring keeps what the reader has not taken.
    let (parts, body) = mpsc::channel(1);
    let tab = (place, session.open_tab());
    let reader = (session, visibility.client().clone());
    tokio::spawn(feed(Arc::clone(&shared), reader, position, parts, tab));
    let mut response = Response::new(Body::new(Parts(body)));
    let kind = HeaderValue::from_static("text/event-stream; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    // A proxy that buffers would keep events back.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// Sends events until the tab or this process ends.
async fn feed(
    shared: Arc<Shared>,
    (session, client): (Arc<BrowserSession>, AccessClient),
    position: Option<u64>,
    parts: mpsc::Sender<Bytes>,
    _held: (OwnedSemaphorePermit, Tab),
) {
    let ring = shared.lab.ring();
    let mut changes = ring.changes();
    let mut position = position;
    let mut text = OPENING.to_owned();
    let mut beat = Instant::now() + HEARTBEAT;
    loop {
        changes.mark_unchanged();
        // The rules may have changed meanwhile.
        let visibility = shared.access.of(client.clone());
        match position.and_then(|number| ring.after(number)) {
            Some(events) => {
                for RingEvent { number, kind, data } in &events {
                    if let Some(data) = visibility.event(kind, data) {
                        write_event(&mut text, &ring.id(*number), kind, &data);
                    }
                }
                position = events.last().map(|event| event.number).or(position);
            }
            None => {
                let last = ring.last();
                text.push_str(&format!("id: {}\nevent: reset\ndata: {{}}\n\n", ring.id(last)));
                position = Some(last);
            }
        }
        let is_behind = position != Some(ring.last());
        if Instant::now() >= beat {
            let is_logged_out = session.login_token().is_some() && !shared.sessions.has(&session);
            if is_logged_out || !is_good(&shared, &session) {
                return;
            }
            let now = unix_seconds(Timestamp::now());
            text.push_str(&format!("event: tick\ndata: {{\"now\":{now}}}\n\n"));
            beat = Instant::now() + HEARTBEAT;
        }
        let part = Bytes::from(std::mem::take(&mut text));
        let sent = async { if part.is_empty() { Ok(()) } else { parts.send(part).await } };
        match shared.stopping.run_until_cancelled(sent).await {
            Some(Ok(())) => {}
            _ => return,
        }
        if is_behind {
            continue;
        }
        let changed = timeout_at(beat, changes.changed());
        tokio::select! {
            _ = changed => {}
            () = parts.closed() => return,
            () = shared.stopping.cancelled() => return,
        }
    }
}

fn write_event(text: &mut String, id: &str, kind: &str, data: &str) {
    for part in ["id: ", id, "\nevent: ", kind, "\ndata: ", data, "\n\n"] {
        text.push_str(part);
    }
}

/// Body of an answer that comes in parts.
struct Parts(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Parts {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(context).map(|part| part.map(|bytes| Ok(Frame::data(bytes))))
    }
}
