//! Latest values of the lab, from the feeds of its daemons, and the samples that are not sent yet.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::host::feed::event::{Event, EventBody, Quality, Sample, SeriesRow, value_json};

/// Samples that may wait for the next event of the stream; the oldest go first.
const MAX_PENDING: usize = 20_000;

/// The latest value of a series.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::web) struct SeriesJson {
    member: String,
    /// When it was read, in Unix seconds.
    t: f64,
    /// Null without a value.
    value: Json,
    /// `good`, `stale`, `error`, `locked` or `no data`.
    quality: &'static str,
    error: Option<String>,
    /// Rises from sample to sample.
    seq: u64,
    unit: Option<String>,
    /// Seconds between two readings, where the daemon reads it.
    poll: Option<f64>,
    /// For how many seconds its samples are in the history.
    keep: Option<f64>,
}

/// The latest values of all services.
#[derive(Default)]
pub(super) struct SeriesTable {
    /// By service and member.
    services: BTreeMap<String, BTreeMap<String, SeriesJson>>,
    /// Samples since the last event of the stream.
    pending: Vec<Json>,
}

impl SeriesTable {
    /// The series of a service.
    pub(super) fn of(&self, service: &str) -> Vec<&SeriesJson> {
        self.services.get(service).map(|members| members.values().collect()).unwrap_or_default()
    }

    /// All series, each with its service.
    pub(super) fn all_json(&self) -> Vec<Json> {
        let series = self.services.iter().flat_map(|(service, members)| {
            members.values().map(move |series| with_service(service, series))
        });
        series.collect()
    }

    /// Takes up how the series of some services stand now.
    pub(super) fn reset(&mut self, services: &[String], rows: &[SeriesRow]) {
        let mut before: BTreeMap<String, BTreeMap<String, SeriesJson>> = BTreeMap::new();
        for service in services {
            before.extend(self.services.remove_entry(service));
        }
        for row in rows {
            let service = row.service.to_string();
            let now = SeriesJson::of(row);
            let known = before.get(&service).and_then(|members| members.get(&now.member));
            if known != Some(&now) {
                self.push(&service, &now);
            }
            self.services.entry(service).or_default().insert(now.member.clone(), now);
        }
    }

    /// Takes up a sample.
    pub(super) fn sample(&mut self, event: &Event) {
        let EventBody::Sample(sample) = &event.body else { return };
        let service = event.service.to_string();
        let members = self.services.entry(service.clone()).or_default();
        let known = members.get(&*sample.member);
        // A reader that starts anew may read an older sample again.
        if known.is_some_and(|known| known.seq >= sample.seq) {
            return;
        }
        let facts = known.map(|known| (known.unit.clone(), known.poll, known.keep));
        let (unit, poll, keep) = facts.unwrap_or_default();
        let now = SeriesJson { unit, poll, keep, ..SeriesJson::new(event.time, sample) };
        members.insert(now.member.clone(), now.clone());
        self.push(&service, &now);
    }

    /// Marks the values of some services as those of a daemon that cannot be read.
    pub(super) fn lose(&mut self, services: &[String], now: f64, reason: &str) {
        for service in services {
            let mut lost = Vec::new();
            for series in self.services.get_mut(service).into_iter().flat_map(BTreeMap::values_mut)
            {
                if series.quality != Quality::NoData.word() {
                    series.t = now;
                    series.value = Json::Null;
                    series.quality = Quality::NoData.word();
                    series.error = Some(reason.to_owned());
                    lost.push(series.clone());
                }
            }
            lost.iter().for_each(|series| self.push(service, series));
        }
    }

    /// Forgets services that are gone.
    pub(super) fn retain(&mut self, known: impl Fn(&str) -> bool) {
        self.services.retain(|service, _| known(service));
    }

    /// The samples since the last call.
    pub(super) fn take_pending(&mut self) -> Vec<Json> {
        std::mem::take(&mut self.pending)
    }

    fn push(&mut self, service: &str, series: &SeriesJson) {
        self.pending.push(with_service(service, series));
        if self.pending.len() > MAX_PENDING {
            self.pending.drain(..MAX_PENDING / 2);
        }
    }
}

fn with_service(service: &str, series: &SeriesJson) -> Json {
    let mut json = json!(series);
    json["service"] = service.into();
    json
}

impl SeriesJson {
    fn of(row: &SeriesRow) -> Self {
        SeriesJson {
            unit: row.unit.as_deref().map(str::to_owned),
            poll: row.poll,
            keep: row.keep,
            ..SeriesJson::new(row.time, &row.sample)
        }
    }

    fn new(time: f64, sample: &Sample) -> Self {
        SeriesJson {
            member: sample.member.to_string(),
            t: time,
            value: sample.value.as_ref().map_or(Json::Null, value_json),
            quality: sample.quality.word(),
            error: sample.error.clone(),
            seq: sample.seq,
            unit: None,
            poll: None,
            keep: None,
        }
    }
}
