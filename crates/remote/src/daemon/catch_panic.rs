//! Calls of objects that may panic.
//!
//! Owns what a panic comes to: an exception for the caller, and a line in the log. Without an answer
//! a stock client would take its connection for lost and make the call again. What the panic has
//! left behind in the object is the object's own affair.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};
use std::task::Poll;
use std::time::Instant;

use tracing::error;
use wire::exception::Exception;

use crate::admission::log_limiter::Complaints;
use crate::object::{Answer, BoxFuture, CallResult, Object, Request};
use crate::session::Session;

/// What the log has been told of.
static TOLD: LazyLock<Complaints> = LazyLock::new(Complaints::default);

/// What is called, for the caller and the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct What<'a> {
    /// The object's id.
    pub(crate) object: &'a str,
    pub(crate) member: &'a str,
}

/// Begins a call.
pub(crate) fn begin(
    what: What<'_>,
    object: &Arc<dyn Object>,
    session: &Arc<Session>,
    request: Request,
) -> Answer {
    run(what, || Ok(object.call(session, request))).unwrap_or_else(Answer::exception)
}

/// What a call that has begun comes to.
pub(crate) async fn end(what: What<'_>, answer: Answer) -> CallResult {
    match answer {
        Answer::Ready(result) => result,
        Answer::Pending(mut call) => wait(what, &mut call).await,
    }
}

/// Makes a call.
pub(crate) async fn call(
    what: What<'_>,
    object: &Arc<dyn Object>,
    session: &Arc<Session>,
    request: Request,
) -> CallResult {
    end(what, begin(what, object, session, request)).await
}

/// Waits for what an object does. May be dropped and called again as long as it has not ended.
pub(crate) async fn wait<T>(
    what: What<'_>,
    work: &mut BoxFuture<Result<T, Exception>>,
) -> Result<T, Exception> {
    std::future::poll_fn(|context| {
        run(what, || Ok(work.as_mut().poll(context)))
            .unwrap_or_else(|broken| Poll::Ready(Err(broken)))
    })
    .await
}

/// Does what an object does at once.
///
/// # Errors
/// What it raised, or that it broke off.
pub(crate) fn run<T>(
    what: What<'_>,
    work: impl FnOnce() -> Result<T, Exception>,
) -> Result<T, Exception> {
    // Nobody sees our side of what is broken: it is dropped, or answers the next call for itself.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(broken(what, &*panic)))
}

fn broken(what: What<'_>, panic: &(dyn Any + Send)) -> Exception {
    let What { object, member } = what;
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a text");
    let now = Instant::now();
    if let Some(others) = TOLD.kept_back(now) {
        error!(others, "calls broke off that are not told of one by one");
    }
    // Whoever finds such a call can make it as fast as it can send.
    if TOLD.one_more(now) {
        error!(service = object, member, panic = text, "a call broke off");
    }
    Exception::runtime_error(format!(
        "'{object}': {member} broke off by a mistake of its own, which the daemon's log tells of"
    ))
}
