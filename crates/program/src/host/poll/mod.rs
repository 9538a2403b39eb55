//! Polls: members of services that the daemon reads again and again, for series of values.
//!
//! A poll is a call of the daemon itself ([`remote::OwnCaller`]): it takes its turn, waits for no
//! lock and delays none. Each object is polled by one task, and the objects of a service in turn,
//! so that no two polls of it run at a time. Values that clients read anyway feed the same series.
//! Only services with `poll` or `keep` in their `members` have any of this; a reload may change
//! them.

mod book;
mod poller;
mod reading;
mod samples;
mod schedule;
mod series;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lab_config::{Member, Service, Target};
use py_worker::WorkerSet;
use remote::{Daemon, Object, Observation, OwnCallReason, Value, observed};
use tokio::sync::{Mutex as AsyncMutex, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::host::feed::Feed;
use book::{Book, PollTroubles};
use poller::Poller;
use series::Moment;

/// Fewest objects among which those that are no longer served are looked for.
const MIN_SEARCHED: usize = 64;

/// The polls of a daemon.
pub(super) struct Polls {
    feed: Feed,
    state: Mutex<PollState>,
    troubles: watch::Sender<PollTroubles>,
}

#[derive(Default)]
struct PollState {
    /// The services' names, and whether each is a built-in one.
    services: Vec<(String, bool)>,
    /// Objects that are served or have series, by id: services, and parts of some.
    objects: BTreeMap<String, PolledObject>,
    /// Number of objects at which those that are no longer served are looked for.
    search_at: usize,
    /// `None` before the start.
    running: Option<Running>,
}

impl PollState {
    /// Forgets objects without members that are no longer served. A driver may register and
    /// unregister any number of them; to look at all of them each time would take too long.
    fn forget_unserved(&mut self) {
        if self.objects.len() < self.search_at {
            return;
        }
        self.objects.retain(|_, object| object.is_needed());
        self.search_at = (2 * self.objects.len()).max(MIN_SEARCHED);
    }
}

/// An object that may have series.
struct PolledObject {
    service: String,
    is_native: bool,
    /// Under the names that they have in the object.
    members: watch::Sender<Vec<Member>>,
    book: Book,
    /// Feeds the series with the values that clients read.
    observation: Arc<Observation>,
    has_poller: bool,
}

impl PolledObject {
    fn new(service: &str, is_native: bool, feed: &Feed) -> Self {
        let book = Book::default();
        let (read, feed) = (book.clone(), feed.clone());
        let observation = Observation::new(Box::new(move |member: &str, value: &Value| {
            if let Some(series) = read.lock().get_mut(member) {
                series.value_of_client(value, Moment::now(), &feed);
            }
        }));
        let members = watch::Sender::default();
        let service = service.to_owned();
        PolledObject { service, is_native, members, book, observation, has_poller: false }
    }

    /// Whether it has members, has had some since the start, or is served.
    fn is_needed(&self) -> bool {
        let is_served = Arc::strong_count(&self.observation) > 1;
        is_served || self.has_poller || !self.members.borrow().is_empty()
    }
}

/// The means of the pollers.
struct Running {
    daemon: Daemon,
    workers: Arc<WorkerSet>,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Held during a poll, by service.
    turns: BTreeMap<String, Arc<AsyncMutex<()>>>,
}

impl Polls {
    /// The series of these services, which are not polled yet.
    pub(super) fn new(services: &[Service], feed: &Feed) -> Self {
        let polls = Polls {
            feed: feed.clone(),
            state: Mutex::default(),
            troubles: watch::Sender::default(),
        };
        polls.change(services);
        polls
    }

    /// Takes up another configuration of the services. Series that stay go on.
    pub(super) fn change(&self, services: &[Service]) {
        let mut state = self.state();
        let PollState { services: known, objects, running, .. } = &mut *state;
        known.clear();
        let mut wanted: BTreeMap<String, Vec<(String, Member)>> = BTreeMap::new();
        for service in services {
            let is_native = matches!(service.target, Target::Native(_));
            known.push((service.name.clone(), is_native));
            let is_watched = |member: &&Member| member.has_series() || !member.alarms.is_empty();
            for member in service.members.iter().filter(is_watched) {
                // A member of a part has the part's path before its name.
                let part = member.name.rsplit_once('.');
                let id = match part {
                    Some((path, _)) => format!("{}.{path}", service.name),
                    None => service.name.clone(),
                };
                let new = || PolledObject::new(&service.name, is_native, &self.feed);
                objects.entry(id.clone()).or_insert_with(new);
                let own = part.map_or(member.name.as_str(), |(_, own)| own).to_owned();
                wanted.entry(id).or_default().push((own, member.clone()));
            }
        }
        for (id, object) in objects {
            let members = wanted.remove(id).unwrap_or_default();
            object.book.change(&object.service, &members, Moment::now(), &self.feed);
            let names = members.iter().map(|(name, _)| name.clone());
            object.observation.set_members(names.collect());
            let own = members.into_iter().map(|(name, member)| Member { name, ..member });
            let own: Vec<Member> = own.collect();
            object.members.send_if_modified(|known| {
                let is_other = *known != own;
                *known = own;
                is_other
            });
            if let Some(running) = running {
                self.start_poller(id, object, running);
            }
        }
    }

    /// The object of this id, whose results feed its series, also those that a reload adds.
    pub(super) fn observe(&self, id: &str, object: Arc<dyn Object>) -> Arc<dyn Object> {
        let mut state = self.state();
        state.forget_unserved();
        let PollState { services, objects, .. } = &mut *state;
        let is_of = |(service, _): &&(String, bool)| {
            let rest = id.strip_prefix(service.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        // Other objects, which drivers register, have no members in the configuration.
        // The longest name: a service may be called like another one with a dot after it.
        let owner = services.iter().filter(is_of).max_by_key(|(service, _)| service.len());
        let Some((service, is_native)) = owner else { return object };
        let new = || PolledObject::new(service, *is_native, &self.feed);
        let polled = objects.entry(id.to_owned()).or_insert_with(new);
        observed(object, &polled.observation)
    }

    /// Starts to poll.
    pub(super) fn start(
        &self,
        daemon: &Daemon,
        workers: &Arc<WorkerSet>,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) {
        let mut running = Running {
            daemon: daemon.clone(),
            workers: Arc::clone(workers),
            tasks: tasks.clone(),
            stop: stop.clone(),
            turns: BTreeMap::new(),
        };
        let mut state = self.state();
        for (id, object) in &mut state.objects {
            self.start_poller(id, object, &mut running);
        }
        state.running = Some(running);
    }

    /// Starts the poller of an object that has members and no poller.
    fn start_poller(&self, id: &str, object: &mut PolledObject, running: &mut Running) {
        if object.has_poller || object.members.borrow().is_empty() {
            return;
        }
        object.has_poller = true;
        let turn = running.turns.entry(object.service.clone()).or_default();
        let poller = Poller {
            service: object.service.clone(),
            object: id.to_owned(),
            is_native: object.is_native,
            members: object.members.subscribe(),
            book: object.book.clone(),
            caller: running.daemon.own_caller(id, OwnCallReason::Poll),
            turn: Arc::clone(turn),
            workers: Arc::clone(&running.workers),
            feed: self.feed.clone(),
            troubles: self.troubles.clone(),
        };
        let stop = running.stop.clone();
        running.tasks.spawn(async move { stop.run_until_cancelled(poller.follow()).await });
    }

    /// Why members of a service cannot be read as they should be, in words.
    pub(super) fn trouble(&self, service: &str) -> Option<String> {
        let troubles = self.troubles.borrow();
        let of_service = troubles.iter().filter(|((of, _), _)| of == service);
        let texts: Vec<&str> = of_service.map(|(_, text)| text.as_str()).collect();
        (!texts.is_empty()).then(|| texts.join("; "))
    }

    fn state(&self) -> MutexGuard<'_, PollState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use lab_config::{Configuration, Surroundings};

    use super::*;

    struct Nothing;

    impl Object for Nothing {
        fn metadata(&self) -> Result<remote::Metadata, remote::Exception> {
            Ok(remote::Metadata::default())
        }

        fn call(&self, _: &Arc<remote::Session>, _: remote::Request) -> remote::Answer {
            remote::Answer::exception(remote::Exception::type_error("has no method"))
        }
    }

    #[test]
    fn objects_that_a_driver_registers_and_unregisters_leave_nothing() {
        let text = "daemons: {default: {}}\n\
                    services: {s: {native: x, members: {part.m: {poll: 1}}}}";
        let parsed = Configuration::parse("lab", text.as_bytes(), &Surroundings::default());
        let services = parsed.unwrap().0.services;
        let polls = Polls::new(&services, &Feed::new());
        let served = polls.observe("s.served", Arc::new(Nothing));
        for number in 0..10_000 {
            polls.observe(&format!("s.{number}"), Arc::new(Nothing));
        }
        let known = |id: &str| polls.state().objects.contains_key(id);
        assert!(polls.state().objects.len() <= MIN_SEARCHED);
        // A served object may get members by a reload; one with members may be served later.
        assert!(known("s.served") && known("s.part"));
        drop(served);
    }
}
