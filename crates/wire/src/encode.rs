//! What the four encoders have in common.

use crate::error::EncodeError;
use crate::serializer::Serializer;
use crate::value::Value;

/// How deep an encoder follows containers: serpent's own limit under Python's default recursion
/// limit, and what our decoders take by default.
pub(crate) const MAX_DEPTH: usize = 200;

/// Runs `write`; if it fails, takes back what it has appended.
pub(crate) fn write_or_roll_back(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let start = out.len();
    write(out).inspect_err(|_| out.truncate(start))
}

/// Refuses a value inside too many containers.
pub(crate) fn check_depth(depth: usize) -> Result<(), EncodeError> {
    if depth > MAX_DEPTH { Err(EncodeError::TooDeep(MAX_DEPTH)) } else { Ok(()) }
}

/// A length as its field wants it.
pub(crate) fn length_field<T: TryFrom<usize>>(
    serializer: Serializer,
    what: &'static str,
    len: usize,
) -> Result<T, EncodeError> {
    T::try_from(len).map_err(|_| EncodeError::TooLong { what, len, serializer })
}

/// Appends the floats that `items` begin with, each as `code` and what `bytes` makes of it; returns
/// the items behind them. Long lists of numbers are what instruments return: room for many is made
/// at once, and nothing is asked of each but whether it is one.
pub(crate) fn write_leading_floats<'a>(
    items: &'a [Value],
    code: u8,
    bytes: impl Fn(f64) -> [u8; 8],
    depth: usize,
    out: &mut Vec<u8>,
) -> &'a [Value] {
    // Those that are nested too deeply are left to be refused.
    if depth > MAX_DEPTH {
        return items;
    }
    let mut rest = items;
    while let [Value::Float(_), ..] = rest {
        let (some, behind) = rest.split_at(rest.len().min(FLOATS_PER_RESERVE));
        out.reserve(some.len() * (1 + 8));
        for (at, item) in some.iter().enumerate() {
            let Value::Float(float) = item else { return rest.get(at..).unwrap_or_default() };
            let mut entry = [code; 1 + 8];
            if let Some(number) = entry.last_chunk_mut() {
                *number = bytes(*float);
            }
            out.extend_from_slice(&entry);
        }
        rest = behind;
    }
    rest
}

/// For how many floats room is made at once: a list may begin with floats and not go on so.
const FLOATS_PER_RESERVE: usize = 1024;
