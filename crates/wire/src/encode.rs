//! Helpers shared by the four encoders.

use crate::array::Array;
use crate::error::EncodeError;
use crate::number::{MAX_DIGITS, write_any_float, write_big_int, write_float, write_int};
use crate::serializer::Serializer;
use crate::value::Value;

/// Deepest nesting of containers, in levels, that is written. It is serpent's limit under Python's
/// default recursion limit, and the default of [`Limits::depth`](crate::Limits::depth).
pub(crate) const MAX_DEPTH: usize = 200;

/// Refuses a value inside more than [`MAX_DEPTH`] containers.
pub(crate) fn check_depth(depth: usize) -> Result<(), EncodeError> {
    if depth > MAX_DEPTH { Err(EncodeError::TooDeep(MAX_DEPTH)) } else { Ok(()) }
}

/// The words of a text serializer for what has no digits.
pub(crate) struct Literals {
    pub(crate) none: &'static [u8],
    pub(crate) yes: &'static [u8],
    pub(crate) no: &'static [u8],
    /// nan, inf and -inf.
    pub(crate) non_finite: [&'static str; 3],
}

impl Literals {
    /// Appends None, a bool or a number; false if the value is none of these.
    #[inline]
    pub(crate) fn write(&self, value: &Value, out: &mut Vec<u8>) -> Result<bool, EncodeError> {
        match value {
            Value::None => out.extend_from_slice(self.none),
            Value::Bool(true) => out.extend_from_slice(self.yes),
            Value::Bool(false) => out.extend_from_slice(self.no),
            Value::Int(int) => write_int(*int, out),
            Value::BigInt(int) => {
                if !write_big_int(int, out) {
                    return Err(EncodeError::Digits(MAX_DIGITS));
                }
            }
            Value::Float(float) => self.write_float(*float, out),
            _ => return Ok(false),
        }
        Ok(true)
    }

    #[inline]
    pub(crate) fn write_float(&self, float: f64, out: &mut Vec<u8>) {
        write_any_float(float, &self.non_finite, write_float, out);
    }
}

/// The list that stands for an array, for peers that know no arrays.
pub(crate) fn list_of(array: &Array) -> Result<Value, EncodeError> {
    array.to_list().map_err(EncodeError::Array)
}

/// A length in the integer type of its field; an error if it does not fit.
pub(crate) fn checked_length<T: TryFrom<usize>>(
    serializer: Serializer,
    what: &'static str,
    len: usize,
) -> Result<T, EncodeError> {
    T::try_from(len).map_err(|_| EncodeError::TooLong { what, len, serializer })
}

/// Appends the floats at the beginning of `items`, each as `code` and `bytes` of the float, and
/// returns the other items.
///
/// The fast path for long lists of numbers, which instruments return: it reserves space for many
/// floats at once and checks nothing of an item but its type.
pub(crate) fn write_leading_floats<'a>(
    items: &'a [Value],
    code: u8,
    bytes: impl Fn(f64) -> [u8; 8],
    depth: usize,
    out: &mut Vec<u8>,
) -> &'a [Value] {
    // The caller refuses items that are nested too deeply.
    if depth > MAX_DEPTH {
        return items;
    }
    let mut rest = items;
    while let [Value::Float(_), ..] = rest {
        let (chunk, after) = rest.split_at(rest.len().min(FLOATS_PER_RESERVE));
        out.reserve(chunk.len() * (1 + 8));
        for (at, item) in chunk.iter().enumerate() {
            let Value::Float(float) = item else { return rest.get(at..).unwrap_or_default() };
            let mut entry = [code; 1 + 8];
            if let Some(number) = entry.last_chunk_mut() {
                *number = bytes(*float);
            }
            out.extend_from_slice(&entry);
        }
        rest = after;
    }
    rest
}

/// Floats for which space is reserved at once. A list may begin with floats and go on with others.
const FLOATS_PER_RESERVE: usize = 1024;
