//! The four serializers by number and name, and the method calls that all of them carry.
//!
//! Owns the choice of the codec and the types of a call. Knows nothing of any format's bytes.

use crate::error::{DecodeError, DecodeErrorKind, EncodeError};
use crate::limits::Limits;
use crate::value::Value;
use crate::{json, marshal, msgpack, serpent};

/// One of Pyro5's serializers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Serializer {
    /// Python literals as text; what stock clients use by default.
    Serpent,
    /// Python's internal object format; data only, never code.
    Marshal,
    /// JSON as Python's `json` module writes it.
    Json,
    /// MessagePack with Pyro5's extension types.
    Msgpack,
}

impl Serializer {
    /// All serializers, in the order of their ids.
    pub const ALL: [Serializer; 4] =
        [Serializer::Serpent, Serializer::Marshal, Serializer::Json, Serializer::Msgpack];

    /// The serializer with this id in a message header.
    pub fn from_id(id: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|serializer| serializer.id() == id)
    }

    /// The id in a message header.
    pub fn id(self) -> u8 {
        match self {
            Serializer::Serpent => 1,
            Serializer::Marshal => 2,
            Serializer::Json => 3,
            Serializer::Msgpack => 4,
        }
    }

    /// The name in Pyro5's configuration.
    pub fn name(self) -> &'static str {
        match self {
            Serializer::Serpent => "serpent",
            Serializer::Marshal => "marshal",
            Serializer::Json => "json",
            Serializer::Msgpack => "msgpack",
        }
    }

    /// The serializer of this name in Pyro5's configuration.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|serializer| serializer.name() == name)
    }

    /// Appends the value's bytes to `out`.
    ///
    /// # Errors
    /// A value that this serializer has no form for; `out` is then as it was.
    pub fn encode(self, value: &Value, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self {
            Serializer::Serpent => serpent::encode(value, out),
            Serializer::Marshal => marshal::encode(value, out),
            Serializer::Json => json::encode(value, out),
            Serializer::Msgpack => msgpack::encode(value, out),
        }
    }

    /// Appends what stands before the content of a `bytes` of this length, where the content itself
    /// then follows as it is and nothing comes behind it: a large one need not be copied. False,
    /// and nothing appended, where the format has another form for it.
    pub fn encode_bytes_head(self, len: usize, out: &mut Vec<u8>) -> bool {
        match self {
            Serializer::Marshal => marshal::encode_bytes_head(len, out).is_ok(),
            Serializer::Msgpack => msgpack::encode_bytes_head(len, out).is_ok(),
            Serializer::Serpent | Serializer::Json => false,
        }
    }

    /// Reads one value from the whole of `data`.
    ///
    /// # Errors
    /// Data that is no value of this format, or one beyond the limits.
    pub fn decode(self, data: &[u8], limits: &Limits) -> Result<Value, DecodeError> {
        match self {
            Serializer::Serpent => serpent::decode(data, limits),
            Serializer::Marshal => marshal::decode(data, limits),
            Serializer::Json => json::decode(data, limits),
            Serializer::Msgpack => msgpack::decode(data, limits),
        }
    }

    /// Appends a method call's bytes to `out`.
    ///
    /// # Errors
    /// As [`Serializer::encode`].
    pub fn encode_call(self, call: CallRef<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self {
            Serializer::Serpent => serpent::encode_call(call, out),
            Serializer::Marshal => marshal::encode_call(call, out),
            Serializer::Json => json::encode_call(call, out),
            Serializer::Msgpack => msgpack::encode_call(call, out),
        }
    }

    /// Reads a method call from the whole of `data`.
    ///
    /// # Errors
    /// As [`Serializer::decode`], and data that is a value but not the form of a call.
    pub fn decode_call(self, data: &[u8], limits: &Limits) -> Result<Call, DecodeError> {
        self.decode_call_counted(data, limits).map(|(call, _)| call)
    }

    /// The same, with the bytes of memory that the call takes, as [`Limits::memory`] counts them.
    ///
    /// # Errors
    /// As [`Serializer::decode_call`].
    pub fn decode_call_counted(
        self,
        data: &[u8],
        limits: &Limits,
    ) -> Result<(Call, usize), DecodeError> {
        let (value, memory) = match self {
            Serializer::Serpent => serpent::decode_counted(data, limits),
            Serializer::Marshal => marshal::decode_counted(data, limits),
            Serializer::Json => json::decode_counted(data, limits),
            Serializer::Msgpack => msgpack::decode_counted(data, limits),
        }?;
        let call = match self {
            Serializer::Json => Call::from_json(value),
            _ => Call::from_sequence(value),
        };
        call.map(|call| (call, memory)).map_err(|reason| DecodeError {
            serializer: self,
            at: 0,
            kind: DecodeErrorKind::Call(reason),
        })
    }

    /// The name of Pyro5's class for this serializer, for its error texts.
    pub(crate) fn python_class(self) -> &'static str {
        match self {
            Serializer::Serpent => "SerpentSerializer",
            Serializer::Marshal => "MarshalSerializer",
            Serializer::Json => "JsonSerializer",
            Serializer::Msgpack => "MsgpackSerializer",
        }
    }
}

/// A method call, read.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The id of the object called.
    pub object: String,
    /// The method's name.
    pub method: String,
    /// Positional arguments.
    pub args: Vec<Value>,
    /// Keyword arguments; none where the wire has `None`.
    pub kwargs: Vec<(String, Value)>,
}

/// A method call to be written.
#[derive(Clone, Copy, Debug)]
pub struct CallRef<'a> {
    /// The id of the object called.
    pub object: &'a str,
    /// The method's name.
    pub method: &'a str,
    /// Positional arguments.
    pub args: &'a [Value],
    /// Keyword arguments.
    pub kwargs: &'a [(String, Value)],
}

impl Call {
    /// The call, borrowed, to be written again.
    pub fn as_ref(&self) -> CallRef<'_> {
        CallRef {
            object: &self.object,
            method: &self.method,
            args: &self.args,
            kwargs: &self.kwargs,
        }
    }

    fn from_sequence(value: Value) -> Result<Call, &'static str> {
        let (Value::List(items) | Value::Tuple(items)) = value else {
            return Err("a tuple of object, method, arguments, keyword arguments is expected");
        };
        let [object, method, args, kwargs]: [Value; 4] = items
            .try_into()
            .map_err(|_| "object, method, arguments and keyword arguments are expected")?;
        Call::from_parts(object, method, args, kwargs)
    }

    fn from_json(value: Value) -> Result<Call, &'static str> {
        let Value::Dict(mut dict) = value else {
            return Err("an object with object, method, params and kwargs is expected");
        };
        let mut part = |name, missing| dict.remove(name).ok_or(missing);
        let object = part("object", "no \"object\"")?;
        let method = part("method", "no \"method\"")?;
        let args = part("params", "no \"params\"")?;
        let kwargs = part("kwargs", "no \"kwargs\"")?;
        Call::from_parts(object, method, args, kwargs)
    }

    fn from_parts(
        object: Value,
        method: Value,
        args: Value,
        kwargs: Value,
    ) -> Result<Call, &'static str> {
        let (Value::Str(object), Value::Str(method)) = (object, method) else {
            return Err("the object's id and the method's name must be str");
        };
        let (Value::List(args) | Value::Tuple(args)) = args else {
            return Err("the arguments must be a tuple or a list");
        };
        let kwargs = match kwargs {
            Value::None => Vec::new(),
            Value::Dict(dict) => dict
                .into_iter()
                .map(|(key, value)| match key {
                    Value::Str(key) => Ok((key, value)),
                    _ => Err("the names of keyword arguments must be str"),
                })
                .collect::<Result<_, _>>()?,
            _ => return Err("the keyword arguments must be a dict"),
        };
        Ok(Call { object, method, args, kwargs })
    }
}
