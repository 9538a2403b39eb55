//! Messages on the control socket between a daemon and a worker, and the descriptors with them.
//!
//! [`protocol`](crate::protocol) describes them. Knows nothing of processes.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use remote::Metadata;
use remote::card::Card;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader, Interest};
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::mpsc;
use tracing::warn;
use wire::value::{Dict, Value};

use crate::channel::WorkerEnds;
use crate::frames::{self, HEAD};
use crate::spec::ServiceSpec;

/// The longest message of a worker, and the longest log record.
const MAX_MESSAGE_BYTES: usize = 16 << 20;

/// Something to be sent to a worker.
#[derive(Debug)]
pub(crate) struct Outgoing {
    bytes: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

impl Outgoing {
    fn new(content: Vec<Value>, descriptors: Vec<OwnedFd>) -> Self {
        let mut bytes = Vec::new();
        // Fails for nesting only, and none of our messages is deep: what is sent then is nothing.
        let _ = frames::append(&mut bytes, &Value::Tuple(content));
        Outgoing { bytes, descriptors }
    }

    /// The message, for tests.
    #[cfg(test)]
    pub(crate) fn content(&self) -> Value {
        frames::read(self.bytes.get(HEAD..).unwrap_or_default()).unwrap_or(Value::None)
    }

    /// Bytes without meaning to this module.
    pub(crate) fn raw(bytes: Vec<u8>) -> Self {
        Outgoing { bytes, descriptors: Vec::new() }
    }

    pub(crate) fn start(settings: Dict, log: OwnedFd) -> Self {
        Outgoing::new(vec!["start".into(), settings.into()], vec![log])
    }

    pub(crate) fn load<'a>(services: impl IntoIterator<Item = &'a ServiceSpec>) -> Self {
        let services = services.into_iter().map(ServiceSpec::to_value).collect::<Vec<_>>();
        Outgoing::new(vec!["load".into(), services.into()], Vec::new())
    }

    pub(crate) fn channel(ends: WorkerEnds) -> Self {
        Outgoing::new(vec!["channel".into()], ends.in_order())
    }

    pub(crate) fn beside(ends: WorkerEnds) -> Self {
        Outgoing::new(vec!["beside".into()], ends.in_order())
    }

    pub(crate) fn close_stream(stream: i64) -> Self {
        Outgoing::new(vec!["close_stream".into(), stream.into()], Vec::new())
    }

    pub(crate) fn ping(number: u64) -> Self {
        Outgoing::new(vec!["ping".into(), number.into()], Vec::new())
    }

    pub(crate) fn answer(number: i64, answer: Result<Value, String>) -> Self {
        let succeeded = answer.is_ok();
        let value = answer.unwrap_or_else(Value::Str);
        let content = vec!["answer".into(), number.into(), succeeded.into(), value];
        Outgoing::new(content, Vec::new())
    }

    pub(crate) fn stop(seconds: f64) -> Self {
        Outgoing::new(vec!["stop".into(), seconds.into()], Vec::new())
    }
}

/// Sends what comes, until there is no more or the worker does not listen any more.
pub(crate) async fn send_all(
    mut socket: OwnedWriteHalf,
    mut messages: mpsc::UnboundedReceiver<Outgoing>,
) {
    while let Some(Outgoing { bytes, descriptors }) = messages.recv().await {
        let sent = if descriptors.is_empty() {
            socket.write_all(&bytes).await
        } else {
            send_with(&mut socket, &bytes, &descriptors).await
        };
        if sent.is_err() {
            return;
        }
    }
}

async fn send_with(
    socket: &mut OwnedWriteHalf,
    bytes: &[u8],
    descriptors: &[OwnedFd],
) -> io::Result<()> {
    let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
    let stream = socket.as_ref();
    let sent = stream
        .async_io(Interest::WRITABLE, || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            if !ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)) {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            let parts = [IoSlice::new(bytes)];
            Ok(sendmsg(stream, &parts, &mut ancillary, SendFlags::NOSIGNAL)?)
        })
        .await?;
    socket.write_all(bytes.get(sent..).unwrap_or_default()).await
}

/// A message of a worker.
#[derive(Debug, PartialEq)]
pub(crate) enum Message {
    /// It runs.
    Hello { version: i64, facts: Facts },
    /// A service can be called. `remarks`: what is said of its members and does not fit.
    Loaded { service: String, members: Described, remarks: Vec<String> },
    /// The files that the driver of a service was imported from, that of its class first.
    Sources { service: String, files: Vec<SourceFile> },
    /// An instance has shown other members of a service than its class.
    Members { service: String, members: Described, remarks: Vec<String> },
    /// A service cannot be imported.
    Failed { service: String, trouble: Trouble },
    /// The constructor of a service has raised.
    Broken { service: String, trouble: Trouble },
    /// The constructor of a service that had raised has succeeded.
    Mended { service: String },
    /// Why it serves no new channels; `None`: it does again.
    Refuses { reason: Option<String> },
    /// A oneway call has ended.
    /// `raised`: class and text of the exception that it raised.
    Ended { number: i64, raised: Option<(String, String)> },
    /// It answers a ping.
    Pong,
    /// It ends: all instances are released, their safe states were reached, and no call runs.
    Released,
    /// It wants to know or to have something.
    Ask { number: i64, what: String, arguments: Vec<Value> },
}

/// Facts that a worker reports of its interpreter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The version: `3.11.7`.
    pub version: String,
    /// Path of the interpreter, as it sees it (`sys.executable`).
    pub executable: String,
    /// Whether it can import numpy.
    pub has_numpy: bool,
}

/// An exception that kept a service from working.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// As Python prints it last: `ModuleNotFoundError: No module named 'foo'`.
    pub text: String,
    /// As Python prints it in full.
    pub traceback: Vec<String>,
}

impl Message {
    /// Reads a message; `None` for one that is none of ours.
    pub(crate) fn read(content: Value) -> Option<Message> {
        let Value::Tuple(items) = content else { return None };
        let mut items = items.into_iter();
        let kind = text(items.next())?;
        Some(match kind.as_str() {
            "hello" => {
                let version = items.next()?.as_i64()?;
                let facts = items.next()?;
                let facts = facts.as_dict()?;
                let fact =
                    |name| facts.get(name).and_then(Value::as_str).unwrap_or_default().into();
                let facts = Facts {
                    version: fact("python"),
                    executable: fact("executable"),
                    has_numpy: facts.get("numpy").and_then(Value::as_bool).unwrap_or(false),
                };
                Message::Hello { version, facts }
            }
            "loaded" => {
                let service = text(items.next())?;
                let members = members(&items.next()?)?;
                Message::Loaded { service, members, remarks: names(items.next().as_ref()) }
            }
            "sources" => {
                let service = text(items.next())?;
                let listed = items.next()?;
                let files = listed.as_list()?.iter().filter_map(source_file).collect();
                Message::Sources { service, files }
            }
            "members" => {
                let service = text(items.next())?;
                let members = members(&items.next()?)?;
                Message::Members { service, members, remarks: names(items.next().as_ref()) }
            }
            "failed" => Message::Failed { service: text(items.next())?, trouble: trouble(items)? },
            "broken" => Message::Broken { service: text(items.next())?, trouble: trouble(items)? },
            "mended" => Message::Mended { service: text(items.next())? },
            "refuses" => Message::Refuses { reason: text(items.next()).map(cut) },
            "ended" => Message::Ended {
                number: items.next()?.as_i64()?,
                raised: text(items.next()).zip(text(items.next())),
            },
            "pong" => Message::Pong,
            "released" => Message::Released,
            "ask" => Message::Ask {
                number: items.next()?.as_i64()?,
                what: text(items.next())?,
                arguments: items.next()?.as_list()?.to_vec(),
            },
            _ => return None,
        })
    }
}

/// A file of a driver, as the worker saw it after the import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Its absolute path.
    pub path: PathBuf,
    /// The time of its last change, in nanoseconds since 1970.
    pub changed_ns: i64,
    /// Its size in bytes.
    pub size: u64,
}

fn source_file(value: &Value) -> Option<SourceFile> {
    let Value::Tuple(items) = value else { return None };
    let [path, changed, size] = items.as_slice() else { return None };
    Some(SourceFile {
        path: PathBuf::from(path.as_str()?),
        changed_ns: changed.as_i64()?,
        size: u64::try_from(size.as_i64()?).ok()?,
    })
}

fn text(value: Option<Value>) -> Option<String> {
    match value {
        Some(Value::Str(text)) => Some(text),
        _ => None,
    }
}

/// A list of names out of a dict of metadata.
fn names(value: Option<&Value>) -> Vec<String> {
    let items = value.and_then(Value::as_list).unwrap_or_default();
    items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The members of an object, as the worker lists and describes them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Described {
    /// Their names.
    pub names: Metadata,
    /// Their types and texts.
    pub card: Option<Card>,
}

/// Reads the members of an object.
pub(crate) fn members(value: &Value) -> Option<Described> {
    let dict = value.as_dict()?;
    let names = Metadata {
        methods: names(dict.get("methods")),
        oneway: names(dict.get("oneway")),
        attrs: names(dict.get("attrs")),
        docs: Vec::new(),
    };
    Some(Described { names, card: dict.get("card").and_then(Card::from_value) })
}

/// A driver may raise megabytes of text; what goes into reports, tables and logs is its beginning.
const MOST_TEXT: usize = 2 * 1024;
const MOST_LINES: usize = 50;

fn trouble(mut items: impl Iterator<Item = Value>) -> Option<Trouble> {
    let _class = items.next()?;
    let text = cut(text(items.next())?);
    let mut traceback = names(items.next().as_ref());
    // The last lines say what happened, and where.
    let surplus = traceback.len().saturating_sub(MOST_LINES);
    traceback.drain(..surplus);
    Some(Trouble { text, traceback: traceback.into_iter().map(cut).collect() })
}

fn cut(mut text: String) -> String {
    if text.len() > MOST_TEXT {
        let end = (0..=MOST_TEXT).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Reads frames one after the other.
pub(crate) struct FrameReader<R> {
    reader: BufReader<R>,
    content: Vec<u8>,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(crate) fn new(reader: R) -> Self {
        FrameReader { reader: BufReader::new(reader), content: Vec::new() }
    }

    /// The content of the next frame; `None` at the end. A frame that is too long is skipped: it
    /// is a log record, and the next ones are wanted.
    ///
    /// # Errors
    /// The socket's, and content that cannot be read: no frame can be read after that.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Value>> {
        let length = loop {
            let mut head = [0; HEAD];
            match self.reader.read_exact(&mut head).await {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                Err(error) => return Err(error),
            }
            let length = frames::length(head);
            if length <= MAX_MESSAGE_BYTES {
                break length;
            }
            warn!(
                "skipped a message of a worker of {length} bytes (at most {MAX_MESSAGE_BYTES} are taken)"
            );
            let mut rest = (&mut self.reader).take(u64::try_from(length).unwrap_or(u64::MAX));
            tokio::io::copy(&mut rest, &mut tokio::io::sink()).await?;
        };
        self.content.clear();
        self.content.resize(length, 0);
        self.reader.read_exact(&mut self.content).await?;
        frames::read(&self.content)
            .map(Some)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_too_long_is_skipped() {
        let mut bytes = Vec::new();
        let long = Value::Str("x".repeat(MAX_MESSAGE_BYTES + 1));
        for content in [&Value::from("before"), &long, &Value::from("behind")] {
            frames::append(&mut bytes, content).unwrap();
        }
        let mut reader = FrameReader::new(bytes.as_slice());
        assert_eq!(reader.next().await.unwrap(), Some(Value::from("before")));
        assert_eq!(reader.next().await.unwrap(), Some(Value::from("behind")));
        assert_eq!(reader.next().await.unwrap(), None);
    }
}
