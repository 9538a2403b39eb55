//! Polls: members of services that the daemon reads again and again, for series of values.
//!
//! A poll is a call of the daemon itself ([`remote::OwnCaller`]): it takes its turn, waits for no
//! lock and delays none. Each object is polled by one task, and the objects of a service in turn,
//! so that no two polls of it run at a time. Values that clients read anyway feed the same series.
//! Only services with `poll` or `keep` in their `members` have any of this.

mod book;
mod poller;
mod reading;
mod samples;
mod schedule;
mod series;

use std::collections::BTreeMap;
use std::sync::Arc;

use lab_config::{Member, Service, Target};
use py_worker::WorkerSet;
use remote::{Daemon, Object, OwnCallReason, Value, observed};
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::host::feed::Feed;
use book::{Book, PollTroubles};
use poller::Poller;
use series::{MemberSeries, Moment};

/// The polls of a daemon.
pub(super) struct Polls {
    feed: Feed,
    /// The objects that have series, by id: a service, or a part of one.
    objects: BTreeMap<String, PolledObject>,
    troubles: watch::Sender<PollTroubles>,
}

/// An object that has series.
struct PolledObject {
    service: String,
    is_native: bool,
    members: Vec<Member>,
    book: Book,
}

impl Polls {
    /// The series of these services, which are not polled yet.
    pub(super) fn new(services: &[Service], feed: &Feed) -> Self {
        let mut objects = BTreeMap::new();
        for service in services {
            let name: Arc<str> = service.name.as_str().into();
            let is_watched = |member: &&Member| member.has_series() || !member.alarms.is_empty();
            for member in service.members.iter().filter(is_watched) {
                // A member of a part has the part's path before its name.
                let part = member.name.rsplit_once('.');
                let id = match part {
                    Some((path, _)) => format!("{name}.{path}"),
                    None => name.to_string(),
                };
                let object = objects.entry(id).or_insert_with(|| PolledObject {
                    service: service.name.clone(),
                    is_native: matches!(service.target, Target::Native(_)),
                    members: Vec::new(),
                    book: Book::default(),
                });
                let series = MemberSeries::new(&name, member, Moment::now(), feed);
                let own = part.map_or(member.name.as_str(), |(_, own)| own).to_owned();
                object.book.lock().insert(own.clone(), series);
                object.members.push(Member { name: own, ..member.clone() });
            }
        }
        Polls { feed: feed.clone(), objects, troubles: watch::Sender::default() }
    }

    /// The object of this id, whose results feed its series from now on; itself without any.
    pub(super) fn observe(&self, id: &str, object: Arc<dyn Object>) -> Arc<dyn Object> {
        let Some(polled) = self.objects.get(id) else { return object };
        let names = polled.members.iter().map(|member| member.name.clone()).collect();
        let (book, feed) = (polled.book.clone(), self.feed.clone());
        observed(
            object,
            names,
            Arc::new(move |member: &str, value: &Value| {
                if let Some(series) = book.lock().get_mut(member) {
                    series.value_of_client(value, Moment::now(), &feed);
                }
            }),
        )
    }

    /// Starts to poll.
    pub(super) fn start(
        &self,
        daemon: &Daemon,
        workers: &Arc<WorkerSet>,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) {
        let mut turns: BTreeMap<&str, Arc<Mutex<()>>> = BTreeMap::new();
        for (id, object) in &self.objects {
            let poller = Poller {
                service: object.service.clone(),
                object: id.clone(),
                is_native: object.is_native,
                members: object.members.clone(),
                book: object.book.clone(),
                caller: daemon.own_caller(id, OwnCallReason::Poll),
                turn: Arc::clone(turns.entry(&object.service).or_default()),
                workers: Arc::clone(workers),
                feed: self.feed.clone(),
                troubles: self.troubles.clone(),
            };
            let stop = stop.clone();
            tasks.spawn(async move { stop.run_until_cancelled(poller.follow()).await });
        }
    }

    /// Why members of a service cannot be read as they should be, in words.
    pub(super) fn trouble(&self, service: &str) -> Option<String> {
        let troubles = self.troubles.borrow();
        let of_service = troubles.iter().filter(|((of, _), _)| of == service);
        let texts: Vec<&str> = of_service.map(|(_, text)| text.as_str()).collect();
        (!texts.is_empty()).then(|| texts.join("; "))
    }
}
