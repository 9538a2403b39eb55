//! json, as Python's `json` module writes it without ASCII escapes.
//!
//! ```text
//! null true 12 -1.5 NaN Infinity -Infinity    the last three are Python's additions
//! "text"   [1, 2]   {"a": 1}                  with a space behind commas and colons
//! {"object": "id", "method": "name", "params": [...], "kwargs": {...}}     a call
//! ```
//!
//! Owns the syntax, and what is lost to it: a tuple and a set become a list, keys become text.
//! bytes, complex and frozenset are refused, as Pyro5 does.

mod decode;
mod encode;

pub use decode::decode;
pub(crate) use decode::decode_counted;
pub use encode::{encode, encode_call};
