//! marshal version 2, Python's internal object format: type codes of data, never of code.
//!
//! ```text
//! N None   F False   T True                            (integers are little-endian)
//! i 4 bytes             int                            I 8 bytes             int, read only
//! l count32, digits     int of any size, in 15-bit digits of 16 bits, the lowest first; a negative
//!                       count means a negative int
//! g 8 bytes             float                          f len8, text          float, read only
//! y 16 bytes            complex                        x two such texts      complex, read only
//! s len32, data         bytes
//! u len32, UTF-8        str                            t the same, interned, read only
//! a A len32, Latin-1    str, read only                 z Z len8, Latin-1     str, read only
//! ( len32, items        tuple                          ) len8, items         tuple, read only
//! [ len32, items        list      < set     > frozenset
//! { key, value, ... 0   dict
//! r index32             reference to the value of the index-th code with its high bit set;
//!                       read only
//! .                     place of an array, only in messages with packed arrays
//! ```
//!
//! The source of the format is CPython's `Python/marshal.c`; the data codes are compared with it in
//! `tests/differential`. The encoder writes version 2, which every Python reads; the decoder reads
//! versions 0 to 4. Code objects (`c`) are refused, because a peer could send a program. `S` and
//! `.` (StopIteration, Ellipsis) are refused as well. Bytes after the value are ignored, as by
//! `marshal.loads`.

mod canonical;
mod decode;
mod encode;

pub use canonical::is_canonical;
pub(crate) use decode::{decode, decode_packed};
pub(crate) use encode::{ArraySink, encode, encode_bytes_head, encode_call, encode_into};
