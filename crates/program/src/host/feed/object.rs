//! The object `ferrolab.Feed`: the feed of a daemon's events for other processes.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use remote::access::AccessKind;
use remote::{
    AccessGate, Answer, CallCounter, CallCounts, Dict, Exception, Metadata, MethodCall, Object,
    Operation, Reply, Request, Session, Signature, Value,
};

use super::event::{Event, EventBody, SeriesRow, property};
use super::ring::{Batch, Feed};

/// The id of the object. It is in no nameserver, and not in `registered`.
pub(crate) const FEED: &str = "ferrolab.Feed";

/// The longest wait for events.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The object of a feed.
pub(in crate::host) struct FeedObject {
    feed: Feed,
    counter: CallCounter,
    /// The rules of access: a reader gets the events of services that it may look at.
    access: Arc<AccessGate>,
    /// Sessions that have asked for something: events are made for them.
    readers: Mutex<HashSet<u64>>,
}

impl FeedObject {
    pub(in crate::host) fn new(feed: Feed, counter: CallCounter, access: Arc<AccessGate>) -> Self {
        FeedObject { feed, counter, access, readers: Mutex::default() }
    }

    fn call_method(&self, session: &Arc<Session>, call: MethodCall) -> Answer {
        const LATEST: Signature = Signature::empty("Feed.latest");
        const EVENTS: Signature =
            Signature { name: "Feed.events", parameters: &["after", "wait"], required: 1 };
        const SCRAPE: Signature = Signature::empty("Feed.scrape");
        match call.method.as_str() {
            "latest" => Answer::from(LATEST.bind(call).map(|[]| {
                self.add_reader(session);
                self.latest(session)
            })),
            "events" => {
                let bound = EVENTS.bind(call).and_then(|[after, wait]| {
                    Ok((number(after.as_ref())?, seconds(wait.as_ref())?))
                });
                match bound {
                    Err(exception) => Answer::exception(exception),
                    Ok((after, wait)) => {
                        self.add_reader(session);
                        let (feed, access) = (self.feed.clone(), Arc::clone(&self.access));
                        let session = Arc::clone(session);
                        Answer::Pending(Box::pin(async move {
                            let mut batch = feed.wait_for_batch(after, wait).await;
                            if access.is_on() {
                                batch.events.retain(|event| may_see(&access, &session, event));
                            }
                            Ok(Reply::from(batch_value(&feed, &batch)))
                        }))
                    }
                }
            }
            "scrape" => Answer::from(SCRAPE.bind(call).map(|[]| self.scrape(session))),
            _ => Answer::exception(Operation::Call(call).unexposed()),
        }
    }

    fn latest(&self, session: &Session) -> Value {
        let (series, next) = self.readable(session);
        let mut dict = Dict::with_capacity(3);
        dict.insert("epoch", self.feed.epoch());
        dict.insert("next", next as i64);
        dict.insert("series", Value::List(series.iter().map(SeriesRow::to_value).collect()));
        Value::Dict(dict)
    }

    /// The series that a client may read as they stand, and the number of the next event.
    fn readable(&self, session: &Session) -> (Vec<SeriesRow>, u64) {
        let (mut series, next) = self.feed.latest();
        if self.access.is_on() {
            series.retain(|row| {
                let (service, member) = (&row.service, &row.sample.member);
                self.access.may(session, service, property(member), AccessKind::Read)
            });
        }
        (series, next)
    }

    /// The series as they stand, and of each object its calls since the daemon has started, those
    /// that have failed, and slow ones; of what the client may look at. A client that asks is not a
    /// reader: no events are made for it.
    fn scrape(&self, session: &Session) -> Value {
        let mut calls = Dict::default();
        for (id, CallCounts { calls: all, errors, slow }) in self.counter.counts() {
            if !self.access.may(session, &id, "", AccessKind::Describe) {
                continue;
            }
            let counts = [all, errors, slow].map(|count| Value::from(count as i64));
            calls.insert(id, Value::List(counts.into()));
        }
        let (series, _) = self.readable(session);
        let mut dict = Dict::with_capacity(2);
        dict.insert("series", Value::List(series.iter().map(SeriesRow::to_value).collect()));
        dict.insert("calls", Value::Dict(calls));
        Value::Dict(dict)
    }

    fn add_reader(&self, session: &Session) {
        // The end of an ended session is not told again.
        if !session.has_ended() && self.readers().insert(session.id) {
            self.feed.add_reader();
        }
    }

    fn readers(&self) -> MutexGuard<'_, HashSet<u64>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Object for FeedObject {
    fn metadata(&self) -> Result<Metadata, Exception> {
        Ok(Metadata::methods(["latest", "events", "scrape"]))
    }

    fn is_internal(&self) -> bool {
        true
    }

    fn checks_access(&self) -> bool {
        true
    }

    fn call(&self, session: &Arc<Session>, request: Request) -> Answer {
        match request.operation {
            Operation::Call(call) => self.call_method(session, call),
            other => Answer::exception(other.unexposed()),
        }
    }

    fn session_ended(&self, session: &Session) {
        if self.feed.is_read() && self.readers().remove(&session.id) {
            self.feed.remove_reader_later();
        }
    }
}

/// Whether a reader may see an event: a sample as the property, all others as its service.
fn may_see(access: &AccessGate, session: &Session, event: &Event) -> bool {
    let (member, kind) = match &event.body {
        EventBody::Sample(sample) => (property(&sample.member), AccessKind::Read),
        _ => ("", AccessKind::Describe),
    };
    access.may(session, &event.service, member, kind)
}

fn batch_value(feed: &Feed, batch: &Batch) -> Value {
    let mut dict = Dict::with_capacity(6);
    dict.insert("epoch", feed.epoch());
    dict.insert("next", batch.next as i64);
    dict.insert("more", batch.has_more);
    dict.insert("lost", batch.lost as i64);
    dict.insert("lost_calls", batch.lost_calls as i64);
    dict.insert("events", Value::List(batch.events.iter().map(|it| it.to_value()).collect()));
    Value::Dict(dict)
}

fn number(value: Option<&Value>) -> Result<u64, Exception> {
    let number = value.and_then(Value::as_i64).and_then(|number| u64::try_from(number).ok());
    number.ok_or_else(|| {
        Exception::value_error("Feed.events(): 'after' must be the number of an event, or 0")
    })
}

fn seconds(value: Option<&Value>) -> Result<Duration, Exception> {
    let Some(value) = value.filter(|value| !value.is_none()) else { return Ok(Duration::ZERO) };
    let seconds = value.as_f64().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let seconds = seconds.ok_or_else(|| {
        Exception::value_error("Feed.events(): 'wait' must be a number of seconds from 0")
    })?;
    Ok(seconds.min(LONGEST_WAIT))
}
