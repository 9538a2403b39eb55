//! What the log says of peers that get nowhere: refused ones, those who send what is no message, and
//! those whose oneway calls raise.
//!
//! Owns how much that is: in a while a few in full, and of the others their number. Whoever can
//! reach the daemon can make it complain, as often as it likes, and must not wash the rest out of
//! the log by that. No clock of its own.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Complaints in full within a [`WHILE`].
const IN_FULL: u32 = 20;
/// As long as that is.
const WHILE: Duration = Duration::from_secs(10);

/// The complaints of a daemon.
#[derive(Debug, Default)]
pub(crate) struct Complaints {
    lately: Mutex<Lately>,
}

#[derive(Debug, Default)]
struct Lately {
    /// When the first of them came.
    since: Option<Instant>,
    in_full: u32,
    kept_back: u64,
}

impl Complaints {
    /// Whether one more is to be told in full.
    pub(crate) fn one_more(&self, now: Instant) -> bool {
        let mut lately = self.lock();
        lately.since.get_or_insert(now);
        if lately.in_full < IN_FULL {
            lately.in_full += 1;
            return true;
        }
        lately.kept_back += 1;
        false
    }

    /// How many were kept back, when the while is over and there were any.
    pub(crate) fn kept_back(&self, now: Instant) -> Option<u64> {
        let mut lately = self.lock();
        lately.since.filter(|since| now.duration_since(*since) >= WHILE)?;
        let kept_back = std::mem::take(&mut *lately).kept_back;
        (kept_back > 0).then_some(kept_back)
    }

    fn lock(&self) -> MutexGuard<'_, Lately> {
        self.lately.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_are_told_in_full_and_the_others_counted() {
        let (complaints, start) = (Complaints::default(), Instant::now());
        let told =
            |count: u32, at: Instant| (0..count).filter(|_| complaints.one_more(at)).count() as u32;
        assert_eq!(told(3, start), 3);
        assert_eq!(complaints.kept_back(start + WHILE), None, "there were few");
        let start = start + 2 * WHILE;
        assert_eq!(told(IN_FULL + 500, start), IN_FULL);
        assert_eq!(complaints.kept_back(start + WHILE / 2), None, "not over yet");
        assert_eq!(told(1, start + WHILE / 2), 0);
        assert_eq!(complaints.kept_back(start + WHILE), Some(501));
        assert_eq!(complaints.kept_back(start + 2 * WHILE), None);
        assert_eq!(told(1, start + 2 * WHILE), 1);
    }
}
