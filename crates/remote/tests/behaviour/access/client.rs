//! A client in raw frames: it names any object in each request.

use remote::{Exception, Location, Serializer, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wire::Limits;
use wire::message::{Flags, FrameWriter, HEADER_LEN, Header, MessageType};
use wire::serializer::CallRef;
use wire::value::Dict;

use super::matrix::Path;
use crate::common::within;

/// A connection that may name any object in each request.
pub(super) struct Client {
    stream: TcpStream,
    serializer: Serializer,
    seq: u16,
}

/// The answer to a request.
#[derive(Debug)]
pub(super) enum Heard {
    Value(Value),
    Raised(Exception),
    Stream(String),
}

impl Client {
    pub(super) async fn connect(location: &Location, serializer: Serializer) -> Self {
        let Location::Tcp { host, port } = location else { panic!("TCP only") };
        let stream = TcpStream::connect((host.as_str(), *port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut client = Client { stream, serializer, seq: 0 };
        let mut hello = Dict::new();
        hello.insert("handshake", "hello");
        hello.insert("object", "Pyro.Daemon");
        let mut payload = Vec::new();
        serializer.encode(&Value::Dict(hello), &mut payload).unwrap();
        client.send(MessageType::Connect, Flags::default(), &payload, &[]).await;
        let (header, _, _) = client.receive().await;
        assert_eq!(header.kind, MessageType::ConnectOk);
        client
    }

    async fn send(
        &mut self,
        kind: MessageType,
        flags: Flags,
        payload: &[u8],
        annotations: &[([u8; 4], Vec<u8>)],
    ) {
        self.seq = self.seq.wrapping_add(1);
        let mut out = Vec::new();
        let (serializer, annotations) = (self.serializer.id(), annotations.to_vec());
        let mut frame =
            FrameWriter::begin(&mut out, kind, serializer, self.seq, &annotations).unwrap();
        frame.payload().extend_from_slice(payload);
        frame.finish(flags, None, false, usize::MAX).unwrap();
        self.stream.write_all(&out).await.unwrap();
    }

    async fn receive(&mut self) -> (Header, Vec<u8>, Vec<u8>) {
        let mut head = [0; HEADER_LEN];
        within(self.stream.read_exact(&mut head)).await.unwrap();
        let header = Header::decode(&head, &Limits::default()).unwrap();
        let mut body = vec![0; header.body_len()];
        within(self.stream.read_exact(&mut body)).await.unwrap();
        let annotations = usize::try_from(header.annotations_len).unwrap();
        let payload = body.split_off(annotations);
        (header, body, payload)
    }

    async fn request(
        &mut self,
        object: &str,
        method: &str,
        args: &[Value],
        flags: Flags,
    ) -> Option<Heard> {
        let mut payload = Vec::new();
        let call = CallRef { object, method, args, kwargs: &[] };
        self.serializer.encode_call(call, &mut payload).unwrap();
        self.send(MessageType::Invoke, flags, &payload, &[]).await;
        if flags.contains(Flags::ONEWAY) { None } else { Some(self.heard().await) }
    }

    async fn heard(&mut self) -> Heard {
        let (header, annotations, payload) = self.receive().await;
        if header.flags.contains(Flags::ITEMSTREAMRESULT) {
            let text = String::from_utf8_lossy(&annotations).into_owned();
            let at = text.find("STRM").expect("the stream's id");
            return Heard::Stream(text[at + 8..at + 8 + 36].to_owned());
        }
        let value = self.serializer.decode(&payload, &Limits::default()).unwrap();
        if header.flags.contains(Flags::EXCEPTION) {
            return Heard::Raised(Exception::from_value(&value).expect("an exception"));
        }
        // The exception of a batch stands in its place.
        if let Value::List(results) | Value::Tuple(results) = &value
            && let Some(raised) = results.last().and_then(wire::exception::unwrap_from_batch)
        {
            return Heard::Raised(raised);
        }
        Heard::Value(value)
    }

    pub(super) async fn call(&mut self, object: &str, method: &str, args: &[Value]) -> Heard {
        self.request(object, method, args, Flags::default()).await.unwrap()
    }

    /// Makes a use by its path; `None` for the answer to a oneway call.
    pub(super) async fn make(
        &mut self,
        object: &str,
        path: Path,
        stream: Option<&str>,
    ) -> Option<Heard> {
        let uri = || Value::from(format!("PYRO:{object}@localhost:1"));
        let entry = |method: &str| {
            Value::Tuple(vec![method.into(), Value::Tuple(Vec::new()), Value::Dict(Dict::new())])
        };
        let batch = |method| vec![entry("look"), entry(method)];
        let id = || Value::from(stream.unwrap_or_default().to_owned());
        let daemon = "Pyro.Daemon";
        let none = Flags::default();
        match path {
            Path::Call(method) => self.request(object, method, &[], none).await,
            Path::Oneway(method) => self.request(object, method, &[], Flags::ONEWAY).await,
            Path::Batch(method) => {
                self.request(object, "<batch>", &batch(method), Flags::BATCH).await
            }
            Path::OnewayBatch(method) => {
                let flags = Flags::BATCH | Flags::ONEWAY;
                self.request(object, "<batch>", &batch(method), flags).await
            }
            Path::Blob(method) => {
                let about = Value::Tuple(vec!["info".into(), object.into(), method.into()]);
                let mut annotation = Vec::new();
                Serializer::Marshal.encode(&about, &mut annotation).unwrap();
                let mut payload = Vec::new();
                let call = CallRef { object, method, args: &[1.into()], kwargs: &[] };
                self.serializer.encode_call(call, &mut payload).unwrap();
                let annotations = [(*b"BLBI", annotation)];
                let flags = Flags::KEEPSERIALIZED;
                self.send(MessageType::Invoke, flags, &payload, &annotations).await;
                Some(self.heard().await)
            }
            Path::Get => self.request(object, "__getattr__", &["level".into()], none).await,
            Path::Set => {
                self.request(object, "__setattr__", &["level".into(), 5.into()], none).await
            }
            Path::Stream => match self.call(object, "scan", &[]).await {
                Heard::Stream(id) => {
                    Some(self.call(daemon, "get_next_stream_item", &[id.into()]).await)
                }
                refused => Some(refused),
            },
            Path::Item => self.request(daemon, "get_next_stream_item", &[id()], none).await,
            Path::CloseStream => self.request(daemon, "close_stream", &[id()], none).await,
            Path::GetMetadata => self.request(daemon, "get_metadata", &[object.into()], none).await,
            Path::Registered => self.request(daemon, "registered", &[], none).await,
            Path::Release => self.request(daemon, "release", &[uri()], none).await,
            Path::Abort => self.request(daemon, "abort", &[uri()], none).await,
        }
    }
}
