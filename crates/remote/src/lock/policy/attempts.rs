//! Attempts to get a lock without waiting (`lock()`), and their turn beside the queue.
//!
//! A client that asks again and again, as PyroLab's do, would hardly ever find the lock free while
//! others wait in the queue. So it is in line as well, since its first attempt, if it asks again
//! within [`ATTEMPT_LIFE`]. When its turn comes, the queue waits for its next attempt. That is due
//! after the time between its last two, and half of that more; a client that does not ask by then
//! loses its turn. A client that asks once keeps nobody waiting.
//!
//! A client is a name at a host here: programs often make a connection for each attempt.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::super::types::Party;

/// Longest time between two attempts of a client that is in line.
pub(crate) const ATTEMPT_LIFE: Duration = Duration::from_secs(10);
/// The queue waits for a late attempt at least this long.
const ATTEMPT_SLACK: Duration = Duration::from_millis(500);
/// Clients of one lock whose attempts are remembered.
const MAX_CLIENTS: usize = 1000;
/// The same at one host.
const MAX_CLIENTS_AT_HOST: usize = 20;

/// The clients that have asked without waiting, in the order of their first attempts.
#[derive(Debug, Default)]
pub(super) struct Attempts(VecDeque<Attempt>);

/// The attempts of one client.
#[derive(Debug)]
struct Attempt {
    party: Party,
    first: Instant,
    last: Instant,
    /// The time between the last two.
    interval: Option<Duration>,
    /// The queue waits for the next one.
    is_awaited: bool,
}

impl Attempts {
    /// An attempt was refused.
    pub(super) fn add_refused(&mut self, now: Instant, party: &Party) {
        self.forget_old(now);
        if let Some(known) = self.0.iter_mut().find(|known| known.party.is_same_client(party)) {
            known.interval = Some(now.saturating_duration_since(known.last));
            known.last = now;
            known.party = party.clone();
            return;
        }
        let at_host = self.0.iter().filter(|known| known.party.is_at(party.host())).count();
        if self.0.len() < MAX_CLIENTS && at_host < MAX_CLIENTS_AT_HOST {
            let (party, first, last) = (party.clone(), now, now);
            self.0.push_back(Attempt { party, first, last, interval: None, is_awaited: false });
        }
    }

    /// The client has the lock, or waits in the queue.
    pub(super) fn remove(&mut self, party: &Party) {
        self.0.retain(|known| !known.party.is_same_client(party));
    }

    /// Whether a client that asks now comes before a request which waits since `since`.
    pub(super) fn is_turn_of(&mut self, now: Instant, party: &Party, since: Instant) -> bool {
        self.forget_old(now);
        let is_next = |known: &&Attempt| {
            known.first < since && (known.is_due(now) || known.party.is_same_client(party))
        };
        self.0.iter().find(is_next).is_some_and(|known| known.party.is_same_client(party))
    }

    /// Whether the queue waits for the attempt of a client that was there before `since`. One that
    /// did not come in time loses its turn.
    pub(super) fn await_before(&mut self, now: Instant, since: Instant) -> bool {
        self.0.retain(|known| !known.is_awaited || known.is_due(now));
        let next = self.0.iter_mut().find(|known| known.first < since && known.is_due(now));
        match next {
            None => false,
            Some(next) => {
                next.is_awaited = true;
                true
            }
        }
    }

    /// Nobody is waited for any longer: the lock is another's.
    pub(super) fn end_wait(&mut self) {
        for known in &mut self.0 {
            known.is_awaited = false;
        }
    }

    /// The client that the queue waits for, and until when.
    pub(super) fn awaited(&self) -> Option<(&Party, Instant)> {
        let awaited = self.0.iter().find(|known| known.is_awaited)?;
        Some((&awaited.party, awaited.due()?))
    }

    fn forget_old(&mut self, now: Instant) {
        self.0.retain(|known| now.saturating_duration_since(known.last) <= ATTEMPT_LIFE);
    }
}

impl Attempt {
    /// When the next one has to come; `None` for a client that has asked once.
    fn due(&self) -> Option<Instant> {
        let interval = self.interval?;
        Some(self.last + interval + (interval / 2).max(ATTEMPT_SLACK))
    }

    fn is_due(&self, now: Instant) -> bool {
        self.due().is_some_and(|due| now < due)
    }
}
