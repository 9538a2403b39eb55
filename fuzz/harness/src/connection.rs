//! Connections: a daemon answers whoever says whatever with whole frames, and comes to an end.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use remote::{Daemon, DaemonConfig, Exception, Expose, Peer, ServerType, StreamLimits, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;
use wire::Limits;
use wire::message::{Body, Flags, HEADER_LEN, Header, MessageType};
use wire::serializer::Serializer;

use crate::conversation::{self, Bytes};

/// On the paused clock: all timeouts of a daemon together are shorter.
const TOO_LONG: Duration = Duration::from_secs(3600);

/// The object that is called.
struct Target;

#[remote::expose]
impl Target {
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
/// The first byte says how: the daemon's settings, the sizes of the pieces, and whether the rest
/// is sent as it is or as the payload of a handshake with this serializer.
pub fn handshake(data: &[u8]) {
    let mut bytes = Bytes(data);
    let manner = bytes.next();
    let mut said = Vec::new();
    if manner & 1 == 0 {
        said.extend_from_slice(bytes.0);
    } else {
        let serializer = bytes.serializer();
        let begun = wire::message::FrameWriter::begin(
            &mut said,
            MessageType::Connect,
            serializer.id(),
            bytes.next().into(),
            &Vec::new(),
        );
        let Ok(mut frame) = begun else { return };
        frame.payload().extend_from_slice(bytes.0);
        if frame.finish(Flags::empty(), None, false, usize::MAX).is_err() {
            return;
        }
    }
    converse(manner, &said);
}

/// Sends a handshake and then `data` to a daemon.
///
/// The first byte says how: the daemon's settings, the sizes of the pieces, the serializer, and
/// whether the rest is sent as it is, without a handshake, or as steps of a conversation.
pub fn connection(data: &[u8]) {
    let mut bytes = Bytes(data);
    let manner = bytes.next();
    let mut said = Vec::new();
    if manner & 1 == 0 {
        said.extend_from_slice(bytes.0);
    } else {
        let serializer = Serializer::ALL[usize::from(manner >> 6)];
        conversation::hello(serializer, "target", &mut said);
        conversation::steps(bytes, serializer, &mut said);
    }
    converse(manner, &said);
}

fn converse(manner: u8, said: &[u8]) {
    let server_type = if manner & 2 == 0 { ServerType::Thread } else { ServerType::Multiplex };
    let piece = if manner & 4 == 0 { said.len().max(1) } else { 7 };
    let config = DaemonConfig {
        server_type,
        compression: manner & 8 != 0,
        comm_timeout: (manner & 16 != 0).then(|| Duration::from_secs(1)),
        streams: StreamLimits { per_connection: 2, ..StreamLimits::default() },
        limits: Limits { message: 1 << 20, inflated: 1 << 20, ..Limits::default() },
        ..DaemonConfig::default()
    };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    assert!(runtime.is_ok(), "no runtime: {runtime:?}");
    let Ok(runtime) = runtime else { return };
    let answered = runtime.block_on(async {
        let ended = tokio::time::timeout(TOO_LONG, talk(config, said, piece)).await;
        assert!(ended.is_ok(), "the daemon neither answers nor ends");
        ended.unwrap_or_default()
    });
    check(&answered);
}

/// Says it in pieces, and returns everything that the daemon answers.
async fn talk(config: DaemonConfig, said: &[u8], piece: usize) -> Vec<u8> {
    let daemon = Daemon::new(config);
    let registered = daemon.register("target", Target.into_object());
    assert!(registered.is_ok());
    let (ours, theirs) = tokio::io::duplex(256);
    let peer = Peer::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)));
    let (mut hear, mut say) = tokio::io::split(ours);
    let serving = daemon.serve_in_memory(theirs, peer, CancellationToken::new());
    let saying = async {
        for piece in said.chunks(piece) {
            // The daemon may have hung up.
            if say.write_all(piece).await.is_err() {
                return;
            }
        }
        let _ = say.shutdown().await;
    };
    let mut heard = Vec::new();
    let hearing = hear.read_to_end(&mut heard);
    let ((), (), read) = tokio::join!(serving, saying, hearing);
    assert!(read.is_ok(), "{read:?}");
    heard
}

/// Whole frames only: one that welcomes or refuses, then answers and pongs.
fn check(mut answered: &[u8]) {
    let limits = Limits::default();
    let mut greeted = false;
    while let Some((head, rest)) = answered.split_first_chunk::<HEADER_LEN>() {
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
        answered = behind;
    }
    assert!(answered.is_empty(), "less than a header: {answered:?}");
}
