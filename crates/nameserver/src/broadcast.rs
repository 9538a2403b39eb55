//! Discovery by broadcast: answers clients that ask the whole network where a nameserver is.
//!
//! The question is the UDP datagram `GET_NSURI`, the answer the nameserver's URI as text. IPv4
//! only, as in Pyro5: IPv6 has no broadcast.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use remote::{Location, NAMESERVER_NAME, Uri};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::Semaphore;
use tracing::{debug, info};

/// The datagram that asks.
const QUESTION: &[u8] = b"GET_NSURI";
/// Bytes of a datagram that are read; a longer one is not the question.
const MAX_DATAGRAM: usize = 100;
/// How much later a nameserver answers whose names are stale; clients wait for 700 ms.
const STALE_DELAY: Duration = Duration::from_millis(300);
/// Answers that wait for that, at most; a client asks again.
const MAX_LATE_ANSWERS: usize = 256;

/// Listens for the question at `host` (all addresses if absent).
///
/// # Errors
/// Another process has the port and does not share it, or the address is not IPv4 or not this
/// host's.
pub fn bind(host: Option<&str>, port: u16) -> io::Result<UdpSocket> {
    let address = match host {
        None => SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
        Some(host) => {
            (host, port).to_socket_addrs()?.find(SocketAddr::is_ipv4).ok_or_else(|| {
                io::Error::new(io::ErrorKind::AddrNotAvailable, "it has no IPv4 address")
            })?
        }
    };
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_broadcast(true)?;
    // Several nameservers of one host, also Pyro5's, receive the same question.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

/// Answers with `location` until it is dropped; later than others while the names are stale.
pub async fn serve(socket: UdpSocket, location: Location, is_stale: impl Fn() -> bool) {
    let mut question = [0; MAX_DATAGRAM];
    let (socket, late) = (Arc::new(socket), Arc::new(Semaphore::new(MAX_LATE_ANSWERS)));
    loop {
        let (length, peer) = match socket.recv_from(&mut question).await {
            Ok(received) => received,
            Err(error) => {
                // Mostly the recipient of an earlier answer is gone; serving goes on.
                debug!(%error, "cannot receive a question about the nameserver");
                tokio::task::yield_now().await;
                continue;
            }
        };
        if question.get(..length) != Some(QUESTION) {
            continue;
        }
        let uri = uri_for(peer, &location).to_string();
        if is_stale() {
            // A client takes the first that answers. Other questions do not wait meanwhile.
            let Ok(place) = Arc::clone(&late).try_acquire_owned() else { continue };
            let socket = Arc::clone(&socket);
            tokio::spawn(async move {
                tokio::time::sleep(STALE_DELAY).await;
                // The client may be gone.
                let _ = socket.send_to(uri.as_bytes(), peer).await;
                drop(place);
            });
            continue;
        }
        debug!(%peer, uri, "told where the nameserver is");
        if let Err(error) = socket.send_to(uri.as_bytes(), peer).await {
            info!(%peer, %error, "cannot tell where the nameserver is");
        }
    }
}

/// The URI for a client at `peer`. A nameserver that listens at all addresses of this host gives
/// the one that the way to the client begins at.
fn uri_for(peer: SocketAddr, location: &Location) -> Uri {
    let uri = Uri::Pyro { object: NAMESERVER_NAME.to_owned(), location: location.clone() };
    if !uri.is_everywhere() {
        return uri;
    }
    let local = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        // Chooses the route and sends nothing.
        socket.connect(peer)?;
        socket.local_addr()
    });
    match local {
        Ok(local) => uri.reached_at(local.ip()),
        Err(_) => uri,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_question_is_answered_and_nothing_else() {
        let socket = bind(Some("127.0.0.1"), 0).unwrap();
        let address = socket.local_addr().unwrap();
        let everywhere = Location::Tcp { host: "0.0.0.0".into(), port: 9090 };
        let serving = tokio::spawn(serve(socket, everywhere, || true));
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        for nonsense in [&b""[..], b"GET_NSUR", b"GET_NSURI ", &[0; 500]] {
            client.send_to(nonsense, address).await.unwrap();
        }
        client.send_to(QUESTION, address).await.unwrap();
        let mut answer = [0; 200];
        let (length, _) = client.recv_from(&mut answer).await.unwrap();
        assert_eq!(&answer[..length], b"PYRO:Pyro.NameServer@127.0.0.1:9090");
        assert!(client.try_recv_from(&mut answer).is_err(), "one question, one answer");
        serving.abort();
    }
}
