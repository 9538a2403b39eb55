//! Message framing of protocol version 502: header, annotations, payload.
//!
//! ```text
//! offset  bytes  field                (integers are big-endian)
//! 0       4      "PYRO"
//! 4       2      protocol version     502
//! 6       1      message type         1 CONNECT, 2 CONNECTOK, 3 CONNECTFAIL,
//!                                     4 INVOKE, 5 RESULT, 6 PING
//! 7       1      serializer id        1 serpent, 2 marshal, 3 json, 4 msgpack; 42 in Pyro5's ping;
//!                                     70 with arrays as packed bytes, see `packed`
//! 8       2      flags                bits of Flags
//! 10      2      sequence number      a RESULT repeats that of its INVOKE
//! 12      4      payload length       as sent: after compression
//! 16      4      annotations length   all chunks, ids and lengths included
//! 20      16     correlation id       zeros without the flag CORR_ID
//! 36      2      reserved             0; ignored when read
//! 38      2      magic number         0x4dc5
//! 40             annotations          chunks of: 4 bytes ASCII id, 4 bytes length, data
//!                payload              zlib with the flag COMPRESSED; annotations never are
//! ```
//!
//! The format is that of `Pyro5/protocol.py`, and recorded messages of Pyro5 are in
//! `tests/recorded`. This module has no I/O: the caller reads 40 bytes, decodes them as a
//! [`Header`], reads [`Header::body_len`] bytes and parses them as a [`Body`].

mod body;
mod error;

pub use body::{Annotations, Body, FrameWriter};
pub use error::{AnnotationError, FrameError, InflateError};

use crate::limits::Limits;

/// Length of the header in bytes.
pub const HEADER_LEN: usize = 40;
/// The protocol version of Pyro5.
pub const PROTOCOL_VERSION: u16 = 502;

const TAG: [u8; 4] = *b"PYRO";
const MAGIC: u16 = 0x4dc5;

/// The type of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageType {
    /// A client's handshake.
    Connect = 1,
    /// The daemon accepts the handshake.
    ConnectOk,
    /// The daemon refuses the handshake.
    ConnectFail,
    /// A method call.
    Invoke,
    /// The result of a call: a value or an exception.
    Result,
    /// A ping, and the answer to one.
    Ping,
}

impl MessageType {
    fn from_byte(byte: u8) -> Option<Self> {
        use MessageType::{Connect, ConnectFail, ConnectOk, Invoke, Ping, Result};
        [Connect, ConnectOk, ConnectFail, Invoke, Result, Ping]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

bitflags::bitflags! {
    /// The flags of a message. Unknown bits are kept.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Flags: u16 {
        /// The result is an exception.
        const EXCEPTION = 1;
        /// The payload is compressed.
        const COMPRESSED = 1 << 1;
        /// The client waits for no result.
        const ONEWAY = 1 << 2;
        /// The call is a batch of calls.
        const BATCH = 1 << 3;
        /// The result is an item stream, whose id is in the annotation `STRM`.
        const ITEMSTREAMRESULT = 1 << 4;
        /// The payload is passed on without being decoded; the annotation `BLBI` describes it.
        const KEEPSERIALIZED = 1 << 5;
        /// The header has a correlation id.
        const CORR_ID = 1 << 6;
        /// The call has not begun by the deadline that its caller gave, and will not: an answer to
        /// Ferrolab's clients.
        const NOT_BEGUN = 1 << 13;
        /// The caller knows arrays as packed bytes: what Ferrolab's client says to daemons that
        /// announce arrays in the handshake. Only with marshal.
        const ARRAYS = 1 << 14;
        /// Objects in the result become data by serpent's rules, whatever the serializer: what
        /// Ferrolab's client asks of daemons that announce themselves in the handshake.
        const SERPENT_RULES = 1 << 15;
        const _ = !0;
    }
}

/// A message's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The message type.
    pub kind: MessageType,
    /// The id of the payload's serializer. Not checked: a ping may have any id.
    pub serializer: u8,
    /// The flags.
    pub flags: Flags,
    /// The sequence number.
    pub seq: u16,
    /// Bytes of the payload as sent, which may be compressed.
    pub data_len: u32,
    /// Bytes of the annotations.
    pub annotations_len: u32,
    /// The correlation id; zeros without the flag CORR_ID.
    pub correlation_id: [u8; 16],
}

impl Header {
    /// Reads a header.
    ///
    /// # Errors
    /// Bytes that are no header, and lengths beyond the limits.
    pub fn decode(bytes: &[u8; HEADER_LEN], limits: &Limits) -> Result<Header, FrameError> {
        Self::check_prefix(bytes)?;
        let mut rest = bytes.as_slice();
        let _tag_and_version: [u8; 6] = take_field(&mut rest);
        let [kind, serializer] = take_field(&mut rest);
        let flags = Flags::from_bits_retain(u16::from_be_bytes(take_field(&mut rest)));
        let seq = u16::from_be_bytes(take_field(&mut rest));
        let data_len = u32::from_be_bytes(take_field(&mut rest));
        let annotations_len = u32::from_be_bytes(take_field(&mut rest));
        let correlation_id = take_field(&mut rest);
        let _reserved: [u8; 2] = take_field(&mut rest);
        if u16::from_be_bytes(take_field(&mut rest)) != MAGIC {
            return Err(FrameError::BadMagic);
        }
        let kind = MessageType::from_byte(kind).ok_or(FrameError::UnknownType(kind))?;
        let header =
            Header { kind, serializer, flags, seq, data_len, annotations_len, correlation_id };

        let size = header.body_len();
        if size > limits.message {
            return Err(FrameError::TooLarge { size, max: limits.message });
        }
        let (size, max) = (annotations_len as usize, limits.annotation_bytes);
        if size > max {
            return Err(AnnotationError::TooLarge { size, max }.into());
        }
        Ok(header)
    }

    /// Refuses the first bytes of a message, as far as they are there, by tag and version.
    ///
    /// # Errors
    /// Another tag, or another protocol version.
    pub fn check_prefix(bytes: &[u8]) -> Result<(), FrameError> {
        let (tag, rest) = bytes.split_at(bytes.len().min(TAG.len()));
        if !TAG.starts_with(tag) {
            return Err(FrameError::NotPyro);
        }
        match rest.first_chunk().map(|version| u16::from_be_bytes(*version)) {
            Some(version) if version != PROTOCOL_VERSION => Err(FrameError::Version(version)),
            _ => Ok(()),
        }
    }

    /// The header's bytes.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        let mut rest = bytes.as_mut_slice();
        put_field(&mut rest, TAG);
        put_field(&mut rest, PROTOCOL_VERSION.to_be_bytes());
        put_field(&mut rest, [self.kind as u8, self.serializer]);
        put_field(&mut rest, self.flags.bits().to_be_bytes());
        put_field(&mut rest, self.seq.to_be_bytes());
        put_field(&mut rest, self.data_len.to_be_bytes());
        put_field(&mut rest, self.annotations_len.to_be_bytes());
        put_field(&mut rest, self.correlation_id);
        put_field(&mut rest, [0, 0]);
        put_field(&mut rest, MAGIC.to_be_bytes());
        bytes
    }

    /// Bytes after the header: annotations and payload.
    pub fn body_len(&self) -> usize {
        // The sum of two 32-bit lengths saturates on a 32-bit host.
        (self.data_len as usize).saturating_add(self.annotations_len as usize)
    }
}

/// Removes the first `N` bytes. The fixed length of the header ensures that there are so many.
fn take_field<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
    match bytes.split_first_chunk() {
        Some((head, tail)) => {
            *bytes = tail;
            *head
        }
        None => [0; N],
    }
}

fn put_field<const N: usize>(bytes: &mut &mut [u8], field: [u8; N]) {
    if let Some((head, tail)) = std::mem::take(bytes).split_first_chunk_mut() {
        *head = field;
        *bytes = tail;
    }
}

#[cfg(test)]
mod tests;
