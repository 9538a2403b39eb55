//! Alarms on the values of a daemon's members.
//!
//! One task looks at the daemon's samples and at the time, logs each change, keeps the states in a
//! file, and has the rows for the report. The rules are [`machine`]'s and [`board`]'s. A daemon
//! without alarms starts no task.

mod board;
mod machine;
mod row;
mod state_file;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use jiff::Timestamp;
use lab_config::Service;
use remote::Value;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use crate::host::alarms::board::{Board, Change, Moment, Observation};
use crate::host::alarms::machine::Reading;
use crate::host::alarms::state_file::AlarmFile;
use crate::host::child_report::rfc3339;
use crate::host::feed::Feed;
use crate::host::feed::event::{AlarmEvent, Event, EventBody, Quality, Sample, SeriesRow};
use crate::host::feed::ring::Subscription;

pub(crate) use row::{Acknowledgement, AlarmRow};

/// Orders that may wait.
const ORDERS: usize = 16;

/// The alarms as the report has them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct AlarmReport {
    /// Those that are not `ok`.
    pub(super) rows: Vec<AlarmRow>,
    /// How many series are looked at.
    pub(super) watched: usize,
    /// Why their states are not kept.
    pub(super) trouble: Option<String>,
}

/// Handle of the task: hands it orders, and has what it reports.
#[derive(Clone, Debug)]
pub(super) struct Alarms {
    orders: mpsc::Sender<Order>,
    pub(super) report: watch::Receiver<AlarmReport>,
}

/// An order of the supervisor.
#[derive(Debug)]
enum Order {
    /// Somebody looks after the alarms of these series (service, member).
    Acknowledge {
        series: Vec<(String, String)>,
        acknowledgement: Acknowledgement,
        reply: oneshot::Sender<usize>,
    },
    /// The services have another configuration.
    Change { services: Vec<Service> },
}

/// The task's own state.
struct Watch {
    board: Board,
    file: AlarmFile,
    began: Instant,
    report: watch::Sender<AlarmReport>,
    feed: Feed,
}

/// Whether services have alarms at all.
pub(super) fn are_in(services: &[Service]) -> bool {
    services.iter().any(|service| service.members.iter().any(|member| !member.alarms.is_empty()))
}

impl Alarms {
    /// Begins to look at the services' values, where they have alarms. The second value tells of
    /// states that are lost.
    pub(super) fn start(
        services: &[Service],
        file: Option<PathBuf>,
        feed: &Feed,
    ) -> (Option<Alarms>, Option<String>) {
        if !are_in(services) {
            return (None, None);
        }
        let (file, kept, lost) = AlarmFile::load(file);
        let began = Instant::now();
        let board = Board::new(services, kept, &moment(began));
        let (orders, inbox) = mpsc::channel(ORDERS);
        let (sender, report) = watch::channel(AlarmReport::default());
        let watch = Watch { board, file, began, report: sender, feed: feed.clone() };
        watch.report();
        tokio::spawn(watch.follow(feed.subscribe(), inbox));
        (Some(Alarms { orders, report }), lost)
    }

    /// Acknowledges the alarms of these series (service, member).
    ///
    /// # Errors
    /// There is nothing to acknowledge.
    pub(super) async fn acknowledge(
        &self,
        series: Vec<(String, String)>,
        acknowledgement: Acknowledgement,
    ) -> Result<(), String> {
        let (reply, answer) = oneshot::channel();
        let _ = self.orders.send(Order::Acknowledge { series, acknowledgement, reply }).await;
        match answer.await {
            Ok(0) => Err("nothing of it fires any longer".to_owned()),
            Ok(_) => Ok(()),
            Err(_) => Err("the daemon is ending".to_owned()),
        }
    }

    /// Takes up another configuration of the services.
    pub(super) async fn change(&self, services: &[Service]) {
        let _ = self.orders.send(Order::Change { services: services.to_vec() }).await;
    }
}

impl Watch {
    /// Looks at samples and obeys orders, for ever.
    async fn follow(mut self, mut samples: Subscription, mut inbox: mpsc::Receiver<Order>) {
        let changes = self.look_at_all();
        self.take_up(&changes);
        loop {
            let next = self.board.deadline().map(|deadline| self.began + deadline);
            let write = self.file.deadline();
            let changes = tokio::select! {
                batch = samples.next() => match batch.lost {
                    0 => self.look_at(&batch.events),
                    // Older events after the newest values would be a way back in time.
                    _ => {
                        let rows = samples.skip_to_latest();
                        self.look_at_rows(&rows)
                    }
                },
                () = at(next) => self.board.pass(&self.now()),
                () = at(write) => {
                    let kept = self.board.kept(&self.now());
                    self.file.write(kept).await;
                    self.report();
                    continue;
                }
                order = inbox.recv() => match order {
                    Some(order) => self.obey(order),
                    None => return,
                },
            };
            self.take_up(&changes);
        }
    }

    fn look_at(&mut self, events: &[Arc<Event>]) -> Vec<Change> {
        let now = self.now();
        let mut changes = Vec::new();
        for event in events {
            if let EventBody::Sample(sample) = &event.body {
                changes.extend(self.board.observe(&observation(&event.service, sample), &now));
            }
        }
        changes
    }

    /// Looks at every series as it stands: a flat line makes few samples.
    fn look_at_all(&mut self) -> Vec<Change> {
        let rows = self.feed.latest().0;
        self.look_at_rows(&rows)
    }

    fn look_at_rows(&mut self, rows: &[SeriesRow]) -> Vec<Change> {
        let now = self.now();
        let mut changes = Vec::new();
        for row in rows {
            changes.extend(self.board.observe(&observation(&row.service, &row.sample), &now));
        }
        changes
    }

    /// Logs changes, tells the feed, and has them kept.
    fn take_up(&mut self, changes: &[Change]) {
        if changes.is_empty() {
            return;
        }
        for Change { before, row } in changes {
            log(before, row);
            self.feed.publish(&row.service, || EventBody::Alarm(alarm_event(row)));
        }
        self.file.change();
        self.report();
    }

    fn obey(&mut self, order: Order) -> Vec<Change> {
        let now = self.now();
        match order {
            Order::Acknowledge { series, acknowledgement, reply } => {
                let mut changes = Vec::new();
                for (service, member) in series {
                    changes.extend(self.board.acknowledge(
                        &service,
                        &member,
                        &acknowledgement,
                        &now,
                    ));
                }
                // The supervisor may have stopped to wait; it is acknowledged all the same.
                let _ = reply.send(changes.len());
                changes
            }
            Order::Change { services } => {
                self.board.change(&services, &now);
                self.file.change();
                self.report();
                self.look_at_all()
            }
        }
    }

    fn now(&self) -> Moment {
        moment(self.began)
    }

    fn report(&self) {
        let report = AlarmReport {
            rows: self.board.rows(),
            watched: self.board.count(),
            trouble: self.file.trouble.clone(),
        };
        self.report.send_if_modified(|known| {
            let is_news = *known != report;
            *known = report;
            is_news
        });
    }
}

fn moment(began: Instant) -> Moment {
    Moment { passed: began.elapsed(), time: rfc3339(SystemTime::now()) }
}

/// Waits until this time, or for ever.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// A sample as the board looks at it.
fn observation<'a>(service: &'a str, sample: &'a Sample) -> Observation<'a> {
    let value = sample.value.as_ref().filter(|_| sample.quality == Quality::Good);
    let reading = value.and_then(|value| match value {
        Value::Bool(flag) => Some(Reading::Bool(*flag)),
        Value::Str(text) => Some(Reading::Text(text)),
        value => value.as_f64().map(Reading::Number),
    });
    Observation { service, member: &sample.member, reading }
}

fn alarm_event(row: &AlarmRow) -> AlarmEvent {
    let since: Option<Timestamp> = row.since.parse().ok();
    let value = match &row.value {
        serde_json::Value::Bool(flag) => Some(Value::Bool(*flag)),
        serde_json::Value::String(text) => Some(Value::from(text.as_str())),
        value => value.as_f64().map(Value::Float),
    };
    AlarmEvent {
        member: row.member.clone(),
        state: row.state.clone(),
        since: since.map_or(0.0, |since| since.as_duration().as_secs_f64()),
        value,
        text: Some(row.sentence()),
    }
}

/// A line in the log for each change.
fn log(before: &str, row: &AlarmRow) {
    let AlarmRow { service, member, condition, .. } = row;
    let (state, value) = (&row.state, row.shown_value());
    match (before, state.as_str(), &row.acknowledged) {
        (_, "firing", _) if row.is_over => {
            info!(
                service,
                member,
                condition,
                value,
                "the condition of an alarm is over; it waits to be acknowledged"
            );
        }
        (_, "firing", _) => warn!(service, member, condition, value, "an alarm fires"),
        ("no data", "no data", Some(Acknowledgement { by, reason, .. }))
        | (_, "acknowledged", Some(Acknowledgement { by, reason, .. })) => {
            info!(service, member, condition, by, reason, "an alarm is acknowledged");
        }
        (_, "no data", _) => warn!(service, member, condition, "an alarm has no data"),
        ("firing" | "acknowledged" | "no data", "ok", acknowledged) => {
            let by = acknowledged.as_ref().map(|by| by.by.as_str());
            info!(service, member, condition, value, by, "an alarm has cleared");
        }
        _ => info!(service, member, condition, value, before, state, "an alarm changes"),
    }
}
