//! Harness of a daemon's connection: the daemon answers any bytes with whole frames, and ends.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use remote::{Daemon, DaemonConfig, Exception, Expose, Peer, ServerType, StreamLimits, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;
use wire::Limits;
use wire::message::{Body, Flags, HEADER_LEN, Header, MessageType};
use wire::serializer::Serializer;

use crate::conversation::{self, FuzzBytes};

/// Time on the paused clock within which a conversation must end. All timeouts of a daemon together
/// are shorter.
const CONVERSATION_TIMEOUT: Duration = Duration::from_secs(3600);

/// The object that the client calls.
struct FuzzedObject;

#[remote::expose]
impl FuzzedObject {
    pub fn echo(&self, #[default(Value::None)] value: Value) -> Value {
        value
    }

    pub fn fail(&self, #[default(Value::None)] value: Value) -> Result<(), Exception> {
        Err(Exception { args: vec![value], ..Exception::value_error("") })
    }

    pub async fn later(&self, #[default(1)] count: u8) -> u8 {
        tokio::time::sleep(Duration::from_secs(count.into())).await;
        count
    }

    #[stream]
    pub fn count(&self, #[default(3)] count: u8) -> std::ops::Range<u8> {
        0..count
    }

    #[oneway]
    pub fn poke(&self) {}

    #[getter]
    pub fn level(&self) -> f64 {
        1.0
    }

    #[setter]
    pub fn set_level(&self, _level: f64) {}
}

/// Sends `data` to a daemon that waits for a handshake.
///
/// The first byte has the daemon's settings, the size of the chunks, and whether the other bytes
/// are sent unchanged or as the payload of a handshake.
pub fn check_handshake(data: &[u8]) {
    let mut bytes = FuzzBytes(data);
    let settings = bytes.take_byte();
    let mut sent = Vec::new();
    if settings & 1 == 0 {
        sent.extend_from_slice(bytes.0);
    } else {
        let serializer = bytes.serializer();
        let begun = wire::message::FrameWriter::begin(
            &mut sent,
            MessageType::Connect,
            serializer.id(),
            bytes.take_byte().into(),
            &Vec::new(),
        );
        let Ok(mut frame) = begun else { return };
        frame.payload().extend_from_slice(bytes.0);
        if frame.finish(Flags::empty(), None, false, usize::MAX).is_err() {
            return;
        }
    }
    run_conversation(settings, &sent);
}

/// Sends a handshake and then `data` to a daemon.
///
/// The first byte has the daemon's settings, the size of the chunks, the serializer, and whether
/// the other bytes are sent unchanged, without a handshake, or as steps of a conversation.
pub fn check_connection(data: &[u8]) {
    let mut bytes = FuzzBytes(data);
    let settings = bytes.take_byte();
    let mut sent = Vec::new();
    if settings & 1 == 0 {
        sent.extend_from_slice(bytes.0);
    } else {
        let serializer = Serializer::ALL[usize::from(settings >> 6)];
        conversation::write_handshake(serializer, "target", &mut sent);
        conversation::write_steps(bytes, serializer, &mut sent);
    }
    run_conversation(settings, &sent);
}

fn run_conversation(settings: u8, sent: &[u8]) {
    let server_type = if settings & 2 == 0 { ServerType::Thread } else { ServerType::Multiplex };
    let chunk_len = if settings & 4 == 0 { sent.len().max(1) } else { 7 };
    let config = DaemonConfig {
        server_type,
        compression: settings & 8 != 0,
        comm_timeout: (settings & 16 != 0).then(|| Duration::from_secs(1)),
        streams: StreamLimits { per_connection: 2, ..StreamLimits::default() },
        limits: Limits { message: 1 << 20, inflated: 1 << 20, ..Limits::default() },
        ..DaemonConfig::default()
    };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    assert!(runtime.is_ok(), "no runtime: {runtime:?}");
    let Ok(runtime) = runtime else { return };
    let answers = runtime.block_on(async {
        let ended =
            tokio::time::timeout(CONVERSATION_TIMEOUT, exchange(config, sent, chunk_len)).await;
        assert!(ended.is_ok(), "the daemon neither answers nor ends");
        ended.unwrap_or_default()
    });
    check_answers(&answers);
}

/// Sends the bytes in chunks and returns everything that the daemon answers.
async fn exchange(config: DaemonConfig, sent: &[u8], chunk_len: usize) -> Vec<u8> {
    let daemon = Daemon::new(config);
    let registered = daemon.register("target", FuzzedObject.into_object());
    assert!(registered.is_ok());
    let (ours, theirs) = tokio::io::duplex(256);
    let peer = Peer::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)));
    let (mut reader, mut writer) = tokio::io::split(ours);
    let serving = daemon.serve_in_memory(theirs, peer, CancellationToken::new());
    let sending = async {
        for chunk in sent.chunks(chunk_len) {
            // The daemon may have closed the connection.
            if writer.write_all(chunk).await.is_err() {
                return;
            }
        }
        let _ = writer.shutdown().await;
    };
    let mut received = Vec::new();
    let receiving = reader.read_to_end(&mut received);
    let ((), (), read) = tokio::join!(serving, sending, receiving);
    assert!(read.is_ok(), "{read:?}");
    received
}

/// Checks that the answers are whole frames: CONNECTOK or CONNECTFAIL, then results and pings.
fn check_answers(mut answers: &[u8]) {
    let limits = Limits::default();
    let mut greeted = false;
    while let Some((head, rest)) = answers.split_first_chunk::<HEADER_LEN>() {
        let header = Header::decode(head, &limits);
        assert!(header.is_ok(), "{header:?}");
        let Ok(header) = header else { return };
        let whole = rest.split_at_checked(header.body_len());
        assert!(whole.is_some(), "a frame is cut off: {header:?}");
        let Some((bytes, behind)) = whole else { return };
        let body = Body::parse(&header, bytes, &limits);
        assert!(body.is_ok(), "{body:?}");
        let Ok(body) = body else { return };
        match header.kind {
            MessageType::Ping => assert_eq!(&*body.payload, b"pong"),
            _ => {
                let serializer = Serializer::from_id(header.serializer);
                assert!(serializer.is_some(), "{header:?}");
                let value = serializer.map(|serializer| serializer.decode(&body.payload, &limits));
                assert!(value.is_some_and(|value| value.is_ok()), "{header:?}");
            }
        }
        let fits = match (header.kind, greeted) {
            (MessageType::ConnectOk, false) => {
                greeted = true;
                true
            }
            (MessageType::ConnectFail, false) => behind.is_empty(),
            (MessageType::Result | MessageType::Ping, true) => true,
            _ => false,
        };
        assert!(fits, "out of place: {header:?}");
        answers = behind;
    }
    assert!(answers.is_empty(), "less than a header: {answers:?}");
}
