//! How many lines of lock and unlock one client may have in the history.
//!
//! Owns the counting, so that a script which locks and unlocks in a loop does not push everybody
//! else's history out of the files. What it leaves out is told of, with its number. No clock of its
//! own.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// So many lines may come at once,
const BURST: f64 = 5000.0;
/// and so many a second in the long run.
const RATE: f64 = 50.0;
/// Clients that are told apart; those beyond share one account.
const CLIENTS: usize = 256;

/// Who has had how many lines.
#[derive(Debug, Default)]
pub(super) struct Limit {
    accounts: BTreeMap<String, Account>,
}

#[derive(Debug)]
struct Account {
    left: f64,
    at: Instant,
    left_out: u64,
}

impl Limit {
    /// Whether one more line of `client` may be written; behind one that may not, how many that
    /// were until then.
    pub(super) fn allows(&mut self, client: &str, now: Instant) -> Option<u64> {
        if self.accounts.len() >= CLIENTS && !self.accounts.contains_key(client) {
            self.accounts.retain(|_, account| account.left_out > 0 || account.at(now) < BURST);
        }
        let is_crowded = self.accounts.len() >= CLIENTS && !self.accounts.contains_key(client);
        let key = if is_crowded { "other clients" } else { client };
        let account = self.accounts.entry(key.to_owned()).or_insert_with(|| Account::full(now));
        account.left = account.at(now);
        account.at = now;
        if account.left < 1.0 {
            account.left_out += 1;
            return None;
        }
        account.left -= 1.0;
        Some(std::mem::take(&mut account.left_out))
    }

    /// Whose lines have been left out, and how many, since this was last asked.
    pub(super) fn left_out(&mut self) -> Vec<(String, u64)> {
        self.accounts
            .iter_mut()
            .filter(|(_, account)| account.left_out > 0)
            .map(|(client, account)| (client.clone(), std::mem::take(&mut account.left_out)))
            .collect()
    }
}

impl Account {
    fn full(now: Instant) -> Self {
        Account { left: BURST, at: now, left_out: 0 }
    }

    fn at(&self, now: Instant) -> f64 {
        let since: Duration = now.saturating_duration_since(self.at);
        (self.left + since.as_secs_f64() * RATE).min(BURST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_off_and_counted_and_others_are_not() {
        let (mut limit, start) = (Limit::default(), Instant::now());
        let written = (0..6000).filter(|_| limit.allows("eve", start).is_some()).count();
        assert_eq!(written, 5000);
        assert_eq!(limit.allows("ada", start), Some(0));
        let later = start + Duration::from_secs(1);
        assert_eq!(limit.allows("eve", later), Some(1000));
        assert_eq!(limit.allows("eve", later), Some(0));
        for _ in 0..60 {
            limit.allows("eve", later);
        }
        assert_eq!(limit.left_out(), [("eve".to_owned(), 12)]);
        assert!(limit.left_out().is_empty());
    }

    #[test]
    fn many_names_are_no_way_around_it() {
        let (mut limit, now) = (Limit::default(), Instant::now());
        let flood = (0..20_000).map(|number| format!("eve {number}"));
        let written = flood.filter(|name| limit.allows(name, now).is_some()).count();
        assert!(written <= 5000 + CLIENTS, "{written}");
        assert!(limit.accounts.len() <= CLIENTS + 1);
    }
}
