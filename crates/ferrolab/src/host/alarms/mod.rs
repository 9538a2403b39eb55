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
use std::time::SystemTime;

use lab_config::Service;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use crate::host::alarms::board::{Board, Change, Moment, Observation};
use crate::host::alarms::machine::Reading;
use crate::host::alarms::state_file::AlarmFile;
use crate::host::child_report::rfc3339;

pub(crate) use row::{Acknowledgement, AlarmRow};

/// Orders that may wait.
const ORDERS: usize = 16;

/// The alarms as the report has them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Standing {
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
    pub(super) standing: watch::Receiver<Standing>,
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

/// A sample of a series.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) service: String,
    pub(super) member: String,
    pub(super) value: Option<serde_json::Value>,
    pub(super) unit: Option<String>,
}

impl Sample {
    fn observation(&self) -> Observation<'_> {
        let reading = self.value.as_ref().and_then(|value| match value {
            serde_json::Value::Bool(flag) => Some(Reading::Bool(*flag)),
            serde_json::Value::Number(number) => number.as_f64().map(Reading::Number),
            serde_json::Value::String(text) => Some(Reading::Text(text)),
            _ => None,
        });
        let (service, member) = (self.service.as_str(), self.member.as_str());
        Observation { service, member, reading, unit: self.unit.as_deref() }
    }
}

/// The task's own state.
struct Watch {
    board: Board,
    file: AlarmFile,
    began: Instant,
    standing: watch::Sender<Standing>,
}

/// Whether services have alarms at all.
pub(super) fn are_in(services: &[Service]) -> bool {
    services.iter().any(|service| service.members.iter().any(|member| !member.alarms.is_empty()))
}

impl Alarms {
    /// Begins to look at the services' values. The second value tells of states that are lost.
    pub(super) fn start(
        services: &[Service],
        file: Option<PathBuf>,
        samples: mpsc::Receiver<Sample>,
    ) -> (Alarms, Option<String>) {
        let (file, kept, lost) = AlarmFile::load(file);
        let began = Instant::now();
        let board = Board::new(services, kept, &moment(began));
        let (orders, inbox) = mpsc::channel(ORDERS);
        let (sender, standing) = watch::channel(Standing::default());
        let watch = Watch { board, file, began, standing: sender };
        watch.report();
        tokio::spawn(watch.follow(samples, inbox));
        (Alarms { orders, standing }, lost)
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
    async fn follow(
        mut self,
        mut samples: mpsc::Receiver<Sample>,
        mut inbox: mpsc::Receiver<Order>,
    ) {
        loop {
            let next = self.board.deadline().map(|deadline| self.began + deadline);
            let write = self.file.deadline();
            let changes = tokio::select! {
                Some(sample) = samples.recv() => self.board.observe(&sample.observation(), &self.now()),
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
            if !changes.is_empty() {
                changes.iter().for_each(log);
                self.file.change();
                self.report();
            }
        }
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
                Vec::new()
            }
        }
    }

    fn now(&self) -> Moment {
        moment(self.began)
    }

    fn report(&self) {
        let standing = Standing {
            rows: self.board.rows(),
            watched: self.board.count(),
            trouble: self.file.trouble.clone(),
        };
        self.standing.send_if_modified(|known| {
            let is_news = *known != standing;
            *known = standing;
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

/// A line in the log for each change.
fn log(change: &Change) {
    let AlarmRow { service, member, condition, .. } = &change.row;
    let (before, state, value) = (change.before, &change.row.state, change.row.shown_value());
    match (before, state.as_str(), &change.row.acknowledged) {
        (_, "firing", _) if change.row.is_over => {
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
