//! Use of the directory by each client address: names registered, their bytes, their rate.
//!
//! Known for this process only: names that a database brings along belong to no address. The limits
//! are not known here.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Addresses that are known, beyond which those without names are forgotten.
const MOST_ADDRESSES: usize = 10_000;

/// The names of one address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) names: usize,
    /// Memory that they take, in bytes; a text that several have counts for each.
    pub(crate) bytes: usize,
}

/// How much may come at once, and in each second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) at_once: f64,
    pub(crate) each_second: f64,
}

/// The shares of all addresses.
#[derive(Debug, Default)]
pub(super) struct Shares {
    by_address: HashMap<IpAddr, Peer>,
}

#[derive(Debug)]
struct Peer {
    share: Share,
    names: Level,
    bytes: Level,
}

/// Amount that has come lately: it sinks by so much in each second.
#[derive(Debug)]
struct Level {
    height: f64,
    at: Instant,
}

impl Level {
    fn sink(&mut self, pace: Pace, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        (self.height, self.at) = ((self.height - passed * pace.each_second).max(0.0), now);
    }

    /// How long it takes until `more` fits; one that never fits has the whole level.
    fn wait(&self, more: f64, pace: Pace) -> Duration {
        let over = self.height + more.min(pace.at_once) - pace.at_once;
        Duration::from_secs_f64((over / pace.each_second).max(0.0))
    }
}

impl Shares {
    pub(super) fn of(&self, address: IpAddr) -> Share {
        self.by_address.get(&address).map(|peer| peer.share).unwrap_or_default()
    }

    /// Counts a name more.
    pub(super) fn add(&mut self, address: IpAddr, bytes: usize) {
        let share = &mut self.peer(address, Instant::now()).share;
        share.names += 1;
        share.bytes = share.bytes.saturating_add(bytes);
    }

    /// Counts a name less.
    pub(super) fn remove(&mut self, address: IpAddr, bytes: usize) {
        if let Some(Peer { share, .. }) = self.by_address.get_mut(&address) {
            share.names = share.names.saturating_sub(1);
            share.bytes = share.bytes.saturating_sub(bytes);
        }
    }

    /// Lets a name of so many bytes come from an address; else how long it has to wait.
    pub(super) fn pass(
        &mut self,
        address: IpAddr,
        bytes: usize,
        [names, memory]: [Pace; 2],
        now: Instant,
    ) -> Result<(), Duration> {
        if self.by_address.len() >= MOST_ADDRESSES && !self.by_address.contains_key(&address) {
            self.by_address.retain(|_, peer| {
                peer.names.sink(names, now);
                peer.bytes.sink(memory, now);
                peer.share.names > 0 || peer.names.height > 0.0 || peer.bytes.height > 0.0
            });
        }
        let peer = self.peer(address, now);
        peer.names.sink(names, now);
        peer.bytes.sink(memory, now);
        let bytes = bytes as f64;
        let wait = peer.names.wait(1.0, names).max(peer.bytes.wait(bytes, memory));
        if wait > Duration::ZERO {
            return Err(wait);
        }
        peer.names.height += 1.0;
        peer.bytes.height += bytes;
        Ok(())
    }

    fn peer(&mut self, address: IpAddr, now: Instant) -> &mut Peer {
        let level = || Level { height: 0.0, at: now };
        let peer = || Peer { share: Share::default(), names: level(), bytes: level() };
        self.by_address.entry(address).or_insert_with(peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACES: [Pace; 2] =
        [Pace { at_once: 10.0, each_second: 2.0 }, Pace { at_once: 1000.0, each_second: 100.0 }];

    #[test]
    fn an_address_may_hurry_once_and_then_keeps_its_pace() {
        let mut shares = Shares::default();
        let (begin, [one, other]) = (Instant::now(), ["10.0.0.1", "10.0.0.2"].map(ip));
        let mut pass = |address, bytes, seconds| {
            let now = begin + Duration::from_secs_f64(seconds);
            shares.pass(address, bytes, PACES, now).map_err(|wait| wait.as_secs_f64())
        };
        for _ in 0..10 {
            assert_eq!(pass(one, 1, 0.0), Ok(()));
        }
        assert_eq!(pass(one, 1, 0.0), Err(0.5), "a name each half second");
        assert_eq!(pass(other, 1, 0.0), Ok(()), "of another address");
        assert_eq!(pass(one, 1, 0.5), Ok(()));
        assert_eq!(pass(one, 1, 0.5), Err(0.5));
        assert_eq!(pass(one, 1000, 20.0), Ok(()), "everything has sunk");
        assert_eq!(pass(one, 500, 20.0), Err(5.0), "of bytes");
        assert_eq!(pass(one, 5000, 30.0), Ok(()), "more than ever fits has all of it");
    }

    #[test]
    fn addresses_without_names_are_forgotten() {
        let mut shares = Shares::default();
        let begin = Instant::now();
        let address = |number: u32| IpAddr::from(number.to_be_bytes());
        shares.add(address(0), 100);
        let later = begin + Duration::from_secs(3600);
        for number in 1..30_000 {
            assert_eq!(shares.pass(address(number), 10, PACES, later), Ok(()));
            let later = later + Duration::from_secs(u64::from(number) * 60);
            assert_eq!(shares.pass(address(number), 10, PACES, later), Ok(()));
        }
        assert_eq!(shares.of(address(0)), Share { names: 1, bytes: 100 });
        shares.remove(address(0), 100);
        assert_eq!(shares.of(address(0)), Share::default());
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }
}
