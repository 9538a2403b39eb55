//! Message framing of protocol version 502: header, annotations, payload.
//!
//! ```text
//! offset  bytes  field                (integers are big-endian)
//! 0       4      "PYRO"
//! 4       2      protocol version     502
//! 6       1      message type         1 CONNECT, 2 CONNECTOK, 3 CONNECTFAIL,
//!                                     4 INVOKE, 5 RESULT, 6 PING
//! 7       1      serializer id        1 serpent, 2 marshal, 3 json, 4 msgpack; 42 in Pyro5's ping
//! 8       2      flags                bits of Flags
//! 10      2      sequence number      a RESULT repeats that of its INVOKE
//! 12      4      payload length       as sent: after compression
//! 16      4      annotations length   all chunks, ids and lengths included
//! 20      16     correlation id       zeros without the flag CORR_ID
//! 36      2      reserved             0; ignored when read
//! 38      2      magic number         0x4dc5
//! 40             annotations          chunks of: 4 bytes ASCII id, 4 bytes length, data
//!                payload              zlib with the flag COMPRESSED; annotations never are
//! ```
//!
//! The format is that of `Pyro5/protocol.py`, and recorded messages of Pyro5 are in
//! `tests/recorded`. This module has no I/O: the caller reads 40 bytes, decodes them as a
//! [`Header`], reads [`Header::body_len`] bytes and parses them as a [`Body`].

mod body;
mod error;
mod header;
mod writer;

pub use body::Body;
pub use error::{AnnotationError, FrameError, InflateError};
pub use header::{Flags, HEADER_LEN, Header, MessageType, PROTOCOL_VERSION};
pub use writer::{Annotations, FrameWriter};

#[cfg(test)]
mod tests;
