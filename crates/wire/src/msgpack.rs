//! msgpack, with Pyro5's extension types.
//!
//! ```text
//! 00-7f positive int   80-8f map    90-9f array   a0-bf str    e0-ff negative int
//! c0 nil  c2 false  c3 true         c4 c5 c6 bin 8 16 32       c7 c8 c9 ext 8 16 32
//! ca cb float 32 64                 cc-cf uint 8-64            d0-d3 int 8-64
//! d4-d8 ext of 1 2 4 8 16 bytes     d9 da db str 8 16 32       dc dd array   de df map 16 32
//!
//! ext 30  complex: two doubles, little-endian
//!     31  an int beyond 64 bits, as decimal text
//!     32  datetime: a double, seconds since 1970; read as text in UTC, "2024-05-01T10:00:00+00:00"
//!     33  date: a 64-bit day number; read as text, "2024-05-01"
//! ```
//!
//! Owns the format, and what is lost to it: a tuple and a set become a list. frozenset is refused, as
//! Pyro5 does; so are map keys other than str and bytes when read. A call is an array of four.
//!
//! Python reads ext 32 as local time and drops the zone. The text that stands for it here keeps the
//! instant instead, whatever the zone of this host.

mod date;
mod decode;
mod encode;
#[cfg(test)]
mod tests;

pub use decode::decode;
pub use encode::{encode, encode_call};

const EXT_COMPLEX: u8 = 0x30;
const EXT_LONG: u8 = 0x31;
const EXT_DATETIME: u8 = 0x32;
const EXT_DATE: u8 = 0x33;
