//! Answers of an object: a value, an exception, or a stream of items.

use std::sync::Arc;

use wire::exception::Exception;
use wire::message::Annotations;
use wire::value::Value;

use crate::object::memory::{AnswerMemory, BoxFuture, RequestMemory};
use crate::object::request::Context;
use crate::serialized::Serialized;
use crate::session::Session;

/// A successful answer.
pub struct Reply {
    /// The value or stream that the caller gets.
    pub body: ReplyBody,
    /// Annotations sent with it.
    pub annotations: Annotations,
    /// Memory reserved for a large answer; released when the answer is sent.
    pub memory: Option<AnswerMemory>,
}

impl Reply {
    /// The value of a reply to the daemon itself.
    ///
    /// # Errors
    /// It cannot be a live value.
    pub fn into_polled(self) -> Result<Value, Exception> {
        match self.body {
            ReplyBody::Value(value) => Ok(value),
            ReplyBody::Serialized(_) => {
                Err(Exception::type_error("it returned a large value, which is no live value"))
            }
            ReplyBody::Stream(_) => {
                Err(Exception::type_error("it returned a stream, which is no live value"))
            }
        }
    }
}

/// The content of a [`Reply`].
pub enum ReplyBody {
    /// A value.
    Value(Value),
    /// A large value as the request's serializer writes it.
    Serialized(Serialized),
    /// An iterator, whose items the caller fetches one by one.
    Stream(Box<dyn ItemStream>),
}

/// A reply, or the exception that the call raised.
pub type CallResult = Result<Reply, Exception>;

/// The answer to a request, ready at once or pending.
///
/// `Ready` saves quick calls of native objects a boxed future each.
pub enum Answer {
    /// The call is done.
    Ready(CallResult),
    /// The call still runs; dropping the future does not undo what it has done.
    Pending(BoxFuture<CallResult>),
}

impl Answer {
    /// A finished call that returned `value`.
    pub fn value(value: impl Into<Value>) -> Self {
        Answer::Ready(Ok(Reply::from(value.into())))
    }

    /// A finished call that raised `exception`.
    pub fn exception(exception: Exception) -> Self {
        Answer::Ready(Err(exception))
    }

    /// The same answer, with `memory` kept until the call is done.
    pub(crate) fn keeping(self, memory: Option<RequestMemory>) -> Self {
        match (self, memory) {
            (Answer::Pending(call), Some(memory)) => Answer::Pending(Box::pin(async move {
                let _memory = memory;
                call.await
            })),
            (answer, _) => answer,
        }
    }

    /// Waits for the call's result.
    pub async fn wait(self) -> CallResult {
        match self {
            Answer::Ready(result) => result,
            Answer::Pending(future) => future.await,
        }
    }
}

impl From<Value> for Reply {
    fn from(value: Value) -> Self {
        Reply { body: ReplyBody::Value(value), annotations: Annotations::new(), memory: None }
    }
}

impl From<Result<Value, Exception>> for Answer {
    fn from(result: Result<Value, Exception>) -> Self {
        Answer::Ready(result.map(Reply::from))
    }
}

/// An iterator on the server's side of an item stream.
pub trait ItemStream: Send + 'static {
    /// The next item; `None` after the last one.
    fn next(&mut self) -> BoxFuture<Result<Option<Value>, Exception>>;

    /// The next item as the answer to a request of `session`, for iterators that need to know who
    /// asks: under Pyro5 the body of a generator sees the context of each item's request, and may
    /// send annotations with each item. An item may be a stream itself.
    fn next_for(
        &mut self,
        _session: &Arc<Session>,
        _context: Context,
    ) -> BoxFuture<Result<Option<Reply>, Exception>> {
        let next = self.next();
        Box::pin(async move { Ok(next.await?.map(Reply::from)) })
    }

    /// Whether the stream goes on after the error of the last item: an item that cannot be sent is
    /// no end of its iterator.
    fn goes_on(&self) -> bool {
        false
    }

    /// Object and member of the call that the stream belongs to, for its lock; `None` for the call
    /// that has returned it. A stream that was an item of another belongs to that one's call.
    fn opened_by(&self) -> Option<(&str, &str)> {
        None
    }

    /// Runs what the iterator has to do at its end (a generator's `finally`). An iterator may be
    /// dropped without this.
    fn close(&mut self) -> BoxFuture<()> {
        Box::pin(async {})
    }
}
