//! Encoder of marshal, version 2.

use std::sync::Arc;

use num_bigint::{BigInt, Sign};

use crate::array::Array;
use crate::encode::{check_depth, checked_length, list_of, write_leading_floats};
use crate::error::EncodeError;
use crate::key::unhashable_type;
use crate::serializer::{CallRef, Serializer};
use crate::value::{Dict, Value};

/// Appends an encoded value.
///
/// # Errors
/// Nesting that is too deep, and dict keys or set members that Python cannot hash.
pub(crate) fn encode(value: &Value, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    write(value, 0, out, &mut ArraySink::default())
}

/// Appends an encoded value, with a placeholder for each array, which goes to `arrays`; fails as
/// [`encode`].
pub(crate) fn encode_into(
    value: &Value,
    out: &mut Vec<u8>,
    arrays: &mut ArraySink,
) -> Result<(), EncodeError> {
    write(value, 0, out, arrays)
}

/// Collector of the arrays of a value. Where it collects none, they are written as lists.
#[derive(Debug, Default)]
pub(crate) struct ArraySink {
    collects: bool,
    found: Vec<Arc<Array>>,
}

impl ArraySink {
    pub(crate) fn collecting() -> Self {
        ArraySink { collects: true, found: Vec::new() }
    }

    pub(crate) fn found(&self) -> &[Arc<Array>] {
        &self.found
    }
}

/// Appends an encoded method call; fails as [`encode`].
pub(crate) fn encode_call(call: CallRef<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    write_head(b'(', "a tuple", 4, out)?;
    write_str(call.object, out)?;
    write_str(call.method, out)?;
    // A list, as Pyro5 writes it.
    let arrays = &mut ArraySink::default();
    write_items(b'[', "a list", call.args, call.args.len(), 1, out, arrays)?;
    out.push(b'{');
    for (key, value) in call.kwargs {
        write_str(key, out)?;
        write(value, 2, out, arrays)?;
    }
    out.push(b'0');
    Ok(())
}

/// Appends the type code and length of a `bytes`. Nothing is appended if the length is too large.
pub(crate) fn encode_bytes_head(len: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    write_head(b's', "a bytes", len, out)
}

fn write(
    value: &Value,
    depth: usize,
    out: &mut Vec<u8>,
    arrays: &mut ArraySink,
) -> Result<(), EncodeError> {
    check_depth(depth)?;
    match value {
        Value::None => out.push(b'N'),
        Value::Bool(false) => out.push(b'F'),
        Value::Bool(true) => out.push(b'T'),
        Value::Int(int) => write_int(*int, out),
        Value::BigInt(int) => write_big_int(int, out)?,
        Value::Float(float) => put(b'g', &float.to_le_bytes(), out),
        Value::Complex { re, im } => {
            put(b'y', &re.to_le_bytes(), out);
            out.extend_from_slice(&im.to_le_bytes());
        }
        Value::Str(text) => write_str(text, out)?,
        Value::SurrogateStr(text) => write_str(text.as_bytes(), out)?,
        Value::Bytes(bytes) => {
            encode_bytes_head(bytes.len(), out)?;
            out.extend_from_slice(bytes);
        }
        Value::List(items) => write_sequence(b'[', "a list", items, depth, out, arrays)?,
        Value::Tuple(items) => write_sequence(b'(', "a tuple", items, depth, out, arrays)?,
        Value::Set(set) => {
            set.iter().try_for_each(check_key)?;
            write_items(b'<', "a set", set.iter(), set.len(), depth, out, arrays)?;
        }
        Value::FrozenSet(set) => {
            set.iter().try_for_each(check_key)?;
            write_items(b'>', "a frozenset", set.iter(), set.len(), depth, out, arrays)?;
        }
        Value::Dict(dict) => write_dict(dict, depth, out, arrays)?,
        Value::Array(array) if arrays.collects => {
            out.push(b'.');
            arrays.found.push(Arc::clone(array));
        }
        Value::Array(array) => write(&list_of(array)?, depth, out, arrays)?,
    }
    Ok(())
}

fn write_dict(
    dict: &Dict,
    depth: usize,
    out: &mut Vec<u8>,
    arrays: &mut ArraySink,
) -> Result<(), EncodeError> {
    out.push(b'{');
    for (key, value) in dict {
        check_key(key)?;
        write(key, depth + 1, out, arrays)?;
        write(value, depth + 1, out, arrays)?;
    }
    out.push(b'0');
    Ok(())
}

fn write_sequence(
    code: u8,
    what: &'static str,
    items: &[Value],
    depth: usize,
    out: &mut Vec<u8>,
    arrays: &mut ArraySink,
) -> Result<(), EncodeError> {
    write_head(code, what, items.len(), out)?;
    let others = write_leading_floats(items, b'g', f64::to_le_bytes, depth + 1, out);
    others.iter().try_for_each(|item| write(item, depth + 1, out, arrays))
}

fn write_items<'a>(
    code: u8,
    what: &'static str,
    items: impl IntoIterator<Item = &'a Value>,
    len: usize,
    depth: usize,
    out: &mut Vec<u8>,
    arrays: &mut ArraySink,
) -> Result<(), EncodeError> {
    write_head(code, what, len, out)?;
    items.into_iter().try_for_each(|item| write(item, depth + 1, out, arrays))
}

/// Writes text from its UTF-8, in which surrogates have three bytes each.
fn write_str(text: impl AsRef<[u8]>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let text = text.as_ref();
    write_head(b'u', "a str", text.len(), out)?;
    out.extend_from_slice(text);
    Ok(())
}

fn write_head(
    code: u8,
    what: &'static str,
    len: usize,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    // The length is signed: at most 2 GiB.
    let len: i32 = checked_length(Serializer::Marshal, what, len)?;
    put(code, &len.to_le_bytes(), out);
    Ok(())
}

fn write_int(int: i64, out: &mut Vec<u8>) {
    if let Ok(int) = i32::try_from(int) {
        return put(b'i', &int.to_le_bytes(), out);
    }
    let mut digits = [0u8; 10];
    let (mut rest, mut count) = (int.unsigned_abs(), 0i32);
    for digit in digits.as_chunks_mut::<2>().0 {
        if rest > 0 {
            *digit = ((rest & 0x7fff) as u16).to_le_bytes();
            rest >>= 15;
            count += 1;
        }
    }
    let len = count as usize * 2;
    put(b'l', &(if int < 0 { -count } else { count }).to_le_bytes(), out);
    out.extend_from_slice(digits.get(..len).unwrap_or(&digits));
}

fn write_big_int(int: &BigInt, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let bits = usize::try_from(int.bits()).unwrap_or(usize::MAX);
    let count: i32 = checked_length(Serializer::Marshal, "an int", bits.div_ceil(15))?;
    put(b'l', &(if int.sign() == Sign::Minus { -count } else { count }).to_le_bytes(), out);
    // Converts 32-bit digits to 15-bit digits.
    let (mut held, mut held_bits) = (0u64, 0);
    let mut left = count;
    for digit in int.iter_u32_digits() {
        held |= u64::from(digit) << held_bits;
        held_bits += 32;
        while held_bits >= 15 && left > 0 {
            out.extend_from_slice(&((held & 0x7fff) as u16).to_le_bytes());
            held >>= 15;
            held_bits -= 15;
            left -= 1;
        }
    }
    if left > 0 {
        out.extend_from_slice(&(held as u16).to_le_bytes());
    }
    Ok(())
}

fn check_key(key: &Value) -> Result<(), EncodeError> {
    unhashable_type(key).map_or(Ok(()), |name| Err(EncodeError::Unhashable(name)))
}

fn put(code: u8, data: &[u8], out: &mut Vec<u8>) {
    out.push(code);
    out.extend_from_slice(data);
}
