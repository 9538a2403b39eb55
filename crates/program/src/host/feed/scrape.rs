//! One look at another daemon: its series as they stand, and the counts of its calls.

use std::time::Duration;

use remote::{CallCounts, ClientTls, Proxy, Serializer, Uri, Value};

use super::event::SeriesRow;
use super::object::FEED;

/// Time for one look; a scrape has some seconds.
const SCRAPE_TIMEOUT: Duration = Duration::from_secs(3);

/// The state of a daemon for metrics.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scraped {
    pub(crate) series: Vec<SeriesRow>,
    /// By the ids of its objects: services, and parts of them.
    pub(crate) calls: Vec<(String, CallCounts)>,
}

/// Looks at the daemon that serves `object` (any object of it).
///
/// # Errors
/// It does not answer, in words.
pub(crate) async fn scrape(object: &Uri, tls: Option<ClientTls>) -> Result<Scraped, String> {
    let uri = match object.clone() {
        Uri::Pyro { location, .. } => Uri::Pyro { object: FEED.to_owned(), location },
        other => other,
    };
    let proxy = Proxy::from(uri).with_serializer(Serializer::Marshal).with_timeout(SCRAPE_TIMEOUT);
    let mut proxy = match tls {
        Some(tls) => proxy.with_tls(tls),
        None => proxy,
    };
    let answer = proxy.call("scrape", Vec::new(), Vec::new()).await;
    let answer = answer.map_err(|error| error.to_string())?;
    let dict = answer.as_dict().ok_or("its answer is no dict")?;
    let series = dict.get("series").and_then(Value::as_list).unwrap_or_default();
    let mut scraped = Scraped::default();
    scraped.series.extend(series.iter().filter_map(SeriesRow::from_value));
    let calls = dict.get("calls").and_then(Value::as_dict);
    scraped.calls.extend(calls.into_iter().flatten().filter_map(|(id, counts)| {
        let count = |number: usize| {
            let count = counts.as_list()?.get(number)?.as_i64()?;
            u64::try_from(count).ok()
        };
        let counts = CallCounts { calls: count(0)?, errors: count(1)?, slow: count(2)? };
        Some((id.as_str()?.to_owned(), counts))
    }));
    Ok(scraped)
}
