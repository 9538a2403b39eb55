//! Calls of objects that may panic: an exception for the caller, and a line in the log.
//!
//! Without an answer a stock client would take its connection for lost and make the call again. The
//! state in which the panic leaves the object is the object's own affair.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};
use std::task::Poll;
use std::time::Instant;

use tracing::error;
use wire::exception::Exception;

use crate::daemon::log_limiter::LogLimiter;
use crate::object::{Answer, BoxFuture, CallResult, Object, Request};
use crate::session::Session;

/// A client that finds a call which panics can make it as fast as it can send.
static PANICS: LazyLock<LogLimiter> = LazyLock::new(LogLimiter::default);

/// The names of a call, for the caller and the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallName<'a> {
    /// The object's id.
    pub(crate) object: &'a str,
    pub(crate) member: &'a str,
}

/// Begins a call.
pub(crate) fn begin_call(
    name: CallName<'_>,
    object: &Arc<dyn Object>,
    session: &Arc<Session>,
    request: Request,
) -> Answer {
    run(name, || Ok(object.call(session, request))).unwrap_or_else(Answer::exception)
}

/// Waits for the end of a call that has begun.
pub(crate) async fn finish_call(name: CallName<'_>, answer: Answer) -> CallResult {
    match answer {
        Answer::Ready(result) => result,
        Answer::Pending(mut call) => wait(name, &mut call).await,
    }
}

/// Makes a call.
pub(crate) async fn call_object(
    name: CallName<'_>,
    object: &Arc<dyn Object>,
    session: &Arc<Session>,
    request: Request,
) -> CallResult {
    finish_call(name, begin_call(name, object, session, request)).await
}

/// Waits for work of an object. May be dropped and called again as long as the work has not ended.
pub(crate) async fn wait<T>(
    name: CallName<'_>,
    work: &mut BoxFuture<Result<T, Exception>>,
) -> Result<T, Exception> {
    std::future::poll_fn(|context| {
        run(name, || Ok(work.as_mut().poll(context)))
            .unwrap_or_else(|broken| Poll::Ready(Err(broken)))
    })
    .await
}

/// Runs work of an object.
///
/// # Errors
/// The exception that it raised, or one that tells of its panic.
pub(crate) fn run<T>(
    name: CallName<'_>,
    work: impl FnOnce() -> Result<T, Exception>,
) -> Result<T, Exception> {
    // Our side of a broken call is seen by nobody: it is dropped.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(broken(name, &*panic)))
}

fn broken(name: CallName<'_>, panic: &(dyn Any + Send)) -> Exception {
    let CallName { object, member } = name;
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a text");
    let now = Instant::now();
    if let Some(others) = PANICS.take_suppressed(now) {
        error!(others, "calls broke off that are not told of one by one");
    }
    if PANICS.allow(now) {
        error!(service = object, member, panic = text, "a call broke off");
    }
    Exception::runtime_error(format!(
        "'{object}': {member} broke off by a mistake of its own, which the daemon's log tells of"
    ))
}
