//! The last events of the lab, numbered: one list, from which every tab reads at its own pace.
//!
//! A reader that is too slow, or comes back too late, finds its place gone and starts anew. So a
//! tab costs no queue.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use uuid::Uuid;

/// Events that are kept.
const MAX_EVENTS: usize = 4096;
/// Bytes of all of them.
const MAX_BYTES: usize = 8 * 1024 * 1024;
/// Events that a reader gets at once.
const MAX_READ: usize = 256;

/// A numbered event of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::web) struct RingEvent {
    pub(in crate::web) number: u64,
    pub(in crate::web) kind: &'static str,
    /// One line of JSON.
    pub(in crate::web) data: Arc<str>,
}

/// The events of this process.
pub(in crate::web) struct Ring {
    /// Differs after each start of the process: numbers begin anew.
    epoch: String,
    state: Mutex<RingState>,
    /// The number of the last event.
    last: watch::Sender<u64>,
}

#[derive(Default)]
struct RingState {
    events: VecDeque<RingEvent>,
    bytes: usize,
    last: u64,
}

impl Ring {
    pub(super) fn new() -> Self {
        let epoch = Uuid::new_v4().simple().to_string();
        let epoch = epoch.get(..8).unwrap_or_default().to_owned();
        Ring { epoch, state: Mutex::default(), last: watch::Sender::new(0) }
    }

    /// Adds an event.
    pub(in crate::web) fn push(&self, kind: &'static str, data: String) {
        let mut state = self.lock();
        state.last += 1;
        state.bytes += data.len();
        let event = RingEvent { number: state.last, kind, data: data.into() };
        state.events.push_back(event);
        while state.events.len() > MAX_EVENTS || state.bytes > MAX_BYTES {
            let Some(oldest) = state.events.pop_front() else { break };
            state.bytes -= oldest.data.len();
        }
        self.last.send_replace(state.last);
    }

    /// The events after one of this number, some at a time; `None` where one of them is gone.
    pub(in crate::web) fn after(&self, number: u64) -> Option<Vec<RingEvent>> {
        let state = self.lock();
        let missing = state.last.checked_sub(number)?;
        let missing = usize::try_from(missing).ok()?;
        let first = state.events.len().checked_sub(missing)?;
        Some(state.events.range(first..).take(MAX_READ).cloned().collect())
    }

    /// The number of the last event.
    pub(in crate::web) fn last(&self) -> u64 {
        self.lock().last
    }

    /// Tells when there is a later one.
    pub(in crate::web) fn changes(&self) -> watch::Receiver<u64> {
        self.last.subscribe()
    }

    /// Whether somebody waits for events.
    pub(super) fn has_readers(&self) -> bool {
        self.last.receiver_count() > 0
    }

    /// The id of an event, for browsers.
    pub(in crate::web) fn id(&self, number: u64) -> String {
        format!("{}-{number}", self.epoch)
    }

    /// The number in an id, if it is one of this process.
    pub(in crate::web) fn number(&self, id: &str) -> Option<u64> {
        let (epoch, number) = id.split_once('-')?;
        if epoch == self.epoch { number.parse().ok() } else { None }
    }

    fn lock(&self) -> MutexGuard<'_, RingState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_goes_on_or_starts_anew() {
        let ring = Ring::new();
        assert_eq!(ring.after(0), Some(Vec::new()));
        for _ in 0..MAX_EVENTS + 10 {
            ring.push("lab", "{}".to_owned());
        }
        let last = ring.last();
        assert_eq!(ring.after(last), Some(Vec::new()));
        let numbers = |after| {
            let events = ring.after(after)?;
            Some(events.iter().map(|event| event.number).collect::<Vec<_>>())
        };
        assert_eq!(numbers(last - 2), Some(vec![last - 1, last]));
        assert_eq!(numbers(10).map(|numbers| numbers.len()), Some(MAX_READ));
        assert_eq!(numbers(9), None, "the tenth is gone");
        assert_eq!(numbers(last + 1), None, "of another process");
        assert_eq!(ring.number(&ring.id(7)), Some(7));
        assert_eq!(ring.number("00000000-7"), None);
        assert_eq!(ring.number("x"), None);
    }

    #[test]
    fn its_memory_is_bounded() {
        let ring = Ring::new();
        for _ in 0..20 {
            ring.push("lab", "x".repeat(MAX_BYTES / 4));
        }
        assert_eq!(ring.lock().events.len(), 4);
    }
}
