//! Connection of a client: the handshake, then one request and its answer at a time.
//!
//! It checks sequence numbers, message types and serializers of the answers. It knows no methods.

use std::io;
use std::net::IpAddr;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use wire::Limits;
use wire::message::{Annotations, Flags, FrameError, FrameWriter, MessageType};
use wire::serializer::{CallRef, Serializer};
use wire::uri::Location;
use wire::value::{Dict, Value};

use crate::client::login::{ClientLogin, LoginStream};
use crate::client::reach::Reach;
use crate::error::ConnectError;
use crate::frames::{Frame, FrameStream, ReadError};
use crate::net;
use crate::object::Metadata;
use crate::tls::{ClientTls, TLS_ALERT};

/// Why a plain client cannot talk to a server of another program that speaks TLS.
const SPEAKS_TLS: &str = "it speaks TLS; in the environment set PYRO_SSL=true, and \
    PYRO_SSL_CACERTS to the file with its certificate authority";

/// Byte stream to a daemon: TCP, TLS or a Unix socket.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {
    /// The address of this host that it comes from; `None` for a Unix socket.
    fn local_ip(&self) -> Option<IpAddr>;
    /// Whether its other end is on this host.
    fn leads_here(&self) -> bool;
}

impl Stream for TcpStream {
    fn local_ip(&self) -> Option<IpAddr> {
        self.local_addr().ok().map(|address| address.ip())
    }

    fn leads_here(&self) -> bool {
        net::leads_here(self).unwrap_or(false)
    }
}

impl Stream for TlsStream<TcpStream> {
    fn local_ip(&self) -> Option<IpAddr> {
        self.get_ref().0.local_ip()
    }

    fn leads_here(&self) -> bool {
        self.get_ref().0.leads_here()
    }
}

#[cfg(unix)]
impl Stream for tokio::net::UnixStream {
    fn local_ip(&self) -> Option<IpAddr> {
        None
    }

    fn leads_here(&self) -> bool {
        true
    }
}

/// Settings of a proxy's connections.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionSettings {
    pub(crate) serializer: Serializer,
    pub(crate) limits: Limits,
    pub(crate) compression: bool,
    pub(crate) tls: Option<ClientTls>,
    /// Shown where `tls` is absent.
    pub(crate) login: Option<ClientLogin>,
    /// Handshake data for the daemon.
    pub(crate) handshake: Value,
    /// Annotations of every message.
    pub(crate) annotations: Annotations,
    pub(crate) correlation_id: Option<[u8; 16]>,
    /// Flags of every request, besides its own.
    pub(crate) flags: Flags,
    pub(crate) reach: Reach,
}

/// Open connection to a daemon.
pub(crate) struct ClientConnection {
    frames: FrameStream<Box<dyn Stream>>,
    seq: u16,
    serializer: Serializer,
    limits: Limits,
}

/// The daemon's CONNECTOK message.
pub(crate) struct Greeting {
    pub(crate) metadata: Metadata,
    /// The answer to the handshake data.
    pub(crate) response: Value,
    pub(crate) annotations: Annotations,
}

/// Why a request has no answer.
pub(crate) enum RequestFailure {
    /// The connection is lost.
    Lost(io::Error),
    /// The answer violates the protocol; the connection can no longer be used.
    Protocol(String),
    /// The arguments cannot be serialized; nothing was sent.
    Arguments(String),
}

/// Content of a request.
pub(crate) enum RequestContent<'a> {
    /// A call that must be serialized.
    Call(CallRef<'a>),
    /// A serialized call.
    Serialized(&'a [u8]),
}

/// Answer to a request.
pub(crate) struct ProxyResponse {
    pub(crate) value: Value,
    pub(crate) flags: Flags,
    pub(crate) annotations: Annotations,
}

impl ClientConnection {
    /// Connects to `location` and does the handshake for `object`.
    pub(crate) async fn open(
        location: &Location,
        object: &str,
        settings: &ConnectionSettings,
    ) -> Result<(ClientConnection, Greeting), ConnectError> {
        let mut handshake = settings.handshake.clone();
        let stream: Box<dyn Stream> = match (location, &settings.tls) {
            (Location::Tcp { host, port }, None) => match &settings.login {
                None => Box::new(settings.reach.connect(host, *port).await?),
                Some(login) => match Box::pin(login.connect(host, *port, settings.reach)).await? {
                    LoginStream::Tls(stream) => stream,
                    LoginStream::Plain(stream, token) => {
                        handshake = token.map_or(handshake, Value::from);
                        Box::new(stream)
                    }
                },
            },
            (Location::Tcp { host, port }, Some(tls)) => {
                let stream = settings.reach.connect(host, *port).await?;
                let shaken = tls.connect(net::bare_host(host), stream).await;
                Box::new(shaken.map_err(ConnectError::Tls)?)
            }
            (Location::Unix { .. }, _) if settings.reach == Reach::OtherHosts => {
                return Err(ConnectError::ThisHost);
            }
            #[cfg(unix)]
            (Location::Unix { path }, _) => Box::new(tokio::net::UnixStream::connect(path).await?),
            #[cfg(not(unix))]
            (Location::Unix { .. }, _) => {
                let error = "this system has no Unix sockets";
                return Err(io::Error::new(io::ErrorKind::Unsupported, error).into());
            }
        };
        let mut connection = ClientConnection {
            frames: FrameStream::new(stream),
            seq: 0,
            serializer: settings.serializer,
            limits: settings.limits.clone(),
        };
        let greeting = connection.handshake(object, handshake, settings).await?;
        Ok((connection, greeting))
    }

    /// The address of this host that the connection comes from.
    pub(crate) fn local_ip(&self) -> Option<IpAddr> {
        self.frames.stream.local_ip()
    }

    /// Whether the daemon is on this host.
    pub(crate) fn leads_here(&self) -> bool {
        self.frames.stream.leads_here()
    }

    /// Sends a request and returns its answer; `None` for a oneway request.
    pub(crate) async fn request(
        &mut self,
        content: RequestContent<'_>,
        flags: Flags,
        annotations: &Annotations,
        settings: &ConnectionSettings,
    ) -> Result<Option<ProxyResponse>, RequestFailure> {
        self.seq = self.seq.wrapping_add(1);
        self.write_request(content, flags, annotations, settings)?;
        self.frames.send().await.map_err(RequestFailure::Lost)?;
        if flags.contains(Flags::ONEWAY) {
            return Ok(None);
        }
        let (seq, serializer) = (self.seq, self.serializer);
        let limits = self.limits.clone();
        let frame = self.receive(&[MessageType::Result]).await?;
        if frame.header.seq != seq {
            return Err(RequestFailure::Protocol(format!(
                "reply sequence out of sync, got {} expected {seq}",
                frame.header.seq
            )));
        }
        if frame.header.serializer != serializer.id() {
            return Err(RequestFailure::Protocol(format!(
                "invalid serializer in response: {}",
                frame.header.serializer
            )));
        }
        let value = serializer
            .decode(&frame.body.payload, &limits)
            .map_err(|error| RequestFailure::Protocol(error.to_string()))?;
        let annotations = copy_annotations(&frame);
        Ok(Some(ProxyResponse { value, flags: frame.header.flags, annotations }))
    }

    /// Sends a PING and waits for its answer.
    pub(crate) async fn ping(&mut self) -> Result<(), RequestFailure> {
        self.seq = self.seq.wrapping_add(1);
        self.frames.out.clear();
        self.write_ping().map_err(|error| RequestFailure::Arguments(error.to_string()))?;
        self.frames.send().await.map_err(RequestFailure::Lost)?;
        self.receive(&[MessageType::Ping]).await?;
        Ok(())
    }

    async fn handshake(
        &mut self,
        object: &str,
        handshake: Value,
        settings: &ConnectionSettings,
    ) -> Result<Greeting, ConnectError> {
        let unsendable = |reason: String| ConnectError::Handshake(reason);
        let mut hello = Dict::with_capacity(2);
        hello.insert("handshake", handshake);
        hello.insert("object", object);
        let mut frame = FrameWriter::begin(
            &mut self.frames.out,
            MessageType::Connect,
            self.serializer.id(),
            self.seq,
            &settings.annotations,
        )
        .map_err(|error| unsendable(error.to_string()))?;
        self.serializer
            .encode(&Value::Dict(hello), frame.payload())
            .map_err(|error| unsendable(error.to_string()))?;
        frame
            .finish(Flags::default(), settings.correlation_id, false, usize::MAX)
            .map_err(|error| unsendable(error.to_string()))?;
        self.frames.send().await?;
        let limits = self.limits.clone();
        let frame = self
            .receive(&[MessageType::ConnectOk, MessageType::ConnectFail])
            .await
            .map_err(|failure| match failure {
                RequestFailure::Lost(error) => ConnectError::Io(error),
                RequestFailure::Protocol(reason) | RequestFailure::Arguments(reason) => {
                    ConnectError::Protocol(reason)
                }
            })?;
        let mut welcome = Serializer::from_id(frame.header.serializer)
            .ok_or_else(|| {
                ConnectError::Protocol(format!("unknown serializer {}", frame.header.serializer))
            })?
            .decode(&frame.body.payload, &limits)
            .map_err(|error| ConnectError::Protocol(error.to_string()))?;
        if frame.header.kind == MessageType::ConnectFail {
            return Err(ConnectError::Refused(
                welcome.as_str().map_or_else(|| welcome.to_string(), str::to_owned),
            ));
        }
        let annotations = copy_annotations(&frame);
        let mut part = |key: &str| match &mut welcome {
            Value::Dict(welcome) => welcome.remove(key),
            _ => None,
        };
        let metadata = part("meta").as_ref().map(Metadata::from_value).unwrap_or_default();
        let response = part("handshake").unwrap_or(Value::None);
        Ok(Greeting { metadata, response, annotations })
    }

    fn write_request(
        &mut self,
        content: RequestContent<'_>,
        flags: Flags,
        annotations: &Annotations,
        settings: &ConnectionSettings,
    ) -> Result<(), RequestFailure> {
        self.frames.out.clear();
        let unsendable = |error: FrameError| RequestFailure::Arguments(error.to_string());
        let mut frame = FrameWriter::begin(
            &mut self.frames.out,
            MessageType::Invoke,
            self.serializer.id(),
            self.seq,
            annotations,
        )
        .map_err(unsendable)?;
        match content {
            RequestContent::Call(call) => self
                .serializer
                .encode_call(call, frame.payload())
                .map_err(|error| RequestFailure::Arguments(error.to_string()))?,
            RequestContent::Serialized(payload) => frame.payload().extend_from_slice(payload),
        }
        frame
            .finish(
                flags | settings.flags,
                settings.correlation_id,
                settings.compression,
                self.limits.message,
            )
            .map_err(unsendable)
    }

    fn write_ping(&mut self) -> Result<(), FrameError> {
        let mut frame = FrameWriter::begin(
            &mut self.frames.out,
            MessageType::Ping,
            self.serializer.id(),
            self.seq,
            &Annotations::new(),
        )?;
        frame.payload().extend_from_slice(b"ping");
        frame.finish(Flags::default(), None, false, usize::MAX)
    }

    async fn receive(&mut self, expected: &[MessageType]) -> Result<Frame<'_>, RequestFailure> {
        let failure = |error: ReadError| match error {
            ReadError::Io(error) => RequestFailure::Lost(error),
            ReadError::Frame(error) => RequestFailure::Protocol(error.to_string()),
        };
        let FrameStream { stream, reader, .. } = &mut self.frames;
        let header = match reader.read_header(stream, &self.limits).await {
            Ok(header) => header,
            // The answer of a TLS server to a plain message.
            Err(_) if reader.buffered().first() == Some(&TLS_ALERT) => {
                return Err(RequestFailure::Protocol(SPEAKS_TLS.to_owned()));
            }
            Err(error) => return Err(failure(error)),
        };
        let header =
            header.ok_or_else(|| RequestFailure::Lost(io::ErrorKind::UnexpectedEof.into()))?;
        if !expected.contains(&header.kind) {
            return Err(RequestFailure::Protocol(format!(
                "an unexpected kind of message ({:?})",
                header.kind
            )));
        }
        reader.read_frame(stream, header, &self.limits).await.map_err(failure)
    }
}

fn copy_annotations(frame: &Frame<'_>) -> Annotations {
    frame.body.annotations.iter().map(|(id, data)| (*id, data.to_vec())).collect()
}
