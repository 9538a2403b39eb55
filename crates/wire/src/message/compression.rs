//! zlib compression of payloads, as Pyro5 does it: within a limit of what may come of it.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::error::InflateError;

/// Inflates a zlib stream to at most `max` bytes. Data after the end of the stream is ignored, as
/// by Python's `zlib`.
///
/// This drives zlib itself, because the readers of `flate2` take a truncated stream for a whole
/// one.
pub(super) fn inflate(data: &[u8], max: usize) -> Result<Vec<u8>, InflateError> {
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

pub(super) fn deflate(data: &[u8]) -> Vec<u8> {
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
