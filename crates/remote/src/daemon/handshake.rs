//! The handshake: who connects, for which object, and whether there is a place.
//!
//! Owns the answers CONNECTOK and CONNECTFAIL. A handshake has a deadline for the whole of it and
//! a size limit of its own, and takes a place only when it is complete: a silent, slow or lying
//! peer costs a timer and a small buffer.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OwnedSemaphorePermit;
use tracing::{debug, info};
use wire::Limits;
use wire::exception::Exception;
use wire::message::{Flags, FrameWriter, Header, MessageType};
use wire::serializer::Serializer;
use wire::value::{Dict, Value};

use crate::daemon::connection::Connection;
use crate::daemon::{Shared, dispatch};
use crate::frames::ReadError;
use crate::session::{Peer, Session};

/// Pyro5's words for a pool without a free place.
const NO_PLACE: &str = "no free workers, increase server threadpool size";

/// A client that has been let in.
pub(crate) struct Accepted {
    pub(crate) session: Session,
    pub(crate) place: Option<OwnedSemaphorePermit>,
}

/// Reads the handshake and answers it; `None` when the client was refused or left.
pub(crate) async fn perform<S: AsyncRead + AsyncWrite + Unpin>(
    shared: &Arc<Shared>,
    connection: &mut Connection<S>,
    peer: Peer,
) -> Result<Option<Accepted>, ReadError> {
    let deadline = shared.config.handshake_timeout;
    let reading = read(connection);
    let hello = match tokio::time::timeout(deadline, reading).await {
        Ok(Ok(None)) => return Ok(None),
        Ok(Ok(Some(hello))) => hello,
        Ok(Err(ReadError::Io(error))) => return Err(error.into()),
        // Pyro5 answers whatever comes first, a browser's request included; so do we.
        Ok(Err(ReadError::Frame(error))) => {
            let hello = Hello::unreadable(format!(
                "this is a Pyro5 daemon (protocol {}), and what you sent is not a Pyro5 \
                 handshake: {error}",
                wire::message::PROTOCOL_VERSION
            ));
            refuse(shared, connection, &peer, &hello).await?;
            return Ok(None);
        }
        Err(_) => {
            debug!(daemon = %shared.config.name, %peer, "no handshake within {deadline:?}");
            return Ok(None);
        }
    };
    let (object, handshake) = match &hello.request {
        Ok((object, handshake)) => (object.clone(), handshake.clone()),
        Err(_) => {
            refuse(shared, connection, &peer, &hello).await?;
            return Ok(None);
        }
    };
    let welcome = match welcome(shared, &object) {
        Ok(welcome) => welcome,
        Err(exception) => {
            let hello = Hello { request: Err(exception.message()), ..hello };
            refuse(shared, connection, &peer, &hello).await?;
            return Ok(None);
        }
    };
    // Last of all, so that nobody waits in a place for the rest of a handshake.
    let place = match &shared.places {
        None => None,
        Some(places) => match Arc::clone(places).try_acquire_owned() {
            Ok(place) => Some(place),
            Err(_) => {
                let hello = Hello { request: Err(NO_PLACE.into()), ..hello };
                refuse(shared, connection, &peer, &hello).await?;
                return Ok(None);
            }
        },
    };
    reply(connection, MessageType::ConnectOk, &hello, &welcome)?;
    connection.send().await?;
    let session = Session { id: shared.session_id(), peer, object, handshake };
    debug!(daemon = %shared.config.name, session = session.id, peer = %session.peer,
        object = %session.object, "connected");
    Ok(Some(Accepted { session, place }))
}

/// What a client said first.
struct Hello {
    header: Option<Header>,
    serializer: Serializer,
    /// The object it wants and its handshake data, or why it cannot be understood.
    request: Result<(String, Value), String>,
}

impl Hello {
    /// Nothing that Pyro5 sends. Marshal is what Pyro5 answers with before it knows better.
    fn unreadable(reason: String) -> Self {
        Hello { header: None, serializer: Serializer::Marshal, request: Err(reason) }
    }
}

async fn read<S: AsyncRead + Unpin>(
    connection: &mut Connection<S>,
) -> Result<Option<Hello>, ReadError> {
    let limits = Limits::handshake();
    let Some(header) = connection.reader.header(&mut connection.stream, &limits).await? else {
        return Ok(None);
    };
    let hello = |serializer, request| Ok(Some(Hello { header: Some(header), serializer, request }));
    let Some(serializer) = Serializer::from_id(header.serializer) else {
        return hello(
            Serializer::Marshal,
            Err(format!(
                "unknown serializer {}; this daemon has serpent (1), marshal (2), json (3) and \
                 msgpack (4)",
                header.serializer
            )),
        );
    };
    if header.kind != MessageType::Connect {
        let got = header.kind as u8;
        return hello(serializer, Err(format!("invalid msg type {got} received (expected: 1)")));
    }
    if header.flags.contains(Flags::COMPRESSED) {
        return hello(serializer, Err("a handshake must not be compressed".into()));
    }
    let frame = connection.reader.body(&mut connection.stream, header, &limits).await?;
    let request = match serializer.decode(&frame.body.payload, &limits) {
        Err(error) => Err(format!("the handshake's data cannot be read: {error}")),
        Ok(Value::Dict(mut data)) => match data.get("object").and_then(Value::as_str) {
            Some(object) => {
                Ok((object.to_owned(), data.remove("handshake").unwrap_or(Value::None)))
            }
            None => Err("the handshake names no object".into()),
        },
        Ok(other) => Err(format!("the handshake's data must be a dict, not {}", other.type_name())),
    };
    hello(serializer, request)
}

/// The CONNECTOK payload for `object`.
fn welcome(shared: &Shared, object: &str) -> Result<Value, Exception> {
    let metadata = dispatch::metadata(shared, object)?;
    let mut welcome = Dict::with_capacity(2);
    welcome.insert("handshake", "hello");
    welcome.insert("meta", metadata);
    Ok(Value::Dict(welcome))
}

async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(
    shared: &Shared,
    connection: &mut Connection<S>,
    peer: &Peer,
    hello: &Hello,
) -> Result<(), ReadError> {
    let Err(reason) = &hello.request else { return Ok(()) };
    info!(daemon = %shared.config.name, %peer, reason, "connection refused");
    reply(connection, MessageType::ConnectFail, hello, &Value::from(reason.as_str()))?;
    connection.send().await?;
    Ok(())
}

fn reply<S>(
    connection: &mut Connection<S>,
    kind: MessageType,
    hello: &Hello,
    data: &Value,
) -> Result<(), ReadError> {
    let seq = hello.header.map_or(0, |header| header.seq);
    let correlation = hello.header.as_ref().map(dispatch::correlation);
    let mut frame =
        FrameWriter::begin(&mut connection.out, kind, hello.serializer.id(), seq, &Vec::new())?;
    hello
        .serializer
        .encode(data, frame.payload())
        .map_err(|error| std::io::Error::other(error.to_string()))?;
    frame.finish(Flags::default(), correlation, false, usize::MAX)?;
    Ok(())
}
