//! Encoder of msgpack.

use num_traits::ToPrimitive;

use super::ext::{
    DATE, DATETIME, EXT_COMPLEX, EXT_DATE, EXT_DATETIME, EXT_LONG, EXT_TIMESTAMP,
    NANOSECONDS_PER_SECOND, TIMESTAMP,
};
use crate::encode::{check_depth, checked_length, list_of, write_leading_floats};
use crate::error::EncodeError;
use crate::number::{MAX_DIGITS, write_big_int};
use crate::serializer::{CallRef, Serializer};
use crate::value::{Dict, Value};

/// Appends an encoded value.
///
/// # Errors
/// frozenset; nesting that is too deep; ints that are too long for Python.
pub(crate) fn encode(value: &Value, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    write(value, 0, out)
}

/// Appends an encoded method call; fails as [`encode`].
pub(crate) fn encode_call(call: CallRef<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    out.push(0x94);
    write_str(call.object, out)?;
    write_str(call.method, out)?;
    write_items(call.args, call.args.len(), 1, out)?;
    write_head(&MAP, call.kwargs.len(), out)?;
    for (key, value) in call.kwargs {
        write_str(key, out)?;
        write(value, 2, out)?;
    }
    Ok(())
}

/// Appends the type code and length of a `bytes`. Nothing is appended if the length is too large.
pub(crate) fn encode_bytes_head(len: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    write_head(&BIN, len, out)
}

fn write(value: &Value, depth: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    check_depth(depth)?;
    match value {
        Value::None => out.push(0xc0),
        Value::Bool(false) => out.push(0xc2),
        Value::Bool(true) => out.push(0xc3),
        Value::Int(int) => write_int(*int, out),
        Value::BigInt(int) => match int.to_u64() {
            Some(int) => put(0xcf, &int.to_be_bytes(), out),
            None => {
                let mut text = Vec::new();
                if !write_big_int(int, &mut text) {
                    return Err(EncodeError::Digits(MAX_DIGITS));
                }
                write_ext(EXT_LONG, &text, out)?;
            }
        },
        Value::Float(float) => put(0xcb, &float.to_be_bytes(), out),
        Value::Complex { re, im } => {
            let mut data = [0; 16];
            let (first, second) = data.split_at_mut(8);
            first.copy_from_slice(&re.to_le_bytes());
            second.copy_from_slice(&im.to_le_bytes());
            write_ext(EXT_COMPLEX, &data, out)?;
        }
        Value::Str(text) => write_str(text, out)?,
        Value::SurrogateStr(_) => return Err(EncodeError::LoneSurrogate(Serializer::Msgpack)),
        Value::Bytes(bytes) => {
            encode_bytes_head(bytes.len(), out)?;
            out.extend_from_slice(bytes);
        }
        Value::List(items) | Value::Tuple(items) => {
            write_head(&ARRAY, items.len(), out)?;
            let others = write_leading_floats(items, 0xcb, f64::to_be_bytes, depth + 1, out);
            others.iter().try_for_each(|item| write(item, depth + 1, out))?;
        }
        Value::Set(set) => write_items(set.iter(), set.len(), depth, out)?,
        Value::FrozenSet(_) => {
            let class = value.type_name();
            return Err(EncodeError::Class { class, serializer: Serializer::Msgpack });
        }
        Value::Array(array) => write(&list_of(array)?, depth, out)?,
        Value::Dict(dict) => match (as_date(dict), as_timestamp(dict)) {
            (Some((code, data)), _) => write_ext(code, &data, out)?,
            (None, Some((seconds, nanoseconds))) => write_timestamp(seconds, nanoseconds, out)?,
            (None, None) => write_dict(dict, depth, out)?,
        },
    }
    Ok(())
}

/// Code and data of the extension type, if the dict is the class dict of a date or datetime.
fn as_date(dict: &Dict) -> Option<(u8, [u8; 8])> {
    // A fast check, because it runs for every dict.
    if dict.len() != 2 {
        return None;
    }
    let class = dict.class()?;
    let value = |key| dict.get(key);
    match class {
        _ if class == DATETIME.0 => match value(DATETIME.1)? {
            Value::Float(timestamp) => Some((EXT_DATETIME, timestamp.to_le_bytes())),
            _ => None,
        },
        _ if class == DATE.0 => match value(DATE.1)? {
            Value::Int(ordinal) => Some((EXT_DATE, ordinal.to_le_bytes())),
            _ => None,
        },
        _ => None,
    }
}

/// Seconds and nanoseconds, if the dict is the class dict of a timestamp.
fn as_timestamp(dict: &Dict) -> Option<(i64, u32)> {
    let (class, first, second) = TIMESTAMP;
    if dict.len() != 3 || dict.class()? != class {
        return None;
    }
    let (seconds, nanoseconds) = (dict.get(first)?.as_i64()?, dict.get(second)?.as_i64()?);
    let nanoseconds = u32::try_from(nanoseconds).ok()?;
    (nanoseconds < NANOSECONDS_PER_SECOND).then_some((seconds, nanoseconds))
}

/// Writes a timestamp in the shortest of its three forms, as Python's `msgpack` does.
fn write_timestamp(seconds: i64, nanoseconds: u32, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    match u64::try_from(seconds) {
        Ok(short) if short >> 34 == 0 => {
            let both = u64::from(nanoseconds) << 34 | short;
            match u32::try_from(both) {
                Ok(short) => write_ext(EXT_TIMESTAMP, &short.to_be_bytes(), out),
                Err(_) => write_ext(EXT_TIMESTAMP, &both.to_be_bytes(), out),
            }
        }
        _ => {
            let mut data = [0; 12];
            let (first, second) = data.split_at_mut(4);
            first.copy_from_slice(&nanoseconds.to_be_bytes());
            second.copy_from_slice(&seconds.to_be_bytes());
            write_ext(EXT_TIMESTAMP, &data, out)
        }
    }
}

fn write_items<'a>(
    items: impl IntoIterator<Item = &'a Value>,
    len: usize,
    depth: usize,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    write_head(&ARRAY, len, out)?;
    items.into_iter().try_for_each(|item| write(item, depth + 1, out))
}

fn write_dict(dict: &Dict, depth: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    write_head(&MAP, dict.len(), out)?;
    dict.iter().try_for_each(|(key, value)| {
        write(key, depth + 1, out)?;
        write(value, depth + 1, out)
    })
}

fn write_str(text: &str, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    write_head(&STR, text.len(), out)?;
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

fn write_int(int: i64, out: &mut Vec<u8>) {
    match int {
        -32..=0x7f => out.push(int as u8),
        0x80..=0xff => put(0xcc, &[int as u8], out),
        0x100..=0xffff => put(0xcd, &(int as u16).to_be_bytes(), out),
        0x1_0000..=0xffff_ffff => put(0xce, &(int as u32).to_be_bytes(), out),
        0x1_0000_0000.. => put(0xcf, &int.to_be_bytes(), out),
        -0x80..=-33 => put(0xd0, &(int as i8).to_be_bytes(), out),
        -0x8000..=-0x81 => put(0xd1, &(int as i16).to_be_bytes(), out),
        -0x8000_0000..=-0x8001 => put(0xd2, &(int as i32).to_be_bytes(), out),
        ..=-0x8000_0001 => put(0xd3, &int.to_be_bytes(), out),
    }
}

fn write_ext(code: u8, data: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    match data.len() {
        1 => out.push(0xd4),
        2 => out.push(0xd5),
        4 => out.push(0xd6),
        8 => out.push(0xd7),
        16 => out.push(0xd8),
        len => write_head(&EXT, len, out)?,
    }
    out.push(code);
    out.extend_from_slice(data);
    Ok(())
}

/// Type codes of a type with a length.
struct Codes {
    /// The type with its article, for errors.
    what: &'static str,
    /// The code for lengths below `fixed_below`, which the length is part of.
    fixed: u8,
    fixed_below: usize,
    /// The code for lengths of 8 bits, and so on.
    len8: Option<u8>,
    len16: u8,
    len32: u8,
}

const STR: Codes = Codes {
    what: "a str",
    fixed: 0xa0,
    fixed_below: 32,
    len8: Some(0xd9),
    len16: 0xda,
    len32: 0xdb,
};
const BIN: Codes =
    Codes { what: "a bytes", fixed: 0, fixed_below: 0, len8: Some(0xc4), len16: 0xc5, len32: 0xc6 };
const EXT: Codes =
    Codes { what: "an ext", fixed: 0, fixed_below: 0, len8: Some(0xc7), len16: 0xc8, len32: 0xc9 };
const ARRAY: Codes =
    Codes { what: "a list", fixed: 0x90, fixed_below: 16, len8: None, len16: 0xdc, len32: 0xdd };
const MAP: Codes =
    Codes { what: "a dict", fixed: 0x80, fixed_below: 16, len8: None, len16: 0xde, len32: 0xdf };

fn write_head(codes: &Codes, len: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    if len < codes.fixed_below {
        out.push(codes.fixed | len as u8);
    } else if let (Some(code), Ok(len)) = (codes.len8, u8::try_from(len)) {
        put(code, &[len], out);
    } else if let Ok(len) = u16::try_from(len) {
        put(codes.len16, &len.to_be_bytes(), out);
    } else {
        let len: u32 = checked_length(Serializer::Msgpack, codes.what, len)?;
        put(codes.len32, &len.to_be_bytes(), out);
    }
    Ok(())
}

fn put(code: u8, data: &[u8], out: &mut Vec<u8>) {
    out.push(code);
    out.extend_from_slice(data);
}
