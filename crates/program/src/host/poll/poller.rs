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
use tokio::time::{Instant, sleep_until, timeout_at};

use super::book::{Book, PollTroubles};
use super::schedule::Schedule;
use super::series::{MemberSeries, Moment};
use crate::host::child_report::shown_sentence;
use crate::host::feed::Feed;
use crate::host::feed::event::Quality;

/// A poll that takes longer loses its turn, and no lock waits for it any longer: less than what
/// `lock()` waits for running calls.
const POLL_TIMEOUT: Duration = Duration::from_secs(8);
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
    /// Changed by a reload.
    pub(super) members: watch::Receiver<Vec<Member>>,
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
    pub(super) async fn follow(mut self) {
        let mut schedules = BTreeMap::new();
        self.members.mark_changed();
        let mut changes = self.workers.changes();
        let mut broken_until = None;
        let mut next_look = look_time();
        loop {
            if self.members.has_changed().unwrap_or(false) {
                self.take_members(&mut schedules, Instant::now());
            }
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
                        self.wait(look_time(), &mut changes).await;
                        continue;
                    }
                    broken_until = None;
                    Instant::now()
                }
                Availability::Down(reason) => {
                    self.set_all(Quality::NoData, &reason, &schedules);
                    self.tick();
                    resume_all(&mut schedules);
                    self.wait(look_time(), &mut changes).await;
                    continue;
                }
            };
            let Some((name, _)) = next.filter(is_due) else {
                self.wait(wake, &mut changes).await;
                continue;
            };
            if let Some(schedule) = schedules.get_mut(&name)
                && self.poll(&name, schedule).await
            {
                self.set_troubles(&schedules);
            }
        }
    }

    /// Waits until then, or for news of the workers or of the configuration.
    async fn wait(&mut self, until: Instant, changes: &mut watch::Receiver<u64>) {
        tokio::select! {
            () = sleep_until(until) => {}
            _ = changes.changed() => {}
            Ok(()) = self.members.changed() => self.members.mark_changed(),
        }
    }

    /// Takes up the members of the configuration: those that are polled in another period than
    /// before get a new schedule. Their first readings are spread over a period.
    fn take_members(&mut self, schedules: &mut BTreeMap<String, Schedule>, start: Instant) {
        let members = self.members.borrow_and_update().clone();
        let polled = members.into_iter().filter_map(|member| Some((member.name, member.poll?)));
        let polled: BTreeMap<String, Duration> = polled.collect();
        schedules.retain(|name, schedule| polled.get(name) == Some(&schedule.wanted()));
        let count = polled.len().max(1) as u32;
        for (index, (name, period)) in polled.into_iter().enumerate() {
            let first = start + period / count * index as u32;
            schedules.entry(name).or_insert_with(|| Schedule::new(period, first));
        }
        self.set_troubles(schedules);
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
            self.caller.poll(name, POLL_TIMEOUT).await
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
