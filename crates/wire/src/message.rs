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
//! [`Header`], reads [`Header::body_len`] bytes and parses them as a [`Body`]. A message is written
//! in place: [`FrameWriter::begin`] leaves space for the header, which has the lengths, and
//! [`FrameWriter::finish`] fills it in.

mod compression;
mod error;
mod flags;

use std::borrow::Cow;

use compression::{deflate, inflate};
pub use error::{AnnotationError, FrameError, InflateError};
pub use flags::Flags;

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

/// Largest payload, in bytes, that is never compressed, as in Pyro5.
const MAX_UNCOMPRESSED_BYTES: usize = 100;

/// Annotations to be sent: an id of four ASCII characters, and data.
pub type Annotations = Vec<([u8; 4], Vec<u8>)>;

/// A message's annotations and payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body<'a> {
    /// The annotations, in the order of their ids' first appearance. If an id appears twice, the
    /// later data counts.
    pub annotations: Vec<([u8; 4], &'a [u8])>,
    /// The payload, inflated if it came compressed.
    pub payload: Cow<'a, [u8]>,
}

impl<'a> Body<'a> {
    /// Reads the bytes that follow `header`.
    ///
    /// # Errors
    /// A length other than the header's, malformed annotations, a payload that does not inflate,
    /// and anything beyond the limits.
    pub fn parse(header: &Header, body: &'a [u8], limits: &Limits) -> Result<Body<'a>, FrameError> {
        if body.len() != header.body_len() {
            return Err(FrameError::Length);
        }
        let (annotations, payload) =
            body.split_at_checked(header.annotations_len as usize).ok_or(FrameError::Length)?;
        let annotations = parse_annotations(annotations, limits)?;
        let payload = if header.flags.contains(Flags::COMPRESSED) {
            Cow::Owned(inflate(payload, limits.inflated)?)
        } else {
            Cow::Borrowed(payload)
        };
        Ok(Body { annotations, payload })
    }

    /// The data of an annotation.
    pub fn annotation(&self, id: &[u8; 4]) -> Option<&'a [u8]> {
        self.annotations.iter().find(|(known, _)| known == id).map(|(_, data)| *data)
    }
}

fn parse_annotations<'a>(
    mut bytes: &'a [u8],
    limits: &Limits,
) -> Result<Vec<([u8; 4], &'a [u8])>, AnnotationError> {
    let mut annotations: Vec<([u8; 4], &[u8])> = Vec::new();
    let mut chunks = 0;
    while !bytes.is_empty() {
        chunks += 1;
        if chunks > limits.annotations {
            return Err(AnnotationError::TooMany { max: limits.annotations });
        }
        let (id, rest) = bytes.split_first_chunk::<4>().ok_or(AnnotationError::ChunkLength)?;
        let (len, rest) = rest.split_first_chunk::<4>().ok_or(AnnotationError::ChunkLength)?;
        let (data, rest) = rest
            .split_at_checked(u32::from_be_bytes(*len) as usize)
            .ok_or(AnnotationError::ChunkLength)?;
        if !id.is_ascii() {
            return Err(AnnotationError::Id);
        }
        match annotations.iter_mut().find(|(known, _)| known == id) {
            Some((_, earlier)) => *earlier = data,
            None => annotations.push((*id, data)),
        }
        bytes = rest;
    }
    Ok(annotations)
}

/// A message that is being written at the end of a buffer.
///
/// If it is dropped before [`FrameWriter::finish`], the buffer is as it was before.
#[derive(Debug)]
pub struct FrameWriter<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    payload_start: usize,
    kind: MessageType,
    serializer: u8,
    seq: u16,
    finished: bool,
}

impl<'a> FrameWriter<'a> {
    /// Leaves space for the header and writes the annotations.
    ///
    /// # Errors
    /// Annotation ids outside ASCII, and annotations of more than 4 GiB.
    pub fn begin(
        out: &'a mut Vec<u8>,
        kind: MessageType,
        serializer: u8,
        seq: u16,
        annotations: &Annotations,
    ) -> Result<Self, FrameError> {
        let size: usize = annotations.iter().map(|(_, data)| data.len() + 8).sum();
        if u32::try_from(size).is_err() {
            return Err(FrameError::TooLarge { size, max: u32::MAX as usize });
        }
        if annotations.iter().any(|(id, _)| !id.is_ascii()) {
            return Err(AnnotationError::Id.into());
        }
        let start = out.len();
        out.reserve(HEADER_LEN + size);
        out.extend_from_slice(&[0; HEADER_LEN]);
        for (id, data) in annotations {
            out.extend_from_slice(id);
            out.extend_from_slice(&(data.len() as u32).to_be_bytes());
            out.extend_from_slice(data);
        }
        let payload_start = out.len();
        Ok(FrameWriter { out, start, payload_start, kind, serializer, seq, finished: false })
    }

    /// Changes the serializer's id.
    pub fn set_serializer(&mut self, serializer: u8) {
        self.serializer = serializer;
    }

    /// The buffer to append the payload to. Its present content must stay.
    pub fn payload(&mut self) -> &mut Vec<u8> {
        self.out
    }

    /// Completes the message: compresses the payload if `compress` is true, and writes the header.
    ///
    /// # Errors
    /// A message of more than `max_len` bytes after its header. The buffer is then as it was before
    /// [`FrameWriter::begin`].
    pub fn finish(
        self,
        flags: Flags,
        correlation_id: Option<[u8; 16]>,
        compress: bool,
        max_len: usize,
    ) -> Result<(), FrameError> {
        let mut flags = flags.difference(Flags::COMPRESSED);
        let payload = self.out.get(self.payload_start..).unwrap_or(&[]);
        if compress && payload.len() > MAX_UNCOMPRESSED_BYTES {
            let deflated = deflate(payload);
            self.out.truncate(self.payload_start);
            self.out.extend_from_slice(&deflated);
            flags |= Flags::COMPRESSED;
        }
        self.write_header(flags, correlation_id, max_len, 0)
    }

    /// Completes a message whose payload ends with `tail_len` bytes that are not in the buffer: the
    /// caller sends them after it. Such a payload is not compressed.
    ///
    /// # Errors
    /// As [`FrameWriter::finish`].
    pub fn finish_with_tail(
        self,
        tail_len: usize,
        flags: Flags,
        correlation_id: Option<[u8; 16]>,
        max_len: usize,
    ) -> Result<(), FrameError> {
        self.write_header(flags.difference(Flags::COMPRESSED), correlation_id, max_len, tail_len)
    }

    fn write_header(
        mut self,
        mut flags: Flags,
        correlation_id: Option<[u8; 16]>,
        max_len: usize,
        tail_len: usize,
    ) -> Result<(), FrameError> {
        flags = flags.difference(Flags::CORR_ID);
        if correlation_id.is_some() {
            flags |= Flags::CORR_ID;
        }
        let data_len = (self.out.len() - self.payload_start).saturating_add(tail_len);
        let annotations_len = self.payload_start - self.start - HEADER_LEN;
        let size = data_len.saturating_add(annotations_len);
        let max = max_len.min(u32::MAX as usize);
        if size > max {
            return Err(FrameError::TooLarge { size, max });
        }
        let header = Header {
            kind: self.kind,
            serializer: self.serializer,
            flags,
            seq: self.seq,
            data_len: data_len as u32,
            annotations_len: annotations_len as u32,
            correlation_id: correlation_id.unwrap_or_default(),
        };
        if let Some(space) = self.out.get_mut(self.start..self.start + HEADER_LEN) {
            space.copy_from_slice(&header.encode());
        }
        self.finished = true;
        Ok(())
    }
}

impl Drop for FrameWriter<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.out.truncate(self.start);
        }
    }
}

#[cfg(test)]
mod tests;
