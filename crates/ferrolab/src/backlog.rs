//! A bounded queue to a thread, which costs nothing while it is empty.
//!
//! Owns the bound. `std::sync::mpsc::sync_channel` reserves and touches the room for all items at
//! once: half a megabyte of an idle supervisor was a log queue with nothing in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

/// Makes a queue in which at most `limit` items wait.
pub(crate) fn backlog<T>(limit: usize) -> (Backlog<T>, Waiting<T>) {
    let (items, receiver) = mpsc::channel();
    let count = Arc::new(AtomicUsize::new(0));
    (Backlog { items, count: Arc::clone(&count), limit }, Waiting { receiver, count })
}

/// The end that puts items in; cheap to clone.
#[derive(Debug)]
pub(crate) struct Backlog<T> {
    items: Sender<T>,
    count: Arc<AtomicUsize>,
    limit: usize,
}

/// The end that takes them out.
#[derive(Debug)]
pub(crate) struct Waiting<T> {
    receiver: Receiver<T>,
    count: Arc<AtomicUsize>,
}

/// Why an item was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// As many as may wait do.
    Full,
    /// Nobody takes items out any more.
    Closed,
}

impl<T> Backlog<T> {
    /// Puts an item in; never waits.
    pub(crate) fn offer(&self, item: T) -> Result<(), NotTaken> {
        // Relaxed: the count only bounds; the channel orders the items.
        let room = |count| (count < self.limit).then_some(count + 1);
        if self.count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_err() {
            return Err(NotTaken::Full);
        }
        self.items.send(item).map_err(|_| NotTaken::Closed)
    }
}

impl<T> Clone for Backlog<T> {
    fn clone(&self) -> Self {
        let count = Arc::clone(&self.count);
        Backlog { items: self.items.clone(), count, limit: self.limit }
    }
}

impl<T> Waiting<T> {
    /// Takes the next item out, or waits for one.
    ///
    /// # Errors
    /// None has come in time, or none can come any more.
    pub(crate) fn take(&self, patience: Duration) -> Result<T, RecvTimeoutError> {
        let item = self.receiver.recv_timeout(patience)?;
        self.count.fetch_sub(1, Ordering::Relaxed);
        Ok(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_wait_and_no_more() {
        let (offers, waiting) = backlog(2);
        let other = offers.clone();
        assert_eq!(offers.offer(1), Ok(()));
        assert_eq!(other.offer(2), Ok(()));
        assert_eq!(offers.offer(3), Err(NotTaken::Full));
        assert_eq!(waiting.take(Duration::ZERO), Ok(1));
        assert_eq!(offers.offer(4), Ok(()), "one has left");
        assert_eq!(waiting.take(Duration::ZERO), Ok(2));
        assert_eq!(waiting.take(Duration::ZERO), Ok(4));
        assert_eq!(waiting.take(Duration::ZERO), Err(RecvTimeoutError::Timeout));
        drop(waiting);
        assert_eq!(offers.offer(5), Err(NotTaken::Closed));
    }
}
