//! Reader of another daemon's feed: it connects again when the daemon is away, and says what was
//! missed.

use std::time::Duration;

use remote::{ClientTls, Error, Proxy, Serializer, Uri, Value};

use super::event::{Event, SeriesRow};
use super::object::FEED;

/// The longest wait for events in one call.
const WAIT: Duration = Duration::from_secs(20);
/// Time for connecting, and for an answer beyond its wait.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Pauses between attempts to reach a daemon that is away: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));

/// News of a daemon's feed.
#[derive(Debug)]
pub(crate) enum FeedNews {
    /// The first contact, events were lost, or the daemon is another process than before: its
    /// series as they stand. The events that follow may repeat some of it.
    Reset {
        /// Another one for each process of the daemon.
        epoch: String,
        series: Vec<SeriesRow>,
    },
    /// Events, in order.
    Events {
        events: Vec<Event>,
        /// Events before these that were missed, and of which no later sample tells.
        lost: u64,
    },
    /// The daemon cannot be read; it is tried again by the next call.
    Away { reason: String },
}

/// Reader of the feed of one daemon.
pub(crate) struct FeedReader {
    proxy: Proxy,
    /// The process that is read, with the number of the last event.
    position: Option<(String, u64)>,
    /// The last process of which series were read as they stand.
    epoch: Option<String>,
    /// Whether a process that is new to this reader is read from its first event on.
    reads_from_first: bool,
    /// Events were lost, and how everything stands was not read since.
    has_lost: bool,
    pause: Duration,
    is_away: bool,
}

impl FeedReader {
    /// A reader of the daemon that serves `object` (any object of it).
    pub(crate) fn new(object: &Uri, tls: Option<ClientTls>) -> Self {
        let uri = match object.clone() {
            Uri::Pyro { location, .. } => Uri::Pyro { object: FEED.to_owned(), location },
            other => other,
        };
        let proxy = Proxy::from(uri)
            .with_serializer(Serializer::Marshal)
            .with_timeout(WAIT + ANSWER_TIMEOUT);
        let proxy = match tls {
            Some(tls) => proxy.with_tls(tls),
            None => proxy,
        };
        FeedReader {
            proxy,
            position: None,
            epoch: None,
            reads_from_first: false,
            has_lost: false,
            pause: PAUSES.0,
            is_away: false,
        }
    }

    /// The same, whose next connection has this TLS.
    pub(crate) fn with_tls(self, tls: ClientTls) -> Self {
        FeedReader { proxy: self.proxy.with_tls(tls), ..self }
    }

    /// The same, which goes on after the last event that was read before of a daemon's process.
    pub(crate) fn resume(self, position: Option<(String, u64)>) -> Self {
        let epoch = position.as_ref().map(|(epoch, _)| epoch.clone());
        FeedReader { position, epoch, ..self }
    }

    /// The same, which reads a process of the daemon from its first event on, as far as the daemon
    /// still has them, instead of from how everything stands at the first contact.
    pub(crate) fn with_first_events(self) -> Self {
        FeedReader { reads_from_first: true, ..self }
    }

    /// The process that is read, and the number of the last event; none before the first news, and
    /// when the events that were left after a loss are read.
    pub(crate) fn position(&self) -> Option<&(String, u64)> {
        self.position.as_ref()
    }

    /// The series as they stand now; the news go on where they were.
    pub(crate) async fn latest(&mut self) -> Result<Vec<SeriesRow>, String> {
        let answer = self.call("latest", Vec::new()).await?;
        let latest = answer.as_dict().ok_or("its feed's answer is no dict")?;
        let series = latest.get("series").and_then(Value::as_list).unwrap_or_default();
        Ok(series.iter().filter_map(SeriesRow::from_value).collect())
    }

    /// The next news; waits for some. To be called again and again by one task, which is not to
    /// drop it in the middle: that costs the connection.
    pub(crate) async fn next(&mut self) -> FeedNews {
        loop {
            if self.is_away {
                tokio::time::sleep(self.pause).await;
                self.pause = (2 * self.pause).min(PAUSES.1);
            }
            match self.read().await {
                Ok(Some(news)) => {
                    (self.is_away, self.pause) = (false, PAUSES.0);
                    return news;
                }
                Ok(None) => (self.is_away, self.pause) = (false, PAUSES.0),
                Err(reason) => {
                    self.proxy.release();
                    self.is_away = true;
                    return FeedNews::Away { reason };
                }
            }
        }
    }

    /// The news of one call; `None` if nothing has happened.
    async fn read(&mut self) -> Result<Option<FeedNews>, String> {
        let Some((epoch, after)) = self.position.clone() else {
            return self.reset().await.map(Some);
        };
        let args = vec![Value::from(after as i64), Value::from(WAIT.as_secs_f64())];
        let answer = self.call("events", args).await?;
        let batch = answer.as_dict().ok_or("its feed's answer is no dict")?;
        if batch.get("epoch").and_then(Value::as_str) != Some(&epoch) {
            return self.reset().await.map(Some);
        }
        let number = |key| batch.get(key).and_then(Value::as_i64).and_then(|it| it.try_into().ok());
        let (next, lost): (u64, u64) = (number("next").unwrap_or(1), number("lost").unwrap_or(0));
        let has_more = batch.get("more").and_then(Value::as_bool).unwrap_or(false);
        let events = batch.get("events").and_then(Value::as_list).unwrap_or_default();
        let events: Vec<Event> = events.iter().filter_map(Event::from_value).collect();
        // After a loss, what is left in the ring is read first, then how everything stands.
        self.has_lost |= lost > 0;
        let resets = self.has_lost && !has_more;
        self.has_lost &= !resets;
        self.position = (!resets).then(|| (epoch, next.saturating_sub(1)));
        Ok((!events.is_empty() || lost > 0).then_some(FeedNews::Events { events, lost }))
    }

    async fn reset(&mut self) -> Result<FeedNews, String> {
        let answer = self.call("latest", Vec::new()).await?;
        let latest = answer.as_dict().ok_or("its feed's answer is no dict")?;
        let epoch = latest.get("epoch").and_then(Value::as_str);
        let next = latest.get("next").and_then(Value::as_i64).and_then(|it| u64::try_from(it).ok());
        let (epoch, next) = epoch.zip(next).ok_or("its feed's answer lacks its number")?;
        let series = latest.get("series").and_then(Value::as_list).unwrap_or_default();
        let series = series.iter().filter_map(SeriesRow::from_value).collect();
        let is_new = self.epoch.as_deref() != Some(epoch);
        let after = if is_new && self.reads_from_first { 0 } else { next.saturating_sub(1) };
        self.position = Some((epoch.to_owned(), after));
        self.epoch = Some(epoch.to_owned());
        self.has_lost = false;
        Ok(FeedNews::Reset { epoch: epoch.to_owned(), series })
    }

    async fn call(&mut self, method: &str, args: Vec<Value>) -> Result<Value, String> {
        self.proxy.call(method, args, Vec::new()).await.map_err(|error: Error| error.to_string())
    }
}
