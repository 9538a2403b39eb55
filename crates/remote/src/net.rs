//! Sockets: listeners, connections, and the options that are set on them.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
#[cfg(unix)]
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, Interest, Ready};
use tokio::net::{TcpListener, TcpStream};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};
use tokio_rustls::server::TlsStream;
use tracing::debug;
use wire::uri::Location;

use crate::tls::TLS_HANDSHAKE;

/// Connections that the kernel queues until they are accepted.
const LISTEN_BACKLOG: i32 = 1024;
/// Silence of a peer before the first TCP keepalive probe.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(5);
/// Pause between two keepalive probes.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
/// Unanswered probes that end a connection: a vanished client's session ends within about 12 s.
const KEEPALIVE_PROBES: u32 = 3;
/// TCP_USER_TIMEOUT of a daemon's connections: unacknowledged bytes end one after this time.
///
/// Without it the kernel probes a vanished client for a quarter of an hour, and its lock stays
/// taken. It also ends the connection of a client that reads nothing for so long while an answer
/// fills all buffers: Linux counts a closed window from its first probe on. Only TCP_INFO tells the
/// two apart, which no safe library in use can read.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED_TIMEOUT: Duration = Duration::from_secs(11);

/// Pause between two checks whether a connection with unread bytes is closed.
const CLOSE_POLL_INTERVAL: Duration = Duration::from_millis(250);

/// Listening socket, with the location for its URIs.
#[derive(Debug)]
pub struct Listener {
    pub(crate) socket: ListenerSocket,
    location: Location,
    /// The address that a TCP socket is bound to.
    bound: Option<SocketAddr>,
}

#[derive(Debug)]
pub(crate) enum ListenerSocket {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixSocket),
}

/// Listening Unix socket, which removes its file at its end.
#[cfg(unix)]
#[derive(Debug)]
pub(crate) struct UnixSocket {
    pub(crate) listener: UnixListener,
    path: PathBuf,
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {hint}")]
pub struct BindError {
    address: String,
    hint: String,
    /// The operating system's error.
    #[source]
    pub source: io::Error,
}

impl Listener {
    /// Listens on TCP. Port 0 means a free one. The URIs keep `host` as it is written.
    ///
    /// # Errors
    /// The host has no address on this machine, or the port is taken or not permitted.
    pub async fn bind_tcp(host: &str, port: u16) -> Result<Self, BindError> {
        let fail = |source: io::Error| BindError::new(format!("{host} port {port}"), source);
        let addresses: Vec<SocketAddr> =
            tokio::net::lookup_host((bare_host(host), port)).await.map_err(fail)?.collect();
        // As in Pyro5, IPv4 is preferred if a name has both: clients try it first.
        let address = addresses
            .iter()
            .find(|address| address.is_ipv4())
            .or_else(|| addresses.first())
            .ok_or_else(|| fail(io::Error::from(io::ErrorKind::AddrNotAvailable)))?;
        let socket = listen_on(*address).map_err(fail)?;
        let bound = socket.local_addr().map_err(fail)?;
        let shown = if host.is_empty() { bound.ip().to_string() } else { bare_host(host).into() };
        Ok(Listener {
            socket: ListenerSocket::Tcp(socket),
            location: Location::Tcp { host: shown, port: bound.port() },
            bound: Some(bound),
        })
    }

    /// Listens on TCP at all addresses of this host, IPv4 and IPv6, those that come later included.
    /// Port 0 means a free one. The URIs are [`everywhere`](wire::uri::Uri::is_everywhere).
    ///
    /// # Errors
    /// The port is taken at one of the addresses, or not permitted.
    pub async fn bind_everywhere(port: u16) -> Result<Self, BindError> {
        let fail = |source: io::Error| BindError::new(format!("port {port}"), source);
        let all = listen_on((Ipv6Addr::UNSPECIFIED, port).into());
        let socket = match all {
            Err(error) if !is_about_port(&error) => {
                debug!(%error, "no IPv6 on this host; listening on IPv4 only");
                listen_on((Ipv4Addr::UNSPECIFIED, port).into())
            }
            other => other,
        };
        let socket = socket.map_err(fail)?;
        let bound = socket.local_addr().map_err(fail)?;
        let host = Ipv4Addr::UNSPECIFIED.to_string();
        Ok(Listener {
            socket: ListenerSocket::Tcp(socket),
            location: Location::Tcp { host, port: bound.port() },
            bound: Some(bound),
        })
    }

    /// Listens on a Unix socket at `path`. The socket file of a dead process is replaced.
    ///
    /// # Errors
    /// Another process listens there, or the path cannot be used.
    #[cfg(unix)]
    pub fn bind_unix(path: &Path) -> Result<Self, BindError> {
        let fail =
            |source: io::Error| BindError::new(format!("Unix socket {}", path.display()), source);
        let in_use = std::os::unix::net::UnixStream::connect(path).is_ok();
        if in_use {
            return Err(fail(io::Error::from(io::ErrorKind::AddrInUse)));
        }
        let is_socket = std::fs::symlink_metadata(path)
            .is_ok_and(|meta| std::os::unix::fs::FileTypeExt::is_socket(&meta.file_type()));
        if is_socket {
            std::fs::remove_file(path).map_err(fail)?;
        }
        let listener = UnixListener::bind(path).map_err(fail)?;
        Ok(Listener {
            socket: ListenerSocket::Unix(UnixSocket { listener, path: path.to_path_buf() }),
            location: Location::Unix { path: path.display().to_string() },
            bound: None,
        })
    }

    /// The address for clients.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// The TCP socket alone, for a server of another protocol.
    pub fn into_tcp(self) -> Option<TcpListener> {
        match self.socket {
            ListenerSocket::Tcp(socket) => Some(socket),
            #[cfg(unix)]
            ListenerSocket::Unix(_) => None,
        }
    }

    /// The address of this host at which the client of an accepted connection has reached it.
    pub(crate) fn reached_at(&self, accepted: &TcpStream) -> Option<SocketAddr> {
        match self.bound {
            // Only here it takes a system call.
            Some(bound) if bound.ip().is_unspecified() => accepted.local_addr().ok().map(canonical),
            bound => bound,
        }
    }
}

/// The address as IPv4 where it is one that an IPv6 socket shows (`::ffff:192.0.2.7`).
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip if ip == address.ip() => address,
        ip => SocketAddr::new(ip, address.port()),
    }
}

/// Whether the port is the reason why an address cannot be listened on.
fn is_about_port(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied)
}

#[cfg(unix)]
impl Drop for UnixSocket {
    fn drop(&mut self) {
        // Best effort: the next `bind_unix` replaces a dead file too.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl BindError {
    fn new(address: String, source: io::Error) -> Self {
        let hint = match source.kind() {
            io::ErrorKind::AddrInUse => {
                "it is already in use by another program; stop that one or choose another".into()
            }
            io::ErrorKind::PermissionDenied => "permission denied".into(),
            io::ErrorKind::AddrNotAvailable => "this machine has no such address".into(),
            _ => source.to_string(),
        };
        BindError { address, hint, source }
    }
}

/// Accepted connection whose first byte can be looked at before it is read.
pub(crate) trait AcceptedStream: ClientStream {
    /// Waits for the first byte and leaves it there; `None` if the stream ends before it.
    fn peek_first_byte(&self) -> impl Future<Output = io::Result<Option<u8>>> + Send;
}

impl AcceptedStream for TcpStream {
    async fn peek_first_byte(&self) -> io::Result<Option<u8>> {
        let mut byte = [0];
        Ok((self.peek(&mut byte).await? > 0).then_some(byte[0]))
    }
}

/// Nobody listens in on a Unix socket: TLS is not expected there.
#[cfg(unix)]
impl AcceptedStream for UnixStream {
    async fn peek_first_byte(&self) -> io::Result<Option<u8>> {
        Ok(None)
    }
}

/// In-memory stream: it cannot be looked at, and speaks TLS where the daemon does.
impl AcceptedStream for DuplexStream {
    async fn peek_first_byte(&self) -> io::Result<Option<u8>> {
        Ok(Some(TLS_HANDSHAKE))
    }
}

/// Connection to a client. Its end is noticed without reading.
pub(crate) trait ClientStream: AsyncRead + AsyncWrite + Unpin {
    /// Waits until the peer or the operating system has closed the connection.
    fn wait_closed(&self) -> impl Future<Output = ()> + Send;
}

impl ClientStream for TcpStream {
    async fn wait_closed(&self) {
        poll_until_closed(|| self.ready(Interest::READABLE)).await;
    }
}

#[cfg(unix)]
impl ClientStream for UnixStream {
    async fn wait_closed(&self) {
        poll_until_closed(|| self.ready(Interest::READABLE)).await;
    }
}

impl<S: ClientStream> ClientStream for TlsStream<S> {
    fn wait_closed(&self) -> impl Future<Output = ()> + Send {
        self.get_ref().0.wait_closed()
    }
}

/// In-memory stream: its end is only noticed by a read.
impl ClientStream for DuplexStream {
    async fn wait_closed(&self) {
        std::future::pending().await
    }
}

async fn poll_until_closed<F>(ready: impl Fn() -> F)
where
    F: Future<Output = io::Result<Ready>>,
{
    loop {
        match ready().await {
            Ok(ready) if !ready.is_read_closed() && !ready.is_error() => {}
            Ok(_) | Err(_) => return,
        }
        // The stream stays readable while the next request is unread, or by an event of the last
        // one. Its end can only be noticed by checking again.
        tokio::time::sleep(CLOSE_POLL_INTERVAL).await;
    }
}

/// Sets the options of an accepted connection.
pub(crate) fn set_accepted_options(stream: &TcpStream) -> io::Result<()> {
    // On Linux it inherits the listener's, which saves six system calls.
    if cfg!(target_os = "linux") { Ok(()) } else { set_options(&SockRef::from(stream)) }
}

/// Sets the options of every TCP connection, on both sides.
///
/// A client has no [`UNACKNOWLEDGED_TIMEOUT`]: a daemon that is busy with one call may leave the
/// bytes of the next unread for minutes and is not dead.
fn set_options(socket: &Socket) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_PROBES);
    socket.set_tcp_keepalive(&keepalive)
}

/// Connects to `host`, trying its addresses one after the other.
pub(crate) async fn connect_tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((bare_host(host), port)).await?;
    set_options(&SockRef::from(&stream))?;
    Ok(stream)
}

/// Whether the other end of a connection is on this host.
pub(crate) fn leads_here(stream: &TcpStream) -> io::Result<bool> {
    let (mut peer, here) = (canonical(stream.peer_addr()?), canonical(stream.local_addr()?));
    // Any other port of the address.
    peer.set_port(0);
    // Only an address of this host can be bound. (Where `net.ipv4.ip_nonlocal_bind` is set, every
    // address counts as one.) Nothing is sent.
    let is_own = || UdpSocket::bind(peer).is_ok();
    Ok(peer.ip().is_loopback() || peer.ip() == here.ip() || is_own())
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted daemon binds its port again although old connections linger.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    #[cfg(target_os = "linux")]
    {
        set_options(&socket)?;
        socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_TIMEOUT))?;
    }
    socket.bind(&address.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// A host without the brackets that URIs put around an IPv6 address.
pub(crate) fn bare_host(host: &str) -> &str {
    host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_accepted_connection_has_its_options() {
        let listener = Listener::bind_tcp("localhost", 0).await.unwrap();
        let Location::Tcp { host, port } = listener.location() else { panic!("a TCP location") };
        let ListenerSocket::Tcp(socket) = &listener.socket else { panic!("a TCP socket") };
        let (client, accepted) = tokio::join!(connect_tcp(host, *port), socket.accept());
        let (client, (accepted, _)) = (client.unwrap(), accepted.unwrap());
        set_accepted_options(&accepted).unwrap();
        for stream in [&client, &accepted] {
            let socket = SockRef::from(stream);
            assert!(socket.tcp_nodelay().unwrap());
            assert!(socket.keepalive().unwrap());
            assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE_IDLE);
            assert_eq!(socket.tcp_keepalive_interval().unwrap(), KEEPALIVE_INTERVAL);
            assert_eq!(socket.tcp_keepalive_retries().unwrap(), KEEPALIVE_PROBES);
        }
        #[cfg(target_os = "linux")]
        for (stream, limit) in [(&client, None), (&accepted, Some(UNACKNOWLEDGED_TIMEOUT))] {
            assert_eq!(SockRef::from(stream).tcp_user_timeout().unwrap(), limit);
        }
    }
}
