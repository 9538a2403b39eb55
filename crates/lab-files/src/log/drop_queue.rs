//! Bounded queue between the threads that log and the one that writes. It never blocks a producer,
//! and counts what it drops.
//!
//! The one queue of all logs: a child's, the lab's, the lock log and the call log. An empty one
//! takes no memory; `std::sync::mpsc::sync_channel` allocates the slots of all items at once.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Wait of an ending process for the last lines. A test's writer has ended before the next begins.
pub const FLUSH_TIMEOUT: Duration = Duration::from_secs(if cfg!(test) { 600 } else { 2 });

/// Queue with one reader.
#[derive(Debug)]
pub struct DropQueue<T> {
    most: usize,
    weigh: fn(&T) -> usize,
    state: Mutex<QueueState<T>>,
    news: Condvar,
}

#[derive(Debug)]
struct QueueState<T> {
    waiting: VecDeque<T>,
    /// Sum of the items' weights.
    weight: usize,
    /// Items dropped since the last batch.
    lost: u64,
    is_closed: bool,
    /// The reader has processed all items.
    is_over: bool,
}

/// Guard that closes a queue on drop, and waits for its reader: for the end of a process.
#[derive(Debug)]
pub struct Flush<T> {
    /// The queue.
    pub queue: Arc<DropQueue<T>>,
    /// The longest wait.
    pub longest: Duration,
}

impl<T> Flush<T> {
    /// Closes the queue and waits for its reader. Returns whether all items are processed.
    pub fn finish(mut self) -> bool {
        self.queue.close();
        let is_over = self.queue.wait_until_over(self.longest);
        self.longest = Duration::ZERO;
        is_over
    }
}

impl<T> Drop for Flush<T> {
    fn drop(&mut self) {
        self.queue.close();
        if !self.queue.wait_until_over(self.longest) {
            tracing::warn!("the end of a log is lost: it is not written in time");
        }
    }
}

/// Items in their order, and how many were dropped.
pub struct Batch<T> {
    /// The items.
    pub items: VecDeque<T>,
    /// Items that found no room since the batch before.
    pub lost: u64,
}

impl<T> DropQueue<T> {
    /// A queue of `most` items.
    pub fn new(most: usize) -> Self {
        DropQueue::weighing(most, |_| 1)
    }

    /// A queue of items that weigh `most` together; the last one may exceed that.
    pub fn weighing(most: usize, weigh: fn(&T) -> usize) -> Self {
        let state = QueueState {
            waiting: VecDeque::new(),
            weight: 0,
            lost: 0,
            is_closed: false,
            is_over: false,
        };
        DropQueue { most, weigh, state: Mutex::new(state), news: Condvar::new() }
    }

    /// Adds an item without waiting. If the queue is full, the item is dropped and counted. Items
    /// that matter have twice the room.
    pub fn push(&self, item: T, matters: bool) {
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

    /// Waits for items and takes all. The batch is empty after `longest`; `None` means that the
    /// queue is closed and empty.
    pub fn take(&self, longest: Duration) -> Option<Batch<T>> {
        let is_idle = |state: &mut QueueState<T>| {
            state.waiting.is_empty() && state.lost == 0 && !state.is_closed
        };
        let waited = self.news.wait_timeout_while(self.state(), longest, is_idle);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.is_closed && state.waiting.is_empty() && state.lost == 0 {
            return None;
        }
        let items = std::mem::take(&mut state.waiting);
        state.weight = 0;
        Some(Batch { items, lost: std::mem::take(&mut state.lost) })
    }

    /// Announces that nothing more will be pushed.
    pub fn close(&self) {
        self.state().is_closed = true;
        self.news.notify_all();
    }

    /// Starts the thread `name`, which reads the queue until it is closed and empty.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(
        self,
        name: &str,
        read: impl FnOnce(&Self) + Send + 'static,
    ) -> io::Result<Arc<Self>>
    where
        T: Send + 'static,
    {
        let queue = Arc::new(self);
        let reader = Arc::clone(&queue);
        thread::Builder::new().name(name.into()).spawn(move || {
            read(&reader);
            reader.state().is_over = true;
            reader.news.notify_all();
        })?;
        Ok(queue)
    }

    /// Waits until the reader has processed all items; false after `longest`.
    fn wait_until_over(&self, longest: Duration) -> bool {
        let is_at_work = |state: &mut QueueState<T>| !state.is_over;
        let waited = self.news.wait_timeout_while(self.state(), longest, is_at_work);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.is_over
    }

    fn state(&self) -> MutexGuard<'_, QueueState<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const SOON: Duration = Duration::from_millis(1);

    #[test]
    fn what_does_not_fit_is_counted_and_what_matters_fits() {
        let queue = DropQueue::new(2);
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
    fn the_bound_can_be_of_what_they_weigh() {
        let queue = DropQueue::weighing(10, |item: &&str| item.len());
        for item in ["12345678", "123456789", "1"] {
            queue.push(item, false);
        }
        let batch = queue.take(SOON).unwrap();
        assert_eq!((batch.items.len(), batch.lost), (2, 1));
        queue.push("1", false);
        assert_eq!(queue.take(SOON).unwrap().items.len(), 1);
    }

    #[test]
    fn what_is_there_when_it_closes_is_done_first() {
        let (begin, begun) = mpsc::channel();
        let read = move |queue: &DropQueue<u8>| {
            begun.recv().unwrap();
            let batch = queue.take(SOON).unwrap();
            assert_eq!((batch.items.len(), batch.lost), (1, 1));
            assert!(queue.take(SOON).is_none());
        };
        let queue = DropQueue::new(1).start("reader", read).unwrap();
        queue.push(1, false);
        queue.push(2, false);
        queue.close();
        assert!(!queue.wait_until_over(SOON));
        let flush = |longest| Flush { queue: Arc::clone(&queue), longest };
        assert!(!flush(SOON).finish());
        begin.send(()).unwrap();
        assert!(flush(Duration::MAX).finish());
    }
}
