//! What the four encoders have in common.

use crate::error::EncodeError;
use crate::serializer::Serializer;

/// How deep an encoder follows containers: serpent's own limit under Python's default recursion
/// limit, and what our decoders take by default.
pub(crate) const MAX_LEVEL: usize = 200;

/// Runs `write`; if it fails, takes back what it has appended.
pub(crate) fn all_or_nothing(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let start = out.len();
    write(out).inspect_err(|_| out.truncate(start))
}

/// Refuses a value inside too many containers.
pub(crate) fn check_level(level: usize) -> Result<(), EncodeError> {
    if level > MAX_LEVEL { Err(EncodeError::TooDeep(MAX_LEVEL)) } else { Ok(()) }
}

/// A length as its field wants it.
pub(crate) fn length<T: TryFrom<usize>>(
    serializer: Serializer,
    what: &'static str,
    len: usize,
) -> Result<T, EncodeError> {
    T::try_from(len).map_err(|_| EncodeError::TooLong { what, len, serializer })
}
