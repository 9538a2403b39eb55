//! The oneway calls of a connection that have not ended.
//!
//! Owns how many there may be, and how their caller learns that one was refused: a oneway call has
//! no answer, so the next call that has one is refused in its stead. A client that sends faster
//! than its object works must not fill our memory, and must not believe that all was done.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Instant;

use tracing::{error, warn};
use wire::exception::Exception;

use crate::daemon::Shared;
use crate::daemon::caught::{self, What};
use crate::object::{Answer, CallResult};
use crate::session::Session;

/// The oneway calls of one connection.
#[derive(Debug)]
pub(crate) struct Oneways {
    limits: Most,
    open: Arc<Open>,
    /// Refused since the last call with an answer.
    refused: usize,
}

/// How much of them there may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Most {
    pub(crate) calls: usize,
    /// Bytes of memory that their requests take.
    pub(crate) bytes: usize,
}

#[derive(Debug, Default)]
struct Open {
    calls: AtomicUsize,
    bytes: AtomicUsize,
}

/// The right to carry out one oneway call; its place is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    open: Arc<Open>,
    bytes: usize,
}

impl Oneways {
    pub(crate) fn new(limits: Most) -> Self {
        Oneways { limits, open: Arc::default(), refused: 0 }
    }

    /// A place for a call that takes so many bytes of memory; none if there are too many.
    pub(crate) fn enter(&mut self, bytes: usize, session: &Session, method: &str) -> Option<Place> {
        let open = &self.open;
        let (calls, held) =
            (open.calls.load(Ordering::Acquire), open.bytes.load(Ordering::Acquire));
        // One is let in however large it is: its message was.
        let fits = calls == 0 || held.saturating_add(bytes) <= self.limits.bytes;
        if calls >= self.limits.calls || !fits {
            // Once for a flood: a line for each would wash everything else out of the log.
            if self.refuse() {
                error!(peer = %session.peer, method, waiting = calls, bytes = held,
                    "too many oneway calls: this one is refused, and those behind it until there \
                     is room; the next call with an answer tells how many they were");
            }
            return None;
        }
        open.calls.fetch_add(1, Ordering::AcqRel);
        open.bytes.fetch_add(bytes, Ordering::AcqRel);
        Some(Place { open: Arc::clone(open), bytes })
    }

    /// Counts a call that is not carried out; true for the first since the last call with an
    /// answer.
    pub(crate) fn refuse(&mut self) -> bool {
        self.refused += 1;
        self.refused == 1
    }

    /// The exception for the call that follows refused ones.
    pub(crate) fn owed(&mut self) -> Option<Exception> {
        let refused = std::mem::take(&mut self.refused);
        let most = self.limits.calls;
        (refused > 0).then(|| {
            Exception::daemon_error(format!(
                "too many oneway calls: {refused} on this connection were not carried out, since \
                 {most} others (or {} MiB of them) had not ended; and neither was this call, which \
                 may rely on them",
                self.limits.bytes >> 20
            ))
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.calls.fetch_sub(1, Ordering::AcqRel);
        self.open.bytes.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

/// Begins `answer` here, so that calls begin in the order of their arrival, and lets it go on by
/// itself while `keep` is kept for it.
pub(crate) async fn set_going(answer: Answer, keep: impl Send + 'static, about: About) {
    match answer {
        Answer::Ready(result) => about.done(result),
        Answer::Pending(mut call) => {
            let begun = poll_fn(|context| {
                Poll::Ready(match pin!(caught::wait(about.what(), &mut call)).poll(context) {
                    Poll::Ready(result) => Some(result),
                    Poll::Pending => None,
                })
            });
            if let Some(result) = begun.await {
                about.done(result);
                return;
            }
            tokio::spawn(async move {
                let _keep = keep;
                about.done(caught::wait(about.what(), &mut call).await);
            });
        }
    }
}

/// What a oneway call was, for the log.
pub(crate) struct About {
    pub(crate) shared: Arc<Shared>,
    pub(crate) session: Arc<Session>,
    pub(crate) object: String,
    pub(crate) method: String,
}

impl About {
    pub(crate) fn what(&self) -> What<'_> {
        What { object: &self.object, member: &self.method }
    }

    /// It is done; what it raised goes to the log, unless there is too much of it.
    pub(crate) fn done(&self, result: CallResult) {
        if let Err(exception) = result {
            let About { shared, session, object, method } = self;
            // Whoever calls what is not there, or always raises, can do so as fast as it can send.
            if !shared.oneway_complaints.one_more(Instant::now()) {
                return;
            }
            warn!(peer = %session.peer, object, method, %exception, "a oneway call raised");
        }
    }
}
