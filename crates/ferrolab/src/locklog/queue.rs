//! What is to be written, between those who must not wait and the one that does.
//!
//! Owns its bound, and the count of what did not fit. Knows neither lines nor files.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A queue with one reader.
pub(super) struct Queue<T> {
    most: usize,
    state: Mutex<State<T>>,
    news: Condvar,
}

struct State<T> {
    waiting: VecDeque<T>,
    /// Not let in since the last batch.
    lost: u64,
    is_closed: bool,
    /// The reader has done all that it will do.
    is_over: bool,
}

/// What the reader gets.
pub(super) struct Batch<T> {
    pub(super) items: VecDeque<T>,
    pub(super) lost: u64,
}

impl<T> Queue<T> {
    pub(super) fn new(most: usize) -> Self {
        let state = State { waiting: VecDeque::new(), lost: 0, is_closed: false, is_over: false };
        Queue { most, state: Mutex::new(state), news: Condvar::new() }
    }

    /// Adds an item without waiting. Where there is no room, it is counted; what `matters` is let
    /// in all the same, as long as it is not as much again.
    pub(super) fn push(&self, item: T, matters: bool) {
        let mut state = self.state();
        let most = if matters { self.most * 2 } else { self.most };
        if state.waiting.len() >= most {
            state.lost += 1;
        } else {
            state.waiting.push_back(item);
        }
        drop(state);
        self.news.notify_all();
    }

    /// Everything there is, waited for. Empty when `longest` is over, `None` when nothing will come
    /// any more.
    pub(super) fn take(&self, longest: Duration) -> Option<Batch<T>> {
        let is_idle =
            |state: &mut State<T>| state.waiting.is_empty() && state.lost == 0 && !state.is_closed;
        let waited = self.news.wait_timeout_while(self.state(), longest, is_idle);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.is_closed && state.waiting.is_empty() && state.lost == 0 {
            return None;
        }
        let items = std::mem::take(&mut state.waiting);
        Some(Batch { items, lost: std::mem::take(&mut state.lost) })
    }

    /// Nothing more will be pushed.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.news.notify_all();
    }

    /// The reader has done what there was to do.
    pub(super) fn set_over(&self) {
        self.state().is_over = true;
        self.news.notify_all();
    }

    /// Waits until the reader is done with everything; false where `longest` is too short.
    pub(super) fn wait_until_over(&self, longest: Duration) -> bool {
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
        let queue = Queue::new(2);
        for item in 0..5 {
            queue.push(item, false);
        }
        queue.push(9, true);
        let batch = queue.take(SOON).unwrap();
        assert_eq!((Vec::from(batch.items), batch.lost), (vec![0, 1, 9], 3));
        let batch = queue.take(SOON).unwrap();
        assert_eq!((batch.items.len(), batch.lost), (0, 0));
    }

    #[test]
    fn what_is_there_when_it_closes_is_done_first() {
        let queue = Queue::new(1);
        queue.push(1, false);
        queue.push(2, false);
        queue.close();
        assert!(!queue.wait_until_over(SOON));
        let batch = queue.take(SOON).unwrap();
        assert_eq!((batch.items.len(), batch.lost), (1, 1));
        assert!(queue.take(SOON).is_none());
        queue.set_over();
        assert!(queue.wait_until_over(SOON));
    }
}
