//! Spare file descriptors, for when the process has no others.
//!
//! Owns how many are kept back and when they are lent. Where descriptors run out, a connection
//! that waits to be accepted can be neither taken nor refused, and whoever asks for a sign of life
//! waits behind it. With a spare one, the next in line is taken and told.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tracing::debug;

/// Kept back: as many newcomers can be heard at the same time. More than one, since between the
/// moment that one is lent and that it is used, another thread may take it for a file of its own.
const MAX_RESERVED: usize = 8;
/// Looks for descriptors that are about to be free,
const MAX_LOOKS: usize = 10;
/// and the time between two of them.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// The spare descriptors of a daemon.
#[derive(Debug, Default)]
pub(crate) struct ReservedFds {
    held: Mutex<Vec<Socket>>,
}

impl ReservedFds {
    /// Takes back what was lent, as far as there are descriptors; whether all are there.
    pub(crate) fn refill(&self) -> bool {
        let mut held = self.lock();
        while held.len() < MAX_RESERVED {
            // A socket that is bound to nothing: it needs no file, and nobody can reach it.
            match Socket::new(Domain::UNIX, Type::DGRAM, None) {
                Ok(spare) => held.push(spare),
                Err(error) => {
                    debug!(%error, held = held.len(), "no spare file descriptors");
                    return false;
                }
            }
        }
        true
    }

    /// Whether all are there, or will be in a moment: who is shown out takes one to go.
    pub(crate) async fn wait_for_all(&self) -> bool {
        for _ in 0..MAX_LOOKS {
            if self.refill() {
                return true;
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        self.refill()
    }

    /// Lends one: there is a free descriptor now, unless somebody was quicker. False if all are
    /// lent.
    pub(crate) fn lend(&self) -> bool {
        self.lock().pop().is_some()
    }

    /// Whether there is one to lend.
    pub(crate) fn any(&self) -> bool {
        !self.lock().is_empty()
    }

    /// Gives them all up.
    pub(crate) fn release_all(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Socket>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lent_is_taken_back() {
        let fds = ReservedFds::default();
        assert!(!fds.any() && !fds.lend());
        assert!(fds.refill());
        assert_eq!((0..MAX_RESERVED + 1).filter(|_| fds.lend()).count(), MAX_RESERVED);
        assert!(!fds.any());
        assert!(fds.refill() && fds.any());
        fds.release_all();
        assert!(!fds.any());
    }
}
