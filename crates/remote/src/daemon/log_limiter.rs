//! A limit on log lines that peers can cause: some in full, then only their number.
//!
//! A peer that can reach the daemon can make it complain as often as it likes, and must not wash
//! everything else out of the log. Times are arguments.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Lines in full within one [`LIMIT_WINDOW`].
const LINES_PER_WINDOW: u32 = 20;
/// The time after which the number of the suppressed lines is told.
const LIMIT_WINDOW: Duration = Duration::from_secs(10);

/// The limit for one kind of lines.
#[derive(Debug, Default)]
pub struct LogLimiter {
    window: Mutex<Window>,
}

#[derive(Debug, Default)]
struct Window {
    began: Option<Instant>,
    allowed: u32,
    suppressed: u64,
}

impl LogLimiter {
    /// Whether one more line is to be written in full.
    pub fn allow(&self, now: Instant) -> bool {
        let mut window = self.lock();
        window.began.get_or_insert(now);
        if window.allowed < LINES_PER_WINDOW {
            window.allowed += 1;
            return true;
        }
        window.suppressed += 1;
        false
    }

    /// How many lines were suppressed, when the window is over and there were any.
    pub fn take_suppressed(&self, now: Instant) -> Option<u64> {
        let mut window = self.lock();
        window.began.filter(|began| now.duration_since(*began) >= LIMIT_WINDOW)?;
        let suppressed = std::mem::take(&mut *window).suppressed;
        (suppressed > 0).then_some(suppressed)
    }

    fn lock(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_lines_are_written_in_full_and_the_others_counted() {
        let (limiter, start) = (LogLimiter::default(), Instant::now());
        let written =
            |count: u32, at: Instant| (0..count).filter(|_| limiter.allow(at)).count() as u32;
        assert_eq!(written(3, start), 3);
        assert_eq!(limiter.take_suppressed(start + LIMIT_WINDOW), None, "there were few");
        let start = start + 2 * LIMIT_WINDOW;
        assert_eq!(written(LINES_PER_WINDOW + 500, start), LINES_PER_WINDOW);
        assert_eq!(limiter.take_suppressed(start + LIMIT_WINDOW / 2), None, "not over yet");
        assert_eq!(written(1, start + LIMIT_WINDOW / 2), 0);
        assert_eq!(limiter.take_suppressed(start + LIMIT_WINDOW), Some(501));
        assert_eq!(limiter.take_suppressed(start + 2 * LIMIT_WINDOW), None);
        assert_eq!(written(1, start + 2 * LIMIT_WINDOW), 1);
    }
}
