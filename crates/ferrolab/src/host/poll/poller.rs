//! Poller of one object: which of its members is read when, and what becomes of it.
//!
//! One task, which waits for each of its polls: a driver that hangs costs one thread, and its
//! series have no data meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lab_config::Member;
use py_worker::{ServiceStatus, WorkerSet};
use remote::{Exception, OwnCall, OwnCaller, Value};
use tokio::sync::{Mutex as AsyncMutex, watch};
use tokio::time::{Instant, timeout_at};

use super::book::{Book, PollTroubles};
use super::schedule::Schedule;
use super::series::{MemberSeries, Moment};
use crate::host::child_report::shown_sentence;
use crate::host::feed::Feed;
use crate::host::feed::event::Quality;

/// A poll that takes longer loses its turn, and no lock waits for it any longer: less than what
/// `lock()` waits for running calls.
const LIMIT: Duration = Duration::from_secs(8);
/// Time between two attempts to construct an instance whose constructor has raised.
const BROKEN_PAUSE: Duration = Duration::from_secs(60);
/// Time between two looks at a service that does not run, and at members that only clients read.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Members with a trouble that are named in a report, at most.
const TROUBLES_NAMED: usize = 3;

/// Poller of one object.
pub(super) struct Poller {
    pub(super) service: String,
    /// Its id: the service, or a part of it.
    pub(super) object: String,
    pub(super) is_native: bool,
    pub(super) members: Vec<Member>,
    pub(super) book: Book,
    pub(super) caller: OwnCaller,
    /// Held during a poll of any object of the service.
    pub(super) turn: Arc<AsyncMutex<()>>,
    pub(super) workers: Arc<WorkerSet>,
    pub(super) feed: Feed,
    pub(super) troubles: watch::Sender<PollTroubles>,
}

/// Whether the service can be polled.
enum Availability {
    Ready,
    /// Its constructor has raised.
    Broken(String),
    /// It does not run; and why.
    Down(String),
}

impl Poller {
    /// Polls for ever.
    pub(super) async fn follow(self) {
        let mut schedules = self.schedules(Instant::now());
        let mut changes = self.workers.changes();
        let mut broken_until = None;
        let mut next_look = look_time();
        loop {
            changes.mark_unchanged();
            let availability = self.availability();
            if next_look <= Instant::now() {
                // A series that fails below would have no data for a moment.
                if matches!(availability, Availability::Ready) {
                    self.tick();
                }
                next_look = look_time();
            }
            let next = schedules.iter().min_by_key(|(_, schedule)| schedule.due());
            let next = next.map(|(name, schedule)| (name.clone(), schedule.due()));
            let is_due = |(_, due): &(String, Instant)| *due <= Instant::now();
            let wake = match availability {
                Availability::Ready => {
                    broken_until = None;
                    next.as_ref().map_or(next_look, |(_, due)| next_look.min(*due))
                }
                Availability::Broken(reason) => {
                    // A client's call may make an instance; a poll tries it seldom.
                    let until = *broken_until.get_or_insert(Instant::now() + BROKEN_PAUSE);
                    self.set_all(Quality::Error, &reason, &schedules);
                    self.tick();
                    resume_all(&mut schedules);
                    if until > Instant::now() {
                        let _ = timeout_at(look_time(), changes.changed()).await;
                        continue;
                    }
                    broken_until = None;
                    Instant::now()
                }
                Availability::Down(reason) => {
                    self.set_all(Quality::NoData, &reason, &schedules);
                    self.tick();
                    resume_all(&mut schedules);
                    let _ = timeout_at(look_time(), changes.changed()).await;
                    continue;
                }
            };
            let Some((name, _)) = next.filter(is_due) else {
                let _ = timeout_at(wake, changes.changed()).await;
                continue;
            };
            if let Some(schedule) = schedules.get_mut(&name)
                && self.poll(&name, schedule).await
            {
                self.set_troubles(&schedules);
            }
        }
    }

    /// The schedules of the polled members, whose first readings are spread over a period.
    fn schedules(&self, start: Instant) -> BTreeMap<String, Schedule> {
        let polled = self.members.iter().filter_map(|member| Some((&member.name, member.poll?)));
        let polled: Vec<(&String, Duration)> = polled.collect();
        let count = polled.len().max(1) as u32;
        let schedule = |(index, (name, period)): (usize, &(&String, Duration))| {
            let first = start + *period / count * index as u32;
            ((*name).clone(), Schedule::new(*period, first))
        };
        polled.iter().enumerate().map(schedule).collect()
    }

    fn availability(&self) -> Availability {
        if self.is_native {
            return Availability::Ready;
        }
        match self.workers.status(&self.service) {
            ServiceStatus::Ready => Availability::Ready,
            // The poll that hangs may be the reason; another waits for it in any case.
            ServiceStatus::Hangs { .. } => Availability::Down("its process does not move".into()),
            ServiceStatus::Starting => Availability::Down("the service is starting".into()),
            ServiceStatus::Failed { error } => {
                let error = shown_sentence(&error);
                match self.workers.is_loaded(&self.service) {
                    true => Availability::Broken(error),
                    false => Availability::Down(format!("the service has failed: {error}")),
                }
            }
        }
    }

    /// Reads a member; whether there is something else to report now.
    async fn poll(&self, name: &str, schedule: &mut Schedule) -> bool {
        let read = self.book.lock().get_mut(name).and_then(MemberSeries::take_client_read);
        if let Some(at) = read {
            schedule.read_by_client(at);
            if schedule.due() > Instant::now() {
                return false;
            }
        }
        let begun = Instant::now();
        let period = schedule.period();
        let outcome = self.outcome(name, period).await;
        let ended = Instant::now();
        let mut book = self.book.lock();
        let Some(series) = book.get_mut(name) else { return false };
        let had_trouble = series.trouble();
        let now = Moment::now();
        match outcome {
            OwnCall::Done(Ok(value)) => {
                series.value(&value, now, &self.feed);
                schedule.read(begun, ended);
            }
            OwnCall::Done(Err(exception)) => {
                let text = shown_sentence(&exception.to_string());
                series.failed(Quality::Error, &text, now, &self.feed);
                schedule.read(begun, ended);
            }
            OwnCall::Refused(refused) => {
                let text = shown_sentence(&refused.message());
                series.failed(Quality::Locked, &text, now, &self.feed);
                schedule.skip(ended, Duration::ZERO);
            }
            OwnCall::Gone => {
                let text = format!("there is no object '{}'", self.object);
                series.failed(Quality::Error, &text, now, &self.feed);
                schedule.skip(ended, LOOK_INTERVAL);
            }
        }
        series.set_period(schedule.period());
        schedule.period() != period || series.trouble() != had_trouble
    }

    /// Makes one poll. While it takes long, series that should have been read have no data.
    async fn outcome(&self, name: &str, period: Duration) -> OwnCall<Result<Value, Exception>> {
        let mut polling = std::pin::pin!(async {
            let _turn = self.turn.lock().await;
            self.caller.poll(name, LIMIT).await
        });
        // Most polls end before there is anything to look after.
        if let Ok(outcome) = timeout_at(Instant::now() + period / 4, &mut polling).await {
            return outcome;
        }
        loop {
            let deadline = self.book.lock().values().filter_map(MemberSeries::deadline).min();
            let deadline = deadline.unwrap_or_else(look_time);
            if let Ok(outcome) = timeout_at(deadline, &mut polling).await {
                return outcome;
            }
            self.tick();
        }
    }

    /// Has all polled members fail.
    fn set_all(&self, quality: Quality, reason: &str, schedules: &BTreeMap<String, Schedule>) {
        let mut book = self.book.lock();
        for name in schedules.keys() {
            if let Some(series) = book.get_mut(name) {
                series.failed(quality, reason, Moment::now(), &self.feed);
            }
        }
    }

    fn tick(&self) {
        let now = Moment::now();
        for series in self.book.lock().values_mut() {
            series.tick(now, &self.feed);
        }
    }

    fn set_troubles(&self, schedules: &BTreeMap<String, Schedule>) {
        let book = self.book.lock();
        let failed = book.values().filter_map(MemberSeries::trouble);
        let slow = schedules.iter().filter_map(|(name, schedule)| schedule.trouble(name));
        let mut troubles: Vec<String> = failed.chain(slow).collect();
        drop(book);
        let others = troubles.len().saturating_sub(TROUBLES_NAMED);
        troubles.truncate(TROUBLES_NAMED);
        if others > 0 {
            troubles.push(format!("and {others} more"));
        }
        let text = (!troubles.is_empty()).then(|| shown_sentence(&troubles.join("; ")));
        self.troubles.send_if_modified(|known| {
            let key = (self.service.clone(), self.object.clone());
            if known.get(&key) == text.as_ref() {
                return false;
            }
            match text {
                Some(text) => known.insert(key, text),
                None => known.remove(&key),
            };
            true
        });
    }
}

/// A time in which nothing can be read makes no reading slow.
fn resume_all(schedules: &mut BTreeMap<String, Schedule>) {
    let now = Instant::now();
    schedules.values_mut().for_each(|schedule| schedule.resume(now));
}

fn look_time() -> Instant {
    Instant::now() + LOOK_INTERVAL
}
