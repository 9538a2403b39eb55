//! Encoder of serpent.

use crate::base64;
use crate::encode::{Literals, check_depth, list_of};
use crate::error::EncodeError;
use crate::repr::{write_str, write_surrogates_apart};
use crate::serializer::CallRef;
use crate::value::{Dict, Set, Value};

/// The first line of the data.
const HEADER: &[u8] = b"# serpent utf-8 python3.2\n";

/// Python's parser makes an infinity of a float that is too large.
const LITERALS: Literals = Literals {
    none: b"None",
    yes: b"True",
    no: b"False",
    non_finite: ["{'__class__':'float','value':'nan'}", "1e30000", "-1e30000"],
};

/// Appends an encoded value, with the first line.
///
/// # Errors
/// Dict keys and set members other than numbers, str, bytes and tuples; nesting that is too deep;
/// ints that are too long for Python.
pub(crate) fn encode(value: &Value, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    out.extend_from_slice(HEADER);
    write(value, 0, out)
}

/// Appends an encoded method call, with the first line; fails as [`encode`].
pub(crate) fn encode_call(call: CallRef<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    out.extend_from_slice(HEADER);
    out.push(b'(');
    write_str(call.object, out);
    out.push(b',');
    write_str(call.method, out);
    out.push(b',');
    write_tuple(call.args, 1, out)?;
    out.extend_from_slice(b",{");
    write_separated(call.kwargs, out, |(key, value), out| {
        write_str(key, out);
        out.push(b':');
        write(value, 2, out)
    })?;
    out.extend_from_slice(b"})");
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
        Value::Complex { re, im } => write_complex(*re, *im, out),
        Value::Str(text) => write_str(text, out),
        Value::SurrogateStr(text) => write_surrogates_apart(text, out),
        Value::Bytes(bytes) => {
            out.extend_from_slice(b"{'data': '");
            base64::encode(bytes, out);
            out.extend_from_slice(b"', 'encoding': 'base64'}");
        }
        Value::List(items) => {
            out.push(b'[');
            write_separated(items, out, |item, out| write(item, depth + 1, out))?;
            out.push(b']');
        }
        Value::Tuple(items) => write_tuple(items, depth, out)?,
        Value::Set(set) | Value::FrozenSet(set) => write_set(set, depth, out)?,
        Value::Dict(dict) => write_dict(dict, depth, out)?,
        Value::Array(array) => write(&list_of(array)?, depth, out)?,
        // Written already.
        Value::None | Value::Bool(_) | Value::Int(_) | Value::BigInt(_) | Value::Float(_) => {}
    }
    Ok(())
}

fn write_tuple(items: &[Value], depth: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    out.push(b'(');
    write_separated(items, out, |item, out| write(item, depth + 1, out))?;
    out.extend_from_slice(if items.len() == 1 { b",)" } else { b")" });
    Ok(())
}

fn write_set(set: &Set, depth: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    if set.is_empty() {
        // An empty set has no literal; serpent writes a tuple.
        out.extend_from_slice(b"()");
        return Ok(());
    }
    out.push(b'{');
    write_separated(set.iter(), out, |member, out| {
        check_key(member)?;
        write(member, depth + 1, out)
    })?;
    out.push(b'}');
    Ok(())
}

fn write_dict(dict: &Dict, depth: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    out.push(b'{');
    write_separated(dict, out, |(key, value), out| {
        check_key(key)?;
        write(key, depth + 1, out)?;
        out.push(b':');
        write(value, depth + 1, out)
    })?;
    out.push(b'}');
    Ok(())
}

fn write_separated<T>(
    items: impl IntoIterator<Item = T>,
    out: &mut Vec<u8>,
    mut write: impl FnMut(T, &mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let mut first = true;
    for item in items {
        if !first {
            out.push(b',');
        }
        first = false;
        write(item, out)?;
    }
    Ok(())
}

/// Refuses the key types that serpent refuses. It accepts bytes, although it writes them as a dict,
/// which cannot be read as a key.
fn check_key(key: &Value) -> Result<(), EncodeError> {
    match key {
        Value::None
        | Value::List(_)
        | Value::Set(_)
        | Value::FrozenSet(_)
        | Value::Dict(_)
        | Value::Array(_) => Err(EncodeError::SerpentKey(key.type_name())),
        _ => Ok(()),
    }
}

fn write_complex(re: f64, im: f64, out: &mut Vec<u8>) {
    if re.is_nan() || im.is_nan() {
        out.extend_from_slice(b"{'__class__':'complex','real':");
        LITERALS.write_float(re, out);
        out.extend_from_slice(b",'imag':");
        LITERALS.write_float(im, out);
        out.push(b'}');
        return;
    }
    out.push(b'(');
    LITERALS.write_float(re, out);
    if im.is_sign_positive() {
        out.push(b'+');
    }
    LITERALS.write_float(im, out);
    out.extend_from_slice(b"j)");
}
