//! serpent: Python literals as text, the serializer that stock clients use.
//!
//! ```text
//! # serpent utf-8 python3.2\n      a comment in front; not needed when read
//! None True 12 -1.5 1e30000        inf is a literal that overflows
//! 'text' "it's"                    str as Python's repr prints it
//! (1.0-2.0j)                       complex
//! [1,2] (1,2) (1,) {1,2} {'a':1}   containers, without spaces; an empty set is ()
//! {'data': 'aGk=', 'encoding': 'base64'}   bytes; they stay a dict when read
//! {'__class__':'float','value':'nan'}      nan
//! ```
//!
//! Owns the literal syntax: writes what Python's `serpent` writes, to the byte, and reads whatever
//! Python's `ast.literal_eval` takes for plain data. The nan dict is understood everywhere, beyond
//! Pyro5, which finds it only outside of class dicts. A complex with a nan inside is written as a
//! class dict that Pyro5 refuses to read; here it stays that dict.

mod containers;
mod decode;
mod encode;
mod number;
mod string;

pub use decode::decode;
pub(crate) use decode::decode_counted;
pub use encode::{encode, encode_call};

use crate::base64;
use crate::value::{Dict, Value};

/// The bytes of a value that was `bytes` before serpent made a base64 dict of it (`serpent.tobytes`).
///
/// Bytes themselves come back as they are; `None` for anything else.
pub fn to_bytes(value: &Value) -> Option<Vec<u8>> {
    if let Value::Bytes(bytes) = value {
        return Some(bytes.clone());
    }
    let dict: &Dict = value.as_dict()?;
    if dict.get("encoding")?.as_str() != Some("base64") {
        return None;
    }
    match dict.get("data")? {
        Value::Str(data) => base64::decode(data.as_bytes()),
        Value::Bytes(data) => base64::decode(data),
        _ => None,
    }
}
