//! Rate limit of each client's lines in the lock log or the call log (a token bucket).
//!
//! A script that does the same in a loop does not push the other clients' history out of the
//! files. Lines left out are counted. The caller gives the time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Parameters of one client's token bucket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    /// Lines at once.
    pub(crate) burst: f64,
    /// Lines per second in the long run.
    pub(crate) rate: f64,
}

/// Clients with an account each; further ones share one.
const CLIENTS: usize = 256;

/// The clients' token buckets.
#[derive(Debug)]
pub(crate) struct Limit {
    allowance: Allowance,
    accounts: BTreeMap<String, Account>,
}

#[derive(Debug)]
struct Account {
    left: f64,
    at: Instant,
    left_out: u64,
}

impl Limit {
    pub(crate) fn new(allowance: Allowance) -> Self {
        Limit { allowance, accounts: BTreeMap::new() }
    }

    /// Whether one more line of `client` may be written: if so, how many lines were left out before
    /// it.
    pub(crate) fn allows(&mut self, client: &str, now: Instant) -> Option<u64> {
        let allowance = self.allowance;
        if self.accounts.len() >= CLIENTS && !self.accounts.contains_key(client) {
            self.accounts.retain(|_, account| {
                account.left_out > 0 || account.at(now, allowance) < allowance.burst
            });
        }
        let is_crowded = self.accounts.len() >= CLIENTS && !self.accounts.contains_key(client);
        let key = if is_crowded { "other clients" } else { client };
        let full = || Account { left: allowance.burst, at: now, left_out: 0 };
        let account = self.accounts.entry(key.to_owned()).or_insert_with(full);
        account.left = account.at(now, allowance);
        account.at = now;
        if account.left < 1.0 {
            account.left_out += 1;
            return None;
        }
        account.left -= 1.0;
        Some(std::mem::take(&mut account.left_out))
    }

    /// Clients whose lines were left out since the last call, and how many.
    pub(crate) fn left_out(&mut self) -> Vec<(String, u64)> {
        self.accounts
            .iter_mut()
            .filter(|(_, account)| account.left_out > 0)
            .map(|(client, account)| (client.clone(), std::mem::take(&mut account.left_out)))
            .collect()
    }
}

impl Account {
    fn at(&self, now: Instant, allowance: Allowance) -> f64 {
        let since: Duration = now.saturating_duration_since(self.at);
        (self.left + since.as_secs_f64() * allowance.rate).min(allowance.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWANCE: Allowance = Allowance { burst: 5000.0, rate: 50.0 };

    #[test]
    fn a_flood_is_cut_off_and_counted_and_others_are_not() {
        let (mut limit, start) = (Limit::new(ALLOWANCE), Instant::now());
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
        let (mut limit, now) = (Limit::new(ALLOWANCE), Instant::now());
        let flood = (0..20_000).map(|number| format!("eve {number}"));
        let written = flood.filter(|name| limit.allows(name, now).is_some()).count();
        assert!(written <= 5000 + CLIENTS, "{written}");
        assert!(limit.accounts.len() <= CLIENTS + 1);
    }
}
