//! Rings of events: those that wait for readers, and which of them one reader gets.
//!
//! Calls have a separate ring, so that a burst of calls pushes no sample out. Of samples that have
//! left their ring, a reader still gets the latest of each series. Knows no tasks and no clock.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::event::{Event, EventBody, SeriesRow};

/// Events other than calls that wait for readers, at most: about 10 MB at worst.
pub(super) const RING_EVENTS: usize = 32 * 1024;
/// Calls that wait for readers, at most: a page that is slow for some seconds has them all.
pub(super) const RING_CALLS: usize = 8 * 1024;
/// Events in one batch, at most: an answer of some hundred kilobytes.
pub(super) const BATCH: usize = 1024;

/// All events of a feed that wait for readers, and its series.
pub(super) struct Rings {
    /// The number of the next event.
    pub(super) next: u64,
    calls: Ring,
    others: Ring,
    pub(super) series: BTreeMap<(Arc<str>, Arc<str>), Series>,
}

/// The latest events of one kind.
struct Ring {
    capacity: usize,
    events: VecDeque<Arc<Event>>,
    /// The number of the last event that has left the ring; 0 before the first.
    dropped: u64,
}

/// A series, and its last sample among the events.
pub(super) struct Series {
    pub(super) row: SeriesRow,
    pub(super) last: Option<Arc<Event>>,
}

/// Events for one reader.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Events that the reader has missed, and of which no later sample of the series tells.
    pub(crate) lost: u64,
    /// The same where all of them are calls: nothing that stays as it is was missed.
    pub(crate) lost_calls: u64,
    pub(crate) events: Vec<Arc<Event>>,
    /// The number after the last event that it tells of.
    pub(crate) next: u64,
    /// Whether there are events after these.
    pub(crate) has_more: bool,
}

impl Rings {
    /// Rings without events.
    pub(super) fn new() -> Self {
        let (calls, others) = (Ring::new(RING_CALLS), Ring::new(RING_EVENTS));
        Rings { next: 1, calls, others, series: BTreeMap::new() }
    }

    /// Drops all events, and leaves the next number out.
    pub(super) fn clear(&mut self) {
        self.calls.clear(self.next);
        self.others.clear(self.next);
        self.next += 1;
    }

    /// Adds an event, with the next number.
    pub(super) fn push(&mut self, time: f64, service: Arc<str>, body: EventBody) -> Arc<Event> {
        let event = Arc::new(Event { number: self.next, time, service, body });
        self.next += 1;
        let ring = match event.body {
            EventBody::Call(_) => &mut self.calls,
            _ => &mut self.others,
        };
        ring.push(Arc::clone(&event));
        event
    }

    /// The events above the number `after`.
    pub(super) fn batch(&self, after: u64) -> Batch {
        let mut events = self.latest_of_dropped(after);
        let (others, calls) = (self.others.after(after), self.calls.after(after));
        let has_more = events.len() + others.len() + calls.len() > BATCH;
        events.extend(others.take(BATCH).cloned());
        events.extend(calls.take(BATCH).cloned());
        events.sort_unstable_by_key(|event| event.number);
        events.truncate(BATCH);
        let last = events.last().map(|event| event.number).filter(|_| has_more);
        let next = last.map_or(self.next, |last| last + 1);
        // All events that have left a ring have numbers up to this one.
        let end = self.calls.dropped.max(self.others.dropped).min(next - 1);
        let known = events.partition_point(|event| event.number <= end) as u64;
        let missed = end.saturating_sub(after).saturating_sub(known);
        let (lost, lost_calls) = match self.others.dropped > after {
            true => (missed, 0),
            false => (0, missed),
        };
        Batch { lost, lost_calls, events, next, has_more }
    }

    /// The last sample of each series, where it has left its ring and a reader has not read it.
    fn latest_of_dropped(&self, after: u64) -> Vec<Arc<Event>> {
        let dropped = self.others.dropped;
        if dropped <= after {
            return Vec::new();
        }
        let latest = self.series.values().filter_map(|series| series.last.as_ref());
        latest.filter(|last| last.number > after && last.number <= dropped).cloned().collect()
    }
}

impl Ring {
    fn new(capacity: usize) -> Self {
        Ring { capacity, events: VecDeque::new(), dropped: 0 }
    }

    fn push(&mut self, event: Arc<Event>) {
        if self.events.len() >= self.capacity
            && let Some(oldest) = self.events.pop_front()
        {
            self.dropped = oldest.number;
        }
        self.events.push_back(event);
    }

    /// Drops all events up to this number.
    fn clear(&mut self, number: u64) {
        self.events.clear();
        self.dropped = number;
    }

    /// The events above the number `after`.
    fn after(&self, after: u64) -> impl ExactSizeIterator<Item = &Arc<Event>> {
        self.events.range(self.events.partition_point(|event| event.number <= after)..)
    }
}
