//! Body of a message, annotations and payload: read, and written in place right after its header.
//!
//! The header has the lengths, which are known last: [`FrameWriter::begin`] leaves space for it,
//! and [`FrameWriter::finish`] fills it in.

use std::borrow::Cow;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::error::{AnnotationError, FrameError, InflateError};
use super::{Flags, HEADER_LEN, Header, MessageType};
use crate::limits::Limits;

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

/// Inflates a zlib stream to at most `max` bytes. Data after the end of the stream is ignored, as
/// by Python's `zlib`.
///
/// This drives zlib itself, because the readers of `flate2` take a truncated stream for a whole
/// one.
fn inflate(data: &[u8], max: usize) -> Result<Vec<u8>, InflateError> {
    if max == 0 {
        return Err(InflateError::Refused);
    }
    let mut inflate = Decompress::new(true);
    let mut out = Vec::with_capacity(data.len().saturating_mul(4).clamp(256, max.max(256)));
    loop {
        let (read, written) = (inflate.total_in(), out.len());
        let rest = usize::try_from(read).ok().and_then(|read| data.get(read..)).unwrap_or(&[]);
        let status = inflate
            .decompress_vec(rest, &mut out, FlushDecompress::None)
            .map_err(|_| InflateError::Corrupt)?;
        if out.len() > max {
            return Err(InflateError::TooLarge { max });
        }
        if status == Status::StreamEnd {
            return Ok(out);
        }
        if out.len() == out.capacity() {
            // One byte beyond the limit is enough to find out that the stream goes beyond it.
            let more = out.capacity().min(max.saturating_add(1).saturating_sub(out.len()).max(1));
            out.reserve_exact(more);
        } else if inflate.total_in() == read && out.len() == written {
            // All data is read and `out` has space, but the stream has not ended.
            return Err(InflateError::Corrupt);
        }
    }
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

fn deflate(data: &[u8]) -> Vec<u8> {
    let mut deflate = Compress::new(Compression::new(4), true);
    let mut out = Vec::with_capacity(data.len() / 2 + 64);
    loop {
        let read = usize::try_from(deflate.total_in()).unwrap_or(usize::MAX);
        let rest = data.get(read..).unwrap_or(&[]);
        match deflate.compress_vec(rest, &mut out, FlushCompress::Finish) {
            Ok(Status::StreamEnd) => return out,
            // Compression fails only if `out` is full.
            Ok(Status::Ok | Status::BufError) | Err(_) => out.reserve(out.capacity().max(64)),
        }
    }
}
