//! From a request's bytes to its answer's bytes.
//!
//! Owns what is done about an INVOKE message: which object, whose turn, how an exception is told. What
//! is asked is [`request`]'s. Knows nothing of sockets.

use std::sync::Arc;
use std::time::Instant;

use tracing::{debug, warn};
use wire::exception::Exception;
use wire::message::{Annotations, Flags, FrameError, FrameWriter, Header, MessageType};
use wire::serializer::Serializer;
use wire::value::Value;

use crate::aside::{aside, aside_if, give_memory_back, is_long};
use crate::batch::unreadable;
use crate::daemon::caught::{self, What};
use crate::daemon::handshake::no_place;
use crate::daemon::oneway::{self, About, Oneways};
use crate::daemon::request::{self, Unread};
use crate::daemon::room::{Held, Need};
use crate::daemon::streams::Origin;
use crate::daemon::turn::{self, ClientEnd};
use crate::daemon::unread::AnswerRoom;
use crate::daemon::{DAEMON_NAME, Shared, guarded};
use crate::frames::Frame;
use crate::object::{Answer, CallResult, Context, Leave, Operation, Reply, ReplyBody, Request};
use crate::serialized::{Behind, Serialized};
use crate::session::Session;

/// The annotation that carries an item stream's id.
const STREAM_ANNOTATION: [u8; 4] = *b"STRM";

/// What becomes of the connection behind a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    Continue,
    Close,
}

/// Whose requests are carried out.
pub(crate) struct Caller {
    pub(crate) session: Arc<Session>,
    pub(crate) client: ClientEnd,
    /// Nothing else: there was no place for it.
    pub(crate) only_breaks_locks: bool,
    pub(crate) oneways: Oneways,
    /// Bytes that reading the last large request has taken.
    pub(crate) took: usize,
    /// The room that the answer to the last request has taken, until it is sent.
    pub(crate) room: Option<AnswerRoom>,
    /// The end of that answer, where it is not in the connection's buffer.
    pub(crate) behind: Option<Behind>,
}

/// Carries out the request in `frame` and appends its answer to `out`; nothing for a oneway.
pub(crate) async fn answer(
    shared: &Arc<Shared>,
    caller: &mut Caller,
    frame: Frame<'_>,
    mut held: Option<Held>,
    out: &mut Vec<u8>,
) -> After {
    let Caller { session, client, only_breaks_locks, oneways, took, room, behind } = caller;
    let header = frame.header;
    let Some(serializer) = Serializer::from_id(header.serializer) else {
        debug!(peer = %session.peer, serializer = header.serializer, "unknown serializer");
        return After::Close;
    };
    let mut context = Context {
        serializer,
        flags: header.flags,
        seq: header.seq,
        correlation_id: correlation(&header),
        annotations: owned(&frame.body.annotations),
        held: None,
        leave: Leave::default(),
        unread: Some(Arc::clone(&shared.unread)),
    };
    let answer = Answering { shared, session, header, serializer, id: context.correlation_id };
    let is_oneway = header.flags.contains(Flags::ONEWAY);
    if !is_oneway && let Some(exception) = oneways.owed() {
        return answer.exception(exception, "", "", out);
    }
    *took = held.as_ref().map_or(0, Held::bytes);
    let (id, operation, memory) = match read(shared, &frame, serializer, &mut held).await {
        Ok(read) => read,
        Err(Unread::Malformed(exception)) => return answer.exception(exception, "", "", out),
        Err(Unread::TooLarge(exception)) => {
            if is_oneway {
                oneways.refuse();
            }
            return answer.exception(exception, "", "", out);
        }
    };
    drop(frame);
    if let Some(held) = &mut held {
        held.shrink(memory);
        *took = memory;
    }
    context.held = held.map(Arc::new);
    let name = operation.name().to_owned();
    let Some(object) = shared.object(&id) else {
        return answer.exception(unknown_object(shared, &id), &id, &name, out);
    };
    let breaks_lock =
        matches!(&operation, Operation::Call(call) if object.breaks_locks(&call.method));
    if *only_breaks_locks && !breaks_lock {
        let refused = Exception::new("Pyro5.errors.CommunicationError", no_place(&shared.config));
        return answer.exception(refused, &id, &name, out);
    }
    let has_lock = shared.locks.settings(&id).is_some();
    let is_about_the_lock = has_lock && guarded::needs_no_turn(&operation);
    // A oneway call keeps nobody waiting, and would not be told.
    if !is_oneway
        && !is_about_the_lock
        && !breaks_lock
        && let Err(refused) = shared.abandoned.check(&id)
    {
        return answer.exception(refused, &id, &name, out);
    }
    let request = Request { operation, context };
    // A oneway batch is carried out in its place, as Pyro5 does.
    if is_oneway && !header.flags.contains(Flags::BATCH) {
        let Some(place) = oneways.enter(memory, session, &name) else { return After::Continue };
        let about = About {
            shared: Arc::clone(shared),
            session: Arc::clone(session),
            object: id.clone(),
            method: name,
        };
        if has_lock {
            let turn = if is_about_the_lock { None } else { turn::take(shared).await };
            let (shared, session) = (Arc::clone(shared), Arc::clone(session));
            let call =
                async move { guarded::call(&shared, &session, &id, &object, request, turn).await };
            oneway::set_going(Answer::Pending(Box::pin(call)), place, about).await;
            return After::Continue;
        }
        match &shared.turn {
            None => {
                let answer = caught::begin(about.what(), &object, session, request);
                oneway::set_going(answer, place, about).await;
            }
            // It keeps its place in the order of arrival, and the connection does not wait for it.
            Some(turn) => {
                let session = Arc::clone(session);
                let mut turn = Box::pin(Arc::clone(turn).acquire_owned());
                let first = std::future::poll_fn(|context| {
                    std::task::Poll::Ready(turn.as_mut().poll(context))
                });
                let at_once = first.await;
                tokio::spawn(async move {
                    let turn = match at_once {
                        std::task::Poll::Ready(turn) => turn,
                        std::task::Poll::Pending => turn.await,
                    };
                    let answer = caught::begin(about.what(), &object, &session, request);
                    oneway::set_going(answer, (turn, place), about).await;
                });
            }
        }
        return After::Continue;
    }
    // The call that has the turn may be what hangs.
    let turn = if breaks_lock || is_about_the_lock {
        None
    } else if is_oneway {
        turn::take(shared).await
    } else {
        match turn::take_for(shared, client).await {
            Ok(turn) => turn,
            Err(gone) => return answer.exception(gone, &id, &name, out),
        }
    };
    let mut result = if has_lock {
        // Boxed, so that connections without locks are no larger for it.
        Box::pin(guarded::call(shared, session, &id, &object, request, turn)).await
    } else {
        let what = What { object: &id, member: &name };
        let result = caught::call(what, &object, session, request).await;
        drop(turn);
        result
    };
    if is_oneway {
        let (shared, session) = (Arc::clone(shared), Arc::clone(session));
        About { shared, session, object: id, method: name }.done(result);
        return After::Continue;
    }
    *room = result.as_mut().ok().and_then(|reply| reply.room.take());
    match room {
        None => answer.result(result, &id, &name, out, behind),
        Some(room) => room.make(|| answer.result(result, &id, &name, out, behind)).await,
    }
}

/// Reads a request within the room that it has, or in more where that is too little.
async fn read(
    shared: &Shared,
    frame: &Frame<'_>,
    serializer: Serializer,
    held: &mut Option<Held>,
) -> Result<(String, Operation, usize), Unread> {
    let limits = &shared.config.limits;
    let Some(room) = held else { return request::decode(frame, serializer, limits) };
    let within = room.limits(limits);
    let mut read = request::decode(frame, serializer, &within);
    let most = Need::most(frame.body.payload.len(), limits);
    if let Err(Unread::TooLarge(_)) = read
        && within.memory < most.values
    {
        give_back(held.take());
        // Boxed, for it is rare. Without any room: two that waited for more would wait for each
        // other.
        *held = Some(Box::pin(shared.room.enter(most)).await.map_err(Unread::TooLarge)?);
        read = request::decode(frame, serializer, limits);
    }
    if let Err(Unread::TooLarge(_)) = read {
        give_back(held.take());
    }
    read
}

/// Gives back room that was used, and the memory behind it before others use that room.
fn give_back(held: Option<Held>) {
    aside(give_memory_back);
    drop(held);
}

/// Answers a request that is not even read.
pub(crate) fn refuse(
    shared: &Arc<Shared>,
    session: &Arc<Session>,
    header: Header,
    exception: Exception,
    out: &mut Vec<u8>,
) {
    let Some(serializer) = Serializer::from_id(header.serializer) else { return };
    warn!(daemon = %shared.config.name, peer = %session.peer, reason = exception.message(),
        "a request is refused");
    let answer = Answering { shared, session, header, serializer, id: correlation(&header) };
    answer.exception(exception, "", "", out);
}

/// The metadata dict of an object.
pub(crate) fn metadata(shared: &Shared, id: &str) -> Result<Value, Exception> {
    let object = shared.object(id).ok_or_else(|| unknown_object(shared, id))?;
    let mut metadata = object.metadata()?;
    if shared.locks.settings(id).is_some() {
        guarded::add_methods(&mut metadata);
    }
    Ok(metadata.to_value())
}

/// The same with what the object's members are for.
pub(crate) fn documented_metadata(shared: &Shared, id: &str) -> Result<Value, Exception> {
    let object = shared.object(id).ok_or_else(|| unknown_object(shared, id))?;
    Ok(object.metadata()?.to_documented_value())
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

fn unknown_object(shared: &Shared, id: &str) -> Exception {
    let ids = shared.ids();
    let served: Vec<&str> =
        ids.iter().map(String::as_str).filter(|id| *id != DAEMON_NAME).take(20).collect();
    let known = if served.is_empty() { "nothing yet".to_owned() } else { served.join(", ") };
    Exception::daemon_error(format!(
        "unknown object: daemon '{}' has no '{id}'; it serves {known}",
        shared.config.name
    ))
}

/// Everything that an answer repeats of its request.
struct Answering<'a> {
    shared: &'a Arc<Shared>,
    session: &'a Arc<Session>,
    header: Header,
    serializer: Serializer,
    id: [u8; 16],
}

impl Answering<'_> {
    fn result(
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
    fn exception(
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
        let flags = flags.with(Flags::EXCEPTION);
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
        let finished = frame.finish_before(length, self.flags(), Some(self.id), self.most());
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
