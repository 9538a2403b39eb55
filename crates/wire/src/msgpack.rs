//! msgpack, in the form that Python's `msgpack` package writes, with Pyro5's extension types.
//!
//! ```text
//! 00-7f positive int   80-8f map    90-9f array   a0-bf str    e0-ff negative int
//! c0 nil  c2 false  c3 true         c4 c5 c6 bin 8 16 32       c7 c8 c9 ext 8 16 32
//! ca cb float 32 64                 cc-cf uint 8-64            d0-d3 int 8-64
//! d4-d8 ext of 1 2 4 8 16 bytes     d9 da db str 8 16 32       dc dd array   de df map 16 32
//!
//! ext 30  complex: two doubles, little-endian
//!     31  an int beyond 64 bits, as decimal text
//!     32  datetime: a double, seconds since 1970
//!     33  date: a 64-bit day number, 1 being 0001-01-01
//!     ff  msgpack's own timestamp, of 4, 8 or 12 bytes, big-endian
//! ```
//!
//! The source of the format is the msgpack specification (github.com/msgpack/msgpack, `spec.md`),
//! that of the extension types Pyro5's `MsgpackSerializer`. A call is an array of four.
//!
//! As in Pyro5, a tuple and a set become a list; frozenset is refused, and so are map keys other
//! than str and bytes when read. [`Value`](crate::value::Value) has no dates, because no other
//! serializer has them. In both directions ext 32 is the class dict `{"__class__":
//! "datetime.datetime", "timestamp": 1714557600.0}`, and ext 33 is `{"__class__": "datetime.date",
//! "ordinal": 739007}`. A timestamp is `{"__class__": "msgpack.Timestamp", "seconds": 1714557600,
//! "nanoseconds": 0}`.

mod decode;
mod encode;
mod ext;
mod float_list;

pub(crate) use decode::decode;
pub(crate) use encode::{encode, encode_bytes_head, encode_call};
pub use float_list::marshal_floats_to_msgpack;
