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
use crate::daemon::catch_panic::{self, What};
use crate::object::{Answer, CallResult};
use crate::session::Session;

/// The oneway calls of one connection.
#[derive(Debug)]
pub(crate) struct Oneways {
    limits: Most,
    open: Arc<Open>,
    /// Those of all connections, the ended ones too: what they have sent is carried out.
    all: Arc<AllOneways>,
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

/// The oneway calls of a daemon that have not ended.
#[derive(Debug)]
pub(crate) struct AllOneways {
    limits: Most,
    open: Open,
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
    all: Arc<AllOneways>,
    bytes: usize,
}

impl AllOneways {
    /// For connections that may have so many each.
    pub(crate) fn new(limits: Most) -> Self {
        AllOneways { limits, open: Open::default() }
    }
}

impl Open {
    /// Whether one more fits that takes so much. One is let in however large it is: its message was.
    fn fits(&self, bytes: usize, most: Most) -> bool {
        let (calls, held) =
            (self.calls.load(Ordering::Acquire), self.bytes.load(Ordering::Acquire));
        calls < most.calls && (calls == 0 || held.saturating_add(bytes) <= most.bytes)
    }

    fn add(&self, bytes: usize) {
        self.calls.fetch_add(1, Ordering::AcqRel);
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
    }

    fn remove(&self, bytes: usize) {
        self.calls.fetch_sub(1, Ordering::AcqRel);
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
    }
}

impl Oneways {
    pub(crate) fn new(limits: Most, all: Arc<AllOneways>) -> Self {
        Oneways { limits, open: Arc::default(), all, refused: 0 }
    }

    /// A place for a call that takes so many bytes of memory; none if there are too many.
    pub(crate) fn enter(&mut self, bytes: usize, session: &Session, method: &str) -> Option<Place> {
        let Oneways { limits, open, all, .. } = self;
        if !open.fits(bytes, *limits) || !all.open.fits(bytes, all.limits) {
            let waiting = open.calls.load(Ordering::Acquire);
            let of_all = all.open.calls.load(Ordering::Acquire);
            // Once for a flood: a line for each would wash everything else out of the log.
            if self.refuse() {
                error!(peer = %session.peer, method, waiting, of_all,
                    "too many oneway calls: this one is refused, and those behind it until there \
                     is room; the next call with an answer tells how many they were");
            }
            return None;
        }
        open.add(bytes);
        all.open.add(bytes);
        Some(Place { open: Arc::clone(open), all: Arc::clone(all), bytes })
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
                 {most} others (or {} MiB of them), or {} of all connections, had not ended; and \
                 neither was this call, which may rely on them",
                self.limits.bytes >> 20,
                self.all.limits.calls
            ))
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.remove(self.bytes);
        self.all.open.remove(self.bytes);
    }
}

/// Begins `answer` here, so that calls begin in the order of their arrival, and lets it go on by
/// itself while `keep` is kept for it.
pub(crate) async fn set_going(answer: Answer, keep: impl Send + 'static, about: About) {
    match answer {
        Answer::Ready(result) => about.done(result),
        Answer::Pending(mut call) => {
            let begun = poll_fn(|context| {
                Poll::Ready(match pin!(catch_panic::wait(about.what(), &mut call)).poll(context) {
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
                about.done(catch_panic::wait(about.what(), &mut call).await);
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

#[cfg(test)]
mod tests {
    use wire::value::Value;

    use super::*;
    use crate::session::Peer;

    #[test]
    fn all_connections_together_have_a_limit_too() {
        let session = Session::new(1, Peer::Unix, "o".to_owned(), Value::None);
        let all = Arc::new(AllOneways::new(Most { calls: 3, bytes: 100 }));
        let connection = || Oneways::new(Most { calls: 2, bytes: 80 }, Arc::clone(&all));
        let (mut one, mut two) = (connection(), connection());
        let first = one.enter(10, &session, "m");
        let second = one.enter(10, &session, "m");
        assert!(first.is_some() && second.is_some());
        assert!(one.enter(10, &session, "m").is_none(), "its own limit");
        assert!(one.owed().is_some() && one.owed().is_none());
        let third = two.enter(10, &session, "m");
        assert!(third.is_some());
        assert!(two.enter(10, &session, "m").is_none(), "that of all");
        // What a connection has sent counts when that has ended, too.
        drop(one);
        assert!(two.enter(10, &session, "m").is_none());
        drop(first);
        assert!(two.enter(90, &session, "m").is_none(), "too much memory");
        assert!(two.enter(10, &session, "m").is_some());
        drop((second, third));
        let mut three = connection();
        assert!(three.enter(1000, &session, "m").is_some(), "one may be as large as its message");
    }
}
