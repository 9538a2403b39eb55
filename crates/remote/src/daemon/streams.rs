//! Item streams: iterators that clients read one item at a time.
//!
//! A stream belongs to the connection that it was made for. When that ends, the stream lingers for
//! a while, for a client that comes back: the next connection that asks for an item owns it from
//! then on. Times are arguments.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use crate::config::StreamLimits;
use crate::daemon::catch_panic::{self, CallName};
use crate::object::{BoxFuture, Context, ItemStream, Reply, ReplyBody};
use crate::session::Session;
use wire::exception::Exception;
use wire::value::Value;

/// The open streams of a daemon. None of them ends under the lock: what an iterator does at its end
/// may take long.
#[derive(Debug)]
pub(crate) struct Streams {
    limits: StreamLimits,
    open: Mutex<HashMap<String, Open>>,
    closer: OnceLock<Closer>,
}

/// Ends streams.
struct Closer(Box<dyn Fn(EndedStream) + Send + Sync>);

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

/// A stream that nobody can read any longer, and that is still to be ended.
pub(crate) struct EndedStream {
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

/// The call that has returned a stream: its next item uses the object as much as that call did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The object's id.
    pub(crate) object: String,
    /// The member that has returned the stream.
    pub(crate) member: String,
    /// The id of the object that was called: a part has the lock of its service, and its own id.
    pub(crate) called: String,
    /// Whether the member is a property that was read.
    pub(crate) is_read: bool,
}

/// The owner of a stream.
#[derive(Debug)]
enum Owner {
    /// This session's.
    Session(u64),
    /// No session's since then: its connection has ended.
    Nobody { since: Instant },
}

/// A stream that was an item of another: it uses the object as much as the other does.
struct Nested {
    origin: Origin,
    stream: Box<dyn ItemStream>,
}

impl ItemStream for Nested {
    fn next(&mut self) -> BoxFuture<Result<Option<Value>, Exception>> {
        self.stream.next()
    }

    fn next_for(
        &mut self,
        session: &Arc<Session>,
        context: Context,
    ) -> BoxFuture<Result<Option<Reply>, Exception>> {
        self.stream.next_for(session, context)
    }

    fn goes_on(&self) -> bool {
        self.stream.goes_on()
    }

    fn opened_by(&self) -> Option<(&str, &str)> {
        Some((&self.origin.called, &self.origin.member))
    }

    fn close(&mut self) -> BoxFuture<()> {
        self.stream.close()
    }
}

impl Streams {
    pub(crate) fn new(limits: StreamLimits) -> Self {
        Streams { limits, open: Mutex::default(), closer: OnceLock::new() }
    }

    /// Has streams ended by `closer` instead of being dropped.
    pub(crate) fn close_by(&self, closer: impl Fn(EndedStream) + Send + Sync + 'static) {
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
        // A stream that is closed for this one ends after the lock is released.
        let mut closed = None;
        let mut open = self.lock();
        let most = self.limits.per_connection;
        if open.values().filter(|entry| entry.owner.is(session)).count() >= most {
            return Err(Exception::daemon_error(format!(
                "too many item streams: this connection has {most} open, and may not have more; \
                 close some, or read them to their end"
            )));
        }
        if open.len() >= self.limits.in_all {
            closed = take_longest_lingering(&mut open).or_else(|| take_oldest_of_most(&mut open));
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
        self.close_all(closed);
        Ok(id)
    }

    /// The origin of a stream, if `session` may read it.
    pub(crate) fn origin(&self, id: &str, session: u64) -> Option<Origin> {
        let open = self.lock();
        open.get(id).filter(|entry| entry.owner.lets(session)).map(|entry| entry.origin.clone())
    }

    /// The origin of a stream, whichever session reads it.
    pub(crate) fn origin_for_close(&self, id: &str) -> Option<Origin> {
        self.lock().get(id).map(|entry| entry.origin.clone())
    }

    /// The next item, or the exception that ends the stream (`StopIteration` after the last).
    pub(crate) async fn next(
        &self,
        id: &str,
        session: &Arc<Session>,
        context: Context,
    ) -> Result<Reply, Exception> {
        let (mut stream, origin) = self.borrow(id, session)?;
        let Origin { object, member, .. } = &origin;
        let name = CallName { object, member };
        let item = match catch_panic::run(name, || Ok(stream.next_for(session, context))) {
            Ok(mut next) => catch_panic::wait(name, &mut next).await,
            Err(broken) => Err(broken),
        };
        if let Ok(Some(mut item)) = item {
            if let ReplyBody::Stream(stream) = item.body {
                item.body = ReplyBody::Stream(Box::new(Nested { origin: origin.clone(), stream }));
            }
            // Gone if it was closed, or its time was up, meanwhile.
            if let Some(stream) = self.put_back(id, stream) {
                end(name, stream).await;
            }
            return Ok(item);
        }
        if item.is_err() && stream.goes_on() {
            if let Some(stream) = self.put_back(id, stream) {
                end(name, stream).await;
            }
        } else {
            self.lock().remove(id);
        }
        let stop =
            || Exception { args: Vec::new(), ..Exception::new("builtins.StopIteration", "") };
        item.and_then(|item| item.ok_or_else(stop))
    }

    /// Ends a stream; nothing happens if it has ended already.
    ///
    /// Every client that knows its id may: a stock client that is busy with another call makes a
    /// further connection to close a stream.
    pub(crate) fn close(&self, id: &str) {
        let closed = self.lock().remove(id);
        self.close_all(closed);
    }

    /// Whether there is a stream from `object` that has no owner, or whose session has lost the
    /// lock, as `loses` says.
    pub(crate) fn any_lost(&self, object: &str, loses: impl Fn(u64) -> bool) -> bool {
        self.lock().values().any(|entry| entry.is_lost(object, &loses))
    }

    /// Takes these streams out.
    pub(crate) fn take_lost(&self, object: &str, loses: impl Fn(u64) -> bool) -> Vec<EndedStream> {
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
        self.close_all(over.into_iter().map(|(_, entry)| entry));
    }

    fn close_all(&self, over: impl IntoIterator<Item = Open>) {
        for ended in over.into_iter().filter_map(Open::ended) {
            match self.closer.get() {
                Some(Closer(close)) => close(ended),
                None => drop(ended),
            }
        }
    }

    /// Puts a stream back where it was borrowed; it is handed back where that is not there any
    /// more.
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
                // A stream of an ended session would linger for ever.
                if !session.has_ended() {
                    entry.owner = Owner::Session(session.id);
                    entry.session = session.id;
                }
                let stream = entry.stream.take();
                stream
                    .map(|stream| (stream, entry.origin.clone()))
                    .ok_or_else(|| Exception::value_error("generator already executing"))
            }
            // Another session's stream is treated as if it did not exist.
            _ => Err(Exception::pyro_error("item stream terminated")),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes out a stream of the session that has most of them, so that a few sessions that open as
/// many as they may close none of the others'.
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

/// Takes out the stream that has lingered longest; `None` if all have owners.
fn take_longest_lingering(open: &mut HashMap<String, Open>) -> Option<Open> {
    let lingering = open.iter().filter_map(|(id, entry)| match entry.owner {
        Owner::Session(_) => None,
        Owner::Nobody { since } => Some((since, id)),
    });
    let longest = lingering.min().map(|(_, id)| id.clone());
    longest.and_then(|id| open.remove(&id))
}

/// Runs what an iterator does at its end.
pub(crate) async fn end(name: CallName<'_>, mut stream: Box<dyn ItemStream>) {
    let mut ending: BoxFuture<Result<(), Exception>> = Box::pin(async move {
        stream.close().await;
        Ok(())
    });
    // A panic there is in the log.
    let _logged = catch_panic::wait(name, &mut ending).await;
}

impl Open {
    fn is_lost(&self, object: &str, loses: impl Fn(u64) -> bool) -> bool {
        let is_theirs = || matches!(self.owner, Owner::Nobody { .. }) || loses(self.session);
        self.origin.object == object && is_theirs()
    }

    /// `None` while an item is being made: the task that makes it finds that it has ended.
    fn ended(self) -> Option<EndedStream> {
        let Open { session, origin, stream, .. } = self;
        stream.map(|stream| EndedStream { session, origin, stream })
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
