//! The last words on a connection whose peer does not keep to the protocol or the limits.
//!
//! Owns that they are said, and heard: a caller that is still sending a message that is too large
//! would otherwise see nothing but a broken connection.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use wire::Limits;
use wire::exception::Exception;
use wire::message::{Annotations, Flags, FrameError, FrameWriter, HEADER_LEN, Header, MessageType};
use wire::serializer::Serializer;

use crate::daemon::call::decode;
use crate::daemon::session::transport::Connection;

/// What a refused peer still sends is taken in for so long, so that it reads what it was told,
const PATIENCE: Duration = Duration::from_secs(1);
/// and so much of it.
const MOST: usize = 256 << 20;
/// At a time.
const TRASH: usize = 16 * 1024;

/// Tells the peer what is wrong with what it sent, where it waits for an answer.
pub(crate) async fn tell<S: AsyncRead + AsyncWrite + Unpin>(
    mut connection: Connection<S>,
    error: &FrameError,
) {
    connection.out.clear();
    if write(&mut connection, error).is_none() {
        return;
    }
    say(&mut connection).await;
}

/// Sends the last words that `out` holds, and takes in what the peer still sends: where unread
/// bytes are left behind, the system resets the connection, and nobody reads the words.
pub(crate) async fn say<S: AsyncRead + AsyncWrite + Unpin>(connection: &mut Connection<S>) {
    let heard = async {
        connection.send().await?;
        connection.stream.shutdown().await?;
        let mut trash = vec![0; TRASH];
        let mut taken = 0;
        while taken < MOST {
            match connection.stream.read(&mut trash).await? {
                0 => break,
                read => taken += read,
            }
        }
        std::io::Result::Ok(())
    };
    // Whoever does not listen is not told.
    let _ = tokio::time::timeout(PATIENCE, heard).await;
}

fn write<S>(connection: &mut Connection<S>, error: &FrameError) -> Option<()> {
    let bytes = connection.reader.seen().first_chunk::<HEADER_LEN>()?;
    // Its own announcements may be what is wrong.
    let unlimited =
        Limits { message: usize::MAX, annotation_bytes: usize::MAX, ..Limits::default() };
    let header = Header::decode(bytes, &unlimited).ok()?;
    let serializer = Serializer::from_id(header.serializer)?;
    if header.kind != MessageType::Invoke || header.flags.contains(Flags::ONEWAY) {
        return None;
    }
    let exception = Exception::protocol_error(error.to_string()).with_traceback(vec![
        "Traceback (most recent call last):\n".into(),
        format!("ProtocolError: {error}\n"),
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
