//! The frames of a channel: builds requests, reads answers.
//!
//! [`protocol`](crate::protocol) describes them. Knows nothing of sockets.

use std::net::SocketAddr;
use std::sync::Arc;

use remote::{Context, HealthCheck, MethodCall, Operation, Peer, Serialized, Serializer, Session};
use wire::array::Array;
use wire::exception::Exception;
use wire::message::{Annotations, Flags};
use wire::value::{Dict, Value};
use wire::{DecodeError, EncodeError, Limits, marshal, msgpack, packed};

use crate::protocol::{
    ABORT, BATCH, BEGUN, BIND, CALL, CLOSE, END, FINISH, FLAG_NO_INSTANCE, GET, HEALTH, LEAVE,
    NEXT, NO_INSTANCE, NOT_MADE, RAISED, REFUSED, REST, SET, STREAM, UNBIND, UNPIN, VALUE,
};

/// Size in bytes of the length before a frame's content.
pub(crate) const HEAD: usize = 4;

/// Longest content of a frame, in bytes. A daemon's limit for messages is far below.
pub const MAX_FRAME_BYTES: usize = (1 << 30) - 1;

/// Bit of a frame's length: its content has arrays as packed bytes.
const PACKED: u32 = 1 << 31;
/// Bit of a frame's length: its content is the packed result itself, without a tuple around it.
const PACKED_RESULT: u32 = 1 << 30;

/// The form of a frame's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameForm {
    /// A tuple in marshal.
    Plain,
    /// A tuple with arrays as packed bytes ([`wire::packed`]).
    Packed,
    /// A result with arrays, as a client that knows them reads it.
    PackedResult,
}

/// The exception of a call that a worker has answered with something that is no answer to it.
pub(crate) fn unexpected_answer() -> Exception {
    Exception::daemon_error("the worker's answer does not fit the call")
}

/// An answer of a worker.
#[derive(Debug, PartialEq)]
pub(crate) enum Answered {
    /// A result.
    Value(Value, Annotations),
    /// A result in the caller's serializer.
    Serialized(Serialized),
    /// An exception.
    Raised(Exception),
    /// The exception of an entry of a batch for which there is no instance, or no such method.
    NotMade(Exception),
    /// The number of an item stream.
    Stream(i64, Annotations),
    /// An item cannot be sent; the stream goes on.
    Refused(Exception),
    /// There are no more items.
    End,
    /// A oneway method has begun, on a thread for itself.
    Begun,
    /// The call would need a new instance, and must not have one.
    NoInstance,
}

/// A frame that is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnswerError {
    /// Its content cannot be read: a result beyond our data model.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// It is of another shape.
    #[error("an answer of an unknown shape")]
    Shape,
}

/// Appends a frame to `out`. Its arrays are written as lists.
///
/// # Errors
/// A value that marshal has no form for; `out` is then as it was.
pub(crate) fn append(out: &mut Vec<u8>, content: &Value) -> Result<(), EncodeError> {
    append_as(out, |out| Serializer::Marshal.encode(content, out).map(|()| (false, None))).map(drop)
}

/// Appends a frame to `out`, for a worker that knows arrays. The elements of the array that is
/// returned are the rest of the frame.
///
/// # Errors
/// As [`append`].
pub(crate) fn append_with_arrays(
    out: &mut Vec<u8>,
    content: &Value,
) -> Result<Option<Arc<Array>>, EncodeError> {
    append_as(out, |out| packed::encode_but_last(content, out))
}

fn append_as(
    out: &mut Vec<u8>,
    encode: impl FnOnce(&mut Vec<u8>) -> Result<(bool, Option<Arc<Array>>), EncodeError>,
) -> Result<Option<Arc<Array>>, EncodeError> {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD]);
    let (has_arrays, last) = encode(out).inspect_err(|_| out.truncate(start))?;
    let len = out.len() - start - HEAD + last.as_ref().map_or(0, |array| array.data().len());
    if len > MAX_FRAME_BYTES {
        out.truncate(start);
        let (what, serializer) = ("a request to a Python worker", Serializer::Marshal);
        return Err(EncodeError::TooLong { what, len, serializer });
    }
    let length = u32::try_from(len).unwrap_or_default() | if has_arrays { PACKED } else { 0 };
    if let Some(head) = out.get_mut(start..start + HEAD) {
        head.copy_from_slice(&length.to_be_bytes());
    }
    Ok(last)
}

/// The length that a frame's head announces.
pub(crate) fn length(head: [u8; HEAD]) -> usize {
    usize::try_from(u32::from_be_bytes(head)).unwrap_or(usize::MAX)
}

/// The form and the length that the head of an answer's frame announces.
pub(crate) fn form_and_length(head: [u8; HEAD]) -> (FrameForm, usize) {
    let bits = u32::from_be_bytes(head);
    let form = match (bits & PACKED, bits & PACKED_RESULT) {
        (0, _) => return (FrameForm::Plain, length(head)),
        (_, 0) => FrameForm::Packed,
        _ => FrameForm::PackedResult,
    };
    (form, length((bits & !(PACKED | PACKED_RESULT)).to_be_bytes()))
}

/// Reads the content of a frame.
pub(crate) fn read(content: &[u8]) -> Result<Value, DecodeError> {
    Serializer::Marshal.decode(content, &limits())
}

fn limits() -> Limits {
    // an answer is wrapped twice: in a tuple, and in the dict of an exception
    // and what it takes is measured by what may be sent of it, which is known only later
    Limits { depth: Limits::default().depth + 4, memory: usize::MAX, ..Limits::default() }
}

/// The frame of an operation on a service; `oneway` is the number of a oneway call that runs beside
/// the next calls, or 0.
pub(crate) fn request(
    service: &str,
    operation: Operation,
    context: Context,
    pin: i64,
    oneway: i64,
) -> Value {
    let (kind, member, args, kwargs) = match operation {
        Operation::Call(call) => (CALL, call.method, call.args, keywords(call.kwargs)),
        Operation::GetAttr(name) => (GET, name, Vec::new(), Dict::new()),
        Operation::SetAttr(name, value) => (SET, name, vec![value], Dict::new()),
        Operation::Batch(calls) => {
            (BATCH, String::new(), calls.into_iter().map(entry).collect(), Dict::new())
        }
        Operation::Blob(blob) => {
            let args = vec![blob.info, blob.serializer.id().into(), Value::bytes(blob.payload)];
            (CALL, blob.method, args, Dict::new())
        }
    };
    let mut flags = i64::from(context.flags.bits());
    if context.no_instance.is_some() {
        flags |= FLAG_NO_INSTANCE;
    }
    // The content of a blob is passed on unread.
    let has_classes = !context.flags.contains(Flags::KEEPSERIALIZED) && args.iter().any(has_class)
        || kwargs.iter().any(|(_, value)| has_class(value));
    Value::Tuple(vec![
        kind.into(),
        service.into(),
        member.into(),
        args.into(),
        kwargs.into(),
        context.serializer.id().into(),
        flags.into(),
        context.seq.into(),
        Value::bytes(context.correlation_id),
        annotations(context.annotations),
        has_classes.into(),
        pin.into(),
        oneway.into(),
    ])
}

fn entry(call: MethodCall) -> Value {
    Value::Tuple(vec![call.method.into(), call.args.into(), keywords(call.kwargs).into()])
}

fn keywords(kwargs: Vec<(String, Value)>) -> Dict {
    kwargs.into_iter().map(|(key, value)| (Value::Str(key), value)).collect()
}

fn annotations(annotations: Annotations) -> Value {
    let pair = |(key, data): ([u8; 4], Vec<u8>)| {
        Value::Tuple(vec![String::from_utf8_lossy(&key).into_owned().into(), Value::Bytes(data)])
    };
    Value::List(annotations.into_iter().map(pair).collect())
}

/// Whether a value holds a dict that stands for an object of some class.
fn has_class(value: &Value) -> bool {
    match value {
        Value::List(items) | Value::Tuple(items) => items.iter().any(has_class),
        Value::Dict(dict) => {
            dict.contains("__class__") || dict.iter().any(|(_, value)| has_class(value))
        }
        // the members of sets are hashable, and dicts are not
        _ => false,
    }
}

/// The frame that asks for an item of a stream.
pub(crate) fn next_item(stream: i64, context: Context) -> Value {
    Value::Tuple(vec![
        NEXT.into(),
        stream.into(),
        context.serializer.id().into(),
        context.flags.bits().into(),
        context.seq.into(),
        Value::bytes(context.correlation_id),
        annotations(context.annotations),
    ])
}

/// The frame that closes a stream.
pub(crate) fn close_stream(stream: i64) -> Value {
    Value::Tuple(vec![CLOSE.into(), stream.into()])
}

/// The frame that closes a stream and is answered when that is done.
pub(crate) fn finish_stream(stream: i64) -> Value {
    Value::Tuple(vec![FINISH.into(), stream.into()])
}

/// The frame that makes a channel part of a session.
pub(crate) fn bind(session: &Session) -> Value {
    let peer = match session.peer {
        Peer::Tcp(address) => Some(address),
        Peer::Unix { .. } | Peer::Daemon(_) => None,
    };
    let (peer, own) = (socket_name(peer), socket_name(session.reached_at));
    Value::Tuple(vec![BIND.into(), number(session.id), peer, own, session.object.as_str().into()])
}

/// An address as Python's sockets name it; "" for a Unix socket.
fn socket_name(address: Option<SocketAddr>) -> Value {
    let Some(address) = address else { return Value::from("") };
    let mut parts = vec![address.ip().to_string().into(), address.port().into()];
    if let SocketAddr::V6(address) = address {
        parts.extend([address.flowinfo().into(), address.scope_id().into()]);
    }
    Value::Tuple(parts)
}

/// The frame that takes a channel out of its session.
pub(crate) fn unbind() -> Value {
    Value::Tuple(vec![UNBIND.into()])
}

/// The frame after the last entry of a batch.
pub(crate) fn unpin(pin: i64) -> Value {
    Value::Tuple(vec![UNPIN.into(), pin.into()])
}

/// The frame that calls a method of the safe state; on an instance made for it, if need be.
pub(crate) fn to_rest(service: &str, method: &str, makes_instance: bool) -> Value {
    Value::Tuple(vec![REST.into(), service.into(), method.into(), makes_instance.into()])
}

/// The frame that runs or skips the safe state of a session's instance at the session's end.
pub(crate) fn leave(service: &str, rests: bool) -> Value {
    Value::Tuple(vec![LEAVE.into(), service.into(), rests.into()])
}

/// The frame that has a method called beside running calls, on the instances of these sessions; of
/// all sessions if `None`.
pub(crate) fn abort(service: &str, method: &str, sessions: Option<Vec<u64>>) -> Value {
    let sessions = sessions.map(|ids| Value::List(ids.into_iter().map(number).collect()));
    let sessions = sessions.unwrap_or(Value::None);
    Value::Tuple(vec![ABORT.into(), service.into(), method.into(), sessions])
}

/// The number of a session.
fn number(session: u64) -> Value {
    i64::try_from(session).unwrap_or(i64::MAX).into()
}

/// The frame of a health check.
pub(crate) fn health(service: &str, check: HealthCheck) -> Value {
    let HealthCheck { member, replaces_instance } = check;
    Value::Tuple(vec![HEALTH.into(), service.into(), member.into(), replaces_instance.into()])
}

/// The beginning of an answer that is a result, without annotations.
const RESULT: &[u8] = b"(\x02\0\0\0i\0\0\0\0";
/// A `bytes` begins with its code and its length.
const BYTES: (u8, usize) = (b's', 5);

/// Whether an answer is a result of `bytes`, of which [`pass_on`] looks at the beginning only.
pub(crate) fn is_bytes_result(content: &[u8]) -> bool {
    content.strip_prefix(RESULT).is_some_and(|value| value.first() == Some(&BYTES.0))
}

/// The result that `buffer` ends with, from `start` on, where it is the same in the caller's
/// serializer, or becomes so in its place, and so need not be read; else the buffer again.
pub(crate) fn pass_on(
    mut buffer: Vec<u8>,
    start: usize,
    form: FrameForm,
    serializer: Serializer,
) -> Result<Serialized, Vec<u8>> {
    match form {
        FrameForm::Plain => {}
        FrameForm::Packed => return Err(buffer),
        FrameForm::PackedResult => return Serialized::packed(buffer, start),
    }
    let content = buffer.get(start..).unwrap_or_default();
    let from = start + RESULT.len();
    let Some(value) = content.strip_prefix(RESULT) else { return Err(buffer) };
    // The rest of a value is checked when it is read.
    let is_bytes = value.first() == Some(&BYTES.0);
    if serializer == Serializer::Msgpack && !is_bytes {
        let value = buffer.get_mut(from..).unwrap_or_default();
        return match msgpack::marshal_floats_to_msgpack(value) {
            Some(skipped) => Ok(Serialized::value(serializer, buffer, from + skipped)),
            None => Err(buffer),
        };
    }
    match serializer {
        _ if !(is_bytes || serializer == Serializer::Marshal) => Err(buffer),
        _ if !marshal::is_canonical(value) => Err(buffer),
        Serializer::Marshal => Ok(Serialized::value(serializer, buffer, from)),
        _ => Serialized::bytes(serializer, buffer, from + BYTES.1),
    }
}

/// Reads an answer.
pub(crate) fn answer(form: FrameForm, content: &[u8]) -> Result<Answered, AnswerError> {
    let value = match form {
        FrameForm::Plain => read(content)?,
        FrameForm::Packed | FrameForm::PackedResult => {
            packed::decode_counted(content, &limits())?.0
        }
    };
    if form == FrameForm::PackedResult {
        return Ok(Answered::Value(value, Annotations::new()));
    }
    let Value::Tuple(items) = value else { return Err(AnswerError::Shape) };
    let mut items = items.into_iter();
    let kind = items.next().and_then(|kind| kind.as_i64());
    let (body, left) = (items.next(), items.next());
    match (kind, body) {
        (Some(VALUE), Some(value)) => Ok(Answered::Value(value, left_annotations(left))),
        (Some(RAISED), Some(state)) => Ok(Answered::Raised(exception(&state))),
        (Some(NOT_MADE), Some(state)) => Ok(Answered::NotMade(exception(&state))),
        (Some(REFUSED), Some(state)) => Ok(Answered::Refused(exception(&state))),
        (Some(STREAM), Some(Value::Int(stream))) => {
            Ok(Answered::Stream(stream, left_annotations(left)))
        }
        (Some(END), None) => Ok(Answered::End),
        (Some(BEGUN), None) => Ok(Answered::Begun),
        (Some(NO_INSTANCE), None) => Ok(Answered::NoInstance),
        _ => Err(AnswerError::Shape),
    }
}

fn left_annotations(left: Option<Value>) -> Annotations {
    let Some(Value::List(pairs)) = left else { return Annotations::new() };
    let pair = |pair: Value| match pair {
        Value::Tuple(pair) => match <[Value; 2]>::try_from(pair) {
            // Pyro5 refuses other keys, after the call
            Ok([Value::Str(key), Value::Bytes(data)]) => {
                Some((<[u8; 4]>::try_from(key.as_bytes()).ok()?, data))
            }
            _ => None,
        },
        _ => None,
    };
    pairs.into_iter().filter_map(pair).collect()
}

/// The exception of a class dict. One that a registered class serializer has made need not have the
/// usual shape, and is passed on as it is.
pub(crate) fn exception(state: &Value) -> Exception {
    if let Some(exception) = Exception::from_value(state) {
        return exception;
    }
    let Some(dict) = state.as_dict() else {
        return Exception::pyro_error(format!("an exception that is no class dict: {state}"));
    };
    Exception::from_class_dict(dict.clone())
}
