//! Reserved file descriptors, for when the process has no others.
//!
//! Where descriptors run out, a connection that waits to be accepted can be neither served nor
//! refused, and those after it wait too, the supervisor's probe among them. With a reserved
//! descriptor the next connection is accepted and refused with a reason.
//!
//! Measured without this, when clients that are in have all descriptors: the probe goes unanswered,
//! and after 10 s the supervisor restarts the daemon, which disconnects all of them.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tracing::debug;

/// Reserved descriptors: as many connections can be heard at the same time. More than one, since
/// another thread may take a descriptor that has been lent for its own file.
const MAX_RESERVED: usize = 8;
/// How often a look for descriptors that are about to be free is repeated.
const MAX_LOOKS: usize = 10;
/// The time between two of these looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// The reserved descriptors of a daemon.
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
                    debug!(%error, held = held.len(), "no file descriptors to reserve");
                    return false;
                }
            }
        }
        true
    }

    /// Whether all are there, or will be in a moment: an evicted connection frees its descriptor.
    pub(crate) async fn wait_for_all(&self) -> bool {
        for _ in 0..MAX_LOOKS {
            if self.refill() {
                return true;
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        self.refill()
    }

    /// Lends one: there is a free descriptor now, unless another thread was quicker. False if all
    /// are lent.
    pub(crate) fn lend(&self) -> bool {
        self.lock().pop().is_some()
    }

    /// Whether there is one to lend.
    pub(crate) fn any(&self) -> bool {
        !self.lock().is_empty()
    }

    /// Releases all of them.
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
