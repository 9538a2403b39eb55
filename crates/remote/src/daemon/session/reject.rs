//! The last answer on a connection that is closed for a reason: a refused handshake, or a peer that
//! does not keep to the protocol or the limits.
//!
//! A caller that is still sending a message that is too large would otherwise see nothing but a
//! broken connection.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use wire::Limits;
use wire::exception::Exception;
use wire::message::{Annotations, Flags, FrameError, FrameWriter, HEADER_LEN, Header, MessageType};
use wire::packed;

use crate::daemon::call::{decode, error_place};
use crate::frames::FrameStream;

/// How long the bytes that a rejected peer still sends are read, so that it reads the answer.
const DRAIN_TIME: Duration = Duration::from_secs(1);
/// How many of them are read.
const MAX_DRAIN_BYTES: usize = 256 << 20;
/// Bytes that are read and dropped at a time.
const DRAIN_BUFFER_BYTES: usize = 16 * 1024;

/// Answers a peer that waits for an answer with the reason why it is disconnected.
pub(crate) async fn reject<S: AsyncRead + AsyncWrite + Unpin>(
    mut connection: FrameStream<S>,
    error: &FrameError,
    daemon: &str,
) {
    connection.out.clear();
    if write(&mut connection, error, daemon).is_none() {
        return;
    }
    send_last_words(&mut connection).await;
}

/// Sends the last answer, in `out`, and reads what the peer still sends: if bytes are left unread,
/// the system resets the connection, and the peer cannot read the answer.
pub(crate) async fn send_last_words<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut FrameStream<S>,
) {
    let sent = async {
        connection.send().await?;
        connection.stream.shutdown().await?;
        let mut trash = vec![0; DRAIN_BUFFER_BYTES];
        let mut taken = 0;
        while taken < MAX_DRAIN_BYTES {
            match connection.stream.read(&mut trash).await? {
                0 => break,
                read => taken += read,
            }
        }
        std::io::Result::Ok(())
    };
    // A peer that does not read is not waited for any longer.
    let _ = tokio::time::timeout(DRAIN_TIME, sent).await;
}

fn write<S>(connection: &mut FrameStream<S>, error: &FrameError, daemon: &str) -> Option<()> {
    let buffered = connection.reader.buffered();
    let bytes = buffered.first_chunk::<HEADER_LEN>()?;
    // Its own announcements may be what is wrong.
    let unlimited =
        Limits { message: usize::MAX, annotation_bytes: usize::MAX, ..Limits::default() };
    let header = Header::decode(bytes, &unlimited).ok()?;
    let serializer = packed::serializer_of(header.serializer)?;
    if header.kind != MessageType::Invoke || header.flags.contains(Flags::ONEWAY) {
        return None;
    }
    let mut text = error_place::unframed(error, daemon);
    let payload = buffered.get(HEADER_LEN + header.annotations_len as usize..).unwrap_or_default();
    if let Some(arguments) = error_place::arguments(serializer, payload) {
        text += &format!(" (in {arguments}, with {})", serializer.name());
    }
    let exception = Exception::protocol_error(text.as_str()).with_traceback(vec![
        "Traceback (most recent call last):\n".into(),
        format!("ProtocolError: {text}\n"),
    ]);
    let mut frame = FrameWriter::begin(
        &mut connection.out,
        MessageType::Result,
        serializer.id(),
        header.seq,
        &Annotations::new(),
    )
    .ok()?;
    serializer.encode(&exception.to_value(), frame.payload()).ok()?;
    let correlation = Some(decode::correlation(&header));
    frame.finish(Flags::EXCEPTION, correlation, false, usize::MAX).ok()
}
