//! Text of `/metrics` for Prometheus: the host's health, its calls and locks, the latest values.
//!
//! A pure function of a snapshot: who scrapes, and how the snapshot is made, is the web process's
//! business. Names and labels are an interface: dashboards and alarms elsewhere use them.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, prometheus_text};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use remote::{CallCounts, Value};

use crate::host::feed::event::{Quality, SeriesRow};
use crate::host::feed::scrape::Scraped;
use crate::supervise::control::{Listing, ProcessRow, ServiceRow};

/// The type of the text.
pub(crate) const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// All that a scrape shows.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) listing: Listing,
    /// The calls of each service since its daemon has started.
    pub(crate) calls: BTreeMap<String, CallCounts>,
    /// The latest value of each series. A stale one is not among them: it would look like a new
    /// one.
    pub(crate) values: Vec<LatestValue>,
}

/// The latest value of a series.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LatestValue {
    pub(crate) service: String,
    pub(crate) member: String,
    /// Empty for a value without one.
    pub(crate) unit: String,
    pub(crate) value: MetricValue,
}

/// A value as metrics have it; a boolean is 0 or 1.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum MetricValue {
    Number(f64),
    /// An enum or a short text, which becomes a label.
    Text(String),
}

/// The text of a scrape.
///
/// # Errors
/// It cannot be written, which does not happen to a text in memory.
pub(crate) fn text(snapshot: Snapshot) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(snapshot));
    let mut text = String::new();
    prometheus_text::encode(&mut text, &registry)?;
    Ok(text)
}

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        self.host(&mut page)?;
        self.processes(&mut page)?;
        self.services(&mut page)?;
        self.locks(&mut page)?;
        self.calls(&mut page)?;
        self.values(&mut page)?;
        self.alarms(&mut page)
    }
}

impl Snapshot {
    /// A snapshot of what the supervisor shows.
    pub(crate) fn of(listing: Listing) -> Self {
        Snapshot { listing, ..Snapshot::default() }
    }

    /// Adds a daemon's own counts and values. Parts count for their services.
    pub(crate) fn add(&mut self, scraped: Scraped) {
        for (object, counts) in scraped.calls {
            let is_of = |row: &&ServiceRow| {
                let rest = object.strip_prefix(&row.name);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            let services = self.listing.services.iter().filter(is_of);
            let Some(service) = services.max_by_key(|row| row.name.len()) else { continue };
            let sum = self.calls.entry(service.name.clone()).or_default();
            sum.calls += counts.calls;
            sum.errors += counts.errors;
            sum.slow += counts.slow;
        }
        self.values.extend(scraped.series.into_iter().filter_map(latest_value));
    }

    fn host(&self, page: &mut Page<'_>) -> fmt::Result {
        let Listing { host, troubles, .. } = &self.listing;
        let info = [("version", host.version.as_str())];
        page.gauges("ferrolab_info", "The version that the lab runs", [(info, 1.0)])?;
        let start = seconds(&host.since).map(|start| (NONE, start));
        page.gauges("ferrolab_start_time_seconds", "When the lab was started (Unix time)", start)?;
        let troubles = [(NONE, troubles.len() as f64)];
        page.gauges("ferrolab_host_troubles", "Faults of the host itself, as in status", troubles)
    }

    fn processes(&self, page: &mut Page<'_>) -> fmt::Result {
        let Listing { nameservers, daemons, .. } = &self.listing;
        let nameservers = nameservers.iter().map(|row| ("nameserver", row));
        let all: Vec<_> = nameservers.chain(daemons.iter().map(|row| ("daemon", row))).collect();
        let labels = |(kind, row): &(&'static str, &'_ ProcessRow)| {
            [("kind", (*kind).to_owned()), ("name", row.name.clone())]
        };
        let up = all.iter().map(|row| (labels(row), flag(row.1.status == "running")));
        page.gauges("ferrolab_process_up", "Whether a nameserver or daemon runs", up)?;
        let restarts = all.iter().map(|row| (labels(row), u64::from(row.1.restarts)));
        let what = "Restarts after crashes, since it was last started by hand";
        page.counters("ferrolab_process_restarts", what, restarts)?;
        let starts = all.iter().filter_map(|row| {
            Some((labels(row), seconds(row.1.since.as_deref().unwrap_or_default())?))
        });
        let what = "When its process was started (Unix time)";
        page.gauges("ferrolab_process_start_time_seconds", what, starts)?;
        let of_daemon = |row: &ProcessRow| [("daemon", row.name.clone())];
        let full = daemons.iter().map(|row| (of_daemon(row), flag(row.full.is_some())));
        let what = "Whether a daemon has as many connections as it may, and refuses others";
        page.gauges("ferrolab_daemon_full", what, full)?;
        let workers = daemons.iter().map(|row| (of_daemon(row), row.workers as f64));
        page.gauges("ferrolab_workers", "Python processes of a daemon that run", workers)
    }

    fn services(&self, page: &mut Page<'_>) -> fmt::Result {
        let services = &self.listing.services;
        let up = services.iter().map(|row| {
            let labels = [("service", row.name.clone()), ("daemon", row.daemon.clone())];
            (labels, flag(row.report.status == "running"))
        });
        page.gauges("ferrolab_service_up", "Whether a service serves and is well", up)?;
        let states = services.iter().map(|row| {
            let state = row.report.status.clone();
            ([("service", row.name.clone()), ("state", state)], 1.0)
        });
        page.gauges("ferrolab_service_state", "The state of a service, as a label", states)
    }

    fn locks(&self, page: &mut Page<'_>) -> fmt::Result {
        let services = &self.listing.services;
        let with_lock =
            services.iter().filter_map(|row| Some((service(row), row.report.lock.as_ref()?)));
        let held = with_lock.clone().map(|(labels, lock)| (labels, flag(lock.owner.is_some())));
        page.gauges("ferrolab_service_locked", "Whether somebody holds its lock", held)?;
        let waiting = with_lock.map(|(labels, lock)| (labels, lock.waiting.len() as f64));
        page.gauges("ferrolab_lock_waiting", "Clients that wait for its lock", waiting)
    }

    fn calls(&self, page: &mut Page<'_>) -> fmt::Result {
        let counts = |count: fn(&CallCounts) -> u64| {
            self.calls.iter().map(move |(service, counts)| ([("service", service)], count(counts)))
        };
        let what = "Calls that have ended, since its daemon was started";
        page.counters("ferrolab_calls", what, counts(|row| row.calls))?;
        let what = "Of these, calls that have raised or were refused";
        page.counters("ferrolab_call_errors", what, counts(|row| row.errors))?;
        let what = "Of these, calls that took longer than slow_call";
        page.counters("ferrolab_slow_calls", what, counts(|row| row.slow))?;
        let now = |waits: bool| {
            self.listing.services.iter().map(move |row| {
                let is_counted = |call: &&crate::host::CallRow| {
                    call.service == row.name
                        && call.daemon == row.daemon
                        && call.waits_for.is_some() == waits
                };
                let calls = self.listing.calls.iter().filter(is_counted).count();
                (service(row), calls as f64)
            })
        };
        let what = "Calls that run now, from a quarter of a second on";
        page.gauges("ferrolab_calls_running", what, now(false))?;
        let what = "Calls that wait now, for their turn, a lock or a worker";
        page.gauges("ferrolab_calls_waiting", what, now(true))
    }

    fn values(&self, page: &mut Page<'_>) -> fmt::Result {
        let numbers = self.values.iter().filter_map(|row| match &row.value {
            MetricValue::Number(number) => {
                let [service, member] = series(row);
                Some(([service, member, ("unit", row.unit.clone())], *number))
            }
            MetricValue::Text(_) => None,
        });
        let what = "The latest value of a member; none where it is stale";
        page.gauges("ferrolab_value", what, numbers)?;
        let texts = self.values.iter().filter_map(|row| match &row.value {
            MetricValue::Number(_) => None,
            MetricValue::Text(text) => {
                let [service, member] = series(row);
                Some(([service, member, ("value", text.clone())], 1.0))
            }
        });
        let what = "The latest text of a member, as a label; none where it is stale";
        page.gauges("ferrolab_text", what, texts)
    }

    fn alarms(&self, page: &mut Page<'_>) -> fmt::Result {
        let Listing { alarms, alarms_watched, .. } = &self.listing;
        let rows = alarms.iter().map(|row| {
            let labels = [
                ("service", row.service.clone()),
                ("member", row.member.clone()),
                ("alarm", row.condition.clone()),
                ("state", row.state.clone()),
            ];
            (labels, 1.0)
        });
        page.gauges("ferrolab_alarm", "An alarm that is not ok, with its state", rows)?;
        let firing = alarms.iter().filter(|row| row.needs_somebody()).count();
        let what = "Alarms that fire or have no data, and wait for somebody";
        page.gauges("ferrolab_alarms_firing", what, [(NONE, firing as f64)])?;
        let what = "Values that alarms look at";
        page.gauges("ferrolab_alarms_watched", what, [(NONE, *alarms_watched as f64)])
    }
}

/// Writer of the text.
struct Page<'a>(DescriptorEncoder<'a>);

/// Labels of a row.
type Labels<T, const N: usize> = [(&'static str, T); N];
/// Of a metric that has one row.
const NONE: Labels<&str, 0> = [];

impl Page<'_> {
    fn gauges<T: AsRef<str>, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (Labels<T, N>, f64)>,
    ) -> fmt::Result {
        self.rows(
            name,
            help,
            rows.into_iter().map(|(labels, value)| (labels, ConstGauge::new(value))),
        )
    }

    fn counters<T: AsRef<str>, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (Labels<T, N>, u64)>,
    ) -> fmt::Result {
        self.rows(
            name,
            help,
            rows.into_iter().map(|(labels, value)| (labels, ConstCounter::new(value))),
        )
    }

    /// A metric with its rows; nothing without rows.
    fn rows<T: AsRef<str>, M: EncodeMetric, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl Iterator<Item = (Labels<T, N>, M)>,
    ) -> fmt::Result {
        let mut rows = rows.peekable();
        let Some((_, first)) = rows.peek() else { return Ok(()) };
        let mut metric = self.0.encode_descriptor(name, help, None, first.metric_type())?;
        for (labels, value) in rows {
            let labels = labels.each_ref().map(|(key, value)| (*key, value.as_ref()));
            value.encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// The value of a series, unless it is stale or there is no value.
fn latest_value(row: SeriesRow) -> Option<LatestValue> {
    let SeriesRow { service, sample, unit, .. } = row;
    let value = sample.value.filter(|_| sample.quality == Quality::Good)?;
    let value = match value {
        Value::Bool(is_so) => MetricValue::Number(flag(is_so)),
        Value::Str(text) => MetricValue::Text(text),
        value => MetricValue::Number(value.as_f64()?),
    };
    Some(LatestValue {
        service: service.to_string(),
        member: sample.member.to_string(),
        unit: unit.as_deref().unwrap_or_default().to_owned(),
        value,
    })
}

fn service(row: &ServiceRow) -> [(&'static str, String); 1] {
    [("service", row.name.clone())]
}

fn series(row: &LatestValue) -> [(&'static str, String); 2] {
    [("service", row.service.clone()), ("member", row.member.clone())]
}

fn flag(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}

/// Unix time of an RFC 3339 text.
fn seconds(time: &str) -> Option<f64> {
    let time: Timestamp = time.parse().ok()?;
    Some(time.as_duration().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::feed::event::Sample;
    use crate::host::feed::ring::row_of;
    use crate::host::{AlarmRow, LockRow, ServiceReport};

    #[test]
    fn a_page_has_what_there_is_and_nothing_stale() {
        let status = |status: &str| ServiceReport {
            status: status.to_owned(),
            lock: Some(LockRow::default()),
            ..ServiceReport::default()
        };
        let listing = Listing {
            daemons: vec![ProcessRow {
                name: "bench".to_owned(),
                status: "running".to_owned(),
                since: Some("1970-01-01T00:01:00Z".to_owned()),
                restarts: 2,
                workers: 1,
                ..ProcessRow::default()
            }],
            services: vec![ServiceRow {
                name: "lab.a".to_owned(),
                daemon: "bench".to_owned(),
                report: status("unwell"),
                ..ServiceRow::default()
            }],
            alarms: vec![AlarmRow {
                service: "lab.a".to_owned(),
                member: "t".to_owned(),
                condition: "above 3".to_owned(),
                state: "firing".to_owned(),
                ..AlarmRow::default()
            }],
            ..Listing::default()
        };
        let row = |member: &str, value: Value, quality| SeriesRow {
            unit: Some("K".into()),
            ..row_of(
                &"lab.a".into(),
                Sample { member: member.into(), seq: 1, value: Some(value), quality, error: None },
            )
        };
        let series = vec![
            row("t", Value::Float(3.5), Quality::Good),
            row("mode", Value::from("\"fast\"\n"), Quality::Good),
            row("open", Value::Bool(true), Quality::Good),
            row("old", Value::Float(1.0), Quality::Stale),
        ];
        let calls = [("lab.a", 3, 2), ("lab.a.ch_1", 4, 0), ("Pyro.Daemon", 9, 9)];
        let calls = calls.map(|(id, calls, errors)| {
            (id.to_owned(), CallCounts { calls, errors, slow: errors / 2 })
        });
        let mut snapshot = Snapshot::of(listing);
        snapshot.add(Scraped { series, calls: calls.into() });
        let page = text(snapshot).unwrap();
        for line in [
            "# TYPE ferrolab_process_restarts_total counter",
            "ferrolab_process_restarts_total{kind=\"daemon\",name=\"bench\"} 2",
            "ferrolab_process_up{kind=\"daemon\",name=\"bench\"} 1.0",
            "ferrolab_process_start_time_seconds{kind=\"daemon\",name=\"bench\"} 60.0",
            "ferrolab_workers{daemon=\"bench\"} 1.0",
            "ferrolab_service_up{service=\"lab.a\",daemon=\"bench\"} 0.0",
            "ferrolab_service_state{service=\"lab.a\",state=\"unwell\"} 1.0",
            "ferrolab_service_locked{service=\"lab.a\"} 0.0",
            "ferrolab_calls_total{service=\"lab.a\"} 7",
            "ferrolab_call_errors_total{service=\"lab.a\"} 2",
            "ferrolab_slow_calls_total{service=\"lab.a\"} 1",
            "ferrolab_calls_running{service=\"lab.a\"} 0.0",
            "ferrolab_value{service=\"lab.a\",member=\"t\",unit=\"K\"} 3.5",
            "ferrolab_value{service=\"lab.a\",member=\"open\",unit=\"K\"} 1.0",
            "ferrolab_text{service=\"lab.a\",member=\"mode\",value=\"\\\"fast\\\"\\n\"} 1.0",
            "ferrolab_alarm{service=\"lab.a\",member=\"t\",alarm=\"above 3\",state=\"firing\"} 1.0",
            "ferrolab_alarms_firing 1.0",
        ] {
            assert!(page.lines().any(|known| known == line), "{line}\n{page}");
        }
        assert!(!page.contains("member=\"old\"") && !page.contains("Pyro.Daemon"), "{page}");
        let empty = text(Snapshot::default()).unwrap();
        assert!(!empty.contains("ferrolab_value") && !empty.contains("ferrolab_process_up"));
    }
}
