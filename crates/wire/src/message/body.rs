//! Body of a message: annotations and payload.

use std::borrow::Cow;

use flate2::{Decompress, FlushDecompress, Status};

use super::error::{AnnotationError, FrameError, InflateError};
use super::{Flags, Header};
use crate::limits::Limits;

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
