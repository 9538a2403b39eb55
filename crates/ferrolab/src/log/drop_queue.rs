//! What is to be written, between those who must not wait and the one that does.
//!
//! Owns its bound, in items or in what they weigh, and the count of what did not fit. Knows neither lines nor files. It costs
//! nothing while it is empty: `std::sync::mpsc::sync_channel` makes the room for all items at once.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A queue with one reader.
#[derive(Debug)]
pub(crate) struct Backlog<T> {
    most: usize,
    weigh: fn(&T) -> usize,
    state: Mutex<State<T>>,
    news: Condvar,
}

#[derive(Debug)]
struct State<T> {
    waiting: VecDeque<T>,
    /// What those weigh together.
    weight: usize,
    /// Not let in since the last batch.
    lost: u64,
    is_closed: bool,
    /// The reader has done all that it will do.
    is_over: bool,
}

/// What the reader gets.
pub(crate) struct Batch<T> {
    pub(crate) items: VecDeque<T>,
    pub(crate) lost: u64,
}

impl<T> Backlog<T> {
    /// Room for so many items.
    pub(crate) fn new(most: usize) -> Self {
        Backlog::weighing(most, |_| 1)
    }

    /// Room for items until they weigh so much together; the last may weigh more than is left.
    pub(crate) fn weighing(most: usize, weigh: fn(&T) -> usize) -> Self {
        let state = State {
            waiting: VecDeque::new(),
            weight: 0,
            lost: 0,
            is_closed: false,
            is_over: false,
        };
        Backlog { most, weigh, state: Mutex::new(state), news: Condvar::new() }
    }

    /// Adds an item without waiting. Where there is no room, it is counted; what `matters` is let
    /// in all the same, as long as it is not as much again.
    pub(crate) fn push(&self, item: T, matters: bool) {
        let mut state = self.state();
        let most = if matters { self.most * 2 } else { self.most };
        if state.weight >= most {
            state.lost += 1;
        } else {
            state.weight += (self.weigh)(&item);
            state.waiting.push_back(item);
        }
        drop(state);
        self.news.notify_all();
    }

    /// Everything there is, waited for. Empty when `longest` is over, `None` when nothing will come
    /// any more.
    pub(crate) fn take(&self, longest: Duration) -> Option<Batch<T>> {
        let is_idle =
            |state: &mut State<T>| state.waiting.is_empty() && state.lost == 0 && !state.is_closed;
        let waited = self.news.wait_timeout_while(self.state(), longest, is_idle);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.is_closed && state.waiting.is_empty() && state.lost == 0 {
            return None;
        }
        let items = std::mem::take(&mut state.waiting);
        state.weight = 0;
        Some(Batch { items, lost: std::mem::take(&mut state.lost) })
    }

    /// Nothing more will be pushed.
    pub(crate) fn close(&self) {
        self.state().is_closed = true;
        self.news.notify_all();
    }

    /// The reader has done what there was to do.
    pub(crate) fn set_over(&self) {
        self.state().is_over = true;
        self.news.notify_all();
    }

    /// Waits until the reader is done with everything; false where `longest` is too short.
    pub(crate) fn wait_until_over(&self, longest: Duration) -> bool {
        let is_at_work = |state: &mut State<T>| !state.is_over;
        let waited = self.news.wait_timeout_while(self.state(), longest, is_at_work);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.is_over
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(1);

    #[test]
    fn what_does_not_fit_is_counted_and_what_matters_fits() {
        let backlog = Backlog::new(2);
        for item in 0..5 {
            backlog.push(item, false);
        }
        backlog.push(9, true);
        let batch = backlog.take(SOON).unwrap();
        assert_eq!((Vec::from(batch.items), batch.lost), (vec![0, 1, 9], 3));
        let batch = backlog.take(SOON).unwrap();
        assert_eq!((batch.items.len(), batch.lost), (0, 0));
    }

    #[test]
    fn the_bound_can_be_of_what_they_weigh() {
        let backlog = Backlog::weighing(10, |item: &&str| item.len());
        for item in ["12345678", "123456789", "1"] {
            backlog.push(item, false);
        }
        let batch = backlog.take(SOON).unwrap();
        assert_eq!((batch.items.len(), batch.lost), (2, 1));
        backlog.push("1", false);
        assert_eq!(backlog.take(SOON).unwrap().items.len(), 1);
    }

    #[test]
    fn what_is_there_when_it_closes_is_done_first() {
        let backlog = Backlog::new(1);
        backlog.push(1, false);
        backlog.push(2, false);
        backlog.close();
        assert!(!backlog.wait_until_over(SOON));
        let batch = backlog.take(SOON).unwrap();
        assert_eq!((batch.items.len(), batch.lost), (1, 1));
        assert!(backlog.take(SOON).is_none());
        backlog.set_over();
        assert!(backlog.wait_until_over(SOON));
    }
}
