//! Connections whose handshake is not done.
//!
//! Owns how many of them there may be, in all and from one address. An honest handshake takes
//! milliseconds; whoever has waited longest when there are too many is the least likely to be
//! honest, and is shown out for the newcomer. So a crowd of silent peers keeps nobody else from
//! getting in, not even at its own address.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::session::Peer;

/// The unfinished handshakes of a daemon.
#[derive(Debug)]
pub(crate) struct WaitingRoom {
    most: usize,
    most_per_address: usize,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    /// In order of arrival.
    all: BTreeMap<u64, (Option<IpAddr>, CancellationToken)>,
    by_address: HashMap<Option<IpAddr>, BTreeSet<u64>>,
}

/// One connection's stay; it ends with this guard.
#[derive(Debug)]
pub(crate) struct Stay {
    room: Arc<WaitingRoom>,
    number: u64,
    shown_out: CancellationToken,
}

impl WaitingRoom {
    pub(crate) fn new(most: usize, most_per_address: usize) -> Self {
        WaitingRoom { most, most_per_address, waiting: Mutex::default() }
    }

    /// Lets a new connection in; where there are too many, the one that came first goes.
    pub(crate) fn enter(self: &Arc<Self>, peer: &Peer) -> Stay {
        let address = match peer {
            Peer::Tcp(address) => Some(address.ip()),
            Peer::Unix => None,
        };
        let mut waiting = self.lock();
        let number = waiting.next;
        waiting.next += 1;
        let shown_out = CancellationToken::new();
        waiting.all.insert(number, (address, shown_out.clone()));
        let neighbours = waiting.by_address.entry(address).or_default();
        neighbours.insert(number);
        let too_many_here = neighbours.len() > self.most_per_address;
        let first_here = neighbours.first().copied().filter(|_| too_many_here);
        let first_of_all = waiting.all.keys().next().copied();
        let too_many = waiting.all.len() > self.most;
        if let Some(first) = first_here.or(first_of_all.filter(|_| too_many)) {
            waiting.show_out(first);
        }
        Stay { room: Arc::clone(self), number, shown_out }
    }

    /// The one that came first goes.
    pub(crate) fn show_out_longest(&self) {
        let mut waiting = self.lock();
        if let Some(first) = waiting.all.keys().next().copied() {
            waiting.show_out(first);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn show_out(&mut self, number: u64) {
        if let Some((_, shown_out)) = self.all.get(&number) {
            shown_out.cancel();
        }
        self.remove(number);
    }

    fn remove(&mut self, number: u64) {
        let Some((address, _)) = self.all.remove(&number) else { return };
        if let Some(neighbours) = self.by_address.get_mut(&address) {
            neighbours.remove(&number);
            if neighbours.is_empty() {
                self.by_address.remove(&address);
            }
        }
    }
}

impl Stay {
    /// Resolves when somebody else takes this place.
    pub(crate) fn shown_out(&self) -> CancellationToken {
        self.shown_out.clone()
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.room.lock().remove(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(host: u8) -> Peer {
        Peer::Tcp(([127, 0, 0, host], 1).into())
    }

    #[test]
    fn the_longest_waiting_goes_where_there_are_too_many() {
        let room = Arc::new(WaitingRoom::new(3, 2));
        let out = |stay: &Stay| stay.shown_out().is_cancelled();
        let [a, b] = [1, 1].map(|host| room.enter(&peer(host)));
        let c = room.enter(&peer(1));
        assert!(out(&a) && !out(&b) && !out(&c), "too many from one address");
        let d = room.enter(&peer(2));
        assert!(!out(&b), "three in all are not too many");
        let e = room.enter(&peer(3));
        assert!(out(&b) && !out(&c) && !out(&d) && !out(&e), "too many in all");
    }

    #[test]
    fn the_longest_waiting_goes_where_there_are_no_descriptors() {
        let room = Arc::new(WaitingRoom::new(9, 9));
        room.show_out_longest();
        let [a, b] = [1, 2].map(|host| room.enter(&peer(host)));
        room.show_out_longest();
        assert!(a.shown_out().is_cancelled() && !b.shown_out().is_cancelled());
    }

    #[test]
    fn who_is_done_makes_room() {
        let room = Arc::new(WaitingRoom::new(2, 2));
        let a = room.enter(&peer(1));
        drop(room.enter(&peer(1)));
        drop(a);
        assert!(room.lock().all.is_empty() && room.lock().by_address.is_empty());
    }
}
