//! Reader of other labs: all side by side, each with a deadline.

use std::time::{Duration, SystemTime};

use lab_config::OtherLab;
use remote::{
    ClientLogin, ClientTls, ConnectError, Error, Location, NameServer, Proxy, Serializer, Uri,
    Value,
};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::data::to_json;
use super::object::LAB_OBJECT;
use crate::access::{self, StoredLogin};
use crate::host::address::address_of;
use crate::host::feed::event::{SeriesRow, unix_seconds};
use crate::log::sanitize;
use crate::paths::Paths;
use crate::supervise::control::Listing;
use crate::tls;

/// Longest wait for another lab, from its name to its answer. One that takes longer is away.
pub(crate) const DEADLINE: Duration = Duration::from_millis(1500);

/// Seconds: a smaller difference of clocks is not seen.
const MIN_CLOCK_DIFFERENCE: f64 = 2.0;

/// The way to another lab: an address, and what is shown there.
#[derive(Clone, Debug)]
pub(crate) struct LabReader {
    location: Location,
    tls: Option<ClientTls>,
    login: Option<ClientLogin>,
}

/// The address of another lab's nameserver.
pub(crate) fn location(lab: &OtherLab) -> Location {
    Location::Tcp { host: address_of(&lab.host), port: lab.port }
}

impl LabReader {
    /// The way to a lab: with TLS as its entry says, else with this user's login there, else as
    /// the environment says. May wait for the resolution of names.
    ///
    /// # Errors
    /// A certificate or key cannot be used; the text names the file.
    pub(crate) fn new(lab: &OtherLab, paths: &Paths) -> Result<Self, String> {
        let location = location(lab);
        let logins = match &location {
            Location::Tcp { host, port } => access::logins_for_reader(paths, host, *port),
            _ => Vec::new(),
        };
        let login = StoredLogin::client(&logins);
        let own = match logins.as_slice() {
            [own] => Some((own.authority(), own.files())),
            _ => None,
        };
        // Logins decide by themselves whether there is TLS.
        let tls = if lab.ssl || logins.is_empty() { tls::to_lab(lab, own)? } else { None };
        Ok(LabReader { location, tls, login })
    }

    /// A client of the lab's nameserver.
    pub(crate) fn nameserver(&self) -> NameServer {
        NameServer::at(self.location.clone(), Some(DEADLINE))
            .with_tls(self.tls.clone())
            .with_login(self.login.clone())
    }

    /// TLS and the login for the lab's daemons.
    pub(crate) fn into_keys(self) -> (Option<ClientTls>, Option<ClientLogin>) {
        (self.tls, self.login)
    }

    /// The lab's listing.
    ///
    /// # Errors
    /// It cannot be read, in words.
    pub(crate) async fn listing(&self) -> Result<Listing, String> {
        let answer = self.ask("listing").await?;
        serde_json::from_value(to_json(&answer))
            .map_err(|error| format!("its release shows its lab in another way: {error}"))
    }

    /// The lab's latest values, and reasons why some are missing. Times are by this host's clock.
    ///
    /// # Errors
    /// As [`listing`](Self::listing).
    pub(crate) async fn values(&self) -> Result<(Vec<SeriesRow>, Vec<String>), String> {
        let answer = self.ask("values").await?;
        let dict = answer.as_dict().ok_or("its values are no dict")?;
        let series = dict.get("series").and_then(Value::as_list).unwrap_or_default();
        let ahead = clock_difference(dict.get("now").and_then(Value::as_f64));
        let row = |value: &Value| {
            let mut row = SeriesRow::from_value(value)?;
            row.time += ahead;
            Some(row)
        };
        let series = series.iter().filter_map(row).collect();
        let away = dict.get("away").and_then(Value::as_dict).into_iter().flatten();
        let reason = |(daemon, reason): (&Value, &Value)| {
            Some(sanitize::line(&format!("daemon {}: {}", daemon.as_str()?, reason.as_str()?)))
        };
        Ok((series, away.filter_map(reason).collect()))
    }

    async fn ask(&self, method: &str) -> Result<Value, String> {
        let uri = Uri::Pyro { object: LAB_OBJECT.to_owned(), location: self.location.clone() };
        let proxy = Proxy::from(uri).with_serializer(Serializer::Marshal).with_timeout(DEADLINE);
        let mut proxy = match (&self.tls, &self.login) {
            (Some(tls), _) => proxy.with_tls(tls.clone()),
            (None, Some(login)) => proxy.with_login(login.clone()),
            (None, None) => proxy,
        };
        let answer = proxy.call(method, Vec::new(), Vec::new()).await;
        answer.map_err(|error| reason_of(&error))
    }
}

/// Seconds that this host's clock is ahead of another's, which says `now`. Less than a way over the
/// network may take counts as none, and the rest in whole seconds: values do not shake.
fn clock_difference(now: Option<f64>) -> f64 {
    let difference =
        now.filter(|now| now.is_finite()).map_or(0.0, |now| unix_seconds(SystemTime::now()) - now);
    if difference.abs() < MIN_CLOCK_DIFFERENCE { 0.0 } else { difference.round() }
}

/// The reason why a lab cannot be read, which is made safe for a terminal here: the other lab can
/// put anything into it.
pub(crate) fn reason_of(error: &Error) -> String {
    let refused = match error {
        Error::Remote(exception) => return sanitize::line(&exception.message()),
        Error::Connect { source: ConnectError::Refused(reason), .. } => reason,
        error => return sanitize::line(&error.to_string()),
    };
    match refused.contains("unknown object") {
        true => format!(
            "its nameserver shows no lab: it is another program's, or of a release before \
             {LAB_OBJECT}"
        ),
        false => sanitize::line(refused),
    }
}

/// Asks all labs side by side. The answers are in the labs' order; one that takes longer than
/// [`DEADLINE`] is an error.
pub(crate) async fn ask_all<T: Send + 'static, F>(
    labs: &[OtherLab],
    paths: &Paths,
    ask: impl Fn(LabReader) -> F,
) -> Vec<Result<T, String>>
where
    F: Future<Output = Result<T, String>> + Send + 'static,
{
    let mut asked = JoinSet::new();
    let mut answers: Vec<Result<T, String>> =
        labs.iter().map(|_| Err(format!("no answer within {DEADLINE:?}"))).collect();
    let end = tokio::time::Instant::now() + DEADLINE;
    let mut readers = JoinSet::new();
    for (index, lab) in labs.iter().enumerate() {
        let (lab, paths) = (lab.clone(), paths.clone());
        // It may wait for the resolution of a name.
        readers.spawn_blocking(move || (index, LabReader::new(&lab, &paths)));
    }
    let all = async {
        loop {
            tokio::select! {
                Some(made) = readers.join_next() => {
                    let Ok((index, reader)) = made else { continue };
                    match reader {
                        Ok(reader) => {
                            let answer = ask(reader);
                            asked.spawn(async move { (index, answer.await) });
                        }
                        Err(reason) => put(&mut answers, index, Err(reason)),
                    }
                }
                Some(answered) = asked.join_next() => {
                    if let Ok((index, answer)) = answered {
                        put(&mut answers, index, answer);
                    }
                }
                else => break,
            }
        }
    };
    let _ = timeout(end - tokio::time::Instant::now(), all).await;
    answers
}

fn put<T>(answers: &mut [Result<T, String>], index: usize, answer: Result<T, String>) {
    if let Some(place) = answers.get_mut(index) {
        *place = answer;
    }
}
