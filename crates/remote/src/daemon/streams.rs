//! Item streams: iterators that clients read one item at a time.
//!
//! Owns the streams of all connections by their ids. A stream belongs to the connection that it
//! was made for. When that ends the stream lingers for a while, for a client that comes back: the
//! next connection to ask for an item owns it from then on. No clock of its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::daemon::catch_panic::{self, What};
use crate::items::{Item, ItemStream};
use crate::object::{BoxFuture, Context};
use crate::session::Session;
use wire::exception::Exception;

/// How long streams live, and how many there may be.
#[derive(Clone, Debug)]
pub struct StreamLimits {
    /// A stream ends this long after it was made (Pyro5's `ITER_STREAM_LIFETIME`).
    pub lifetime: Option<Duration>,
    /// A stream whose connection has ended is kept for so long (Pyro5's `ITER_STREAM_LINGER`).
    pub linger: Duration,
    /// Open streams of one connection, at most.
    pub per_connection: usize,
    /// Open streams of the daemon, at most; with one more, the one that has lingered longest goes,
    /// or else the oldest of the connection that has most.
    pub in_all: usize,
}

impl Default for StreamLimits {
    fn default() -> Self {
        StreamLimits {
            lifetime: None,
            linger: Duration::from_secs(30),
            per_connection: 1000,
            in_all: 10_000,
        }
    }
}

/// The open streams of a daemon. None of them ends under the lock: what an iterator does at its
/// end is its own business, and may take its time.
#[derive(Debug)]
pub(crate) struct Streams {
    limits: StreamLimits,
    open: Mutex<HashMap<String, Open>>,
    closer: OnceLock<Closer>,
}

/// What brings streams to their ends.
struct Closer(Box<dyn Fn(Ended) + Send + Sync>);

impl std::fmt::Debug for Closer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Closer")
    }
}

struct Open {
    owner: Owner,
    /// The session that has it, or had it last.
    session: u64,
    origin: Origin,
    made: Instant,
    /// Away while an item is being made.
    stream: Option<Box<dyn ItemStream>>,
}

/// A stream that nobody can read any more; what its iterator does at its end is still to be done.
pub(crate) struct Ended {
    /// The session that had it last.
    pub(crate) session: u64,
    pub(crate) origin: Origin,
    pub(crate) stream: Box<dyn ItemStream>,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open").field("owner", &self.owner).finish_non_exhaustive()
    }
}

/// What a stream is from: the next item is as much a use of that object as the call was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The object's id.
    pub(crate) object: String,
    /// The member that has returned the stream.
    pub(crate) member: String,
}

/// Whose a stream is.
#[derive(Debug)]
enum Owner {
    /// This session's.
    Session(u64),
    /// Nobody's since then: its connection has ended.
    Nobody { since: Instant },
}

impl Streams {
    pub(crate) fn new(limits: StreamLimits) -> Self {
        Streams { limits, open: Mutex::default(), closer: OnceLock::new() }
    }

    /// Has streams brought to their ends by `closer`, and not just dropped.
    pub(crate) fn close_by(&self, closer: impl Fn(Ended) + Send + Sync + 'static) {
        let _ = self.closer.set(Closer(Box::new(closer)));
    }

    /// Keeps `stream` for `session`; the id is for the client.
    ///
    /// # Errors
    /// The session has as many as it may.
    pub(crate) fn add(
        &self,
        session: u64,
        stream: Box<dyn ItemStream>,
        origin: Origin,
        now: Instant,
    ) -> Result<String, Exception> {
        // Whoever has to go for it goes behind the lock.
        let mut gone = None;
        let mut open = self.lock();
        let most = self.limits.per_connection;
        if open.values().filter(|entry| entry.owner.is(session)).count() >= most {
            return Err(Exception::daemon_error(format!(
                "too many item streams: this connection has {most} open, and may not have more; \
                 close some, or read them to their end"
            )));
        }
        if open.len() >= self.limits.in_all {
            gone = take_longest_lingering(&mut open).or_else(|| take_oldest_of_most(&mut open));
        }
        let id = uuid::Uuid::new_v4().to_string();
        let entry = Open {
            owner: Owner::Session(session),
            session,
            origin,
            made: now,
            stream: Some(stream),
        };
        open.insert(id.clone(), entry);
        drop(open);
        self.let_go(gone);
        Ok(id)
    }

    /// What a stream is from, if `session` may read it.
    pub(crate) fn origin(&self, id: &str, session: u64) -> Option<Origin> {
        let open = self.lock();
        open.get(id).filter(|entry| entry.owner.lets(session)).map(|entry| entry.origin.clone())
    }

    /// The next item, or the exception that ends the stream (`StopIteration` behind the last).
    pub(crate) async fn next(
        &self,
        id: &str,
        session: &Arc<Session>,
        context: Context,
    ) -> Result<Item, Exception> {
        let (mut stream, origin) = self.borrow(id, session)?;
        let Origin { object, member } = &origin;
        let what = What { object, member };
        let item = match catch_panic::run(what, || Ok(stream.next_for(session, context))) {
            Ok(mut next) => catch_panic::wait(what, &mut next).await,
            Err(broken) => Err(broken),
        };
        if let Ok(Some(item)) = item {
            // Gone if it was closed, or its time was up, meanwhile.
            if let Some(stream) = self.put_back(id, stream) {
                end(what, stream).await;
            }
            return Ok(item);
        }
        self.lock().remove(id);
        let stop =
            || Exception { args: Vec::new(), ..Exception::new("builtins.StopIteration", "") };
        item.and_then(|item| item.ok_or_else(stop))
    }

    /// Ends a stream; nothing happens if it has ended already.
    ///
    /// Whoever knows its id may: a stock client that is busy with another call makes a further
    /// connection to close a stream.
    pub(crate) fn close(&self, id: &str) {
        let closed = self.lock().remove(id);
        self.let_go(closed);
    }

    /// Whether there is a stream from `object` that is nobody's, or of a session of which `loses`
    /// says so.
    pub(crate) fn any_lost(&self, object: &str, loses: impl Fn(u64) -> bool) -> bool {
        self.lock().values().any(|entry| entry.is_lost(object, &loses))
    }

    /// Takes these streams out.
    pub(crate) fn take_lost(&self, object: &str, loses: impl Fn(u64) -> bool) -> Vec<Ended> {
        let lost: Vec<Open> = self
            .lock()
            .extract_if(|_, entry| entry.is_lost(object, &loses))
            .map(|(_, e)| e)
            .collect();
        lost.into_iter().filter_map(Open::ended).collect()
    }

    /// The connection of `session` has ended: its streams linger, or go.
    pub(crate) fn end_session(&self, session: u64, now: Instant) {
        if self.limits.linger.is_zero() {
            return self.end(|entry| entry.owner.is(session));
        }
        let mut open = self.lock();
        for entry in open.values_mut().filter(|entry| entry.owner.is(session)) {
            entry.owner = Owner::Nobody { since: now };
        }
    }

    /// Ends the streams whose time is up.
    pub(crate) fn expire(&self, now: Instant) {
        let StreamLimits { lifetime, linger, .. } = self.limits;
        self.end(|entry| {
            let too_old = lifetime.is_some_and(|most| now.duration_since(entry.made) > most);
            let forgotten = match entry.owner {
                Owner::Session(_) => false,
                Owner::Nobody { since } => now.duration_since(since) > linger,
            };
            too_old || forgotten
        });
    }

    /// Ends all streams of which `is_over` says so.
    fn end(&self, is_over: impl Fn(&Open) -> bool) {
        let over: Vec<_> = self.lock().extract_if(|_, entry| is_over(entry)).collect();
        self.let_go(over.into_iter().map(|(_, entry)| entry));
    }

    fn let_go(&self, over: impl IntoIterator<Item = Open>) {
        for ended in over.into_iter().filter_map(Open::ended) {
            match self.closer.get() {
                Some(Closer(close)) => close(ended),
                None => drop(ended),
            }
        }
    }

    /// Puts a stream back where it was borrowed; it is handed back where that is not there any more.
    fn put_back(&self, id: &str, stream: Box<dyn ItemStream>) -> Option<Box<dyn ItemStream>> {
        match self.lock().get_mut(id) {
            Some(entry) => {
                entry.stream = Some(stream);
                None
            }
            None => Some(stream),
        }
    }

    fn borrow(
        &self,
        id: &str,
        session: &Session,
    ) -> Result<(Box<dyn ItemStream>, Origin), Exception> {
        let mut open = self.lock();
        match open.get_mut(id) {
            Some(entry) if entry.owner.lets(session.id) => {
                // What belonged to an ended session would linger for ever.
                if !session.has_ended() {
                    entry.owner = Owner::Session(session.id);
                    entry.session = session.id;
                }
                let stream = entry.stream.take();
                stream
                    .map(|stream| (stream, entry.origin.clone()))
                    .ok_or_else(|| Exception::value_error("generator already executing"))
            }
            // Another session's stream is nobody's business: as if it were not there.
            _ => Err(Exception::pyro_error("item stream terminated")),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes room for a stream where all are somebody's: at the cost of who has most of them, so that
/// a few who open as many as they may take none from the others.
fn take_oldest_of_most(open: &mut HashMap<String, Open>) -> Option<Open> {
    let mut counts: HashMap<u64, usize> = HashMap::new();
    for entry in open.values() {
        if let Owner::Session(session) = entry.owner {
            *counts.entry(session).or_default() += 1;
        }
    }
    let most = counts.values().max().copied()?;
    let of_most = open.iter().filter_map(|(id, entry)| match entry.owner {
        Owner::Session(session) if counts.get(&session) == Some(&most) => Some((entry.made, id)),
        _ => None,
    });
    let oldest = of_most.min().map(|(_, id)| id.clone());
    oldest.and_then(|id| open.remove(&id))
}

/// Makes room for a stream; nothing where all are somebody's.
fn take_longest_lingering(open: &mut HashMap<String, Open>) -> Option<Open> {
    let lingering = open.iter().filter_map(|(id, entry)| match entry.owner {
        Owner::Session(_) => None,
        Owner::Nobody { since } => Some((since, id)),
    });
    let longest = lingering.min().map(|(_, id)| id.clone());
    longest.and_then(|id| open.remove(&id))
}

/// Lets an iterator do what it does at its end.
pub(crate) async fn end(what: What<'_>, mut stream: Box<dyn ItemStream>) {
    let mut ending: BoxFuture<Result<(), Exception>> = Box::pin(async move {
        stream.close().await;
        Ok(())
    });
    // What breaks off there is told in the log.
    let _told = catch_panic::wait(what, &mut ending).await;
}

impl Open {
    fn is_lost(&self, object: &str, loses: impl Fn(u64) -> bool) -> bool {
        let is_theirs = || matches!(self.owner, Owner::Nobody { .. }) || loses(self.session);
        self.origin.object == object && is_theirs()
    }

    /// None while an item is being made: whoever makes it finds that it has ended.
    fn ended(self) -> Option<Ended> {
        let Open { session, origin, stream, .. } = self;
        stream.map(|stream| Ended { session, origin, stream })
    }
}

impl Owner {
    fn is(&self, session: u64) -> bool {
        matches!(self, Owner::Session(owner) if *owner == session)
    }

    /// Whether `session` may use the stream.
    fn lets(&self, session: u64) -> bool {
        self.is(session) || matches!(self, Owner::Nobody { .. })
    }
}

#[cfg(test)]
mod tests;
