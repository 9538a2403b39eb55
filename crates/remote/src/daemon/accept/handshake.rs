//! The handshake: which client connects, for which object, and whether there is a slot for it.
//!
//! Answers CONNECTOK or CONNECTFAIL. A handshake has its own size limit, and takes a slot in the
//! pool only when it is complete: a silent, slow or lying peer costs a timer and a small buffer.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite};
use tracing::{debug, info};
use wire::Limits;
use wire::message::{Annotations, Flags, FrameWriter, Header, MessageType};
use wire::serializer::Serializer;
use wire::value::{Dict, Value};

use crate::admission::HandshakeSlot;
use crate::admission::call_permit::PoolSlot;
use crate::admission::limits::READERS;
use crate::admission::slots::NoSlot;
use crate::config;
use crate::daemon::Shared;
use crate::daemon::accept::identify::{self, Arrival, EntranceRefusal, KnownClient};
use crate::daemon::call::{daemon_object, decode};
use crate::daemon::locks::methods::{ABORT, RELEASE};
use crate::daemon::session::{AcceptedClient, Access, reject};
use crate::daemon::validator::{Handshake, Welcome};
use crate::frames::{FrameStream, ReadError};
use crate::session::{Peer, Session};
use crate::tls::TLS_HANDSHAKE;

/// The reason of a refusal where no file descriptor is left.
const NO_DESCRIPTOR: &str = "this daemon's process has no file descriptor left for a further \
    connection; raise its limit on open files (`ulimit -n`, or LimitNOFILE= of the service), or \
    close some connections";

/// The reason of a refusal of a TLS client. It cannot read it: its library says that the server's
/// bytes are no TLS. The log has it.
const NO_TLS: &str = "the client speaks TLS, and this port does not: write `ssl: offered` in the \
    configuration, or leave PYRO_SSL out of the client's environment";

/// Reads the handshake and answers it; `None` when the client was refused or left. The caller sees
/// to the deadline.
pub(super) async fn perform<S: AsyncRead + AsyncWrite + Unpin>(
    shared: &Arc<Shared>,
    connection: &mut FrameStream<S>,
    mut arrival: Arrival,
) -> Result<Option<AcceptedClient>, ReadError> {
    let (hello, request) = match read(connection).await {
        Ok(None) => return Ok(None),
        Ok(Some(read)) => read,
        Err(ReadError::Io(error)) => return Err(error.into()),
        // Pyro5 answers whatever comes first, a browser's request included; so do we.
        Err(ReadError::Frame(error)) => {
            let reason = match connection.reader.buffered().first() {
                Some(&TLS_HANDSHAKE) => NO_TLS.to_owned(),
                _ => format!(
                    "this is a Pyro5 daemon (protocol {}), and what you sent is not a Pyro5 \
                     handshake: {error}",
                    wire::message::PROTOCOL_VERSION
                ),
            };
            (Hello { header: None, serializer: Serializer::Marshal }, Err(reason))
        }
    };
    let let_in = match (request, arrival.entrance.refusal.take()) {
        (Err(reason), _) => Err(reason),
        (Ok(request), Some(EntranceRefusal::Certificate(reason)))
            if serves_uncertified(shared, &request.object) =>
        {
            let_in(shared, &hello, request, &arrival, Some(reason)).await
        }
        (Ok(_), Some(EntranceRefusal::Plain(reason) | EntranceRefusal::Certificate(reason))) => {
            shared.access.tell_refused_client(&arrival.peer, || reason.clone());
            Err(reason)
        }
        (Ok(request), None) => let_in(shared, &hello, request, &arrival, None).await,
    };
    let Arrival { peer, reached_at, .. } = arrival;
    let entered = let_in.and_then(|let_in| enter(shared, let_in, &peer, reached_at));
    let Entered { welcome, annotations, client } = match entered {
        Ok(entered) => entered,
        Err(reason) => {
            if shared.log_limits.peers.allow(Instant::now()) {
                info!(daemon = %shared.config.name, %peer, reason, "connection refused");
            }
            let reason = Value::from(reason);
            let none = Annotations::new();
            reply(connection, MessageType::ConnectFail, &hello, &reason, &none)?;
            reject::send_last_words(connection).await;
            return Ok(None);
        }
    };
    reply(connection, MessageType::ConnectOk, &hello, &welcome, &annotations)?;
    connection.send().await?;
    let session = &client.session;
    debug!(daemon = %shared.config.name, session = session.id, peer = %session.peer,
        identity = %session.identity(), object = %session.object, "connected");
    Ok(Some(client))
}

/// Whether a client without the certificate that it must show may call an object.
fn serves_uncertified(shared: &Shared, object: &str) -> bool {
    let found = shared.registry.get(object);
    found.is_some_and(|object| object.is_internal() && object.serves_uncertified())
}

/// A client with its session, and the answer that it gets.
struct Entered {
    welcome: Value,
    annotations: Annotations,
    client: AcceptedClient,
}

/// Makes the session of a client, if that may look at its object: the answer describes it.
fn enter(
    shared: &Shared,
    let_in: LetIn,
    peer: &Peer,
    reached_at: Option<SocketAddr>,
) -> Result<Entered, String> {
    let LetIn { welcome, annotations, access, object, client } = let_in;
    let session = Session::new(shared.session_id(), peer.clone(), object, client.handshake)
        .reached_at(reached_at)
        .with_identity(client.identity)
        .with_login(client.login);
    let looked = daemon_object::check_look(shared, &session, &session.object);
    looked.map_err(|refused| refused.message())?;
    Ok(Entered { welcome, annotations, client: AcceptedClient { session, access } })
}

/// A client for which there is an object, and a slot.
struct LetIn {
    welcome: Value,
    annotations: Annotations,
    access: Access,
    object: String,
    client: KnownClient,
}

/// Decides about a complete handshake; the error is for the client. `uncertified` is why a client
/// without the certificate that the port requires reaches nothing else.
async fn let_in(
    shared: &Shared,
    hello: &Hello,
    request: Wanted,
    arrival: &Arrival,
    uncertified: Option<String>,
) -> Result<LetIn, String> {
    let Wanted { object, data, annotations } = request;
    let (peer, users) = (&arrival.peer, shared.users());
    let client = identify::identify(users.as_deref(), arrival, data)
        .inspect_err(|reason| shared.access.tell_refused_client(peer, || reason.clone()))?;
    let metadata =
        daemon_object::metadata(shared, &object).map_err(|exception| exception.message())?;
    let validator =
        shared.validator.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(Arc::clone);
    let Welcome { response, annotations } = match validator {
        None => Welcome::default(),
        Some(validator) => {
            let handshake = Handshake {
                peer: peer.clone(),
                certificate: arrival.entrance.certificate.clone(),
                object: object.clone(),
                data: client.handshake.clone(),
                annotations,
                correlation_id: hello.correlation_id(),
            };
            validator(handshake).await.map_err(|exception| exception.message())?
        }
    };
    // Its descriptor may be the last one, lent to hear it.
    if !shared.admission.reserved_fds.wait_for_all().await {
        return Err(NO_DESCRIPTOR.to_owned());
    }
    // After all else is decided, so that nobody waits with a slot: for the client or the validator.
    let access = match uncertified {
        Some(refusal) => {
            let slot: HandshakeSlot = shared.admission.uncertified.take_evicting(peer.address());
            Access::Uncertified { slot, refusal: refusal.into() }
        }
        None => take_slot(shared, &object, peer)?,
    };
    let mut welcome = Dict::with_capacity(2);
    welcome.insert("handshake", response);
    welcome.insert("meta", announce_ferrolab(metadata));
    Ok(LetIn { welcome: Value::Dict(welcome), annotations, access, object, client })
}

/// Version of the format of arrays in messages ([`wire::packed`]).
const ARRAY_FORMAT: i64 = 1;

/// The metadata with the key `ferrolab`: our client then knows which values and locks the daemon
/// understands. Pyro5's client ignores further keys.
fn announce_ferrolab(mut metadata: Value) -> Value {
    if let Value::Dict(metadata) = &mut metadata {
        let mut announcement = Dict::with_capacity(2);
        announcement.insert("version", env!("CARGO_PKG_VERSION"));
        announcement.insert("arrays", ARRAY_FORMAT);
        metadata.insert("ferrolab", announcement);
    }
    metadata
}

/// Takes a slot in the pool; or one beyond it, for a client that can break locks there. Readers of
/// internal objects have separate slots.
fn take_slot(shared: &Shared, object: &str, peer: &Peer) -> Result<Access, String> {
    let address = peer.address();
    let found = shared.registry.get(object);
    if found.as_ref().is_some_and(|object| object.is_internal()) {
        let slot = shared.admission.readers.try_take_for(address, usize::MAX);
        let slot = slot.map_err(|_| readers_full_text(&shared.config.name))?;
        return Ok(Access::InternalOnly(PoolSlot::new(slot)));
    }
    // The clients of a Unix socket have no address that tells them apart.
    let most = shared.config.connections_per_address.filter(|_| address.is_some());
    let refusal = match shared.admission.pool.try_take_for(address, most.unwrap_or(usize::MAX)) {
        Ok(slot) => return Ok(Access::Full(PoolSlot::new(slot))),
        Err(NoSlot::OfKey) => config::address_full_text(&shared.config),
        Err(NoSlot::OfAll) => config::pool_full_text(&shared.config),
    };
    let breaks = |method| found.as_ref().is_some_and(|object| object.breaks_locks(method));
    let breaks_locks = [RELEASE, ABORT].into_iter().any(breaks);
    let slot = || -> HandshakeSlot { shared.admission.lock_breakers.take_evicting(address) };
    match breaks_locks {
        true => Ok(Access::BreakLocksOnly { slot: slot(), refusal: refusal.into() }),
        false => Err(refusal),
    }
}

/// Why a further reader of an internal object is refused, in words for the client.
fn readers_full_text(daemon: &str) -> String {
    format!("too many readers: daemon '{daemon}' serves {READERS} of its feed; close some")
}

/// How a client began. Pyro5 answers in marshal before it knows the client's serializer.
struct Hello {
    header: Option<Header>,
    serializer: Serializer,
}

impl Hello {
    fn correlation_id(&self) -> [u8; 16] {
        self.header.as_ref().map(decode::correlation).unwrap_or_default()
    }
}

/// The wishes of a client.
struct Wanted {
    object: String,
    data: Value,
    annotations: Annotations,
}

/// A client's handshake, or the reason why it is refused.
type Read = (Hello, Result<Wanted, String>);

async fn read<S: AsyncRead + Unpin>(
    connection: &mut FrameStream<S>,
) -> Result<Option<Read>, ReadError> {
    let limits = Limits::handshake();
    let Some(header) = connection.reader.read_header(&mut connection.stream, &limits).await? else {
        return Ok(None);
    };
    let hello = |serializer| Hello { header: Some(header), serializer };
    let Some(serializer) = Serializer::from_id(header.serializer) else {
        let reason = format!(
            "unknown serializer {}; this daemon has serpent (1), marshal (2), json (3) and \
             msgpack (4)",
            header.serializer
        );
        return Ok(Some((hello(Serializer::Marshal), Err(reason))));
    };
    let hello = hello(serializer);
    if header.kind != MessageType::Connect {
        let got = header.kind as u8;
        let reason = format!("invalid msg type {got} received (expected: 1)");
        return Ok(Some((hello, Err(reason))));
    }
    if header.flags.contains(Flags::COMPRESSED) {
        return Ok(Some((hello, Err("a handshake must not be compressed".into()))));
    }
    let frame = connection.reader.read_frame(&mut connection.stream, header, &limits).await?;
    let annotations = decode::owned(&frame.body.annotations);
    let wanted = match serializer.decode(&frame.body.payload, &limits) {
        Err(error) => Err(format!("the handshake's data cannot be read: {error}")),
        Ok(Value::Dict(mut data)) => match data.remove("object") {
            Some(Value::Str(object)) => {
                let data = data.remove("handshake").unwrap_or(Value::None);
                Ok(Wanted { object, data, annotations })
            }
            _ => Err("the handshake names no object".into()),
        },
        Ok(other) => Err(format!("the handshake's data must be a dict, not {}", other.type_name())),
    };
    Ok(Some((hello, wanted)))
}

fn reply<S>(
    connection: &mut FrameStream<S>,
    kind: MessageType,
    hello: &Hello,
    data: &Value,
    annotations: &Annotations,
) -> Result<(), ReadError> {
    let seq = hello.header.map_or(0, |header| header.seq);
    let correlation = hello.header.as_ref().map(decode::correlation);
    let mut frame =
        FrameWriter::begin(&mut connection.out, kind, hello.serializer.id(), seq, annotations)?;
    hello
        .serializer
        .encode(data, frame.payload())
        .map_err(|error| std::io::Error::other(error.to_string()))?;
    frame.finish(Flags::default(), correlation, false, usize::MAX)?;
    Ok(())
}
