//! The series of one member, and what its readings and its silence mean for them.
//!
//! Each part of its tuple or dict has one. Times come in as arguments.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lab_config::{Deadband, Member};
use remote::Value;
use tokio::time::Instant;

use super::reading::{PartReading, Reading};
use super::samples::{HEARTBEAT, Series};
use crate::host::feed::event::{Quality, Sample, SeriesRow, unix_seconds};
use crate::host::feed::ring::Feed;

/// Parts of one member over all its readings, at most.
const MAX_PARTS: usize = 64;

/// One moment, on both clocks: the monotonic one for periods, Unix seconds for people.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) instant: Instant,
    pub(super) wall: f64,
}

impl Moment {
    pub(super) fn now() -> Self {
        Moment { instant: Instant::now(), wall: unix_seconds(SystemTime::now()) }
    }
}

/// The series of one member.
pub(super) struct MemberSeries {
    service: Arc<str>,
    member: Arc<str>,
    unit: Option<Arc<str>>,
    keep: Option<f64>,
    poll: Option<f64>,
    deadband: Option<Deadband>,
    /// The time between two readings now; `None` where only clients read it.
    period: Option<Duration>,
    /// When it was read last, or could not be read for a known reason.
    updated: Instant,
    /// When a client has read it, until the schedule has heard of it.
    client_read: Option<Instant>,
    shape: Shape,
}

/// The form of a member's values: it stays what its first value was.
enum Shape {
    /// No value was read yet; this series says so.
    Unknown(Series),
    One(Series),
    Parts(BTreeMap<String, Series>),
}

impl MemberSeries {
    /// The series of a member that has not been read.
    pub(super) fn new(service: &Arc<str>, member: &Member, now: Moment, feed: &Feed) -> Self {
        let name: Arc<str> = member.name.as_str().into();
        let series = Series::new(Arc::clone(&name), now.instant);
        let made = MemberSeries {
            service: Arc::clone(service),
            member: name,
            unit: member.value.unit.as_deref().map(Arc::from),
            keep: member.keep.map(|keep| keep.as_secs_f64()),
            poll: member.poll.map(|poll| poll.as_secs_f64()),
            deadband: member.deadband,
            period: member.poll,
            updated: now.instant,
            client_read: None,
            shape: Shape::Unknown(series),
        };
        if let Shape::Unknown(series) = &made.shape {
            feed.set_series(made.row(series, now.wall), false);
        }
        made
    }

    /// The configuration says this of it now. The numbers of its samples go on.
    pub(super) fn change(&mut self, member: &Member, now: Moment, feed: &Feed) {
        self.unit = member.value.unit.as_deref().map(Arc::from);
        self.keep = member.keep.map(|keep| keep.as_secs_f64());
        self.deadband = member.deadband;
        let poll = member.poll.map(|poll| poll.as_secs_f64());
        if self.poll != poll {
            // It is read within the new period from now on; else a slow one stays slowed down.
            (self.poll, self.period, self.updated) = (poll, member.poll, now.instant);
        }
        for series in self.all() {
            feed.set_facts(self.row(series, now.wall));
        }
    }

    /// The configuration no longer has it.
    pub(super) fn retire(&mut self, now: Moment, feed: &Feed) {
        self.set_all(now, feed, true, |_| {
            Err((Quality::NoData, "the configuration no longer has it".to_owned()))
        });
        for series in self.all() {
            feed.remove_series(&self.service, &series.name);
        }
        // One that comes back begins anew.
        (self.poll, self.period) = (None, None);
    }

    /// A driver has returned this value, to the daemon or to a client.
    pub(super) fn value(&mut self, value: &Value, now: Moment, feed: &Feed) {
        self.updated = now.instant;
        self.set(Reading::of(value), now, feed);
    }

    /// A client has read this value.
    pub(super) fn value_of_client(&mut self, value: &Value, now: Moment, feed: &Feed) {
        self.client_read = Some(now.instant);
        self.value(value, now, feed);
    }

    /// When a client has read it since the last call of this.
    pub(super) fn take_client_read(&mut self) -> Option<Instant> {
        self.client_read.take()
    }

    /// It could not be read.
    pub(super) fn failed(&mut self, quality: Quality, error: &str, now: Moment, feed: &Feed) {
        self.updated = now.instant;
        self.set(Reading::One(Err((quality, error.to_owned()))), now, feed);
    }

    /// It is read in this period from now on.
    pub(super) fn set_period(&mut self, period: Duration) {
        self.period = Some(period);
    }

    /// Time has passed: a member that was to be read and was not has no data; one that nobody
    /// reads is stale.
    pub(super) fn tick(&mut self, now: Moment, feed: &Feed) {
        let silent = now.instant.saturating_duration_since(self.updated);
        match self.period {
            Some(period) if silent >= 2 * period => {
                self.set_all(now, feed, false, |series| {
                    let text = match (series.quality, &series.error) {
                        // Another text would be another sample.
                        (Quality::NoData, Some(text)) => text.clone(),
                        _ => "nothing was read for two periods".to_owned(),
                    };
                    Err((Quality::NoData, text))
                });
            }
            None if silent >= HEARTBEAT && self.any(Quality::Good) => {
                self.set_all(now, feed, false, |series| match &series.value {
                    Some(value) => Ok(value.clone()),
                    None => Err((series.quality, series.error.clone().unwrap_or_default())),
                });
            }
            _ => {}
        }
    }

    /// When [`tick`](Self::tick) has something to do, if nothing is read before; `None` if never.
    /// After that tick it is a later time: a poller sleeps until then.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.period {
            Some(period) if self.all().all(|series| series.quality == Quality::NoData) => {
                Some((self.sampled()? + HEARTBEAT).max(self.updated + 2 * period))
            }
            Some(period) => Some(self.updated + 2 * period),
            None => self.any(Quality::Good).then(|| self.updated + HEARTBEAT),
        }
    }

    /// Why it has no values, in words.
    pub(super) fn trouble(&self) -> Option<String> {
        let series = self.all().find(|series| series.quality == Quality::Error)?;
        let error = series.error.as_deref().unwrap_or("it cannot be read");
        Some(format!("'{}' has no value: {error}", series.name))
    }

    fn any(&self, quality: Quality) -> bool {
        self.all().any(|series| series.quality == quality)
    }

    /// The oldest last sample; `None` for a tuple or dict without parts.
    fn sampled(&self) -> Option<Instant> {
        self.all().map(|series| series.sampled).min()
    }

    fn all(&self) -> Box<dyn Iterator<Item = &Series> + '_> {
        match &self.shape {
            Shape::Unknown(series) | Shape::One(series) => Box::new(std::iter::once(series)),
            Shape::Parts(parts) => Box::new(parts.values()),
        }
    }

    fn set(&mut self, reading: Reading, now: Moment, feed: &Feed) {
        match (reading, &mut self.shape) {
            (Reading::One(part), Shape::Unknown(series)) if part.is_ok() => {
                let series = std::mem::replace(series, Series::new("".into(), now.instant));
                self.shape = Shape::One(series);
                self.set_all(now, feed, true, |_| part.clone());
            }
            (Reading::One(part), Shape::Unknown(_) | Shape::One(_)) => {
                self.set_all(now, feed, true, |_| part.clone());
            }
            (Reading::One(Err(reason)), Shape::Parts(_)) => {
                self.set_all(now, feed, true, |_| Err(reason.clone()));
            }
            (Reading::One(Ok(_)), Shape::Parts(_)) => self.set_all(now, feed, true, |_| {
                let text = "it returned one value, and a tuple or dict before".to_owned();
                Err((Quality::Error, text))
            }),
            (Reading::Parts(_), Shape::One(_)) => self.set_all(now, feed, true, |_| {
                let text = "it returned a tuple or dict, and one value before".to_owned();
                Err((Quality::Error, text))
            }),
            (Reading::Parts(parts), Shape::Unknown(series)) => {
                feed.remove_series(&self.service, &series.name);
                self.shape = Shape::Parts(BTreeMap::new());
                self.set_parts(parts, now, feed);
            }
            (Reading::Parts(parts), Shape::Parts(_)) => self.set_parts(parts, now, feed),
        }
    }

    fn set_parts(&mut self, read: Vec<(String, PartReading)>, now: Moment, feed: &Feed) {
        let mut read: BTreeMap<String, PartReading> = read.into_iter().collect();
        if let Shape::Parts(known) = &mut self.shape {
            for name in read.keys() {
                if !known.contains_key(name) && known.len() < MAX_PARTS {
                    let full = format!("{}.{name}", self.member);
                    known.insert(name.clone(), Series::new(full.into(), now.instant));
                }
            }
        }
        let prefix = self.member.len() + 1;
        self.set_all(now, feed, true, |series| {
            let missing = || Err((Quality::NoData, "it is not in the last value".to_owned()));
            read.remove(series.name.get(prefix..).unwrap_or_default()).unwrap_or_else(missing)
        });
    }

    /// Sets each series to what `reading` says of it; `is_read`: it was read, or tried, now.
    fn set_all(
        &mut self,
        now: Moment,
        feed: &Feed,
        is_read: bool,
        mut reading: impl FnMut(&Series) -> PartReading,
    ) {
        let is_stale = self.period.is_none()
            && now.instant.saturating_duration_since(self.updated) >= HEARTBEAT;
        let deadband = self.deadband;
        let margin = self.period.unwrap_or_default();
        let mut changed: Vec<(SeriesRow, bool)> = Vec::new();
        let facts = (Arc::clone(&self.service), self.unit.clone(), self.keep, self.poll);
        let mut update = |series: &mut Series| {
            let part = reading(series);
            let is_sample = series.update(part, is_stale, deadband, now.instant, margin);
            if is_sample || is_read {
                changed.push((row(&facts, series, now.wall), is_sample));
            }
        };
        match &mut self.shape {
            Shape::Unknown(series) | Shape::One(series) => update(series),
            Shape::Parts(parts) => parts.values_mut().for_each(update),
        }
        for (row, is_sample) in changed {
            feed.set_series(row, is_sample);
        }
    }

    fn row(&self, series: &Series, wall: f64) -> SeriesRow {
        let facts = (Arc::clone(&self.service), self.unit.clone(), self.keep, self.poll);
        row(&facts, series, wall)
    }
}

/// Service, unit, seconds that samples are kept, and seconds between two readings.
type Facts = (Arc<str>, Option<Arc<str>>, Option<f64>, Option<f64>);

fn row((service, unit, keep, poll): &Facts, series: &Series, time: f64) -> SeriesRow {
    SeriesRow {
        service: Arc::clone(service),
        time,
        sample: Sample {
            member: Arc::clone(&series.name),
            seq: series.seq,
            value: series.value.clone(),
            quality: series.quality,
            error: series.error.clone(),
        },
        unit: unit.clone(),
        keep: *keep,
        poll: *poll,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A member under a simulated clock, and what the feed has of it.
    struct Bench {
        feed: Feed,
        series: MemberSeries,
        start: Instant,
        seconds: f64,
    }

    fn bench(poll: Option<Duration>, deadband: Option<Deadband>) -> Bench {
        let member = Member {
            name: "t".into(),
            value: lab_config::ValueFacts { unit: Some("K".into()), ..Default::default() },
            arguments: Vec::new(),
            poll,
            keep: Some(3600 * SECOND),
            deadband,
            call_timeout: None,
            private: false,
            role: None,
            alarms: Vec::new(),
        };
        let (feed, start) = (Feed::new(), Instant::now());
        let now = Moment { instant: start, wall: 0.0 };
        let series = MemberSeries::new(&"cryostat".into(), &member, now, &feed);
        Bench { feed, series, start, seconds: 0.0 }
    }

    impl Bench {
        fn now(&self) -> Moment {
            let instant = self.start + Duration::from_secs_f64(self.seconds);
            // The wall clock goes backwards: nothing may depend on it.
            Moment { instant, wall: 1e9 - self.seconds }
        }

        fn after(&mut self, seconds: f64) -> &mut Self {
            self.seconds += seconds;
            self
        }

        fn value(&mut self, value: impl Into<Value>) -> &mut Self {
            self.series.value(&value.into(), self.now(), &self.feed);
            self
        }

        fn tick(&mut self) -> &mut Self {
            self.series.tick(self.now(), &self.feed);
            self
        }

        /// Name, number of the last sample, and quality of each series.
        fn found(&self) -> Vec<(String, u64, &'static str)> {
            let rows = self.feed.latest().0.into_iter();
            rows.map(|row| {
                (row.sample.member.to_string(), row.sample.seq, row.sample.quality.word())
            })
            .collect()
        }

        #[track_caller]
        fn assert(&self, seq: u64, quality: &'static str) {
            assert_eq!(self.found(), [("t".to_owned(), seq, quality)]);
        }
    }

    #[test]
    fn a_number_within_its_deadband_is_no_sample_until_the_heartbeat() {
        let mut bench = bench(Some(SECOND), Some(Deadband::Absolute(0.5)));
        bench.assert(0, "no data");
        bench.value(10.0).assert(1, "good");
        for _ in 0..58 {
            bench.after(1.0).value(10.5).assert(1, "good");
        }
        bench.after(1.0).value(10.5).assert(2, "good");
        bench.after(1.0).value(11.01).assert(3, "good");
        bench.after(1.0).value(11.01).assert(3, "good");
    }

    #[test]
    fn what_makes_a_sample() {
        let (zero, percent) = (Deadband::Absolute(0.0), Deadband::Percent(10.0));
        for (deadband, values, samples) in [
            (None, [1.0, 1.0, 1.0], 3),
            (Some(zero), [1.0, 1.0, 2.0], 2),
            (Some(percent), [100.0, 109.0, 111.0], 2),
            (Some(percent), [-100.0, -95.0, -80.0], 2),
        ] {
            let mut bench = bench(Some(SECOND), deadband);
            for value in values {
                bench.after(1.0).value(value);
            }
            bench.assert(samples, "good");
        }
        let mut bench = bench(Some(SECOND), Some(zero));
        bench.value("ready").after(1.0).value("ready").after(1.0).value("busy");
        bench.assert(2, "good");
    }

    #[test]
    fn silence_is_no_data_and_beats_too() {
        let mut bench = bench(Some(SECOND), None);
        bench.value(1.0).after(1.9).tick().assert(1, "good");
        bench.after(0.1).tick().assert(2, "no data");
        assert_eq!(bench.series.deadline(), Some(bench.start + 62 * SECOND));
        bench.after(1.0).tick().assert(2, "no data");
        bench.after(59.0).tick().assert(3, "no data");
        bench.value(1.0).assert(4, "good");
        assert_eq!(bench.series.deadline(), Some(bench.now().instant + 2 * SECOND));
    }

    #[test]
    fn a_value_that_only_clients_read_becomes_stale() {
        let mut bench = bench(None, None);
        bench.after(100.0).tick().assert(0, "no data");
        assert_eq!(bench.series.deadline(), None);
        bench.value(1.0).after(59.0).tick().assert(1, "good");
        bench.after(1.0).tick().assert(2, "stale");
        assert_eq!(bench.feed.latest().0[0].sample.value, Some(Value::Float(1.0)));
        bench.after(100.0).tick().assert(2, "stale");
        bench.value(1.0).assert(3, "good");
    }

    #[test]
    fn failures_have_qualities_and_reasons() {
        let mut bench = bench(Some(SECOND), None);
        bench.value(1.0);
        assert_eq!(bench.series.trouble(), None);
        for (quality, word, seq) in [
            (Quality::Locked, "locked", 2),
            (Quality::Locked, "locked", 2),
            (Quality::Error, "error", 3),
        ] {
            let now = bench.after(1.0).now();
            bench.series.failed(quality, "OSError: no answer", now, &bench.feed);
            bench.assert(seq, word);
        }
        let trouble = bench.series.trouble().unwrap();
        assert_eq!(trouble, "'t' has no value: OSError: no answer");
        bench.value(f64::NAN).assert(4, "no data");
        bench.value("warm").assert(5, "error");
        let trouble = bench.series.trouble().unwrap();
        assert!(trouble.contains("it returned a text, and a number before"), "{trouble}");
        bench.value(2.0).assert(6, "good");
    }

    #[test]
    fn each_part_has_a_series() {
        let tuple = |x: f64, y: Value| Value::Tuple(vec![x.into(), y]);
        let mut bench = bench(Some(SECOND), Some(Deadband::Absolute(0.0)));
        let part = |index: &str, seq, word| (format!("t.{index}"), seq, word);
        bench.value(tuple(1.0, 2.into()));
        assert_eq!(bench.found(), [part("0", 1, "good"), part("1", 1, "good")]);
        bench.value(tuple(1.0, Value::None));
        assert_eq!(bench.found(), [part("0", 1, "good"), part("1", 2, "no data")]);
        bench.value(Value::Tuple(vec![1.into()]));
        assert_eq!(bench.found(), [part("0", 1, "good"), part("1", 3, "no data")]);
        bench.value(5.0);
        assert_eq!(bench.found(), [part("0", 2, "error"), part("1", 4, "error")]);
        bench.value(tuple(1.0, 2.into()));
        assert_eq!(bench.found(), [part("0", 3, "good"), part("1", 5, "good")]);
    }
}
