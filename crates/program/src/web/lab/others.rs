//! Other labs beside this one (`labs:`), as each has answered last. They are only read.
//!
//! A reader for each lab asks it while a tab is open or a request wants it, so a lab that is away
//! costs the others nothing, and labs that nobody looks at are not asked. Changes are events of
//! the stream of the kind `labs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::Uri;
use jiff::Timestamp;
use lab_config::{Host, OtherLab};
use serde::Serialize;
use serde_json::{Map, Value as Json, json};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

use super::changes::difference;
use super::ring::Ring;
use super::rows::{self, PROCESS_NAME, ServiceJson, unix_seconds};
use super::series::SeriesTable;
use crate::host::feed::event::SeriesRow;
use crate::labs::{self, ClockDifference, DEADLINE, LabValues, ReaderMaking};
use crate::paths::Paths;
use crate::supervise::control::{LabRow, Listing};

/// Pause between an answer of a lab and the next question. With [`DEADLINE`] it is the time until
/// a lab that hangs is shown as away: less than 2 s.
const PAUSE: Duration = Duration::from_millis(400);
/// Age of an answer that serves a request.
const FRESH: Duration = Duration::from_secs(2);
/// Age of an answer that is forgotten, where nobody looks.
const FORGOTTEN: Duration = Duration::from_secs(5);

/// Services and series that are shown of a lab at most: the stream has room for a lab's changes.
const MAX_SERVICES: usize = 2000;
const MAX_SERIES: usize = 4000;

/// The state of a lab that has not been asked yet.
const ASKING: &str = "asking";
const ANSWERS: &str = "answers";
const AWAY: &str = "away";

/// The other labs of the configuration, by their names here.
pub(in crate::web) struct OtherLabs {
    paths: Paths,
    readers: Mutex<BTreeMap<String, LabTask>>,
}

/// A lab and the task that reads it.
struct LabTask {
    copy: Arc<LabCopy>,
    _reading: AbortOnDropHandle<()>,
}

/// Another lab as it has answered last.
struct LabCopy {
    lab: OtherLab,
    state: Mutex<CopyState>,
    /// A request wants an answer.
    wanted: Notify,
    /// When the last question was answered, or not in time.
    asked: watch::Sender<Option<Instant>>,
}

struct CopyState {
    row: LabJson,
    services: BTreeMap<String, ServiceJson>,
    series: SeriesTable,
    /// It is in the configuration no longer: the stream hears no more of it.
    is_gone: bool,
}

/// Another lab in the API's form.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct LabJson {
    name: String,
    /// Its nameserver.
    host: String,
    port: u16,
    /// `asking`, `answers` or `away`.
    state: &'static str,
    /// Why it is away.
    error: Option<String>,
    /// The address of the page there, where other hosts reach that.
    page: Option<String>,
}

/// The answer of a lab: its listing and its latest values.
type LabAnswer = Result<(Listing, LabValues), String>;

impl OtherLabs {
    pub(super) fn new(paths: Paths) -> Self {
        OtherLabs { paths, readers: Mutex::default() }
    }

    /// Starts readers of labs that are new in the configuration, and ends those of others.
    pub(super) fn follow(&self, ring: &Arc<Ring>, rows: &[LabRow]) {
        let mut readers = self.lock();
        readers.retain(|name, task| {
            let stays = rows.iter().any(|row| row.lab == task.copy.lab);
            if !stays {
                let mut state = task.copy.lock();
                state.is_gone = true;
                let gone: Vec<String> = state.services.keys().cloned().collect();
                let removed = json!({ "removed": { "labs": [name], "services": gone } });
                ring.push("labs", removed.to_string());
            }
            stays
        });
        for LabRow { lab, .. } in rows {
            readers.entry(lab.name.clone()).or_insert_with(|| {
                let copy = Arc::new(LabCopy::new(lab.clone()));
                ring.push("labs", json!({ "labs": [copy.lock().row] }).to_string());
                let reading = read(Arc::clone(ring), Arc::clone(&copy), self.paths.clone());
                LabTask { copy, _reading: AbortOnDropHandle::new(tokio::spawn(reading)) }
            });
        }
    }

    /// The names of all of them.
    pub(in crate::web) fn names(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    /// Waits until these labs have answered lately, or are away.
    pub(in crate::web) async fn ask(&self, names: &[String]) {
        let mut asked = JoinSet::new();
        for copy in names.iter().filter_map(|name| self.copy(name)) {
            asked.spawn(async move { copy.ask().await });
        }
        asked.join_all().await;
    }

    /// Rows of labs with their services; of all, or of these.
    pub(in crate::web) fn to_json(&self, names: Option<&[String]>) -> Vec<Json> {
        let copies = self.copies(names);
        let row = |copy: Arc<LabCopy>| {
            let state = copy.lock();
            let services = state.services.values().map(|row| state.service_json(row));
            let mut json = json!(state.row);
            json["services"] = services.collect();
            json
        };
        copies.into_iter().map(row).collect()
    }

    /// The latest values of these labs, each with its service.
    pub(in crate::web) fn values_json(&self, names: &[String]) -> Vec<Json> {
        let copies = self.copies(Some(names));
        copies.iter().flat_map(|copy| copy.lock().series.all_json()).collect()
    }

    /// The name of the lab that something belongs to, which this host shows as `optics/lab.laser`.
    pub(in crate::web) fn lab_of(&self, name: &str) -> Option<String> {
        let readers = self.lock();
        let found = readers.values().find(|task| task.copy.lab.unqualify(name).is_some());
        found.map(|task| task.copy.lab.name.clone())
    }

    /// The row of a service of another lab, with its latest values and the address of the page
    /// there; an error says what is there instead.
    pub(in crate::web) fn service_json(&self, lab: &str, name: &str) -> Result<Json, String> {
        let copy = self.copy(lab).ok_or_else(|| format!("there is no lab {lab}"))?;
        let state = copy.lock();
        if let Some(row) = state.services.get(name) {
            let mut json = state.service_json(row);
            json["page"] = state.row.page.clone().into();
            return Ok(json);
        }
        if let Some(error) = &state.row.error {
            return Err(format!("the lab {lab} is away: {error}"));
        }
        let help = lab_config::did_you_mean(name, state.services.keys().map(String::as_str));
        let help = help.map(|help| format!("; {help}")).unwrap_or_default();
        Err(format!("the lab {lab} shows no service '{name}'{help}"))
    }

    /// The address of the page of a lab, where other hosts reach that.
    pub(in crate::web) fn page_of(&self, lab: &str) -> Option<String> {
        self.copy(lab).and_then(|copy| copy.lock().row.page.clone())
    }

    fn copies(&self, names: Option<&[String]>) -> Vec<Arc<LabCopy>> {
        let readers = self.lock();
        let is_wanted = |name: &String| names.is_none_or(|names| names.contains(name));
        let wanted = readers.iter().filter(|(name, _)| is_wanted(name));
        wanted.map(|(_, task)| Arc::clone(&task.copy)).collect()
    }

    fn copy(&self, name: &str) -> Option<Arc<LabCopy>> {
        self.lock().get(name).map(|task| Arc::clone(&task.copy))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, LabTask>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Facts that all questions to a lab share.
struct LabQuestions {
    paths: Paths,
    making: ReaderMaking,
    clock: ClockDifference,
    /// The fault of its entry that is in the log.
    fault: Option<String>,
}

impl LabQuestions {
    async fn ask(&mut self, lab: &OtherLab) -> LabAnswer {
        let reader = match self.making.reader(lab, &self.paths).await {
            Ok(reader) => reader,
            Err(fault) => {
                // It names files of this host, and browsers are of others.
                if self.fault.as_ref() != Some(&fault) {
                    warn!(lab = lab.name, fault, "the TLS files for a lab cannot be used");
                }
                self.fault = Some(fault);
                return Err("its TLS files cannot be used: see the log of this host".to_owned());
            }
        };
        self.fault = None;
        tokio::try_join!(reader.listing(), reader.values(&mut self.clock))
    }
}

/// Asks a lab again and again while somebody looks.
async fn read(ring: Arc<Ring>, copy: Arc<LabCopy>, paths: Paths) {
    let (making, clock) = (ReaderMaking::default(), ClockDifference::default());
    let mut questions = LabQuestions { paths, making, clock, fault: None };
    loop {
        if !ring.has_readers() && timeout(PAUSE, copy.wanted.notified()).await.is_err() {
            copy.forget_old(&ring);
            continue;
        }
        let answer = timeout(DEADLINE, questions.ask(&copy.lab)).await;
        let late = |_| Err(format!("no answer within {DEADLINE:?}"));
        copy.take_up(&ring, answer.unwrap_or_else(late));
        sleep(PAUSE).await;
    }
}

impl LabCopy {
    fn new(lab: OtherLab) -> Self {
        let state = CopyState::new(&lab);
        LabCopy {
            lab,
            state: Mutex::new(state),
            wanted: Notify::new(),
            asked: watch::Sender::new(None),
        }
    }

    /// Waits for an answer that is fresh, or the end of its deadline.
    async fn ask(&self) {
        let mut asked = self.asked.subscribe();
        let is_fresh = |time: &Option<Instant>| time.is_some_and(|time| time.elapsed() < FRESH);
        if is_fresh(&asked.borrow()) {
            return;
        }
        self.wanted.notify_one();
        let _ = timeout(PAUSE + DEADLINE + PAUSE, asked.wait_for(is_fresh)).await;
    }

    /// Shows an answer. Without one the services stay, marked as away.
    fn take_up(&self, ring: &Ring, answer: LabAnswer) {
        let mut state = self.lock();
        let before = state.services.clone();
        let mut row = LabJson { state: ANSWERS, error: None, ..state.row.clone() };
        match answer {
            Ok((mut listing, LabValues { series, away })) => {
                row.page = page_of(&self.lab, &listing);
                listing.services.truncate(MAX_SERVICES);
                state.services = rows::services(&labs::qualify(&self.lab, listing));
                state.services.values_mut().for_each(|service| service.belong_to(&self.lab.name));
                let qualify = |mut row: SeriesRow| {
                    row.service = self.lab.qualify(&row.service).into();
                    row
                };
                let known = &state.services;
                let series = series.into_iter().map(qualify);
                let series = series.filter(|row| known.contains_key(&*row.service));
                let series: Vec<SeriesRow> = series.take(MAX_SERIES).collect();
                let qualify = |(daemon, reason): (String, String)| {
                    (self.lab.qualify(&daemon), format!("its daemon cannot be read: {reason}"))
                };
                state.show_series(&series, &away.into_iter().map(qualify).collect());
            }
            Err(reason) => {
                row.state = AWAY;
                let error = format!("the lab {} is away: {reason}", self.lab.name);
                state.services.values_mut().for_each(|service| service.lose(AWAY, &error));
                let names: Vec<String> = before.keys().cloned().collect();
                state.series.lose(&names, unix_seconds(Timestamp::now()), &error);
                row.error = Some(reason);
            }
        }
        state.tell(ring, &before, row);
        drop(state);
        self.asked.send_replace(Some(Instant::now()));
    }

    /// Forgets an answer that is no news any longer, where nobody looks.
    fn forget_old(&self, ring: &Ring) {
        if !self.asked.borrow().is_some_and(|time| time.elapsed() > FORGOTTEN) {
            return;
        }
        self.asked.send_replace(None);
        let mut state = self.lock();
        let before = std::mem::take(&mut state.services);
        state.series = SeriesTable::default();
        let row = CopyState::new(&self.lab).row;
        state.tell(ring, &before, row);
    }

    fn lock(&self) -> MutexGuard<'_, CopyState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CopyState {
    fn new(lab: &OtherLab) -> Self {
        let row = LabJson {
            name: lab.name.clone(),
            host: lab.host.clone().into(),
            port: lab.port,
            state: ASKING,
            error: None,
            page: None,
        };
        CopyState { row, services: BTreeMap::new(), series: SeriesTable::default(), is_gone: false }
    }

    fn service_json(&self, row: &ServiceJson) -> Json {
        let mut json = json!(row);
        json["series"] = json!(self.series.of(row.name()));
        json
    }

    /// Shows the latest values. Those of a daemon that cannot be read are missing, with the reason
    /// from `away`.
    fn show_series(&mut self, series: &[SeriesRow], away: &BTreeMap<String, String>) {
        let CopyState { services, series: table, .. } = self;
        let now = unix_seconds(Timestamp::now());
        let has_rows: BTreeSet<&str> = series.iter().map(|row| &*row.service).collect();
        let (told, silent): (Vec<String>, Vec<String>) =
            services.keys().cloned().partition(|name| has_rows.contains(name.as_str()));
        table.reset(&told, series);
        for name in silent {
            let reason = services.get(&name).and_then(|service| away.get(service.daemon()));
            let reason = reason.map_or("its daemon does not answer", String::as_str);
            table.lose(&[name], now, reason);
        }
        table.retain(|name| services.contains_key(name));
    }

    /// Puts what differs from before into the stream.
    fn tell(&mut self, ring: &Ring, before: &BTreeMap<String, ServiceJson>, row: LabJson) {
        if self.is_gone {
            return;
        }
        let mut event = Map::new();
        let mut put = |key: &str, value: Json| event.insert(key.to_owned(), value);
        if row != self.row {
            put("labs", json!([row]));
            self.row = row;
        }
        let (changed, gone) = difference(before, &self.services);
        if !changed.is_empty() {
            put("services", changed.into());
        }
        if !gone.is_empty() {
            put("removed", json!({ "services": gone }));
        }
        let samples = self.series.take_pending();
        if !samples.is_empty() {
            put("values", samples.into());
        }
        if !event.is_empty() {
            ring.push("labs", Json::Object(event).to_string());
        }
    }
}

/// The address of the page of a lab. One that only its own host reaches is of no use elsewhere.
fn page_of(lab: &OtherLab, listing: &Listing) -> Option<String> {
    let web = listing.processes.iter().find(|row| row.name == PROCESS_NAME)?;
    let uri: Uri = web.uri.as_deref()?.parse().ok()?;
    // The text is another lab's: a browser must not be led into a script.
    let scheme = uri.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https"))?;
    let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
    let host = authority.host().trim_matches(['[', ']']).to_owned();
    let reaches = lab.host.is_loopback() || !Host::from(host).is_loopback();
    reaches.then(|| format!("{scheme}://{authority}/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervise::control::ProcessRow;

    #[test]
    fn a_page_is_known_where_other_hosts_reach_it() {
        let away = "http://opticspc:9092/";
        for (host, uri, expected) in [
            ("opticspc", away, Some(away)),
            ("opticspc", "http://localhost:9092/", None),
            ("opticspc", "http://[::1]:9092/", None),
            ("localhost", "https://127.0.0.1:9092/", Some("https://127.0.0.1:9092/")),
            ("opticspc", "http://opticspc:9092/#/<b>", Some(away)),
            ("opticspc", "javascript:alert(1)", None),
            ("opticspc", "javascript://opticspc/%0aalert(1)", None),
            ("opticspc", "http://you@evil/", None),
            ("opticspc", "\"><script>", None),
        ] {
            let uri = Some(uri.to_owned());
            let web = ProcessRow { name: PROCESS_NAME.to_owned(), uri, ..ProcessRow::default() };
            let listing = Listing { processes: vec![web], ..Listing::default() };
            let host = Host::from(host.to_owned());
            let lab = OtherLab {
                name: "optics".to_owned(),
                host,
                port: 9090,
                ssl: false,
                ssl_cacerts: None,
                ssl_clientcert: None,
                ssl_clientkey: None,
            };
            assert_eq!(page_of(&lab, &listing).as_deref(), expected);
        }
    }
}
