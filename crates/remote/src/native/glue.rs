//! Functions for the code that `#[remote::expose]` generates. Not part of the public interface.

use std::sync::{Arc, Mutex, PoisonError};

use wire::exception::Exception;
use wire::message::Annotations;
use wire::value::Value;

use crate::arguments::Signature;
use crate::batch::unreadable;
use crate::native::{Expose, FromValue, IntoException, IntoResult};
use crate::object::{
    BoxFuture, CallResult, Context, ItemStream, Reply, ReplyBody, StartCheck, unexposed_method,
};
use crate::session::Session;

/// Converts the argument of the parameter at `index`, which has no default.
pub fn required<T: FromValue>(
    signature: &Signature,
    index: usize,
    value: Option<Value>,
) -> Result<T, Exception> {
    // `Signature::bind` has checked that it is given.
    convert(signature, index, value.unwrap_or(Value::None))
}

/// Converts the argument of the parameter at `index`, or makes its default.
pub fn optional<T: FromValue>(
    signature: &Signature,
    index: usize,
    value: Option<Value>,
    default: impl FnOnce() -> T,
) -> Result<T, Exception> {
    value.map_or_else(|| Ok(default()), |value| convert(signature, index, value))
}

fn convert<T: FromValue>(
    signature: &Signature,
    index: usize,
    value: Value,
) -> Result<T, Exception> {
    T::from_value(value).map_err(|mismatch| {
        let parameter = signature.parameters.get(index).copied().unwrap_or_default();
        mismatch.into_exception(&format!("{}() argument '{parameter}'", signature.name))
    })
}

/// Converts the value for a property; `property` is its qualified name.
pub fn assigned<T: FromValue>(property: &str, value: Value) -> Result<T, Exception> {
    T::from_value(value).map_err(|mismatch| mismatch.into_exception(property))
}

/// The exception for a method that cannot be called: Python's for an unknown one, Pyro5's for one
/// that is not exposed.
pub fn no_method<T: Expose>(name: &str) -> Exception {
    let is_private = name.starts_with('_');
    if is_private || T::metadata().attrs.iter().any(|property| property == name) {
        return unexposed_method(name);
    }
    Exception::attribute_error(format!("'{}' object has no attribute '{name}'", T::CLASS))
}

/// Result of an ordinary method.
pub fn result<R: IntoResult>(returned: R) -> CallResult {
    returned.into_result()
}

/// Result of a method that returns a `Result`. Separate from [`result`], so that the compiler names
/// the one of the two types that cannot be sent.
pub fn try_result<T: IntoResult, E: IntoException>(returned: Result<T, E>) -> CallResult {
    returned.into_result()
}

/// Item stream over a method's iterator.
pub fn stream<I>(items: I) -> CallResult
where
    I: Iterator<Item: IntoResult> + Send + 'static,
{
    reply_stream(IteratorStream(items))
}

/// Item stream over an iterator that blocks its thread.
pub fn blocking_stream<I>(items: I) -> CallResult
where
    I: Iterator<Item: IntoResult> + Send + 'static,
{
    reply_stream(BlockingStream(Arc::new(Mutex::new(items))))
}

/// [`stream`] for a method that returns a `Result`.
pub fn try_stream<I, E: IntoException>(items: Result<I, E>) -> CallResult
where
    I: Iterator<Item: IntoResult> + Send + 'static,
{
    stream(items.map_err(IntoException::into_exception)?)
}

/// [`blocking_stream`] for a method that returns a `Result`.
pub fn try_blocking_stream<I, E: IntoException>(items: Result<I, E>) -> CallResult
where
    I: Iterator<Item: IntoResult> + Send + 'static,
{
    blocking_stream(items.map_err(IntoException::into_exception)?)
}

/// Runs a blocking method on a thread of the blocking pool. It may wait for a thread, so it checks
/// afterwards whether the call may still start.
pub async fn blocking<T: Send + 'static>(
    name: &'static str,
    may_start: StartCheck,
    work: impl FnOnce() -> Result<T, Exception> + Send + 'static,
) -> Result<T, Exception> {
    let work = move || may_start.check().and_then(|()| work());
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        // The daemon reports it, as for every other method.
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(Exception::runtime_error(format!("{name} did not end: {error}"))),
        },
    }
}

fn reply_stream(items: impl ItemStream) -> CallResult {
    Ok(Reply {
        body: ReplyBody::Stream(Box::new(items)),
        annotations: Annotations::new(),
        memory: None,
    })
}

fn convert_item(next: Option<impl IntoResult>) -> Result<Option<Value>, Exception> {
    match next.map(IntoResult::into_result).transpose()?.map(|reply| reply.body) {
        None => Ok(None),
        Some(ReplyBody::Value(value)) => Ok(Some(value)),
        Some(ReplyBody::Serialized(value)) => {
            value.read().map(Some).map_err(|error| unreadable(&error))
        }
        Some(ReplyBody::Stream(_)) => {
            Err(Exception::type_error("a stream cannot be an item of a stream"))
        }
    }
}

struct IteratorStream<I>(I);

impl<I> ItemStream for IteratorStream<I>
where
    I: Iterator<Item: IntoResult> + Send + 'static,
{
    fn next(&mut self) -> BoxFuture<Result<Option<Value>, Exception>> {
        Box::pin(std::future::ready(convert_item(self.0.next())))
    }
}

struct BlockingStream<I>(Arc<Mutex<I>>);

impl<I> ItemStream for BlockingStream<I>
where
    I: Iterator<Item: IntoResult> + Send + 'static,
{
    fn next(&mut self) -> BoxFuture<Result<Option<Value>, Exception>> {
        self.next_with(StartCheck::default())
    }

    fn next_for(
        &mut self,
        _session: &Arc<Session>,
        context: Context,
    ) -> BoxFuture<Result<Option<Reply>, Exception>> {
        let next = self.next_with(context.may_start);
        Box::pin(async move { Ok(next.await?.map(Reply::from)) })
    }
}

impl<I> BlockingStream<I>
where
    I: Iterator<Item: IntoResult> + Send + 'static,
{
    fn next_with(&self, may_start: StartCheck) -> BoxFuture<Result<Option<Value>, Exception>> {
        let items = Arc::clone(&self.0);
        Box::pin(blocking("the next item of a stream", may_start, move || {
            convert_item(items.lock().unwrap_or_else(PoisonError::into_inner).next())
        }))
    }
}
