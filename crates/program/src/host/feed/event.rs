//! Events of a daemon's feed, and the plain data in which they travel.
//!
//! ```text
//! event   {n, t, kind, service, ...}
//! sample  {member, seq, value, quality, error}
//! lock    {state, owner, address, epoch, waiting}
//! call    {state, member, action, caller, user, since, seconds, error}
//! status  {state, error}
//! alarm   {member, state, since, value, text}
//! ```
//!
//! `t` and `since` are Unix seconds. `None` stands for what is not known or not there. A reader
//! ignores kinds and keys that it does not know.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use remote::{Dict, Value};

/// An event of a daemon.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    /// Its number: rises by one from event to event of a process.
    pub(crate) number: u64,
    /// When it was, in Unix seconds. The wall clock may jump; numbers do not.
    pub(crate) time: f64,
    /// The service that it is about.
    pub(crate) service: Arc<str>,
    pub(crate) body: EventBody,
}

/// The content of an event.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum EventBody {
    /// A value of a member was read.
    Sample(Sample),
    /// A lock has changed hands, or somebody waits for it.
    Lock(LockEvent),
    /// A call has ended or has become slow, as the call log has it.
    Call(CallEvent),
    /// The state of the service, as `ps` shows it.
    Status { state: String, error: Option<String> },
    /// An alarm has changed its state.
    Alarm(AlarmEvent),
}

/// One reading of a member, or of a part of its tuple or dict.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    /// `position`, or of a part `position.x`, `read.0`.
    pub(crate) member: Arc<str>,
    /// Rises from sample to sample of a series, whatever the clock does.
    pub(crate) seq: u64,
    /// A number, a boolean or a short text; `None` where the quality is another than good or stale.
    pub(crate) value: Option<Value>,
    pub(crate) quality: Quality,
    /// Why there is no value.
    pub(crate) error: Option<String>,
}

/// The quality of a sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Quality {
    /// It was read.
    Good,
    /// It was read some time ago, and nobody has read it since.
    Stale,
    /// Reading it failed.
    Error,
    /// A client has the lock, and others may not read the member.
    Locked,
    /// Nothing was read: the service does not run, or does not answer.
    #[default]
    NoData,
}

/// The owner of a lock and the number of those that wait for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LockEvent {
    /// The state in the words of `ferrolab locks`.
    pub(crate) state: String,
    /// The name that the owner gave, or its address.
    pub(crate) owner: Option<String>,
    pub(crate) address: Option<String>,
    pub(crate) epoch: Option<u64>,
    pub(crate) waiting: usize,
}

/// A call that has ended or has become slow.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct CallEvent {
    /// `ended` or `slow`.
    pub(crate) state: String,
    pub(crate) member: String,
    pub(crate) action: String,
    pub(crate) caller: String,
    pub(crate) user: Option<String>,
    /// Unix seconds.
    pub(crate) since: f64,
    pub(crate) seconds: f64,
    /// The exception that the client got.
    pub(crate) error: Option<String>,
}

/// A change of an alarm's state.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct AlarmEvent {
    pub(crate) member: String,
    /// `ok`, `pending`, `firing`, `acknowledged` or `no data`.
    pub(crate) state: String,
    /// Unix seconds.
    pub(crate) since: f64,
    pub(crate) value: Option<Value>,
    /// The state in a sentence.
    pub(crate) text: Option<String>,
}

/// A series as it stands now.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SeriesRow {
    pub(crate) service: Arc<str>,
    /// When it was read last, in Unix seconds; a reading within the deadband makes no sample.
    pub(crate) time: f64,
    /// Its last sample.
    pub(crate) sample: Sample,
    pub(crate) unit: Option<Arc<str>>,
    /// How long its samples are kept in the history, in seconds; not at all if absent.
    pub(crate) keep: Option<f64>,
    /// Seconds between two readings by the daemon; clients read it if absent.
    pub(crate) poll: Option<f64>,
}

const QUALITIES: [(Quality, &str); 5] = [
    (Quality::Good, "good"),
    (Quality::Stale, "stale"),
    (Quality::Error, "error"),
    (Quality::Locked, "locked"),
    (Quality::NoData, "no data"),
];

impl Quality {
    pub(crate) fn word(self) -> &'static str {
        QUALITIES.iter().find(|(quality, _)| *quality == self).map_or("no data", |(_, word)| word)
    }

    fn from_word(word: &str) -> Option<Self> {
        QUALITIES.iter().find(|(_, known)| *known == word).map(|(quality, _)| *quality)
    }
}

impl Event {
    pub(super) fn to_value(&self) -> Value {
        let mut dict = Dict::with_capacity(9);
        dict.insert("n", self.number);
        dict.insert("t", self.time);
        dict.insert("kind", self.body.kind());
        dict.insert("service", &*self.service);
        match &self.body {
            EventBody::Sample(sample) => sample.put(&mut dict),
            EventBody::Lock(lock) => {
                dict.insert("state", lock.state.as_str());
                dict.insert("owner", lock.owner.as_deref());
                dict.insert("address", lock.address.as_deref());
                dict.insert("epoch", lock.epoch);
                dict.insert("waiting", lock.waiting);
            }
            EventBody::Call(call) => {
                dict.insert("state", call.state.as_str());
                dict.insert("member", call.member.as_str());
                dict.insert("action", call.action.as_str());
                dict.insert("caller", call.caller.as_str());
                dict.insert("user", call.user.as_deref());
                dict.insert("since", call.since);
                dict.insert("seconds", call.seconds);
                dict.insert("error", call.error.as_deref());
            }
            EventBody::Status { state, error } => {
                dict.insert("state", state.as_str());
                dict.insert("error", error.as_deref());
            }
            EventBody::Alarm(alarm) => {
                dict.insert("member", alarm.member.as_str());
                dict.insert("state", alarm.state.as_str());
                dict.insert("since", alarm.since);
                dict.insert("value", alarm.value.clone());
                dict.insert("text", alarm.text.as_deref());
            }
        }
        Value::Dict(dict)
    }

    /// Reads an event; `None` for one of an unknown kind.
    pub(super) fn from_value(value: &Value) -> Option<Self> {
        let dict = value.as_dict()?;
        let body = match dict.get("kind")?.as_str()? {
            "sample" => EventBody::Sample(Sample::from_dict(dict)?),
            "lock" => EventBody::Lock(LockEvent {
                state: text(dict, "state").unwrap_or_default(),
                owner: text(dict, "owner"),
                address: text(dict, "address"),
                epoch: whole(dict, "epoch"),
                waiting: whole(dict, "waiting").and_then(|it| it.try_into().ok()).unwrap_or(0),
            }),
            "call" => EventBody::Call(CallEvent {
                state: text(dict, "state").unwrap_or_default(),
                member: text(dict, "member").unwrap_or_default(),
                action: text(dict, "action").unwrap_or_default(),
                caller: text(dict, "caller").unwrap_or_default(),
                user: text(dict, "user"),
                since: number(dict, "since").unwrap_or_default(),
                seconds: number(dict, "seconds").unwrap_or_default(),
                error: text(dict, "error"),
            }),
            "status" => EventBody::Status {
                state: text(dict, "state").unwrap_or_default(),
                error: text(dict, "error"),
            },
            "alarm" => EventBody::Alarm(AlarmEvent {
                member: text(dict, "member")?,
                state: text(dict, "state").unwrap_or_default(),
                since: number(dict, "since").unwrap_or_default(),
                value: some(dict, "value").cloned(),
                text: text(dict, "text"),
            }),
            _ => return None,
        };
        Some(Event {
            number: whole(dict, "n")?,
            time: number(dict, "t")?,
            service: text(dict, "service")?.into(),
            body,
        })
    }
}

impl EventBody {
    /// The word of its kind.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            EventBody::Sample(_) => "sample",
            EventBody::Lock(_) => "lock",
            EventBody::Call(_) => "call",
            EventBody::Status { .. } => "status",
            EventBody::Alarm(_) => "alarm",
        }
    }
}

impl Sample {
    fn put(&self, dict: &mut Dict) {
        dict.insert("member", &*self.member);
        dict.insert("seq", self.seq);
        dict.insert("value", self.value.clone());
        dict.insert("quality", self.quality.word());
        dict.insert("error", self.error.as_deref());
    }

    fn from_dict(dict: &Dict) -> Option<Self> {
        Some(Sample {
            member: text(dict, "member")?.into(),
            seq: whole(dict, "seq")?,
            value: some(dict, "value").cloned(),
            quality: Quality::from_word(dict.get("quality")?.as_str()?)?,
            error: text(dict, "error"),
        })
    }
}

impl SeriesRow {
    pub(crate) fn to_value(&self) -> Value {
        let mut dict = Dict::with_capacity(10);
        dict.insert("service", &*self.service);
        dict.insert("t", self.time);
        self.sample.put(&mut dict);
        dict.insert("unit", self.unit.as_deref());
        dict.insert("keep", self.keep);
        dict.insert("poll", self.poll);
        Value::Dict(dict)
    }

    pub(crate) fn from_value(value: &Value) -> Option<Self> {
        let dict = value.as_dict()?;
        Some(SeriesRow {
            service: text(dict, "service")?.into(),
            time: number(dict, "t")?,
            sample: Sample::from_dict(dict)?,
            unit: text(dict, "unit").map(Arc::from),
            keep: number(dict, "keep"),
            poll: number(dict, "poll"),
        })
    }
}

/// A time as events have it: whole microseconds, which are all that the history keeps. A sample has
/// one time in both, so that nobody takes it for two.
pub(crate) fn unix_seconds(time: SystemTime) -> f64 {
    let seconds = |duration: Duration| duration.as_micros() as f64 / 1e6;
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => seconds(since),
        Err(before) => -seconds(before.duration()),
    }
}

/// The value of a key, where that is not `None`.
fn some<'a>(dict: &'a Dict, key: &str) -> Option<&'a Value> {
    dict.get(key).filter(|value| !value.is_none())
}

/// A value of a sample as JSON.
pub(crate) fn value_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        Value::Str(value) => value.as_str().into(),
        value => value.as_f64().into(),
    }
}

fn text(dict: &Dict, key: &str) -> Option<String> {
    dict.get(key).and_then(Value::as_str).map(str::to_owned)
}

fn number(dict: &Dict, key: &str) -> Option<f64> {
    dict.get(key).and_then(Value::as_f64).filter(|number| number.is_finite())
}

fn whole(dict: &Dict, key: &str) -> Option<u64> {
    dict.get(key).and_then(Value::as_i64).and_then(|number| number.try_into().ok())
}

/// The property that a sample is a value of, or a part of its value.
pub(crate) fn property(member: &str) -> &str {
    member.split_once('.').map_or(member, |(property, _)| property)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_survive_the_wire() {
        let sample = Sample {
            member: "position.x".into(),
            seq: 3,
            value: Some(Value::Float(1.5)),
            quality: Quality::Good,
            error: None,
        };
        let failed = Sample {
            value: None,
            quality: Quality::Error,
            error: Some("OSError: no answer".into()),
            ..sample.clone()
        };
        let lock = LockEvent {
            state: "locked".into(),
            owner: Some("ada".into()),
            address: Some("127.0.0.1:9".into()),
            epoch: Some(7),
            waiting: 2,
        };
        let call = CallEvent {
            state: "ended".into(),
            member: "move".into(),
            action: "method".into(),
            caller: "127.0.0.1:9".into(),
            user: Some("ada".into()),
            since: 1.5,
            seconds: 2.5,
            error: Some("ValueError: no".into()),
        };
        let alarm = AlarmEvent {
            member: "temperature".into(),
            state: "firing".into(),
            since: 5.5,
            value: Some(Value::from(5)),
            text: Some("above 4".into()),
        };
        for body in [
            EventBody::Sample(sample.clone()),
            EventBody::Sample(failed),
            EventBody::Lock(lock),
            EventBody::Lock(LockEvent::default()),
            EventBody::Call(call),
            EventBody::Status { state: "running".into(), error: None },
            EventBody::Alarm(alarm),
        ] {
            let event = Event { number: 5, time: 1e9 + 0.25, service: "stage".into(), body };
            assert_eq!(Event::from_value(&event.to_value()), Some(event));
        }
        let row = SeriesRow {
            service: "stage".into(),
            time: 8.5,
            sample,
            unit: Some("mm".into()),
            keep: None,
            poll: Some(0.2),
        };
        assert_eq!(SeriesRow::from_value(&row.to_value()), Some(row));
        assert_eq!(Event::from_value(&Value::from(1)), None);
    }
}
