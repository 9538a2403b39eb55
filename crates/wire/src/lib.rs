//! Pyro5's wire format (protocol version 502): bytes to values and back.
//!
//! Owns the [message] framing, the four [serializers](serializer::Serializer) and the [values](value)
//! that they carry. Does no input or output, knows no clock, and believes nothing that a peer says:
//! any bytes make a value or one typed error, in memory bounded by a small multiple of their length
//! and by [`Limits`].
//!
//! ```
//! use wire::Limits;
//! use wire::message::{Body, Flags, FrameWriter, HEADER_LEN, Header, MessageType};
//! use wire::serializer::{CallRef, Serializer};
//! use wire::value::Value;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A client writes a call: the payload goes straight behind its header.
//! let serializer = Serializer::Serpent;
//! let mut out = Vec::new();
//! let mut frame = FrameWriter::begin(&mut out, MessageType::Invoke, serializer.id(), 1, &vec![])?;
//! let call = CallRef {
//!     object: "laser",
//!     method: "set_power",
//!     args: &[Value::from(12.5)],
//!     kwargs: &[("unit".to_owned(), Value::from("mW"))],
//! };
//! serializer.encode_call(call, frame.payload())?;
//! frame.finish(Flags::NONE, None, false, 64 << 20)?;
//!
//! // A server reads the header, learns from it how much follows, and reads the call.
//! let limits = Limits::default();
//! let (head, rest) = out.split_first_chunk::<HEADER_LEN>().ok_or("short")?;
//! let header = Header::decode(head, &limits)?;
//! assert_eq!(header.body_len(), rest.len());
//! let body = Body::parse(&header, rest, &limits)?;
//! let serializer = Serializer::from_id(header.serializer).ok_or("no such serializer")?;
//! let call = serializer.decode_call(&body.payload, &limits)?;
//! assert_eq!(call.method, "set_power");
//! assert_eq!(Value::Tuple(call.args).to_string(), "(12.5,)");
//! # Ok(())
//! # }
//! ```

mod base64;
mod binary;
mod dict;
mod encode;
mod error;
pub mod exception;
pub mod json;
mod key;
mod limits;
pub mod marshal;
pub mod message;
pub mod msgpack;
mod number;
mod printable;
mod repr;
pub mod serializer;
pub mod serpent;
mod set;
mod table;
mod text;
pub mod uri;
pub mod value;

pub use error::{DecodeError, DecodeErrorKind, EncodeError};
pub use limits::Limits;
