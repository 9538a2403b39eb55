//! Feed of events between the parts of a daemon and its readers.
//!
//! Events wait for slow readers in [`rings`](super::rings). Where nobody reads, an event costs an
//! atomic load.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::event::{EventBody, SeriesRow, unix_seconds};
pub(crate) use super::rings::Batch;
use super::rings::{Rings, Series};

/// Time between two answers to a reader that waits: a batch costs little more than one event.
const BATCH_INTERVAL: Duration = Duration::from_millis(50);

/// Events are made for so long after the connection of a reader has ended.
const READER_LINGER: Duration = Duration::from_secs(30);

/// The feed of a daemon; clones are the same feed.
#[derive(Clone)]
pub(crate) struct Feed {
    shared: Arc<Shared>,
}

struct Shared {
    /// Another one for each process.
    epoch: String,
    /// Readers and subscriptions.
    readers: AtomicUsize,
    state: Mutex<Rings>,
    /// The number of the next event.
    next: watch::Sender<u64>,
    closed: CancellationToken,
}

impl Feed {
    /// A feed without events.
    pub(in crate::host) fn new() -> Self {
        let state = Rings::new();
        Feed {
            shared: Arc::new(Shared {
                epoch: uuid::Uuid::new_v4().simple().to_string(),
                readers: AtomicUsize::new(0),
                state: Mutex::new(state),
                next: watch::Sender::new(1),
                closed: CancellationToken::new(),
            }),
        }
    }

    /// Counts a reader that is about to come: what happens until then is in the ring.
    pub(in crate::host) fn expect_reader(&self) {
        self.shared.readers.fetch_add(1, Ordering::Relaxed);
        self.remove_reader_later();
    }

    /// Another text for each process.
    pub(super) fn epoch(&self) -> &str {
        &self.shared.epoch
    }

    /// Whether anybody reads it; otherwise no event is made.
    pub(crate) fn is_read(&self) -> bool {
        self.shared.readers.load(Ordering::Relaxed) > 0
    }

    /// Publishes an event about a service, if anybody reads.
    pub(crate) fn publish(&self, service: &str, body: impl FnOnce() -> EventBody) {
        if !self.is_read() {
            return;
        }
        let body = body();
        let time = unix_seconds(SystemTime::now());
        let mut state = self.state();
        state.push(time, service.into(), body);
        // Within the lock, so that the number never falls.
        self.shared.next.send_replace(state.next);
    }

    /// Sets a series as it stands now; `is_sample`: and publishes its sample.
    pub(crate) fn set_series(&self, row: SeriesRow, is_sample: bool) {
        let key = (Arc::clone(&row.service), Arc::clone(&row.sample.member));
        let mut state = self.state();
        let is_published = is_sample && self.is_read();
        let event = is_published.then(|| {
            let body = EventBody::Sample(row.sample.clone());
            state.push(row.time, Arc::clone(&row.service), body)
        });
        let series =
            state.series.entry(key).or_insert_with(|| Series { row: row.clone(), last: None });
        series.row = row;
        if let Some(event) = event {
            series.last = Some(event);
            self.shared.next.send_replace(state.next);
        }
    }

    /// Sets what the configuration says of a series, which stands as it did.
    pub(crate) fn set_facts(&self, row: SeriesRow) {
        let key = (Arc::clone(&row.service), Arc::clone(&row.sample.member));
        let mut state = self.state();
        let known = state.series.get(&key).map(|series| series.row.time);
        let row = SeriesRow { time: known.unwrap_or(row.time), ..row };
        let series =
            state.series.entry(key).or_insert_with(|| Series { row: row.clone(), last: None });
        series.row = row;
    }

    /// Removes a series: the parts of its value have series now, or nothing reads it any longer.
    pub(crate) fn remove_series(&self, service: &Arc<str>, member: &Arc<str>) {
        self.state().series.remove(&(Arc::clone(service), Arc::clone(member)));
    }

    /// Every series as it stands now, and the number of the next event.
    pub(crate) fn latest(&self) -> (Vec<SeriesRow>, u64) {
        let state = self.state();
        (state.series.values().map(|series| series.row.clone()).collect(), state.next)
    }

    /// The events above the number `after`, without a wait.
    pub(crate) fn batch(&self, after: u64) -> Batch {
        self.state().batch(after)
    }

    /// The events above the number `after`; waits for some, but no longer than `wait`.
    pub(super) async fn wait_for_batch(&self, after: u64, wait: Duration) -> Batch {
        let mut next = self.shared.next.subscribe();
        let waiting = async {
            // A reader with a number of another process is answered at once.
            if next.wait_for(|next| *next != after.saturating_add(1)).await.is_ok() {
                tokio::time::sleep(BATCH_INTERVAL.min(wait)).await;
            }
        };
        let batch = self.batch(after);
        if !batch.events.is_empty() || batch.next <= after {
            return batch;
        }
        tokio::select! {
            () = waiting => {}
            () = tokio::time::sleep(wait) => {}
            () = self.shared.closed.cancelled() => {}
        }
        self.batch(after)
    }

    /// Counts a reader. After a time without any, in which no events were made, the next number is
    /// left out: a reader that comes back finds that it has missed something.
    pub(super) fn add_reader(&self) {
        let mut state = self.state();
        if self.shared.readers.fetch_add(1, Ordering::Relaxed) == 0 {
            state.clear();
            self.shared.next.send_replace(state.next);
        }
    }

    fn remove_reader(&self) {
        self.shared.readers.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts a reader no longer after some time: it may have lost its connection only.
    pub(super) fn remove_reader_later(&self) {
        let feed = self.clone();
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move {
                tokio::time::sleep(READER_LINGER).await;
                feed.remove_reader();
            })),
            Err(_) => feed.remove_reader(),
        }
    }

    /// A subscription of a part of this process, from now on.
    pub(crate) fn subscribe(&self) -> Subscription {
        self.add_reader();
        let next = self.shared.next.subscribe();
        let after = self.state().next - 1;
        Subscription { feed: self.clone(), next, after }
    }

    /// Ends all waits of readers: the daemon is stopping.
    pub(in crate::host) fn close(&self) {
        self.shared.closed.cancel();
    }

    fn state(&self) -> MutexGuard<'_, Rings> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reader in this process.
pub(crate) struct Subscription {
    feed: Feed,
    next: watch::Receiver<u64>,
    after: u64,
}

impl Subscription {
    /// The next events; waits for some. Cancel safe.
    pub(crate) async fn next(&mut self) -> Batch {
        loop {
            self.next.borrow_and_update();
            let batch = self.feed.batch(self.after);
            if !batch.events.is_empty() {
                self.after = batch.next.saturating_sub(1);
                return batch;
            }
            if self.next.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Every series as it stands now; the next events are those after that.
    pub(crate) fn skip_to_latest(&mut self) -> Vec<SeriesRow> {
        let (rows, next) = self.feed.latest();
        self.after = next.saturating_sub(1);
        rows
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.feed.remove_reader();
    }
}

/// A sample of a series.
#[cfg(test)]
pub(crate) fn row_of(service: &Arc<str>, sample: super::event::Sample) -> SeriesRow {
    let time = unix_seconds(SystemTime::now());
    SeriesRow { service: Arc::clone(service), time, sample, unit: None, keep: None, poll: None }
}

#[cfg(test)]
mod tests {
    use remote::Value;

    use super::super::event::{CallEvent, Quality, Sample};
    use super::super::rings::{BATCH, RING_CALLS, RING_EVENTS};
    use super::*;

    fn set(feed: &Feed, member: &str, seq: u64) {
        let sample = Sample {
            member: member.into(),
            seq,
            value: Some(Value::from(seq as i64)),
            quality: Quality::Good,
            error: None,
        };
        feed.set_series(row_of(&"stage".into(), sample), true);
    }

    fn status(feed: &Feed, state: &str) {
        feed.publish("stage", || EventBody::Status { state: state.into(), error: None });
    }

    #[test]
    fn without_a_reader_series_are_known_and_no_event_is_made() {
        let feed = Feed::new();
        set(&feed, "x", 1);
        feed.publish("stage", || panic!("nobody reads"));
        let (series, next) = feed.latest();
        assert_eq!((series[0].sample.seq, next), (1, 1));
        // One that has read before finds that it has missed something.
        let _reader = feed.subscribe();
        assert!(feed.batch(0).lost > 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_is_expected_misses_nothing() {
        let feed = Feed::new();
        feed.expect_reader();
        set(&feed, "x", 1);
        feed.add_reader();
        set(&feed, "x", 2);
        let batch = feed.batch(0);
        assert_eq!((batch.lost, batch.events.len()), (0, 2));
        feed.remove_reader();
        tokio::time::sleep(2 * READER_LINGER).await;
        assert!(!feed.is_read());
    }

    #[tokio::test]
    async fn a_subscription_has_each_event_once() {
        let feed = Feed::new();
        let mut first = feed.subscribe();
        set(&feed, "x", 1);
        status(&feed, "failed");
        let numbers =
            |batch: &Batch| -> Vec<u64> { batch.events.iter().map(|event| event.number).collect() };
        assert_eq!(numbers(&first.next().await), [2, 3]);
        let mut second = feed.subscribe();
        status(&feed, "running");
        assert_eq!(numbers(&first.next().await), [4]);
        assert_eq!(numbers(&second.next().await), [4]);
        drop((first, second));
        assert!(!feed.is_read());
    }

    #[test]
    fn a_slow_reader_has_the_latest_of_each_series_and_the_number_of_the_others() {
        let feed = Feed::new();
        let _reader = feed.subscribe();
        for seq in 1..=3 {
            set(&feed, "slow", seq);
        }
        status(&feed, "failed");
        let extra = 2;
        for seq in 1..=(RING_EVENTS as u64 + extra) {
            set(&feed, "fast", seq);
        }
        let batch = feed.batch(1);
        // Lost: two of `slow`, the status, and those of `fast` that came first.
        assert_eq!(batch.lost, 3 + extra);
        assert_eq!((batch.events[0].number, batch.events[1].number), (4, 5 + extra + 1));
        assert_eq!((batch.events.len(), batch.has_more), (BATCH, true));
        let (read, lost, _) = read_all(&feed, 1);
        assert_eq!((read.len(), lost), (RING_EVENTS + 1, 3 + extra));
    }

    /// Numbers of all events that a reader gets, and its counts of lost events and lost calls.
    fn read_all(feed: &Feed, mut after: u64) -> (Vec<u64>, u64, u64) {
        let (mut read, mut lost, mut lost_calls) = (Vec::new(), 0, 0);
        loop {
            let batch = feed.batch(after);
            read.extend(batch.events.iter().map(|event| event.number));
            lost += batch.lost;
            lost_calls += batch.lost_calls;
            if !batch.has_more {
                assert_eq!(batch.next, feed.batch(u64::MAX).next);
                return (read, lost, lost_calls);
            }
            assert_eq!(batch.events.len(), BATCH);
            after = batch.next - 1;
        }
    }

    #[test]
    fn a_burst_of_calls_pushes_no_sample_out() {
        let feed = Feed::new();
        let _reader = feed.subscribe();
        let (bursts, calls) = (9, RING_CALLS as u64);
        for burst in 1..=bursts {
            set(&feed, "x", burst);
            for _ in 0..calls {
                feed.publish("stage", || EventBody::Call(CallEvent::default()));
            }
        }
        let (read, lost, lost_calls) = read_all(&feed, 1);
        assert_eq!((lost, lost_calls), (0, (bursts - 1) * calls));
        let samples: Vec<u64> = (0..bursts).map(|burst| 2 + burst * (calls + 1)).collect();
        assert_eq!(read[..samples.len()], samples);
        assert_eq!(read.len() as u64, bursts + calls);
        assert!(read.is_sorted());
        // A reader that has missed samples, too, hears one number of both.
        for seq in 1..=(RING_EVENTS as u64 + 1) {
            set(&feed, "x", bursts + seq);
        }
        let (read, lost, lost_calls) = read_all(&feed, 1);
        assert_eq!((read.len(), lost_calls), (RING_EVENTS + RING_CALLS, 0));
        assert_eq!(lost, bursts * calls + bursts + 1 - calls);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_waits_for_events_and_no_longer_than_it_asks() {
        let feed = Feed::new();
        let _reader = feed.subscribe();
        let second = Duration::from_secs(1);
        assert!(feed.wait_for_batch(1, second).await.events.is_empty());
        let publishing = async {
            tokio::time::sleep(second).await;
            status(&feed, "failed");
            status(&feed, "running");
        };
        let (batch, ()) = tokio::join!(feed.wait_for_batch(1, 5 * second), publishing);
        assert_eq!((batch.events.len(), batch.next), (2, 4));
        // The number of another process.
        let begun = tokio::time::Instant::now();
        assert_eq!(feed.wait_for_batch(99, 5 * second).await.next, 4);
        let closing = async { feed.close() };
        let (batch, ()) = tokio::join!(feed.wait_for_batch(3, 5 * second), closing);
        assert!(batch.events.is_empty() && begun.elapsed() < second);
    }
}
