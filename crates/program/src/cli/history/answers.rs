//! Questions to the history process, and its answers as types.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use lab_config::did_you_mean;
use miette::{Report, miette};
use remote::{ConnectError, Dict, Error, Location, Proxy, Serializer, Uri, Value};

use crate::history_process::HISTORY;

/// Time for one answer: a year of samples takes some seconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// A series by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SeriesName {
    pub(super) service: String,
    pub(super) member: String,
}

/// A recorded series.
#[derive(Clone, Debug)]
pub(super) struct RecordedSeries {
    pub(super) name: SeriesName,
    pub(super) unit: String,
    pub(super) daemon: String,
    /// Unix seconds of its first sample, and of the last one.
    pub(super) first: Option<f64>,
    pub(super) last: Option<f64>,
    pub(super) count: i64,
}

/// A curve: parts of a range, each with the numbers of its samples.
#[derive(Clone, Debug, Default)]
pub(super) struct Curve {
    pub(super) unit: String,
    /// Unix seconds.
    pub(super) times: Vec<f64>,
    pub(super) minima: Vec<Option<f64>>,
    pub(super) maxima: Vec<Option<f64>>,
    pub(super) means: Vec<Option<f64>>,
    pub(super) last: Vec<Value>,
    pub(super) qualities: Vec<String>,
}

/// Samples as they were recorded.
#[derive(Clone, Debug, Default)]
pub(super) struct Samples {
    pub(super) unit: String,
    pub(super) times: Vec<f64>,
    pub(super) values: Vec<Value>,
    pub(super) qualities: Vec<String>,
}

/// Connection to the history process.
pub(super) struct Client {
    proxy: Proxy,
}

impl Client {
    pub(super) fn new(socket: &Path) -> Result<Self, Report> {
        let location = Location::Unix { path: socket.display().to_string() };
        let proxy = Proxy::from(Uri::Pyro { object: HISTORY.to_owned(), location });
        let proxy = proxy.with_serializer(Serializer::Marshal).with_timeout(ANSWER_TIMEOUT);
        Ok(Client { proxy })
    }

    async fn ask(&mut self, method: &str, args: Vec<Value>) -> Result<Value, Report> {
        self.proxy.call(method, args, Vec::new()).await.map_err(|error| match error {
            Error::Connect { source: ConnectError::Io(_), .. } => miette!(
                help = "`history: true` in the configuration turns it on, and `ferrolab reload` \
                        starts it; `ferrolab status` says what is wrong with one that should run",
                "no history is recorded here: nothing answers on its socket"
            ),
            Error::Remote(exception) => miette!("{}", exception.message()),
            error => miette!("the history does not answer: {error}"),
        })
    }

    /// All that is recorded.
    pub(super) async fn series(&mut self) -> Result<Vec<RecordedSeries>, Report> {
        let answer = self.ask("series", Vec::new()).await?;
        let rows = answer.as_list().ok_or_else(bad_answer)?.iter();
        let rows = rows.map(|row| {
            let row = row.as_dict()?;
            let name = SeriesName { service: text(row, "service")?, member: text(row, "member")? };
            Some(RecordedSeries {
                name,
                unit: text(row, "unit").unwrap_or_default(),
                daemon: text(row, "daemon").unwrap_or_default(),
                first: row.get("first").and_then(Value::as_f64),
                last: row.get("last").and_then(Value::as_f64),
                count: row.get("count").and_then(Value::as_i64).unwrap_or_default(),
            })
        });
        rows.collect::<Option<_>>().ok_or_else(bad_answer)
    }

    /// The series of a name as people write it: service and member may both have dots.
    pub(super) async fn find(&mut self, written: &str) -> Result<SeriesName, Report> {
        let names = self.series().await?.into_iter().map(|row| row.name);
        let names: Vec<(String, SeriesName)> =
            names.map(|name| (format!("{}.{}", name.service, name.member), name)).collect();
        if let Some((_, name)) = names.iter().find(|(known, _)| known == written) {
            return Ok(name.clone());
        }
        let near = did_you_mean(written, names.iter().map(|(known, _)| known.as_str()));
        let help = near.unwrap_or_else(|| "`ferrolab history` lists what is recorded".to_owned());
        Err(miette!(help = help, "there is no series `{written}`"))
    }

    /// The curve of a range in so many parts at most.
    pub(super) async fn curve(
        &mut self,
        name: &SeriesName,
        since: Option<Timestamp>,
        until: Option<Timestamp>,
        points: u32,
    ) -> Result<Curve, Report> {
        let mut args = range(name, since, until);
        args.push(Value::from(i64::from(points)));
        let answer = self.ask("query", args).await?;
        curve(&answer).ok_or_else(bad_answer)
    }

    /// All samples of a range.
    pub(super) async fn samples(
        &mut self,
        name: &SeriesName,
        since: Option<Timestamp>,
        until: Option<Timestamp>,
    ) -> Result<Samples, Report> {
        // The end stays the same for all pages.
        let until = until.unwrap_or_else(Timestamp::now);
        let mut args = range(name, since, Some(until));
        let mut all = Samples::default();
        loop {
            let answer = self.ask("raw", args.clone()).await?;
            let next = add_samples(&mut all, &answer).ok_or_else(bad_answer)?;
            match next {
                Some(next) => args[2] = Value::Float(next),
                None => return Ok(all),
            }
        }
    }
}

fn range(name: &SeriesName, since: Option<Timestamp>, until: Option<Timestamp>) -> Vec<Value> {
    let time = |time: Option<Timestamp>| {
        time.map_or(Value::None, |time| Value::Float(time.as_microsecond() as f64 / 1e6))
    };
    vec![name.service.as_str().into(), name.member.as_str().into(), time(since), time(until)]
}

fn curve(answer: &Value) -> Option<Curve> {
    let answer = answer.as_dict()?;
    let numbers = |key| {
        let column = answer.get(key)?.as_list()?;
        Some(column.iter().map(Value::as_f64).collect::<Vec<_>>())
    };
    Some(Curve {
        unit: text(answer, "unit").unwrap_or_default(),
        times: numbers("t")?.into_iter().collect::<Option<_>>()?,
        minima: numbers("min")?,
        maxima: numbers("max")?,
        means: numbers("mean")?,
        last: answer.get("last")?.as_list()?.to_vec(),
        qualities: words(answer, "quality")?,
    })
}

/// Adds a page; the time at which the next one begins, if there is one.
fn add_samples(all: &mut Samples, answer: &Value) -> Option<Option<f64>> {
    let answer = answer.as_dict()?;
    all.unit = text(answer, "unit").unwrap_or_default();
    for time in answer.get("t")?.as_list()? {
        all.times.push(time.as_f64()?);
    }
    all.values.extend_from_slice(answer.get("value")?.as_list()?);
    all.qualities.extend(words(answer, "quality")?);
    let is_even = all.times.len() == all.values.len() && all.times.len() == all.qualities.len();
    is_even.then(|| answer.get("next").and_then(Value::as_f64))
}

fn words(answer: &Dict, key: &str) -> Option<Vec<String>> {
    let column = answer.get(key)?.as_list()?;
    column.iter().map(|word| word.as_str().map(str::to_owned)).collect()
}

fn text(dict: &Dict, key: &str) -> Option<String> {
    dict.get(key).and_then(Value::as_str).map(str::to_owned)
}

/// The error of an answer that cannot be read.
fn bad_answer() -> Report {
    miette!(
        help = "`ferrolab restart history` starts it with this version of the program",
        "the history's answer cannot be read"
    )
}
