//! The 40 bytes in front of every message.

use super::error::{AnnotationError, FrameError};
use crate::limits::Limits;

/// Length of the header.
pub const HEADER_LEN: usize = 40;
/// The protocol version we speak.
pub const PROTOCOL_VERSION: u16 = 502;

const TAG: [u8; 4] = *b"PYRO";
const MAGIC: u16 = 0x4dc5;

/// What a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageType {
    /// A client asks for a connection to an object.
    Connect = 1,
    /// The connection is granted.
    ConnectOk,
    /// The connection is refused.
    ConnectFail,
    /// A method call.
    Invoke,
    /// What a call came to.
    Result,
    /// A sign of life, asked for and given.
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
        const _ = !0;
    }
}

/// A message's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the message is for.
    pub kind: MessageType,
    /// The payload's serializer, by id. Not checked here: a ping may carry any.
    pub serializer: u8,
    /// The flags.
    pub flags: Flags,
    /// The sequence number.
    pub seq: u16,
    /// Bytes of the payload as sent.
    pub data_len: u32,
    /// Bytes of the annotations.
    pub annotations_len: u32,
    /// The correlation id; zeros where there is none.
    pub correlation_id: [u8; 16],
}

impl Header {
    /// Reads a header.
    ///
    /// # Errors
    /// Bytes that are no header, and announced lengths beyond the limits.
    pub fn decode(bytes: &[u8; HEADER_LEN], limits: &Limits) -> Result<Header, FrameError> {
        let mut rest = bytes.as_slice();
        if take_field::<4>(&mut rest) != TAG {
            return Err(FrameError::NotPyro);
        }
        let version = u16::from_be_bytes(take_field(&mut rest));
        if version != PROTOCOL_VERSION {
            return Err(FrameError::Version(version));
        }
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

    /// How many bytes follow the header.
    pub fn body_len(&self) -> usize {
        // Two 32-bit lengths; only a 32-bit host could not hold their sum, and saturates.
        (self.data_len as usize).saturating_add(self.annotations_len as usize)
    }
}

/// The first `N` bytes; zeros where there are not so many, which the fixed length rules out.
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
