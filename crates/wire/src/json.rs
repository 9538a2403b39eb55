//! json (RFC 8259) as Python's `json.dumps(ensure_ascii=False)` writes it, which Pyro5 calls.
//!
//! ```text
//! null true 12 -1.5 NaN Infinity -Infinity    the last three are Python's additions
//! "text"   [1, 2]   {"a": 1}                  with a space after commas and colons
//! {"object": "id", "method": "name", "params": [...], "kwargs": {...}}     a call
//! ```
//!
//! As in Pyro5, a tuple and a set become a list and dict keys become strings; bytes, complex and
//! frozenset are refused.

mod decode;
mod encode;

pub(crate) use decode::decode;
pub(crate) use encode::{encode, encode_call};
