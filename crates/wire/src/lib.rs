//! Codec for Pyro5's wire format, protocol version 502: bytes to values and back.
//!
//! The crate has the [message] framing, the four [serializers](serializer::Serializer) and the
//! [values](value) that they carry. It does no input or output and has no clock. It trusts no peer:
//! any bytes give a value or one typed error. The memory for a value is bounded by a small multiple
//! of the data's length and by [`Limits`].
//!
//! # Values and serializers
//!
//! A [`Value`](value::Value) is a piece of Python's plain data and prints as Python prints it. Each
//! serializer writes the same bytes as Python's own and reads everything that Python's own reads:
//!
//! ```
//! use wire::Limits;
//! use wire::serializer::Serializer;
//! use wire::value::{Dict, Value};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let reading: Dict =
//!     [("volts", Value::from(2.5)), ("range", Value::from(10))].into_iter().collect();
//! let value = Value::Tuple(vec!["dmm".into(), reading.into(), ().into()]);
//! assert_eq!(value.to_string(), "('dmm', {'volts': 2.5, 'range': 10}, None)");
//!
//! let mut bytes = Vec::new();
//! Serializer::Json.encode(&value, &mut bytes)?;
//! assert_eq!(bytes, br#"["dmm", {"volts": 2.5, "range": 10}, null]"#);
//! // json has no tuples: Python's json module writes them as lists, too.
//! let read = Serializer::Json.decode(&bytes, &Limits::default())?;
//! assert_eq!(read.to_string(), "['dmm', {'volts': 2.5, 'range': 10}, None]");
//!
//! // serpent is Pyro5's default.
//! let read = Serializer::Serpent.decode(b"{'a': (1, 2.5), 'b': {True}}", &Limits::default())?;
//! assert_eq!(read.as_dict().and_then(|dict| dict.get("a")).map(Value::type_name), Some("tuple"));
//! # Ok(())
//! # }
//! ```
//!
//! # Frames
//!
//! ```
//! use wire::Limits;
//! use wire::message::{Body, Flags, FrameWriter, HEADER_LEN, Header, MessageType};
//! use wire::serializer::{CallRef, Serializer};
//! use wire::value::Value;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A client writes a call: the payload is serialized right after its header.
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
//! frame.finish(Flags::empty(), None, false, 64 << 20)?;
//!
//! // A server reads the header, which says how many bytes follow, and then the call.
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
//!
//! # Errors
//!
//! A decoding error says where the data is wrong and why. The same bytes always give the same
//! error, and no bytes cause a panic:
//!
//! ```
//! use wire::serializer::Serializer;
//! use wire::{DecodeErrorKind, Limits};
//!
//! let limits = Limits { depth: 2, ..Limits::default() };
//! let error = Serializer::Serpent.decode(b"[[[]]]", &limits).unwrap_err();
//! assert_eq!((error.at, error.kind), (2, DecodeErrorKind::TooDeep(2)));
//! assert_eq!(
//!     error.to_string(),
//!     "invalid serpent data at byte 2: containers nest more than 2 levels deep"
//! );
//! ```
//!
//! An exception travels as a class dict; [`exception::Exception`] reads and writes it:
//!
//! ```
//! use wire::exception::Exception;
//!
//! let sent = Exception::value_error("the range must be 1 to 1000 V").to_value();
//! let raised = Exception::from_value(&sent).expect("it is one");
//! assert_eq!(raised.short_class(), "ValueError");
//! assert_eq!(raised.message(), "the range must be 1 to 1000 V");
//! ```
//!
//! # Addresses
//!
//! ```
//! use wire::uri::{Location, Uri};
//!
//! let uri: Uri = "PYRO:lab.laser@[::1]:9091".parse()?;
//! let Uri::Pyro { object, location: Location::Tcp { host, port } } = &uri else { panic!() };
//! assert_eq!((object.as_str(), host.as_str(), *port), ("lab.laser", "::1", 9091));
//! assert_eq!(uri.to_string(), "PYRO:lab.laser@[::1]:9091");
//! # Ok::<(), wire::uri::UriError>(())
//! ```

pub mod array;
mod base64;
mod binary_reader;
mod budget;
mod call_head;
mod codec;
mod dict;
mod encode;
mod error;
pub mod exception;
mod json;
mod key;
mod limits;
pub mod marshal;
pub mod message;
pub mod msgpack;
pub mod name_pattern;
mod number;
pub mod packed;
mod printable;
mod repr;
pub mod serializer;
pub mod serpent;
mod set;
mod surrogate_text;
mod table;
mod text_cursor;
pub mod uri;
pub mod value;

pub use budget::ValueMemory;
pub use error::{DecodeError, DecodeErrorKind, EncodeError};
pub use limits::Limits;

/// The README, so that its example runs as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
