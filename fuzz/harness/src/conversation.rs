//! Translation of a fuzzer's bytes into the messages of a client. Every input gives a conversation.

use wire::message::{Flags, FrameWriter, MessageType};
use wire::serializer::{CallRef, Serializer};
use wire::value::Value;

/// The bytes of a fuzzer, taken from the front. After their end come zeros.
pub(crate) struct FuzzBytes<'a>(pub(crate) &'a [u8]);

impl<'a> FuzzBytes<'a> {
    pub(crate) fn take_byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn pick<T: Copy>(&mut self, from: &[T], otherwise: T) -> T {
        let at = usize::from(self.take_byte()) % from.len().max(1);
        from.get(at).copied().unwrap_or(otherwise)
    }

    pub(crate) fn serializer(&mut self) -> Serializer {
        self.pick(&Serializer::ALL, Serializer::Serpent)
    }
}

const OBJECTS: [&str; 4] = ["target", "Pyro.Daemon", "nobody", ""];
const METHODS: [&str; 18] = [
    "echo",
    "fail",
    "later",
    "count",
    "poke",
    "level",
    "__getattr__",
    "__setattr__",
    "registered",
    "ping",
    "info",
    "get_metadata",
    "get_next_stream_item",
    "close_stream",
    "_private",
    "__len__",
    "a.b",
    "<batch>",
];

/// Writes a frame. Input: type, flags, sequence number, 2 bytes of annotation, length, payload.
fn write_frame(bytes: &mut FuzzBytes<'_>, serializer: Serializer, out: &mut Vec<u8>) {
    const KINDS: [MessageType; 6] = [
        MessageType::Connect,
        MessageType::ConnectOk,
        MessageType::ConnectFail,
        MessageType::Invoke,
        MessageType::Result,
        MessageType::Ping,
    ];
    let kind = bytes.pick(&KINDS, MessageType::Invoke);
    let flags = Flags::from_bits_retain(bytes.take_byte().into()).difference(Flags::COMPRESSED);
    let seq = bytes.take_byte().into();
    let annotations = vec![(*b"FUZZ", bytes.take(2).to_vec())];
    let len = usize::from(bytes.take_byte());
    let Ok(mut frame) = FrameWriter::begin(out, kind, serializer.id(), seq, &annotations) else {
        return;
    };
    frame.payload().extend_from_slice(bytes.take(len));
    let compress = len % 2 == 1;
    // A frame that cannot be written is left out.
    let _ = frame.finish(flags, None, compress, usize::MAX);
}

/// Writes a call. Input: object, method, flags, sequence number, arguments.
fn write_call(bytes: &mut FuzzBytes<'_>, serializer: Serializer, out: &mut Vec<u8>) {
    let object = bytes.pick(&OBJECTS, "target");
    let method = bytes.pick(&METHODS, "echo");
    let flags = bytes.pick(
        &[
            Flags::empty(),
            Flags::ONEWAY,
            Flags::BATCH,
            Flags::ONEWAY | Flags::BATCH,
            Flags::CORR_ID,
        ],
        Flags::empty(),
    );
    let seq = bytes.take_byte().into();
    let count = bytes.take_byte() % 4;
    let args: Vec<Value> = (0..count).map(|_| read_value(bytes, 3)).collect();
    let kwargs = match bytes.take_byte() % 4 {
        0 => vec![("count".to_owned(), read_value(bytes, 2))],
        _ => Vec::new(),
    };
    let Ok(mut frame) =
        FrameWriter::begin(out, MessageType::Invoke, serializer.id(), seq, &Vec::new())
    else {
        return;
    };
    let call = CallRef { object, method, args: &args, kwargs: &kwargs };
    if serializer.encode_call(call, frame.payload()).is_ok() {
        let _ = frame.finish(flags, None, false, usize::MAX);
    }
}

/// Reads a value. Input: type, then its content.
fn read_value(bytes: &mut FuzzBytes<'_>, depth: u8) -> Value {
    let few = |bytes: &mut FuzzBytes<'_>| -> Vec<Value> {
        let count = if depth == 0 { 0 } else { bytes.take_byte() % 4 };
        (0..count).map(|_| read_value(bytes, depth - 1)).collect()
    };
    match bytes.take_byte() % 10 {
        0 => Value::None,
        1 => Value::Bool(bytes.take_byte().is_multiple_of(2)),
        2 => Value::Int(i64::from(bytes.take_byte()) - 128),
        3 => Value::Int(i64::MAX - i64::from(bytes.take_byte())),
        4 => Value::Float(f64::from(bytes.take_byte()) / 8.0),
        5 => Value::from(bytes.pick(&METHODS, "echo")),
        6 => Value::List(few(bytes)),
        7 => Value::Tuple(few(bytes)),
        8 => Value::bytes(bytes.take(3)),
        _ => Value::Dict(few(bytes).into_iter().map(|value| ("key", value)).collect()),
    }
}

/// Writes a handshake for `object`.
pub(crate) fn write_handshake(serializer: Serializer, object: &str, out: &mut Vec<u8>) {
    let data = [("handshake", Value::from("hello")), ("object", Value::from(object))];
    let data = Value::Dict(data.into_iter().collect());
    let begun = FrameWriter::begin(out, MessageType::Connect, serializer.id(), 0, &Vec::new());
    let Ok(mut frame) = begun else { return };
    if serializer.encode(&data, frame.payload()).is_ok() {
        let _ = frame.finish(Flags::empty(), None, false, usize::MAX);
    }
}

/// Writes steps until the input ends. Input of a step: type (frame, raw bytes, change of
/// serializer, call), then its content.
pub(crate) fn write_steps(mut bytes: FuzzBytes<'_>, mut serializer: Serializer, out: &mut Vec<u8>) {
    while !bytes.0.is_empty() {
        match bytes.take_byte() % 8 {
            0 => write_frame(&mut bytes, serializer, out),
            1 => {
                let len = usize::from(bytes.take_byte());
                out.extend_from_slice(bytes.take(len));
            }
            2 => serializer = bytes.serializer(),
            _ => write_call(&mut bytes, serializer, out),
        }
    }
}
