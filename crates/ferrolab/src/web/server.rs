//! The accept loop: connections of browsers and programs, each with bounds on its time and memory.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::stalled::StalledWrites;

/// Connections at once: a browser has six of a page, and an event stream takes one.
const CONNECTIONS: usize = 512;
/// Longest time for the head of a request, and for an idle connection between two.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// Bytes of the head of a request.
const HEAD_BYTES: usize = 32 * 1024;
/// Header fields of a request.
const HEADERS: usize = 100;
/// Time for running requests at the end of the process.
const LAST_REQUESTS: Duration = Duration::from_secs(1);
/// Pause after a failed accept.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// The address of the client, for each request.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClientAddress {
    pub(super) address: SocketAddr,
    /// Whether it is one of this host.
    pub(super) is_local: bool,
}

/// Serves until `stopping`; then running requests have a second.
pub(super) async fn serve(listener: TcpListener, routes: Router, stopping: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let connections = TaskTracker::new();
    loop {
        let accepted = async {
            // One more connection waits in the kernel's queue.
            let place = Arc::clone(&places).acquire_owned().await;
            (listener.accept().await, place)
        };
        let Some((accepted, place)) = stopping.run_until_cancelled(accepted).await else { break };
        match accepted {
            Ok((stream, address)) => {
                let serving = serve_connection(stream, address, routes.clone(), stopping.clone());
                connections.spawn(async move {
                    serving.await;
                    drop(place);
                });
            }
            Err(error) => {
                warn!(%error, "cannot accept a browser's connection");
                tokio::time::sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
    connections.close();
    if tokio::time::timeout(LAST_REQUESTS, connections.wait()).await.is_err() {
        debug!(left = connections.len(), "requests were broken off");
    }
}

async fn serve_connection(
    stream: TcpStream,
    address: SocketAddr,
    routes: Router,
    stopping: CancellationToken,
) {
    let address = SocketAddr::new(address.ip().to_canonical(), address.port());
    let here = stream.local_addr().ok().map(|here| here.ip().to_canonical());
    let is_local = address.ip().is_loopback() || here == Some(address.ip());
    let client = ClientAddress { address, is_local };
    // Without it a short answer waits for the acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    let service = TowerToHyperService::new(routes);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request: Request = request.map(Body::new);
        request.extensions_mut().insert(client);
        let answer = hyper::service::Service::call(&service, request);
        async move { Ok::<_, Infallible>(answer.await.unwrap_or_else(|never| match never {})) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(StalledWrites::new(stream)), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%address, %error, "a browser's connection has ended");
    }
}
