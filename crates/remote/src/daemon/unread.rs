//! Answers that wait for their clients to read them.
//!
//! Owns how much memory they may take together, and who goes when it is more: whoever has kept an
//! answer waiting for longest. A limit for each connection would be none: there are thousands, and
//! waiting for room would take the memory that there is no room for.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::io::AsyncWrite;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::daemon::Shared;
use crate::daemon::connection::Connection;
use crate::session::Session;

/// Smaller answers do not count: all connections together can have but so many.
const SMALL: usize = 16 * 1024;

/// The answers that are being sent.
#[derive(Debug)]
pub(crate) struct Unread {
    most: Option<usize>,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: usize,
    next: u64,
    /// In the order of their coming.
    answers: BTreeMap<u64, (usize, CancellationToken)>,
}

/// An answer among them, until it is dropped.
struct Place<'a> {
    unread: &'a Unread,
    number: u64,
    /// Cancelled when it has to go.
    gone: CancellationToken,
}

/// Sends the answer that `connection` holds.
pub(crate) async fn send<S: AsyncWrite + Unpin>(
    shared: &Shared,
    session: &Session,
    connection: &mut Connection<S>,
) -> io::Result<()> {
    let bytes = connection.out.capacity();
    let Some(place) = shared.unread.enter(bytes) else { return connection.send().await };
    let sent = tokio::select! {
        biased;
        sent = connection.send() => Some(sent),
        () = place.gone.cancelled() => None,
    };
    sent.unwrap_or_else(|| {
        connection.out = Vec::new();
        warn!(daemon = %shared.config.name, peer = %session.peer, bytes,
            "closing a connection that does not read its answer: too many are waiting");
        Err(io::ErrorKind::TimedOut.into())
    })
}

impl Unread {
    /// Room for so many bytes; any number if absent.
    pub(crate) fn new(most: Option<usize>) -> Self {
        Unread { most, waiting: Mutex::default() }
    }

    /// Counts an answer, and shows those out that have waited longest where there is no room for
    /// all of them. `None` where it needs not be counted.
    fn enter(&self, bytes: usize) -> Option<Place<'_>> {
        let most = self.most.filter(|_| bytes >= SMALL)?;
        let mut waiting = self.lock();
        while waiting.bytes.saturating_add(bytes) > most
            && let Some((_, (their_bytes, gone))) = waiting.answers.pop_first()
        {
            waiting.bytes = waiting.bytes.saturating_sub(their_bytes);
            gone.cancel();
        }
        let (number, gone) = (waiting.next, CancellationToken::new());
        waiting.next += 1;
        waiting.bytes += bytes;
        waiting.answers.insert(number, (bytes, gone.clone()));
        Some(Place { unread: self, number, gone })
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut waiting = self.unread.lock();
        if let Some((bytes, _)) = waiting.answers.remove(&self.number) {
            waiting.bytes = waiting.bytes.saturating_sub(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_waited_longest_goes_when_there_is_no_room() {
        let unread = Unread::new(Some(10 * SMALL));
        let first = unread.enter(4 * SMALL).unwrap();
        let second = unread.enter(4 * SMALL).unwrap();
        assert!(unread.enter(SMALL - 1).is_none(), "small ones are not counted");
        drop(second);
        let third = unread.enter(6 * SMALL).unwrap();
        assert!(!first.gone.is_cancelled(), "there is room for both");
        let fourth = unread.enter(3 * SMALL).unwrap();
        assert!(first.gone.is_cancelled() && !third.gone.is_cancelled());
        drop(first);
        assert_eq!(unread.lock().bytes, 9 * SMALL, "who was shown out counts no more");
        let large = unread.enter(20 * SMALL).unwrap();
        assert!(third.gone.is_cancelled() && fourth.gone.is_cancelled());
        assert!(!large.gone.is_cancelled(), "it is sent all the same");
        drop((third, fourth, large));
        assert_eq!(unread.lock().bytes, 0);
        assert!(Unread::new(None).enter(usize::MAX).is_none());
    }
}
