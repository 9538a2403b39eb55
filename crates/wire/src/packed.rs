//! Messages with arrays as packed bytes: a serializer of Ferrolab's own, beside Pyro5's four.
//!
//! A client that knows it sets the flag [`ARRAYS`](crate::message::Flags::ARRAYS) in its requests,
//! to daemons that announce `arrays` in their handshakes. Requests with arrays, and answers with
//! arrays to such requests, have the serializer id [`SERIALIZER_ID`] and this payload:
//!
//! ```text
//! offset  bytes  content             (integers are little-endian)
//! 0       4      number of segments, n
//! 4       4      bytes of the head, h
//! 8       8 n    bytes of each segment
//! 8+8n    h      head: marshal, the tuple (arrays, value)
//! ...            the segments, in order: each at the next multiple of 8 from the payload's
//!                beginning, zeros between them, nothing after the last
//!
//! value   the value, or the call; in place of each array stands marshal's Ellipsis
//! arrays  a list with an entry for each Ellipsis, in order:
//!         (dtype, shape, order)               one segment: the elements
//!         (dtype, shape, order, mask_order)   three: elements, mask, fill value
//! order   "C" or "F"
//! ```
//!
//! Segments have lengths and no offsets, so that they cannot overlap or lie outside of the message.
//! Ellipsis is no plain data, so no value of a program is taken for an array. marshal is never read
//! here by a decoder that knows more than plain data. A daemon passes the answer of a worker on as
//! it is, when [`has_valid_table`] holds.

use std::sync::Arc;

use crate::array::{Array, ArrayOrder, DType, Mask, read_shape, shape_value};
use crate::budget::ValueMemory;
use crate::encode::checked_length;
use crate::error::{DecodeError, DecodeErrorKind, EncodeError};
use crate::limits::Limits;
use crate::marshal::{ArraySink, decode_packed, encode_into};
use crate::serializer::{Call, Serializer};
use crate::value::Value;

/// The id in the headers of messages with arrays.
pub const SERIALIZER_ID: u8 = 70;

/// Bytes before the lengths of the segments.
const FIXED_BYTES: usize = 8;
/// Segments begin at a multiple of this many bytes.
const ALIGNMENT: usize = 8;
/// marshal's tuple of two.
const PAIR: &[u8] = b"(\x02\0\0\0";

/// The serializer of a message with this id in its header: of one with arrays, marshal.
pub fn serializer_of(id: u8) -> Option<Serializer> {
    match id {
        SERIALIZER_ID => Some(Serializer::Marshal),
        id => Serializer::from_id(id),
    }
}

/// Appends a value to `out`: in this format if it has arrays, else as marshal. Returns whether it
/// has arrays.
///
/// # Errors
/// A value that marshal does not support. `out` is then as it was.
pub fn encode(value: &Value, out: &mut Vec<u8>) -> Result<bool, EncodeError> {
    let (has_arrays, last) = encode_but_last(value, out)?;
    if let Some(array) = last {
        // Not twice as many bytes as there are, as a vector that grows by itself takes.
        out.reserve_exact(array.data().len());
        out.extend_from_slice(array.data());
    }
    Ok(has_arrays)
}

/// The same without the last bytes of a value that ends with an array's elements: the array, whose
/// elements a caller can send without copying them.
///
/// # Errors
/// As [`encode`].
pub fn encode_but_last(
    value: &Value,
    out: &mut Vec<u8>,
) -> Result<(bool, Option<Arc<Array>>), EncodeError> {
    let start = out.len();
    let mut arrays = ArraySink::collecting();
    let written = encode_into(value, out, &mut arrays);
    let written = written.and_then(|()| match arrays.found() {
        [] => Ok((false, None)),
        found => pack_but_last(found, start, out).map(|last| (true, last)),
    });
    written.inspect_err(|_| out.truncate(start))
}

/// The payload of an array alone, in two parts: what comes before its elements, and they.
///
/// # Errors
/// The array again, where it is a masked one.
pub fn split(array: Arc<Array>) -> Result<(Vec<u8>, Vec<u8>), Arc<Array>> {
    if array.is_masked() {
        return Err(array);
    }
    let mut begin = b".".to_vec();
    if begin_payload(&[Arc::clone(&array)], 0, &mut begin).is_err() {
        return Err(array);
    }
    begin.resize(begin.len().next_multiple_of(ALIGNMENT), 0);
    // Only one that others have as well is copied.
    let data = Arc::try_unwrap(array).map_or_else(|array| array.data().to_vec(), Array::into_data);
    Ok((begin, data))
}

/// Puts table and descriptions before the value that begins at `start`, and segments after it; but
/// not the elements of the last array where these are the last segment.
fn pack_but_last(
    arrays: &[Arc<Array>],
    start: usize,
    out: &mut Vec<u8>,
) -> Result<Option<Arc<Array>>, EncodeError> {
    begin_payload(arrays, start, out)?;
    let (last, before) = match arrays.split_last() {
        // The mask of a masked array follows its elements.
        Some((last, before)) if !last.is_masked() => (Some(last), before),
        _ => (None, arrays),
    };
    let segments = || before.iter().flat_map(|array| array.segments());
    out.reserve(segments().map(|segment| segment.len() + ALIGNMENT).sum());
    let align = |out: &mut Vec<u8>| {
        let used = out.len() - start;
        out.resize(start + used.next_multiple_of(ALIGNMENT), 0);
    };
    for segment in segments() {
        align(out);
        out.extend_from_slice(segment);
    }
    if last.is_some() {
        align(out);
    }
    Ok(last.cloned())
}

/// Puts table and descriptions before the value that begins at `start`.
fn begin_payload(
    arrays: &[Arc<Array>],
    start: usize,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let mut head = PAIR.to_vec();
    let descriptions = Value::List(arrays.iter().map(|array| describe(array)).collect());
    crate::marshal::encode(&descriptions, &mut head)?;
    let head_bytes = head.len() + out.len() - start;
    let segments: Vec<&[u8]> = arrays.iter().flat_map(|array| array.segments()).collect();
    let count = |what, len| checked_length::<u32>(Serializer::Marshal, what, len);
    let mut table = count("the list of arrays", segments.len())?.to_le_bytes().to_vec();
    table.extend_from_slice(&count("the head of a message", head_bytes)?.to_le_bytes());
    for segment in &segments {
        table.extend_from_slice(&(segment.len() as u64).to_le_bytes());
    }
    table.append(&mut head);
    out.splice(start..start, table);
    Ok(())
}

/// Whether the lengths in a payload's table are those of the payload.
pub fn has_valid_table(data: &[u8]) -> bool {
    Parts::read(data).is_ok()
}

/// Decodes a value, and returns the memory that it takes.
///
/// # Errors
/// Data that is not of this format, arrays that are not what they claim, and anything beyond the
/// limits.
pub fn decode_counted(data: &[u8], limits: &Limits) -> Result<(Value, ValueMemory), DecodeError> {
    let parts = Parts::read(data).map_err(|reason| (0, DecodeErrorKind::Array(reason)));
    let decoded = parts.and_then(|parts| {
        let Parts { head, head_at, segments } = parts;
        let shifted = |(at, kind)| (head_at + at, kind);
        let make = |descriptions| make_arrays(descriptions, &segments);
        decode_packed(head, limits, make).map_err(shifted)
    });
    decoded.map_err(|(at, kind)| DecodeError { serializer: Serializer::Marshal, at, kind })
}

/// Decodes a method call, and returns the memory that it takes.
///
/// # Errors
/// As [`decode_counted`], and a value that does not have the form of a call.
pub fn decode_call_counted(
    data: &[u8],
    limits: &Limits,
) -> Result<(Call, ValueMemory), DecodeError> {
    let (value, memory) = decode_counted(data, limits)?;
    let call = Call::from_sequence(value).map_err(|reason| {
        let kind = DecodeErrorKind::Call(reason);
        DecodeError { serializer: Serializer::Marshal, at: 0, kind }
    })?;
    Ok((call, memory))
}

/// The parts of a payload.
struct Parts<'a> {
    head: &'a [u8],
    head_at: usize,
    segments: Vec<&'a [u8]>,
}

impl<'a> Parts<'a> {
    fn read(data: &'a [u8]) -> Result<Self, &'static str> {
        const SHORT: &str = "the table of the arrays' segments is cut short";
        let field = |at: usize| {
            let bytes = data.get(at..).and_then(|rest| rest.first_chunk::<4>());
            bytes.map(|bytes| u32::from_le_bytes(*bytes) as usize).ok_or(SHORT)
        };
        let (count, head_bytes) = (field(0)?, field(4)?);
        let table_bytes = count.checked_mul(8).ok_or(SHORT)?;
        let (table, rest) = data
            .get(FIXED_BYTES..)
            .and_then(|rest| rest.split_at_checked(table_bytes))
            .ok_or(SHORT)?;
        let head = rest.get(..head_bytes).ok_or(SHORT)?;
        let head_at = FIXED_BYTES + table_bytes;
        let mut at = head_at + head_bytes;
        let mut segments = Vec::with_capacity(count);
        for length in table.as_chunks::<8>().0 {
            const OUTSIDE: &str = "a segment of an array reaches beyond the message";
            let start = at.checked_next_multiple_of(ALIGNMENT).ok_or(OUTSIDE)?;
            let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| OUTSIDE)?;
            let end = start.checked_add(length).ok_or(OUTSIDE)?;
            segments.push(data.get(start..end).ok_or(OUTSIDE)?);
            at = end;
        }
        if at != data.len() {
            return Err("bytes follow the last segment of the arrays");
        }
        Ok(Parts { head, head_at, segments })
    }
}

fn describe(array: &Array) -> Value {
    let mut parts =
        vec![array.dtype().to_value(), shape_value(array.shape()), order_name(array.order())];
    parts.extend(array.mask().map(|mask| order_name(mask.order)));
    Value::Tuple(parts)
}

fn order_name(order: ArrayOrder) -> Value {
    match order {
        ArrayOrder::C => "C".into(),
        ArrayOrder::Fortran => "F".into(),
    }
}

fn read_order(value: &Value) -> Result<ArrayOrder, &'static str> {
    match value.as_str() {
        Some("C") => Ok(ArrayOrder::C),
        Some("F") => Ok(ArrayOrder::Fortran),
        _ => Err("the order of an array is neither C nor F"),
    }
}

/// The arrays of these descriptions, with copies of their segments.
fn make_arrays(descriptions: Value, segments: &[&[u8]]) -> Result<Vec<Array>, &'static str> {
    const MALFORMED: &str = "the description of an array is malformed";
    const MISSING: &str = "an array has no segment";
    let (Value::List(descriptions) | Value::Tuple(descriptions)) = descriptions else {
        return Err(MALFORMED);
    };
    let mut segments = segments.iter();
    let mut next = || segments.next().map(|segment| segment.to_vec()).ok_or(MISSING);
    let mut arrays = Vec::with_capacity(descriptions.len());
    for description in descriptions {
        let (Value::Tuple(parts) | Value::List(parts)) = description else {
            return Err(MALFORMED);
        };
        let mut parts = parts.into_iter();
        let (Some(dtype), Some(shape), Some(order), mask_order, None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(MALFORMED);
        };
        let (dtype, shape) = (DType::from_value(dtype)?, read_shape(shape)?);
        let array = Array::new(dtype, shape, read_order(&order)?, next()?)?;
        arrays.push(match mask_order {
            None => array,
            Some(order) => {
                let order = read_order(&order)?;
                array.with_mask(Mask { order, flags: next()?, fill: next()? })?
            }
        });
    }
    match segments.next() {
        None => Ok(arrays),
        Some(_) => Err("a segment belongs to no array"),
    }
}

#[cfg(test)]
mod tests;
