//! The answer to a request, as the bytes of a message.
//!
//! Owns how a result, an item stream or an exception is written: in one part or in two, shorter where it
//! cannot be sent as it is. What the answer is has been decided in [`dispatch`](super::dispatch).

use std::sync::Arc;
use std::time::Instant;

use tracing::{debug, warn};
use wire::exception::Exception;
use wire::message::{Annotations, Flags, FrameError, FrameWriter, Header, MessageType};
use wire::serializer::Serializer;
use wire::value::Value;

use crate::batch::unreadable;
use crate::blocking::{aside, aside_if, is_long};
use crate::daemon::Shared;
use crate::daemon::call::decode::After;
use crate::daemon::streams::Origin;
use crate::object::{CallResult, Reply, ReplyBody};
use crate::serialized::{Behind, Serialized};
use crate::session::Session;

/// The annotation that carries an item stream's id.
const STREAM_ANNOTATION: [u8; 4] = *b"STRM";

/// Everything that an answer repeats of its request.
pub(super) struct Answering<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) session: &'a Arc<Session>,
    pub(super) header: Header,
    pub(super) serializer: Serializer,
    pub(super) id: [u8; 16],
}

impl Answering<'_> {
    pub(super) fn result(
        &self,
        result: CallResult,
        object: &str,
        method: &str,
        out: &mut Vec<u8>,
        behind: &mut Option<Behind>,
    ) -> After {
        let Reply { body, annotations, room: _room } = match result {
            Ok(reply) => reply,
            Err(exception) => return self.exception(exception, object, method, out),
        };
        match body {
            ReplyBody::Value(value) => match self.in_parts(value) {
                Ok(value) => self.parts(value, &annotations, out, behind),
                Err(value) => self.value(&value, &annotations, out),
            }
            .unwrap_or_else(|exception| self.exception(exception, object, method, out)),
            ReplyBody::Serialized(value) => self
                .serialized(value, &annotations, out, behind)
                .unwrap_or_else(|exception| self.exception(exception, object, method, out)),
            ReplyBody::Stream(stream) => {
                let home = self.shared.locks.home(object);
                let origin = Origin { object: home, member: method.to_owned() };
                let added =
                    self.shared.streams.add(self.session.id, stream, origin, Instant::now());
                let id = match added {
                    Ok(id) => id,
                    Err(exception) => return self.exception(exception, object, method, out),
                };
                let mut annotations = annotations;
                annotations.push((STREAM_ANNOTATION, id.into_bytes()));
                // An exception beside the flag, as Pyro5 has it, for clients without streaming.
                let exception = Exception::protocol_error("result of call is an iterator");
                self.raise(exception, Flags::ITEMSTREAMRESULT, &annotations, out)
            }
        }
    }

    /// Answers with an exception; its traceback says where it came from.
    pub(super) fn exception(
        &self,
        exception: Exception,
        object: &str,
        method: &str,
        out: &mut Vec<u8>,
    ) -> After {
        // Pyro5 gives up a connection whose caller tried something forbidden.
        let after = match exception.class.as_str() {
            "Pyro5.errors.SecurityError" => After::Close,
            _ => After::Continue,
        };
        if self.header.flags.contains(Flags::ONEWAY) {
            debug!(peer = %self.session.peer, object, method, %exception, "a oneway call failed");
            return after;
        }
        let exception = if exception.traceback().is_some() {
            exception
        } else {
            let place = format!(
                "  In daemon '{}', object '{object}', member '{method}'\n",
                self.shared.config.name
            );
            let summary = format!("{exception}\n");
            exception.with_traceback(vec![
                "Traceback (most recent call last):\n".into(),
                place,
                summary,
            ])
        };
        match self.raise(exception, Flags::default(), &Annotations::new(), out) {
            After::Close => After::Close,
            After::Continue => after,
        }
    }

    /// Sends an exception, or a shorter one where it cannot be sent as it is. A caller always gets
    /// an answer; where even that is impossible, the end of its connection.
    fn raise(
        &self,
        exception: Exception,
        flags: Flags,
        annotations: &Annotations,
        out: &mut Vec<u8>,
    ) -> After {
        let flags = flags | Flags::EXCEPTION;
        let Err(reason) = self.write(&exception.to_value(), flags, annotations, out) else {
            return After::Continue;
        };
        let class = exception.class.strip_prefix("builtins.").unwrap_or(&exception.class);
        let told = |most: usize| {
            Exception::pyro_error(format!(
                "Error serializing exception: {}. Original exception: <class '{class}'>: {}",
                beginning(&reason.message(), most),
                beginning(&exception.message(), most)
            ))
        };
        let plain = told(LONG_TEXT).with_traceback(exception.traceback().unwrap_or_default());
        let none = Annotations::new();
        let shorter = [(plain, annotations), (told(SHORT_TEXT), &none)];
        for (exception, annotations) in shorter {
            if self.write(&exception.to_value(), flags, annotations, out).is_ok() {
                return After::Continue;
            }
        }
        warn!(peer = %self.session.peer, %reason, "an exception cannot be sent at all");
        After::Close
    }

    /// A value that need not be copied behind its header; else the value again.
    fn in_parts(&self, value: Value) -> Result<Serialized, Value> {
        match value {
            Value::Bytes(bytes) if !self.shared.config.compression => {
                Serialized::bytes(self.serializer, bytes, 0).map_err(Value::Bytes)
            }
            value => Err(value),
        }
    }

    /// Writes what is before the value's second part, which stays where it is.
    fn parts(
        &self,
        value: Serialized,
        annotations: &Annotations,
        out: &mut Vec<u8>,
        behind: &mut Option<Behind>,
    ) -> Result<After, Exception> {
        let mut frame = self.begin(annotations, out)?;
        frame.payload().extend_from_slice(&value.begin);
        let length = value.rest.bytes().len();
        let finished = frame.finish_with_tail(length, self.flags(), Some(self.id), self.most());
        finished.map_err(unframed)?;
        *behind = Some(value.rest);
        Ok(After::Continue)
    }

    fn serialized(
        &self,
        value: Serialized,
        annotations: &Annotations,
        out: &mut Vec<u8>,
        behind: &mut Option<Behind>,
    ) -> Result<After, Exception> {
        if value.serializer == self.serializer && !self.shared.config.compression {
            return self.parts(value, annotations, out, behind);
        }
        let value = aside(|| value.read()).map_err(|error| unreadable(&error))?;
        self.value(&value, annotations, out)
    }

    fn value(
        &self,
        value: &Value,
        annotations: &Annotations,
        out: &mut Vec<u8>,
    ) -> Result<After, Exception> {
        let write = || self.write(value, self.flags(), annotations, out);
        aside_if(is_long(value), write).map(|()| After::Continue)
    }

    /// Those of an answer that is no exception.
    fn flags(&self) -> Flags {
        let batch = self.header.flags.contains(Flags::BATCH);
        if batch { Flags::BATCH } else { Flags::default() }
    }

    fn write(
        &self,
        value: &Value,
        flags: Flags,
        annotations: &Annotations,
        out: &mut Vec<u8>,
    ) -> Result<(), Exception> {
        let mut frame = self.begin(annotations, out)?;
        self.serializer
            .encode(value, frame.payload())
            .map_err(|error| Exception::new(error.class(), error.to_string()))?;
        let compress = self.shared.config.compression;
        frame.finish(flags, Some(self.id), compress, self.most()).map_err(unframed)
    }

    fn begin<'a>(
        &self,
        annotations: &Annotations,
        out: &'a mut Vec<u8>,
    ) -> Result<FrameWriter<'a>, Exception> {
        let (kind, serializer) = (MessageType::Result, self.serializer.id());
        FrameWriter::begin(out, kind, serializer, self.header.seq, annotations).map_err(unframed)
    }

    /// How long an answer may be.
    fn most(&self) -> usize {
        let config = &self.shared.config;
        config.answer.unwrap_or(config.limits.message)
    }
}

fn unframed(error: FrameError) -> Exception {
    Exception::protocol_error(error.to_string())
}

/// How much of a text stands in the exception that tells of one that cannot be sent.
const LONG_TEXT: usize = 16 * 1024;
/// The same where that is still too much.
const SHORT_TEXT: usize = 100;

/// The beginning of a text, of at most so many bytes.
fn beginning(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}
