//! Notifications of faults: a POST request, or a program that is started.
//!
//! Each target has a bounded queue and a task. A target that is away is tried again, later each
//! time, for a day, and shown in `status`; nothing waits for it. No log and no error shows more of
//! an address than its host.

mod program;
mod rate_limit;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use lab_config::Notify;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::log::host_warnings::Troubles;
use crate::os;
use outbound::http_client::{self, Post};

pub(crate) use rate_limit::RateLimit;

/// Notifications that wait for one target, at most.
const QUEUE: usize = 100;
/// Pauses between attempts, in seconds; the last one repeats.
const BACKOFF: [u64; 4] = [5, 15, 60, 300];
/// A notification that could not be delivered for this long is dropped.
const GIVE_UP_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// A fault, or its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notification {
    /// For programs: `daemon_died`, `recovered`, `service_unwell`.
    pub(crate) event: &'static str,
    /// The part of the lab: `daemon bench`, `service lab.laser`, `this host`.
    pub(crate) subject: String,
    /// In a sentence, for people.
    pub(crate) text: String,
}

/// The targets of the configuration in force.
pub(crate) type Targets = Arc<dyn Fn() -> Notify + Send + Sync>;

/// Sender of notifications. Never waits.
#[derive(Clone)]
pub(crate) struct Notifier {
    queues: Vec<mpsc::Sender<(Notification, String)>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Url,
    Command,
}

impl Notifier {
    /// Starts the tasks that deliver.
    pub(crate) fn start(targets: &Targets, troubles: &Troubles) -> Self {
        let start = |target| {
            let (queue, inbox) = mpsc::channel(QUEUE);
            tokio::spawn(deliver_all(target, Arc::clone(targets), troubles.clone(), inbox));
            queue
        };
        Notifier { queues: vec![start(Target::Url), start(Target::Command)] }
    }

    /// Queues a notification for each target; one whose queue is full never gets it.
    pub(crate) fn send(&self, notification: &Notification) {
        let time = now();
        for queue in &self.queues {
            if queue.try_send((notification.clone(), time.clone())).is_err() {
                warn!(subject = notification.subject, "a notification is lost: too many wait");
            }
        }
    }
}

/// Sends a notification to each target once; what has come of each, in a sentence.
pub(crate) async fn test(notify: &Notify) -> Vec<Result<String, String>> {
    let test = Notification {
        event: "test",
        subject: "this lab".to_owned(),
        text: "this is a test of its notifications".to_owned(),
    };
    let mut outcomes = Vec::new();
    for target in [Target::Url, Target::Command] {
        if let Some(name) = target.name(notify) {
            let delivered = target.deliver(notify, &test, &now()).await;
            outcomes.push(match delivered {
                Ok(()) => Ok(format!("{name} has taken it")),
                Err(error) => Err(format!("{name}: {error}")),
            });
        }
    }
    outcomes
}

async fn deliver_all(
    target: Target,
    targets: Targets,
    troubles: Troubles,
    mut inbox: mpsc::Receiver<(Notification, String)>,
) {
    while let Some((notification, time)) = inbox.recv().await {
        let since = Instant::now();
        for attempt in 0_usize.. {
            // A reload may have changed or removed it.
            let notify = targets();
            let Some(name) = target.name(&notify) else {
                troubles.clear(target.key());
                break;
            };
            let Err(error) = target.deliver(&notify, &notification, &time).await else {
                if attempt > 0 {
                    info!(target = name, attempts = attempt + 1, "a notification was delivered");
                }
                troubles.clear(target.key());
                break;
            };
            if attempt == 0 {
                warn!(target = name, error, "a notification cannot be delivered; trying on");
            }
            if since.elapsed() >= GIVE_UP_AFTER {
                warn!(target = name, error, "a notification is dropped after a day");
                break;
            }
            let waiting = inbox.len() + 1;
            let text = format!(
                "notifications to {name} are not delivered: {error} ({waiting} wait since {time})"
            );
            troubles.set(target.key(), text);
            let pause = BACKOFF.get(attempt).or(BACKOFF.last()).copied().unwrap_or_default();
            sleep(Duration::from_secs(pause)).await;
        }
    }
}

impl Target {
    /// The name of its trouble.
    fn key(self) -> &'static str {
        match self {
            Target::Url => "notify url",
            Target::Command => "notify command",
        }
    }

    /// Its name for people; `None` if the configuration has none.
    fn name(self, notify: &Notify) -> Option<String> {
        match self {
            Target::Url => {
                let host = |url: &str| http_client::host_of(url, "the address of `notify`");
                notify.url.as_ref().map(|url| host(&url.0))
            }
            Target::Command => notify.command.first().cloned(),
        }
    }

    async fn deliver(
        self,
        notify: &Notify,
        notification: &Notification,
        time: &str,
    ) -> Result<(), String> {
        let body = notification.body(notify, time);
        match (self, &notify.url) {
            (Target::Url, Some(url)) => {
                let content_type = "application/json";
                let post = Post { url: &url.0, headers: &notify.headers, content_type };
                post.send(body).await.map_err(|error| error.to_string())
            }
            (Target::Url, None) => Ok(()),
            (Target::Command, _) => program::run(&notify.command, &body).await,
        }
    }
}

impl Notification {
    /// The JSON object. Each service reads the field that it knows: ntfy `title` and `message`,
    /// Slack, Mattermost and Teams `text`, Discord `content`.
    fn body(&self, notify: &Notify, time: &str) -> Vec<u8> {
        let Notification { event, subject, text } = self;
        let line = format!("{subject}: {text}");
        let mut object: Map<String, Value> = Map::new();
        let ours = json!({
            "event": event, "subject": subject, "title": subject, "message": text, "text": line,
            "content": line, "host": os::host_name(), "time": time,
        });
        object.extend(ours.as_object().cloned().unwrap_or_default());
        if let Ok(Value::Object(fields)) = serde_json::to_value(&notify.fields) {
            object.extend(fields);
        }
        let mut body = Value::Object(object).to_string().into_bytes();
        body.push(b'\n');
        body
    }
}

/// With whole seconds.
fn now() -> String {
    let now = Timestamp::now();
    now.round(jiff::Unit::Second).unwrap_or(now).to_string()
}
