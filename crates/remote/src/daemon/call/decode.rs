//! Decoding a request: a call, a property, a batch, or a call that stays serialized, as Pyro5 has
//! them; a large one within the memory that is reserved for it.
//!
//! Knows neither objects nor sessions.

use std::sync::Arc;

use wire::exception::Exception;
use wire::message::{Annotations, Flags, Header};
use wire::packed;
use wire::serializer::{Call, Serializer};
use wire::value::Value;
use wire::{DecodeError, DecodeErrorKind, Limits};

use crate::admission::byte_budget::ByteBudget;
use crate::admission::request_memory::{MemoryNeed, RequestPermit, release_freed};
use crate::daemon::call::error_place;
use crate::frames::Frame;
use crate::object::{Blob, MethodCall, Operation};

/// Pyro5's names for the pseudo methods that read and set a property.
const GET_ATTRIBUTE: &str = "__getattr__";
const SET_ATTRIBUTE: &str = "__setattr__";
/// The annotation that describes a serialized blob and names its object.
const BLOB_ANNOTATION: [u8; 4] = *b"BLBI";

/// Whether the connection stays open after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    Continue,
    Close,
}

/// A decoded request.
#[derive(Debug)]
pub(crate) struct Decoded {
    /// The id of its object.
    pub(crate) object: String,
    pub(crate) operation: Operation,
    /// Bytes of memory that it takes: here, or as objects in Python if those take more.
    pub(crate) memory: usize,
}

/// Why a request cannot be decoded, as the exception for its caller.
#[derive(Debug)]
pub(crate) enum Undecodable {
    /// Its values take more memory than they may.
    TooLarge(Exception),
    /// It is not a request.
    Malformed(Exception),
}

impl Undecodable {
    pub(crate) fn is_too_large(&self) -> bool {
        matches!(self, Undecodable::TooLarge(_))
    }

    pub(crate) fn into_exception(self) -> Exception {
        let (Undecodable::TooLarge(exception) | Undecodable::Malformed(exception)) = self;
        exception
    }
}

impl From<Exception> for Undecodable {
    fn from(exception: Exception) -> Self {
        Undecodable::Malformed(exception)
    }
}

/// The refusal of a request whose values take more than `bytes` of memory as objects in Python.
fn too_large_in_python(serializer: Serializer, bytes: usize) -> Undecodable {
    unreadable(&DecodeError { serializer, at: 0, kind: DecodeErrorKind::Memory(bytes) }, &[])
}

/// Decodes a request within `limits`.
pub(crate) fn decode(
    frame: &Frame<'_>,
    serializer: Serializer,
    limits: &Limits,
) -> Result<Decoded, Undecodable> {
    let flags = frame.header.flags;
    if flags.contains(Flags::KEEPSERIALIZED) {
        if flags.contains(Flags::BATCH) {
            let reason = "a batch cannot stay serialized: its calls could not be told apart";
            return Err(Exception::type_error(reason).into());
        }
        if frame.header.serializer == packed::SERIALIZER_ID {
            return Err(
                Exception::type_error("a message with arrays cannot stay serialized").into()
            );
        }
        let (object, blob) = blob(frame, serializer, limits)?;
        return Ok(Decoded { object, operation: blob, memory: frame.body.payload.len() });
    }
    let payload = &frame.body.payload;
    let decoded = match frame.header.serializer {
        packed::SERIALIZER_ID => packed::decode_call_counted(payload, limits),
        _ => serializer.decode_call_counted(payload, limits),
    };
    let (call, memory) = decoded.map_err(|error| unreadable(&error, payload))?;
    let Call { object, method, args, kwargs } = call;
    let operation = operation(method, args, kwargs, flags)?;
    Ok(Decoded { object, operation, memory: memory.most() })
}

/// Decodes a large request within the memory that it has, or within more if that is too little.
pub(super) async fn decode_within(
    frame: &Frame<'_>,
    serializer: Serializer,
    limits: &Limits,
    permit: RequestPermit,
    memory: &Arc<ByteBudget>,
) -> Result<(Decoded, Option<RequestPermit>), Undecodable> {
    let within = permit.limits(limits);
    let mut permit = Some(permit);
    let mut decoded = decode(frame, serializer, &within);
    let most = MemoryNeed::most(frame.body.payload.len(), limits);
    if matches!(&decoded, Err(Undecodable::TooLarge(_))) && within.memory < most.values {
        // Without any memory meanwhile: two requests that wait for more would wait for each other.
        release_freed(permit.take());
        let waiting = RequestPermit::wait(memory, most);
        permit = Some(waiting.await.map_err(Undecodable::TooLarge)?);
        decoded = decode(frame, serializer, limits);
    }
    if decoded.as_ref().is_err_and(Undecodable::is_too_large) {
        release_freed(permit.take());
    }
    let decoded = decoded?;
    let (bytes, most) = (decoded.memory, MemoryNeed::most_in_python(limits));
    if bytes <= most && permit.as_mut().is_none_or(|permit| permit.resize(bytes)) {
        return Ok((decoded, permit));
    }
    // Its objects in a Python worker need more than it may have, or more than others leave.
    drop(decoded);
    release_freed(permit.take());
    if bytes > most {
        return Err(too_large_in_python(serializer, most));
    }
    let waiting = RequestPermit::wait(memory, MemoryNeed::exactly(bytes));
    let permit = waiting.await.map_err(Undecodable::TooLarge)?;
    Ok((decode(frame, serializer, limits)?, Some(permit)))
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

/// A call that stays serialized. An annotation describes it, in `marshal` with every serializer.
fn blob(
    frame: &Frame<'_>,
    serializer: Serializer,
    limits: &Limits,
) -> Result<(String, Operation), Exception> {
    let Some(about) = frame.body.annotation(&BLOB_ANNOTATION) else {
        return Err(Exception::new("builtins.KeyError", "BLBI"));
    };
    let read = Serializer::Marshal.decode(about, limits);
    let about = read.map_err(|error| error_place::undecodable(&error, &[]))?;
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

fn unreadable(error: &DecodeError, payload: &[u8]) -> Undecodable {
    let exception = error_place::undecodable(error, payload);
    match error.kind {
        DecodeErrorKind::Memory(_) => Undecodable::TooLarge(exception),
        _ => Undecodable::Malformed(exception),
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
