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
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::https::{Https, Transport, begins_with_tls};
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
pub(super) async fn serve(
    listener: TcpListener,
    routes: Router,
    https: Option<Https>,
    stopping: CancellationToken,
) {
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
                let (routes, https) = (routes.clone(), https.clone());
                let serving = serve_connection(stream, address, routes, https, stopping.clone());
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
    https: Option<Https>,
    stopping: CancellationToken,
) {
    let address = SocketAddr::new(address.ip().to_canonical(), address.port());
    let here = stream.local_addr().ok().map(|here| here.ip().to_canonical());
    let is_local = address.ip().is_loopback() || here == Some(address.ip());
    let client = ClientAddress { address, is_local };
    // Without it a short answer waits for the acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    let Some(https) = https else {
        let stream = StalledWrites::new(stream);
        return serve_http(stream, client, Transport::Plain, routes, stopping).await;
    };
    let begins = async {
        let deadline = Instant::now() + HEAD_TIMEOUT;
        let is_tls = timeout_at(deadline, begins_with_tls(&stream)).await.ok()?.ok()??;
        Some((is_tls, deadline))
    };
    let Some(Some((is_tls, deadline))) = stopping.run_until_cancelled(begins).await else { return };
    let stream = StalledWrites::new(stream);
    if !is_tls {
        let routes = https.plain.unwrap_or(routes);
        return serve_http(stream, client, Transport::Plain, routes, stopping).await;
    }
    // Boxed, so that connections without TLS are no larger for it.
    let accepted = Box::pin(timeout_at(deadline, https.tls.accept_client(stream)));
    match stopping.run_until_cancelled(accepted).await {
        Some(Ok(Ok((stream, is_certified)))) => {
            let routes = if is_certified { routes } else { https.uncertified };
            Box::pin(serve_http(stream, client, Transport::Tls, routes, stopping)).await;
        }
        Some(Ok(Err(error))) => debug!(%address, %error, "no TLS with a browser"),
        Some(Err(_)) | None => {}
    }
}

async fn serve_http<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    client: ClientAddress,
    transport: Transport,
    routes: Router,
    stopping: CancellationToken,
) {
    let service = TowerToHyperService::new(routes);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request: Request = request.map(Body::new);
        request.extensions_mut().insert(client);
        request.extensions_mut().insert(transport);
        let answer = hyper::service::Service::call(&service, request);
        async move { Ok::<_, Infallible>(answer.await.unwrap_or_else(|never| match never {})) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(address = %client.address, %error, "a browser's connection has ended");
    }
}
