//! Readers of the feeds: one for each daemon that runs, however many tabs there are.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use remote::Uri;
use serde_json::{Value as Json, json};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::task::AbortOnDropHandle;

use super::live::LiveLab;
use super::rows::unix_seconds;
use crate::host::feed::event::{Event, EventBody, SeriesRow};
use crate::host::feed::reader::{FeedNews, FeedReader};
use crate::supervise::control::Listing;

/// Time between two events with samples.
const FLUSH: Duration = Duration::from_millis(100);

/// The readers, by the names of their daemons; each with the address that it reads.
#[derive(Default)]
pub(super) struct FeedReaders(HashMap<String, (String, AbortOnDropHandle<()>)>);

impl FeedReaders {
    /// Starts readers of daemons that are new or at another address, and ends those of others.
    pub(super) fn follow(&mut self, lab: &Arc<LiveLab>, listing: &Listing) {
        let addresses: HashMap<&str, &str> = listing
            .daemons
            .iter()
            .filter_map(|row| Some((row.name.as_str(), row.address.as_deref()?)))
            .collect();
        self.0.retain(|daemon, (address, _)| {
            let stays = addresses.get(daemon.as_str()) == Some(&address.as_str());
            if !stays {
                lose_series(lab, daemon, "its daemon does not run");
            }
            stays
        });
        for (daemon, address) in addresses {
            let Ok(uri) = address.parse::<Uri>() else { continue };
            self.0.entry(daemon.to_owned()).or_insert_with(|| {
                let reading = read(Arc::clone(lab), daemon.to_owned(), uri);
                (address.to_owned(), AbortOnDropHandle::new(tokio::spawn(reading)))
            });
        }
    }
}

/// Reads the feed of a daemon for ever.
async fn read(lab: Arc<LiveLab>, daemon: String, uri: Uri) {
    let mut reader = FeedReader::new(&uri, lab.keys.of(&daemon));
    loop {
        match reader.next().await {
            FeedNews::Reset { series, .. } => reset_series(&lab, &daemon, &series),
            FeedNews::Events { events, .. } => take_events(&lab, &events),
            FeedNews::Away { reason } => {
                lose_series(&lab, &daemon, &reason);
                // How its series stand is read anew when it is back, also where nothing changed.
                reader = reader.resume(None);
                // The files of its certificate may be others, or usable, by now.
                if let Ok(Some(tls)) = lab.keys.load(&daemon) {
                    reader = reader.with_tls(tls);
                }
            }
        }
    }
}

fn reset_series(lab: &LiveLab, daemon: &str, rows: &[SeriesRow]) {
    let mut state = lab.lock();
    let services = state.services_of(daemon);
    state.series.reset(&services, rows);
}

fn take_events(lab: &LiveLab, events: &[Event]) {
    let mut ended = Vec::new();
    let mut state = lab.lock();
    for event in events {
        match &event.body {
            EventBody::Sample(_) => state.series.sample(event),
            EventBody::Call(call) => ended.push(json!({
                "service": &*event.service,
                "state": call.state,
                "member": call.member,
                "action": call.action,
                "caller": call.caller,
                "user": call.user,
                "since": call.since,
                "seconds": call.seconds,
                "error": call.error,
            })),
            // The supervisor's listing has these.
            EventBody::Lock(_) | EventBody::Status { .. } | EventBody::Alarm(_) => {}
        }
    }
    if !ended.is_empty() {
        lab.ring.push("calls", json!({ "ended": ended }).to_string());
    }
}

fn lose_series(lab: &LiveLab, daemon: &str, reason: &str) {
    let mut state = lab.lock();
    let services = state.services_of(daemon);
    state.series.lose(&services, unix_seconds(Timestamp::now()), reason);
}

/// Puts the samples that have come into the stream, at most ten times a second.
pub(super) async fn flush_samples(lab: Arc<LiveLab>) {
    let mut flush = interval(FLUSH);
    flush.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        flush.tick().await;
        let mut state = lab.lock();
        let samples = state.series.take_pending();
        if !samples.is_empty() {
            lab.ring.push("sample", Json::Array(samples).to_string());
        }
    }
}
