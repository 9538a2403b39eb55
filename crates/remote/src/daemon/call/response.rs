//! The answer to a request, written as a message: a result, an item stream or an exception.
//!
//! A large result is written in two parts, so that its bytes are not copied. An exception that
//! cannot be sent is replaced by a shorter one.

use std::sync::Arc;
use std::time::Instant;

use tracing::{debug, warn};
use wire::exception::Exception;
use wire::message::{Annotations, Flags, FrameError, FrameWriter, Header, MessageType};
use wire::packed;
use wire::serializer::Serializer;
use wire::value::Value;

use crate::batch::unreadable;
use crate::blocking::{is_long, run_blocking, run_blocking_if};
use crate::daemon::Shared;
use crate::daemon::call::decode::{self, After};
use crate::daemon::call::error_place;
use crate::daemon::call::log_call::{self, CallEnd};
use crate::daemon::call_log::CallException;
use crate::daemon::streams::Origin;
use crate::object::{AnswerMemory, CallResult, ItemStream, Reply, ReplyBody};
use crate::serialized::{Behind, Serialized};
use crate::session::Session;
use crate::value_text::beginning;

/// The annotation that carries an item stream's id.
const STREAM_ANNOTATION: [u8; 4] = *b"STRM";

/// The rest of a request whose answer has been written.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) after: After,
    /// The memory of a large answer, until that is sent.
    pub(crate) memory: Option<AnswerMemory>,
    /// The end of the answer, where it is not in the connection's buffer.
    pub(crate) rest: Option<Behind>,
}

impl Response {
    /// One that has no memory reserved and is written completely, or needs no answer.
    pub(crate) fn without_memory(after: After) -> Self {
        Response { after, memory: None, rest: None }
    }
}

/// Writes the answer to one request.
pub(super) struct Responder<'a> {
    shared: &'a Arc<Shared>,
    session: &'a Arc<Session>,
    pub(super) header: Header,
    pub(super) serializer: Serializer,
    pub(super) correlation_id: [u8; 16],
}

impl<'a> Responder<'a> {
    pub(super) fn new(
        shared: &'a Arc<Shared>,
        session: &'a Arc<Session>,
        header: Header,
        serializer: Serializer,
    ) -> Self {
        let correlation_id = decode::correlation(&header);
        Responder { shared, session, header, serializer, correlation_id }
    }

    /// Whether the client waits for no answer.
    pub(super) fn is_oneway(&self) -> bool {
        self.header.flags.contains(Flags::ONEWAY)
    }

    /// Answers with the result of a call for which `memory` is reserved. One that has to be encoded
    /// is so on a thread that may take long, and few at a time.
    pub(super) async fn large_result(
        &self,
        result: CallResult,
        memory: AnswerMemory,
        object: &str,
        method: &str,
        out: &mut Vec<u8>,
    ) -> Response {
        let is_encoded = match &result {
            Ok(Reply { body: ReplyBody::Serialized(value), .. }) => !self.passes(value),
            _ => true,
        };
        let response = if is_encoded {
            let _slot = Arc::clone(&self.shared.admission.encoders).take().await;
            run_blocking(|| self.result(result, object, method, out))
        } else {
            self.result(result, object, method, out)
        };
        Response { memory: Some(memory), ..response }
    }

    /// Answers with the result of a call of `method`.
    pub(super) fn result(
        &self,
        result: CallResult,
        object: &str,
        method: &str,
        out: &mut Vec<u8>,
    ) -> Response {
        let before = out.len();
        let mut in_batch = None;
        let written = result.and_then(|reply| {
            in_batch = log_call::exception_in_batch(&self.header, &reply);
            let Reply { body, annotations, .. } = reply;
            let written = match body {
                ReplyBody::Value(value) => match self.in_two_parts(value) {
                    Ok(value) => self.write_parts(value, &annotations, out),
                    Err(value) => self.write_value(value, &annotations, out),
                },
                ReplyBody::Serialized(value) => self.write_serialized(value, &annotations, out),
                ReplyBody::Stream(stream) => {
                    let after = self.write_stream(stream, annotations, object, method, out)?;
                    Ok(Response::without_memory(after))
                }
            };
            let serializer = self.serializer;
            written.map_err(|error| error_place::unsent(error, object, method, serializer))
        });
        match written {
            Err(exception) => self.exception(exception, object, method, out),
            Ok(response) => {
                if in_batch.is_some() || self.shared.call_log.looks_at(&self.session.call) {
                    let rest = response.rest.as_ref().map_or(0, |rest| rest.bytes().len());
                    let bytes = (out.len() - before).saturating_add(rest);
                    self.log(in_batch, (object, method), bytes);
                }
                response
            }
        }
    }

    /// Records the end of the call in the call log.
    fn log(&self, exception: Option<CallException>, name: (&str, &str), answer_bytes: usize) {
        let request_bytes = log_call::request_bytes(&self.header);
        let end = CallEnd { exception, request_bytes, answer_bytes, ..CallEnd::default() };
        log_call::log_current(self.shared, self.session, name, end);
    }

    /// Keeps an item stream for its client, and answers with its id.
    fn write_stream(
        &self,
        stream: Box<dyn ItemStream>,
        mut annotations: Annotations,
        object: &str,
        method: &str,
        out: &mut Vec<u8>,
    ) -> Result<After, Exception> {
        let (object, method) = stream.opened_by().unwrap_or((object, method));
        let called = object.to_owned();
        let object = self.shared.locks.lock_id(object);
        let is_read = self.session.call.is_read();
        let origin = Origin { object, member: method.to_owned(), called, is_read };
        let id = self.shared.streams.add(self.session.id, stream, origin, Instant::now())?;
        annotations.push((STREAM_ANNOTATION, id.into_bytes()));
        // An exception beside the flag, as Pyro5 has it, for clients without streaming.
        let exception = Exception::protocol_error("result of call is an iterator");
        Ok(self.raise(exception, Flags::ITEMSTREAMRESULT, &annotations, out))
    }

    /// Answers with an exception, whose traceback names daemon, object and member.
    pub(super) fn exception(
        &self,
        exception: Exception,
        object: &str,
        method: &str,
        out: &mut Vec<u8>,
    ) -> Response {
        self.exception_with(Flags::default(), exception, (object, method), out)
    }

    /// The same with further flags: [`Flags::NOT_BEGUN`] for a call that has not begun in time.
    pub(super) fn exception_with(
        &self,
        flags: Flags,
        exception: Exception,
        (object, method): (&str, &str),
        out: &mut Vec<u8>,
    ) -> Response {
        // Pyro5 closes a connection whose caller tried something forbidden.
        let after = match exception.class.as_str() {
            "Pyro5.errors.SecurityError" => After::Close,
            _ => After::Continue,
        };
        let shortened = log_call::shortened(&exception);
        if self.is_oneway() {
            debug!(peer = %self.session.peer, object, method, %exception, "a oneway call failed");
            self.log(Some(shortened), (object, method), 0);
            return Response::without_memory(after);
        }
        let before = out.len();
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
        let raised = self.raise(exception, flags, &Annotations::new(), out);
        self.log(Some(shortened), (object, method), out.len() - before);
        Response::without_memory(match raised {
            After::Close => After::Close,
            After::Continue => after,
        })
    }

    /// Writes an exception, or a shorter one if it cannot be written as it is. A caller always gets
    /// an answer; where even that is impossible, its connection is closed.
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
        let plain = told(LONG_TEXT_BYTES).with_traceback(exception.traceback().unwrap_or_default());
        let none = Annotations::new();
        let shorter = [(plain, annotations), (told(SHORT_TEXT_BYTES), &none)];
        for (exception, annotations) in shorter {
            if self.write(&exception.to_value(), flags, annotations, out).is_ok() {
                return After::Continue;
            }
        }
        warn!(peer = %self.session.peer, %reason, "an exception cannot be sent at all");
        After::Close
    }

    /// A value that need not be copied after its header; else the value again.
    fn in_two_parts(&self, value: Value) -> Result<Serialized, Value> {
        match value {
            Value::Array(array) if self.knows_arrays() => {
                Serialized::array(array).map_err(Value::Array)
            }
            Value::Bytes(bytes) if !self.shared.config.compression => {
                Serialized::bytes(self.serializer, bytes, 0).map_err(Value::Bytes)
            }
            value => Err(value),
        }
    }

    /// Writes the first part of a value; its second part stays where it is.
    fn write_parts(
        &self,
        value: Serialized,
        annotations: &Annotations,
        out: &mut Vec<u8>,
    ) -> Result<Response, Exception> {
        let mut frame = self.begin(annotations, out)?;
        if value.is_packed {
            frame.set_serializer(packed::SERIALIZER_ID);
        }
        frame.payload().extend_from_slice(&value.begin);
        let length = value.rest.bytes().len();
        let finished = frame.finish_with_tail(
            length,
            self.flags(),
            Some(self.correlation_id),
            self.max_bytes(),
        );
        finished.map_err(|error| self.unframed(&error))?;
        Ok(Response { after: After::Continue, memory: None, rest: Some(value.rest) })
    }

    fn write_serialized(
        &self,
        value: Serialized,
        annotations: &Annotations,
        out: &mut Vec<u8>,
    ) -> Result<Response, Exception> {
        if self.passes(&value) {
            return self.write_parts(value, annotations, out);
        }
        let value = run_blocking(|| value.read()).map_err(|error| unreadable(&error))?;
        self.write_value(value, annotations, out)
    }

    /// Whether the client reads the bytes of a serialized value as they are. Arrays are not
    /// compressed: measured numbers hardly become shorter.
    fn passes(&self, value: &Serialized) -> bool {
        if value.is_packed {
            self.knows_arrays()
        } else {
            value.serializer == self.serializer && !self.shared.config.compression
        }
    }

    fn write_value(
        &self,
        value: Value,
        annotations: &Annotations,
        out: &mut Vec<u8>,
    ) -> Result<Response, Exception> {
        let is_long = is_long(&value);
        let write = || {
            let written = self.write(&value, self.flags(), annotations, out);
            value.discard();
            written
        };
        run_blocking_if(is_long, write).map(|()| Response::without_memory(After::Continue))
    }

    /// Whether the client reads arrays as packed bytes.
    fn knows_arrays(&self) -> bool {
        self.header.flags.contains(Flags::ARRAYS) && self.serializer == Serializer::Marshal
    }

    /// The flags of an answer that is not an exception.
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
        let encoded = if self.knows_arrays() {
            packed::encode(value, frame.payload())
        } else {
            self.serializer.encode(value, frame.payload()).map(|()| false)
        };
        let has_arrays =
            encoded.map_err(|error| Exception::new(error.class(), error.to_string()))?;
        if has_arrays {
            frame.set_serializer(packed::SERIALIZER_ID);
        }
        let compress = self.shared.config.compression && !has_arrays;
        frame
            .finish(flags, Some(self.correlation_id), compress, self.max_bytes())
            .map_err(|error| self.unframed(&error))
    }

    fn begin<'o>(
        &self,
        annotations: &Annotations,
        out: &'o mut Vec<u8>,
    ) -> Result<FrameWriter<'o>, Exception> {
        let (kind, serializer) = (MessageType::Result, self.serializer.id());
        FrameWriter::begin(out, kind, serializer, self.header.seq, annotations)
            .map_err(|error| self.unframed(&error))
    }

    fn unframed(&self, error: &FrameError) -> Exception {
        Exception::protocol_error(error_place::unframed(error, &self.shared.config.name))
    }

    /// Bytes of an answer at most.
    fn max_bytes(&self) -> usize {
        let config = &self.shared.config;
        config.max_answer.unwrap_or(config.limits.message)
    }
}

/// Bytes of a text that are kept in the exception for one that cannot be sent.
const LONG_TEXT_BYTES: usize = 16 * 1024;
/// The same where that is still too much.
const SHORT_TEXT_BYTES: usize = 100;
