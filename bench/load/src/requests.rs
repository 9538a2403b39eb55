//! Client side of the protocol: encoded requests, connections with their handshake, single calls.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use serde_json::{Value as Json, json};
use wire::message::{Annotations, Body, Flags, FrameWriter, HEADER_LEN, Header, MessageType};
use wire::serializer::{CallRef, Serializer};
use wire::value::{Dict, Value};
use wire::{Limits, exception::Exception};

use crate::answers::AnswerCounter;
use crate::job::{CallTarget, Lengths};
use crate::stream::LoadStream;

/// Time without an answer after which a measurement has failed.
const SERVER_TIMEOUT: Duration = Duration::from_secs(20);

impl CallTarget {
    fn serializer(&self) -> Result<Serializer, String> {
        Serializer::from_name(&self.serializer)
            .ok_or_else(|| format!("there is no serializer `{}`", self.serializer))
    }

    /// The bytes of the request.
    pub(crate) fn encode_request(&self, flags: Flags) -> Result<Vec<u8>, String> {
        if let Some(Lengths { request, .. }) = self.raw {
            return Ok(vec![0; request]);
        }
        let serializer = self.serializer()?;
        let args: Vec<Value> = self.args.iter().map(to_value).collect();
        let call = CallRef { object: &self.object, method: &self.method, args: &args, kwargs: &[] };
        encode_message(MessageType::Invoke, serializer, flags, |out| {
            serializer.encode_call(call, out).map_err(|error| error.to_string())
        })
    }

    /// The counter for this server's answers.
    pub(crate) fn answer_counter(&self) -> AnswerCounter {
        match self.raw {
            None => AnswerCounter::framed(),
            Some(Lengths { answer, .. }) => AnswerCounter::fixed(answer),
        }
    }

    /// Opens a connection and does the handshake.
    pub(crate) fn connect(&self) -> Result<LoadStream, String> {
        self.connect_recorded().map(|(stream, _)| stream)
    }

    /// The same, with the server's message of the handshake.
    fn connect_recorded(&self) -> Result<(LoadStream, Vec<u8>), String> {
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            format!("cannot {what} {}: {error}", self.address)
        };
        let address = self
            .address
            .to_socket_addrs()
            .map_err(|error| failed("resolve", &error))?
            .next()
            .ok_or_else(|| failed("resolve", &"no address"))?;
        let socket = TcpStream::connect_timeout(&address, SERVER_TIMEOUT)
            .map_err(|error| failed("connect to", &error))?;
        let set = socket
            .set_nodelay(true)
            .and_then(|()| socket.set_read_timeout(Some(SERVER_TIMEOUT)))
            .and_then(|()| socket.set_write_timeout(Some(SERVER_TIMEOUT)));
        set.map_err(|error| failed("set options of a connection to", &error))?;
        let mut stream = match &self.cacerts {
            None => LoadStream::Plain(socket),
            Some(cacerts) => {
                let host = self.address.rsplit_once(':').map_or("", |(host, _)| host);
                LoadStream::with_tls(socket, host, cacerts)
                    .map_err(|error| failed("connect to", &error))?
            }
        };
        let answer = self.shake_hands(&mut stream);
        let answer = answer.map_err(|error| failed("shake hands with", &error))?;
        Ok((stream, answer))
    }

    /// Does the handshake; returns the server's message of it, which a `raw_server` has none of.
    fn shake_hands(&self, stream: &mut LoadStream) -> Result<Vec<u8>, String> {
        let io = |error: std::io::Error| error.to_string();
        if let Some(Lengths { request, answer }) = self.raw {
            let lengths = [request as u64, answer as u64].map(u64::to_be_bytes).concat();
            return stream.write_all(&lengths).map(|()| Vec::new()).map_err(io);
        }
        let serializer = self.serializer()?;
        let mut hello = Dict::with_capacity(2);
        hello.insert("handshake", "hello");
        hello.insert("object", self.object.as_str());
        let bytes = encode_message(MessageType::Connect, serializer, Flags::default(), |out| {
            serializer.encode(&Value::Dict(hello), out).map_err(|error| error.to_string())
        })?;
        let (header, message) = exchange(stream, &bytes)?;
        if matches!(header.kind, MessageType::ConnectOk) {
            return Ok(message);
        }
        let limits = Limits::default();
        let body = message.get(HEADER_LEN..).unwrap_or_default();
        let reason = Body::parse(&header, body, &limits)
            .ok()
            .and_then(|body| serializer.decode(&body.payload, &limits).ok());
        Err(reason.map_or_else(|| "refused".to_owned(), |reason| reason.to_string()))
    }
}

/// A whole message.
fn encode_message(
    kind: MessageType,
    serializer: Serializer,
    flags: Flags,
    payload: impl FnOnce(&mut Vec<u8>) -> Result<(), String>,
) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let none = Annotations::new();
    let mut frame = FrameWriter::begin(&mut out, kind, serializer.id(), 1, &none)
        .map_err(|error| error.to_string())?;
    payload(frame.payload())?;
    frame.finish(flags, None, false, usize::MAX).map_err(|error| error.to_string())?;
    Ok(out)
}

/// Opens a connection and makes one call; returns the whole answer.
pub(crate) fn call_once(target: &CallTarget) -> Result<(Header, Vec<u8>), String> {
    let (_, header, answer) = call_recorded(target)?;
    Ok((header, answer))
}

/// The server's messages of a handshake and of a call.
pub(crate) fn record_messages(target: &CallTarget) -> Result<(Vec<u8>, Vec<u8>), String> {
    let (handshake, header, answer) = call_recorded(target)?;
    decode_result(target, &header, &answer)?;
    Ok((handshake, answer))
}

fn call_recorded(target: &CallTarget) -> Result<(Vec<u8>, Header, Vec<u8>), String> {
    let request = target.encode_request(Flags::default())?;
    let (mut stream, handshake) = target.connect_recorded()?;
    let (header, answer) =
        exchange(&mut stream, &request).map_err(|error| format!("{}: {error}", target.address))?;
    Ok((handshake, header, answer))
}

/// Sends a message and reads the answer: its header, and the whole of it.
fn exchange(stream: &mut LoadStream, message: &[u8]) -> Result<(Header, Vec<u8>), String> {
    let io = |error: std::io::Error| error.to_string();
    stream.write_all(message).map_err(io)?;
    stream.flush().map_err(io)?;
    let mut head = [0; HEADER_LEN];
    stream.read_exact(&mut head).map_err(io)?;
    let header = Header::decode(&head, &Limits::default()).map_err(|error| error.to_string())?;
    let mut answer = head.to_vec();
    answer.resize(HEADER_LEN + header.body_len(), 0);
    stream.read_exact(answer.get_mut(HEADER_LEN..).unwrap_or_default()).map_err(io)?;
    Ok((header, answer))
}

/// Measures the lengths of a request and its answer, which a `raw_server` then exchanges.
pub(crate) fn measure_lengths(target: &CallTarget) -> Result<Json, String> {
    let (header, answer) = call_once(target)?;
    decode_result(target, &header, &answer)?;
    let request = target.encode_request(Flags::default())?.len();
    Ok(json!({ "request": request, "answer": answer.len() }))
}

/// The value in an answer.
pub(crate) fn decode_result(
    target: &CallTarget,
    header: &Header,
    answer: &[u8],
) -> Result<Value, String> {
    let limits = Limits::default();
    let body = answer.get(HEADER_LEN..).unwrap_or_default();
    let body = Body::parse(header, body, &limits).map_err(|error| error.to_string())?;
    let value = target
        .serializer()?
        .decode(&body.payload, &limits)
        .map_err(|error| format!("an answer that cannot be read: {error}"))?;
    match Exception::from_value(&value) {
        Some(exception) if header.flags.contains(Flags::EXCEPTION) => {
            Err(format!("the server raised {exception}"))
        }
        _ => Ok(value),
    }
}

/// An argument from JSON.
fn to_value(json: &Json) -> Value {
    match json {
        Json::Null => Value::None,
        Json::Bool(truth) => Value::Bool(*truth),
        Json::Number(number) => match number.as_i64() {
            Some(number) => Value::Int(number),
            None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::Str(text.clone()),
        Json::Array(items) => Value::List(items.iter().map(to_value).collect()),
        Json::Object(entries) => Value::Dict(
            entries.iter().map(|(key, item)| (Value::from(key.as_str()), to_value(item))).collect(),
        ),
    }
}
