//! marshal: Python's internal object format, data codes only.
//!
//! ```text
//! N None   F False   T True                            (integers are little-endian)
//! i 4 bytes             int                            I 8 bytes             int, read only
//! l count, 15-bit digits  int of any size; a negative count is a negative int
//! g 8 bytes             float                          f len8, text          float, read only
//! y 16 bytes            complex                        x two such texts      complex, read only
//! s len32, data         bytes
//! u len32, UTF-8        str                            t the same, interned, read only
//! a A len32, Latin-1    str, read only                 z Z len8, Latin-1     str, read only
//! ( len32, items        tuple                          ) len8, items         tuple, read only
//! [ len32, items        list      < set     > frozenset
//! { key, value, ... 0   dict
//! r index32             the value that the index-th code with its high bit set has made, read only
//! ```
//!
//! Owns the format: writes version 2 of it, which every Python reads; reads versions 0 to 4. Code
//! objects (`c`) are never read: they would be a stranger's program. `S` and `.` (StopIteration,
//! Ellipsis) are no data either. Bytes behind the value are ignored, as `marshal.loads` does.

mod canonical;
mod decode;
mod encode;

pub use canonical::is_canonical;
pub use decode::decode;
pub(crate) use decode::decode_counted;
pub(crate) use encode::encode_bytes_head;
pub use encode::{encode, encode_call};
