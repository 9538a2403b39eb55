//! serpent: Python literals as text, the default serializer of Pyro5.
//!
//! ```text
//! # serpent utf-8 python3.2\n      a comment at the beginning; optional when read
//! None True 12 -1.5 1e30000        inf is a literal that overflows
//! 'text' "it's"                    str as Python's repr prints it
//! (1.0-2.0j)                       complex
//! [1,2] (1,2) (1,) {1,2} {'a':1}   containers, without spaces; an empty set is ()
//! {'data': 'aGk=', 'encoding': 'base64'}   bytes; they stay a dict when read
//! {'__class__':'float','value':'nan'}      nan
//! ```
//!
//! The sources of the format are Python's `serpent` package, whose bytes the encoder writes, and
//! the grammar of Python's expressions: the decoder reads the plain data that `ast.literal_eval`
//! accepts.
//!
//! Some things differ from Pyro5. Escapes of a surrogate pair (`'\ud834\udd1e'`), which Pyro5's
//! client for Java writes, are one character; Python reads two that are no text. A scalar of
//! numpy, as its `repr` writes it (`np.float64(1.5)`), is the number; Python refuses it. The nan
//! dict is decoded everywhere; Pyro5 decodes it only outside class dicts. A complex with a nan is
//! written as a class dict, as by serpent; Pyro5 refuses to read that, and here it stays a dict.

mod containers;
mod decode;
mod encode;
mod number;
mod numpy;
mod string;

pub(crate) use decode::decode;
pub(crate) use encode::{encode, encode_call};

use crate::base64;
use crate::value::{Dict, Value};

/// The content of a `bytes`, or of the base64 dict that serpent makes of one: `serpent.tobytes`.
/// `None` for any other value.
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
