//! Encoder of json.

use crate::encode::{Literals, check_depth, list_of};
use crate::error::EncodeError;
use crate::repr::hex_digit;
use crate::serializer::{CallRef, Serializer};
use crate::value::{Dict, Value};

/// The words for nan, inf and -inf are additions of Python's to json.
const LITERALS: Literals = Literals {
    none: b"null",
    yes: b"true",
    no: b"false",
    non_finite: ["NaN", "Infinity", "-Infinity"],
};

/// Appends an encoded value.
///
/// # Errors
/// bytes, complex and frozenset; dict keys other than str, numbers, bool and None; nesting that is
/// too deep; ints that are too long for Python.
pub(crate) fn encode(value: &Value, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    write(value, 0, out)
}

/// Appends an encoded method call; fails as [`encode`].
pub(crate) fn encode_call(call: CallRef<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    out.extend_from_slice(b"{\"object\": ");
    write_str(call.object, out);
    out.extend_from_slice(b", \"method\": ");
    write_str(call.method, out);
    out.extend_from_slice(b", \"params\": ");
    write_items(call.args, 1, out)?;
    out.extend_from_slice(b", \"kwargs\": {");
    for (number, (key, value)) in call.kwargs.iter().enumerate() {
        separate(number, out);
        write_str(key, out);
        out.extend_from_slice(b": ");
        write(value, 2, out)?;
    }
    out.extend_from_slice(b"}}");
    Ok(())
}

/// Appends a value. A number does not pass the function of containers, whose frame is large.
#[inline]
fn write(value: &Value, depth: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    check_depth(depth)?;
    if LITERALS.write(value, out)? { Ok(()) } else { write_other(value, depth, out) }
}

/// Appends a value that is no literal.
fn write_other(value: &Value, depth: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    match value {
        Value::Str(text) => write_str(text, out),
        Value::SurrogateStr(_) => return Err(EncodeError::LoneSurrogate(Serializer::Json)),
        Value::List(items) | Value::Tuple(items) => write_items(items, depth, out)?,
        Value::Set(set) => write_items(set.iter(), depth, out)?,
        Value::Dict(dict) => write_dict(dict, depth, out)?,
        Value::Array(array) => write(&list_of(array)?, depth, out)?,
        Value::Complex { .. } | Value::Bytes(_) | Value::FrozenSet(_) => {
            let class = value.type_name();
            return Err(EncodeError::Class { class, serializer: Serializer::Json });
        }
        // Written already.
        Value::None | Value::Bool(_) | Value::Int(_) | Value::BigInt(_) | Value::Float(_) => {}
    }
    Ok(())
}

fn write_items<'a>(
    items: impl IntoIterator<Item = &'a Value>,
    depth: usize,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    out.push(b'[');
    for (number, item) in items.into_iter().enumerate() {
        separate(number, out);
        write(item, depth + 1, out)?;
    }
    out.push(b']');
    Ok(())
}

fn write_dict(dict: &Dict, depth: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    out.push(b'{');
    for (number, (key, value)) in dict.iter().enumerate() {
        separate(number, out);
        match key {
            Value::Str(text) => write_str(text, out),
            Value::SurrogateStr(_) => write(key, depth, out)?,
            Value::Int(_) | Value::BigInt(_) | Value::Float(_) | Value::Bool(_) | Value::None => {
                out.push(b'"');
                write(key, depth, out)?;
                out.push(b'"');
            }
            _ => return Err(EncodeError::JsonKey(key.type_name())),
        }
        out.extend_from_slice(b": ");
        write(value, depth + 1, out)?;
    }
    out.push(b'}');
    Ok(())
}

fn separate(number: usize, out: &mut Vec<u8>) {
    if number > 0 {
        out.extend_from_slice(b", ");
    }
}

fn write_str(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    loop {
        let plain = rest.iter().position(|&byte| must_escape(byte)).unwrap_or(rest.len());
        let (head, tail) = rest.split_at_checked(plain).unwrap_or((rest, &[]));
        out.extend_from_slice(head);
        let Some((&byte, tail)) = tail.split_first() else { break };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            other => {
                out.extend_from_slice(b"\\u00");
                out.push(hex_digit(u32::from(other >> 4)));
                out.push(hex_digit(u32::from(other & 0xf)));
            }
        }
        rest = tail;
    }
    out.push(b'"');
}

fn must_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}
