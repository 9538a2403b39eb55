//! Reader of other labs: all side by side, each with a deadline.

use std::net::ToSocketAddrs;
use std::time::{Duration, SystemTime};

use lab_config::OtherLab;
use remote::{
    ClientLogin, ClientTls, ConnectError, Error, Location, NameServer, Proxy, Serializer, Uri,
    Value,
};
use tokio::task::{JoinHandle, JoinSet, spawn_blocking};
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

/// Seconds: a smaller difference of clocks, or change of it, is not seen.
const MIN_CLOCK_DIFFERENCE: f64 = 2.0;

/// The way to another lab: an address, and what is shown there.
#[derive(Clone, Debug)]
pub(crate) struct LabReader {
    location: Location,
    tls: Option<ClientTls>,
    login: Option<ClientLogin>,
}

/// The making of a lab's reader, one at a time: the resolution of a name may take longer than a
/// question has, and holds a thread meanwhile.
#[derive(Debug, Default)]
pub(crate) struct ReaderMaking(Option<JoinHandle<Result<LabReader, String>>>);

/// Seconds that this host's clock is ahead of another lab's.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ClockDifference(f64);

/// The latest values of another lab.
#[derive(Debug)]
pub(crate) struct LabValues {
    pub(crate) series: Vec<SeriesRow>,
    /// Daemons whose values are missing, with the reasons.
    pub(crate) away: Vec<(String, String)>,
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
        let authorities: Vec<_> = logins.iter().map(StoredLogin::authority).collect();
        // Of several, nothing says which is this lab's.
        let own = StoredLogin::only_one(&logins).map(StoredLogin::files);
        // Logins decide by themselves whether there is TLS.
        let has_tls = lab.ssl || logins.is_empty();
        let tls = if has_tls { tls::to_lab(lab, &authorities, own)? } else { None };
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

    /// The lab's latest values. Times are by this host's clock.
    ///
    /// # Errors
    /// As [`listing`](Self::listing).
    pub(crate) async fn values(&self, clock: &mut ClockDifference) -> Result<LabValues, String> {
        let answer = self.ask("values").await?;
        let dict = answer.as_dict().ok_or("its values are no dict")?;
        let series = dict.get("series").and_then(Value::as_list).unwrap_or_default();
        let ahead = clock.follow(dict.get("now").and_then(Value::as_f64));
        let row = |value: &Value| {
            let mut row = SeriesRow::from_value(value)?;
            row.time += ahead;
            Some(row)
        };
        let series = series.iter().filter_map(row).collect();
        let away = dict.get("away").and_then(Value::as_dict).into_iter().flatten();
        let reason = |(daemon, reason): (&Value, &Value)| {
            Some((sanitize::line(daemon.as_str()?), sanitize::line(reason.as_str()?)))
        };
        Ok(LabValues { series, away: away.filter_map(reason).collect() })
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

impl ReaderMaking {
    /// The reader of a lab. Where this is not waited for, the next call goes on.
    ///
    /// # Errors
    /// As [`LabReader::new`].
    pub(crate) async fn reader(
        &mut self,
        lab: &OtherLab,
        paths: &Paths,
    ) -> Result<LabReader, String> {
        let making = self.0.get_or_insert_with(|| {
            let (lab, paths) = (lab.clone(), paths.clone());
            spawn_blocking(move || {
                // A connection resolves the name as well: none begins before that has an answer.
                if let Location::Tcp { host, port } = location(&lab) {
                    let _ = (host.trim_matches(['[', ']']), port).to_socket_addrs();
                }
                LabReader::new(&lab, &paths)
            })
        });
        let made = making.await;
        self.0 = None;
        made.unwrap_or_else(|error| Err(format!("it was not prepared: {error}")))
    }
}

impl ClockDifference {
    /// The difference to a clock that says `now`. Less than a way over the network may take does
    /// not change it, and it has whole seconds: values do not shake.
    fn follow(&mut self, now: Option<f64>) -> f64 {
        let seen = now.filter(|now| now.is_finite());
        let seen = seen.map_or(0.0, |now| unix_seconds(SystemTime::now()) - now);
        if (seen - self.0).abs() >= MIN_CLOCK_DIFFERENCE {
            self.0 = seen.round();
        }
        self.0
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_difference_of_clocks_does_not_shake() {
        let mut clock = ClockDifference::default();
        let seen = [0.9, 1.5, -1.5, 7200.4, 7200.6, 7199.1, 7201.4, 0.3];
        let followed =
            seen.map(|ahead| clock.follow(Some(unix_seconds(SystemTime::now()) - ahead)));
        let expected = [0.0, 0.0, 0.0, 7200.0, 7200.0, 7200.0, 7200.0, 0.0];
        for (seen, expected) in followed.iter().zip(expected) {
            assert!((seen - expected).abs() < 0.1, "{followed:?}");
        }
    }
}
