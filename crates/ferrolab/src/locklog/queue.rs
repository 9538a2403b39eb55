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
    pushed: u64,
    done: u64,
    is_closed: bool,
}

/// What the reader gets.
pub(super) struct Batch<T> {
    pub(super) items: VecDeque<T>,
    pub(super) lost: u64,
}

impl<T> Queue<T> {
    pub(super) fn new(most: usize) -> Self {
        let state =
            State { waiting: VecDeque::new(), lost: 0, pushed: 0, done: 0, is_closed: false };
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
            state.pushed += 1;
        }
        drop(state);
        self.news.notify_all();
    }

    /// Everything there is, waited for; what was taken before is done now. Empty when `longest` is
    /// over, `None` when nothing will come any more.
    pub(super) fn take(&self, longest: Duration) -> Option<Batch<T>> {
        let mut state = self.state();
        state.done = state.pushed - state.waiting.len() as u64;
        self.news.notify_all();
        let is_idle =
            |state: &mut State<T>| state.waiting.is_empty() && state.lost == 0 && !state.is_closed;
        let waited = self.news.wait_timeout_while(state, longest, is_idle);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.is_closed && state.waiting.is_empty() {
            return None;
        }
        let items = std::mem::take(&mut state.waiting);
        Some(Batch { items, lost: std::mem::take(&mut state.lost) })
    }

    /// Waits until everything that was pushed before is done; false where `longest` is too short.
    pub(super) fn wait_until_done(&self, longest: Duration) -> bool {
        let state = self.state();
        let pushed = state.pushed;
        let is_behind = |state: &mut State<T>| state.done < pushed;
        let waited = self.news.wait_timeout_while(state, longest, is_behind);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.done >= pushed
    }

    /// Nothing more will be pushed.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.news.notify_all();
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
    fn everything_pushed_is_waited_for_even_in_a_full_queue() {
        let queue = Queue::new(1);
        queue.push(1, false);
        queue.push(2, false);
        assert!(!queue.wait_until_done(SOON));
        queue.take(SOON).unwrap();
        assert!(!queue.wait_until_done(SOON), "taken, and not done yet");
        std::thread::scope(|scope| {
            scope.spawn(|| queue.take(Duration::from_secs(20)));
            assert!(queue.wait_until_done(Duration::from_secs(20)));
            queue.close();
        });
        assert!(queue.take(SOON).is_none());
    }
}
