//! What a request asks for, read from its payload and its annotations.
//!
//! Owns Pyro5's ways to ask: a call, a property, a batch, a call that stays serialized. Knows neither
//! objects nor sessions.

use wire::exception::Exception;
use wire::message::{Annotations, Flags, Header};
use wire::serializer::{Call, Serializer};
use wire::value::Value;
use wire::{DecodeError, DecodeErrorKind, Limits};

use crate::frames::Frame;
use crate::object::{Blob, MethodCall, Operation};

/// Pyro5's names for the pseudo methods that read and set a property.
const GET_ATTRIBUTE: &str = "__getattr__";
const SET_ATTRIBUTE: &str = "__setattr__";
/// The annotation that says what a serialized blob is, and whom it is for.
const BLOB_ANNOTATION: [u8; 4] = *b"BLBI";

/// What becomes of the connection behind a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    Continue,
    Close,
}

/// Why a request cannot be read, as the exception for its caller.
#[derive(Debug)]
pub(crate) enum Unread {
    /// Its values take more memory than they may.
    TooLarge(Exception),
    /// It is no request.
    Malformed(Exception),
}

impl From<Exception> for Unread {
    fn from(exception: Exception) -> Self {
        Unread::Malformed(exception)
    }
}

impl From<DecodeError> for Unread {
    fn from(error: DecodeError) -> Self {
        match error.kind {
            DecodeErrorKind::Memory(_) => Unread::TooLarge(unreadable(error)),
            _ => Unread::Malformed(unreadable(error)),
        }
    }
}

/// The id of the object, what is asked of it, and the bytes of memory that this takes.
pub(crate) fn decode(
    frame: &Frame<'_>,
    serializer: Serializer,
    limits: &Limits,
) -> Result<(String, Operation, usize), Unread> {
    let flags = frame.header.flags;
    if flags.contains(Flags::KEEPSERIALIZED) {
        if flags.contains(Flags::BATCH) {
            let reason = "a batch cannot stay serialized: its calls could not be told apart";
            return Err(Exception::type_error(reason).into());
        }
        let (object, blob) = blob(frame, serializer, limits)?;
        return Ok((object, blob, frame.body.payload.len()));
    }
    let (call, memory) = serializer.decode_call_counted(&frame.body.payload, limits)?;
    let Call { object, method, args, kwargs } = call;
    Ok((object, operation(method, args, kwargs, flags)?, memory))
}

/// The request's correlation id, or a new one where it has none.
pub(crate) fn correlation(header: &Header) -> [u8; 16] {
    if header.flags.contains(Flags::CORR_ID) {
        header.correlation_id
    } else {
        uuid::Uuid::new_v4().into_bytes()
    }
}

/// Annotations that outlive their frame.
pub(crate) fn owned(annotations: &[([u8; 4], &[u8])]) -> Annotations {
    annotations.iter().map(|(id, data)| (*id, data.to_vec())).collect()
}

/// A call that stays serialized: an annotation says what it is, with `marshal` and whatever the
/// serializer.
fn blob(
    frame: &Frame<'_>,
    serializer: Serializer,
    limits: &Limits,
) -> Result<(String, Operation), Exception> {
    let Some(about) = frame.body.annotation(&BLOB_ANNOTATION) else {
        return Err(Exception::new("builtins.KeyError", "BLBI"));
    };
    let about = Serializer::Marshal.decode(about, limits).map_err(unreadable)?;
    let parts = match about {
        Value::Tuple(parts) | Value::List(parts) => <[Value; 3]>::try_from(parts).ok(),
        _ => None,
    };
    let Some([info, Value::Str(object), Value::Str(method)]) = parts else {
        return Err(Exception::serialize_error(
            "the annotation BLBI must be a tuple (information, object id, method)",
        ));
    };
    let payload = frame.body.payload.to_vec();
    Ok((object, Operation::Blob(Blob { method, info, payload, serializer })))
}

/// What a caller is told whose request cannot be read: Python's own words where Python has some.
fn unreadable(error: DecodeError) -> Exception {
    match error.kind {
        DecodeErrorKind::Unhashable(_) => Exception::type_error(error.kind.to_string()),
        DecodeErrorKind::MapKey(_) => Exception::value_error(error.kind.to_string()),
        _ => Exception::serialize_error(format!("cannot read the request: {error}")),
    }
}

fn operation(
    method: String,
    mut args: Vec<Value>,
    kwargs: Vec<(String, Value)>,
    flags: Flags,
) -> Result<Operation, Exception> {
    if flags.contains(Flags::BATCH) {
        return args.into_iter().map(batch_entry).collect::<Result<_, _>>().map(Operation::Batch);
    }
    let name = |value: Option<Value>| match value {
        Some(Value::Str(name)) => Ok(name),
        _ => Err(Exception::type_error("attribute name must be string")),
    };
    match (method.as_str(), args.len()) {
        (GET_ATTRIBUTE, 1..) => name(args.into_iter().next()).map(Operation::GetAttr),
        (SET_ATTRIBUTE, 2..) => {
            let value = args.remove(1);
            Ok(Operation::SetAttr(name(args.into_iter().next())?, value))
        }
        (GET_ATTRIBUTE | SET_ATTRIBUTE, _) => Err(Exception::new(
            "builtins.IndexError",
            format!("{method} needs the attribute's name, and its value to set it"),
        )),
        _ => Ok(Operation::Call(MethodCall { method, args, kwargs })),
    }
}

/// One entry of a batch: `(method, args, kwargs)`.
fn batch_entry(entry: Value) -> Result<MethodCall, Exception> {
    let malformed = || {
        Exception::type_error("an entry of a batch must be a tuple (method, arguments, keywords)")
    };
    let (Value::Tuple(parts) | Value::List(parts)) = entry else { return Err(malformed()) };
    let [Value::Str(method), Value::Tuple(args) | Value::List(args), kwargs] =
        <[Value; 3]>::try_from(parts).map_err(|_| malformed())?
    else {
        return Err(malformed());
    };
    let kwargs = match kwargs {
        Value::None => Vec::new(),
        Value::Dict(kwargs) => kwargs
            .into_iter()
            .map(|(key, value)| match key {
                Value::Str(key) => Ok((key, value)),
                _ => Err(malformed()),
            })
            .collect::<Result<_, _>>()?,
        _ => return Err(malformed()),
    };
    Ok(MethodCall { method, args, kwargs })
}
