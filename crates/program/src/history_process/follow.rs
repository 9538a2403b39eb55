//! Reader of the daemons' feeds: what they publish becomes batches for the store.
//!
//! A batch that the store refuses is kept, and its feed is not read on: the daemon's ring has the
//! events of some minutes, and a reader that comes too late hears how many it has missed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use history::{Batch, Note, Quality, Reading, Sample, SeriesKey};
use lab_config::Daemon;
use remote::{ClientTls, Uri, Value};
use serde_json::{Value as Json, json};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use super::assignment::FeedAddresses;
use super::recorder::Recorder;
use crate::authority::AuthorityFiles;
use crate::host::feed::event::{
    AlarmEvent, Event, EventBody, Quality as FeedQuality, Sample as FeedSample, SeriesRow,
};
use crate::host::feed::reader::{FeedNews, FeedReader};
use crate::tls;

/// Bytes of a text that are stored, at most.
const MAX_TEXT: usize = 1024;

/// The readers of all daemons that are followed.
pub(super) struct Followers {
    recorder: Arc<Recorder>,
    /// The daemons that have something to record.
    wanted: Vec<Daemon>,
    authority: AuthorityFiles,
}

impl Followers {
    pub(super) fn new(
        recorder: Arc<Recorder>,
        wanted: Vec<Daemon>,
        authority: AuthorityFiles,
    ) -> Self {
        Followers { recorder, wanted, authority }
    }

    /// Follows the daemons that the supervisor names, for ever.
    pub(super) async fn follow(self, messages: Option<UnboundedReceiver<Json>>) {
        let Some(mut messages) = messages else { return };
        let mut running: BTreeMap<String, (String, AbortOnDropHandle<()>)> = BTreeMap::new();
        while let Some(message) = messages.recv().await {
            let addresses: FeedAddresses = match serde_json::from_value(message) {
                Ok(addresses) => addresses,
                Err(error) => {
                    warn!(%error, "a message of the supervisor cannot be read");
                    continue;
                }
            };
            // A daemon that does not run keeps its reader: it mostly comes back where it was.
            for (daemon, address) in addresses.daemons {
                let is_known = running.get(&daemon).is_some_and(|(known, _)| *known == address);
                let wanted = self.wanted.iter().find(|wanted| wanted.name == daemon);
                let (Some(wanted), false) = (wanted, is_known) else { continue };
                let Ok(uri) = address.parse::<Uri>() else { continue };
                let (wanted, authority) = (wanted.clone(), self.authority.clone());
                let load_tls = move || tls::to_own_port(wanted.tls(), &authority);
                let tls = load_tls().unwrap_or_else(|error| {
                    warn!(daemon, error, "its port cannot be called with TLS");
                    None
                });
                let reader = FeedReader::new(&uri, tls);
                let recorder = Arc::clone(&self.recorder);
                let follow = follow_daemon(recorder, daemon.clone(), reader, load_tls);
                let task = AbortOnDropHandle::new(tokio::spawn(follow));
                running.insert(daemon, (address, task));
            }
        }
    }
}

/// Records what one daemon publishes, for ever.
async fn follow_daemon(
    recorder: Arc<Recorder>,
    daemon: String,
    reader: FeedReader,
    load_tls: impl Fn() -> Result<Option<ClientTls>, String>,
) {
    let cursor = recorder.opened().await.cursor(&daemon);
    let mut reader = reader.resume(cursor.clone()).with_first_events();
    let mut intake = Intake { daemon, epoch: cursor.map(|(epoch, _)| epoch), ..Intake::default() };
    let mut is_away = false;
    loop {
        let news = reader.next().await;
        let batch = match news {
            FeedNews::Reset { epoch, series } => {
                let last = reader.position().map_or(0, |(_, number)| *number);
                intake.begin(epoch, last, series)
            }
            FeedNews::Events { events, lost } => {
                if intake.lacks_units(&events) {
                    // A daemon that is away again is told by the next news.
                    intake.take_units(&reader.latest().await.unwrap_or_default());
                }
                intake.batch(events, lost)
            }
            FeedNews::Away { reason } => {
                if !std::mem::replace(&mut is_away, true) {
                    info!(daemon = intake.daemon, reason, "its values cannot be read just now");
                }
                // The files of its certificate may be others, or usable, by now.
                if let Ok(Some(tls)) = load_tls() {
                    reader = reader.with_tls(tls);
                }
                continue;
            }
        };
        is_away = false;
        recorder.record(batch).await;
    }
}

/// The series of one daemon, as far as events do not say it.
#[derive(Default)]
struct Intake {
    daemon: String,
    epoch: Option<String>,
    units: HashMap<SeriesKey, String>,
    /// The last sample of each series, in the daemon's process.
    last: HashMap<SeriesKey, u64>,
}

impl Intake {
    /// The state of all series, after which events follow.
    fn begin(&mut self, epoch: String, last: u64, series: Vec<SeriesRow>) -> Batch {
        self.take_units(&series);
        if self.epoch.as_deref() != Some(&epoch) {
            self.last.clear();
            // Nothing is missing before the first contact.
            let is_break = self.epoch.replace(epoch).is_some();
            // The events from the first one on follow.
            return self.wrap(last, is_break, Vec::new(), Vec::new());
        }
        // A loss within one process was a break of the events before this.
        let mut samples = Vec::new();
        for SeriesRow { service, time, sample, .. } in series {
            let key = SeriesKey { service, member: Arc::clone(&sample.member) };
            samples.extend(self.sample(key, time, sample));
        }
        self.wrap(last, false, samples, Vec::new())
    }

    /// Whether events are about series whose unit was never asked for.
    fn lacks_units(&self, events: &[Event]) -> bool {
        events.iter().any(|event| match &event.body {
            EventBody::Sample(FeedSample { member, .. }) => {
                let (service, member) = (Arc::clone(&event.service), Arc::clone(member));
                !self.units.contains_key(&SeriesKey { service, member })
            }
            _ => false,
        })
    }

    fn take_units(&mut self, series: &[SeriesRow]) {
        for SeriesRow { service, sample, unit, .. } in series {
            let (service, member) = (Arc::clone(service), Arc::clone(&sample.member));
            let unit = unit.as_deref().unwrap_or_default().to_owned();
            self.units.insert(SeriesKey { service, member }, unit);
        }
    }

    /// The next events; `lost` others were before them.
    fn batch(&mut self, events: Vec<Event>, lost: u64) -> Batch {
        let last = events.last().map_or(0, |event| event.number);
        let (mut samples, mut notes) = (Vec::new(), Vec::new());
        for Event { time, service, body, .. } in events {
            match body {
                EventBody::Sample(sample) => {
                    let key = SeriesKey { service, member: Arc::clone(&sample.member) };
                    samples.extend(self.sample(key, time, sample));
                }
                EventBody::Alarm(alarm) => {
                    let text = alarm_text(&self.daemon, &service, &alarm);
                    notes.push(Note { time: microseconds(time), text });
                }
                EventBody::Lock(_) | EventBody::Call(_) | EventBody::Status { .. } => {}
            }
        }
        self.wrap(last, lost > 0, samples, notes)
    }

    fn wrap(
        &self,
        last: u64,
        is_break: bool,
        samples: Vec<(SeriesKey, Option<String>, Sample)>,
        notes: Vec<Note>,
    ) -> Batch {
        let (daemon, epoch) = (self.daemon.clone(), self.epoch.clone().unwrap_or_default());
        Batch { daemon, epoch, last, is_break, samples, notes }
    }

    /// A sample to record; `None` for one that is recorded.
    fn sample(
        &mut self,
        key: SeriesKey,
        time: f64,
        sample: FeedSample,
    ) -> Option<(SeriesKey, Option<String>, Sample)> {
        let last = self.last.entry(key.clone()).or_default();
        if sample.seq <= *last {
            return None;
        }
        // A series that has not been read yet has no gap: the start of its daemon is a break.
        let is_start = sample.seq == 1 && sample.quality == FeedQuality::NoData;
        *last = sample.seq;
        if is_start {
            return None;
        }
        let unit = self.units.get(&key).cloned();
        let quality = Quality::of_word(sample.quality.word());
        let reading = sample.value.as_ref().map(reading_of).unwrap_or_default();
        Some((key, unit, Sample { time: microseconds(time), reading, quality }))
    }
}

fn reading_of(value: &Value) -> Reading {
    match value {
        Value::Bool(flag) => Reading::Bool(*flag),
        Value::Float(number) => Reading::Float(*number),
        value => match (value.as_i64(), value.as_f64(), value.as_str()) {
            (Some(number), _, _) => Reading::Int(number),
            (_, Some(number), _) => Reading::Float(number),
            (_, _, Some(text)) => Reading::Text(shortened(text).into()),
            _ => Reading::Nothing,
        },
    }
}

fn shortened(text: &str) -> &str {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn alarm_text(daemon: &str, service: &str, alarm: &AlarmEvent) -> String {
    let AlarmEvent { member, state, since, text, .. } = alarm;
    let value = alarm.value.as_ref().and_then(Value::as_f64);
    json!({
        "daemon": daemon, "service": service, "member": member, "state": state, "since": since,
        "value": value, "text": text,
    })
    .to_string()
}

fn microseconds(seconds: f64) -> i64 {
    (seconds * 1e6).round() as i64
}
