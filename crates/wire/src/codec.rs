//! Encoding and decoding by serializer: each method calls the module of the format. A decoded call
//! is taken apart here.

use crate::budget::ValueMemory;
use crate::error::{DecodeError, DecodeErrorKind, EncodeError};
use crate::limits::Limits;
use crate::serializer::{Call, CallRef, Serializer};
use crate::value::Value;
use crate::{json, marshal, msgpack, serpent};

impl Serializer {
    /// Appends the encoded value to `out`.
    ///
    /// # Errors
    /// A value that this serializer does not support. `out` is then as it was.
    pub fn encode(self, value: &Value, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = out.len();
        let encode = match self {
            Serializer::Serpent => serpent::encode,
            Serializer::Marshal => marshal::encode,
            Serializer::Json => json::encode,
            Serializer::Msgpack => msgpack::encode,
        };
        encode(value, out).inspect_err(|_| out.truncate(start))
    }

    /// Appends the type code and length of a `bytes` of this length, so that the caller can send
    /// the content itself without copying it. False, and nothing appended, for serpent and json,
    /// whose form of a `bytes` is not its content.
    pub fn encode_bytes_head(self, len: usize, out: &mut Vec<u8>) -> bool {
        match self {
            Serializer::Marshal => marshal::encode_bytes_head(len, out).is_ok(),
            Serializer::Msgpack => msgpack::encode_bytes_head(len, out).is_ok(),
            Serializer::Serpent | Serializer::Json => false,
        }
    }

    /// Decodes `data` as one value.
    ///
    /// # Errors
    /// Data that is no value of this format, or one beyond the limits.
    pub fn decode(self, data: &[u8], limits: &Limits) -> Result<Value, DecodeError> {
        self.decode_counted(data, limits).map(|(value, _)| value)
    }

    /// [`Serializer::decode`] that also returns the memory that the value takes.
    fn decode_counted(
        self,
        data: &[u8],
        limits: &Limits,
    ) -> Result<(Value, ValueMemory), DecodeError> {
        let decode = match self {
            Serializer::Serpent => serpent::decode,
            Serializer::Marshal => marshal::decode,
            Serializer::Json => json::decode,
            Serializer::Msgpack => msgpack::decode,
        };
        decode(data, limits).map_err(|(at, kind)| DecodeError { serializer: self, at, kind })
    }

    /// Appends the encoded method call to `out`.
    ///
    /// # Errors
    /// As [`Serializer::encode`].
    pub fn encode_call(self, call: CallRef<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = out.len();
        let encode = match self {
            Serializer::Serpent => serpent::encode_call,
            Serializer::Marshal => marshal::encode_call,
            Serializer::Json => json::encode_call,
            Serializer::Msgpack => msgpack::encode_call,
        };
        encode(call, out).inspect_err(|_| out.truncate(start))
    }

    /// Decodes `data` as a method call.
    ///
    /// # Errors
    /// As [`Serializer::decode`], and a value that does not have the form of a call.
    pub fn decode_call(self, data: &[u8], limits: &Limits) -> Result<Call, DecodeError> {
        self.decode_call_counted(data, limits).map(|(call, _)| call)
    }

    /// Decodes `data` as a method call; also returns the memory that the call takes, here and as
    /// objects in Python.
    ///
    /// # Errors
    /// As [`Serializer::decode_call`].
    pub fn decode_call_counted(
        self,
        data: &[u8],
        limits: &Limits,
    ) -> Result<(Call, ValueMemory), DecodeError> {
        let (value, memory) = self.decode_counted(data, limits)?;
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
}

impl Call {
    pub(crate) fn from_sequence(value: Value) -> Result<Call, &'static str> {
        let (Value::List(items) | Value::Tuple(items)) = value else {
            return Err("a tuple of object, method, arguments, keyword arguments is expected");
        };
        let [object, method, args, kwargs]: [Value; 4] = items
            .try_into()
            .map_err(|_| "object, method, arguments and keyword arguments are expected")?;
        Call::from_parts(object, method, args, kwargs)
    }

    pub(crate) fn from_json(value: Value) -> Result<Call, &'static str> {
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

#[cfg(test)]
mod tests;
