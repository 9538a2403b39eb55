//! Slots: how many of a kind there may be at a time, in all and for each key.
//!
//! Three policies for one too many: it is refused ([`Slots::try_take`]), it waits in a fair queue
//! ([`Slots::take`]), or the oldest slot is taken from its holder ([`Slots::take_evicting`]). A
//! slot is free again when its guard is dropped. Knows neither clocks nor connections.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// Key of connections: the client's address; those of Unix sockets have none.
pub(crate) type Address = Option<IpAddr>;

/// Slots of one kind, of holders that have a key: an address, a session, an object.
#[derive(Debug)]
pub(crate) struct Slots<K = ()> {
    limit_per_key: usize,
    free: Arc<Semaphore>,
    limit: usize,
    holders: Mutex<Holders<K>>,
}

#[derive(Debug)]
struct Holders<K> {
    next: u64,
    by_key: HashMap<K, usize>,
    /// Those that can be evicted, in order of arrival.
    evictable: BTreeMap<u64, Evictable<K>>,
}

#[derive(Debug)]
struct Evictable<K> {
    key: K,
    permit: Option<OwnedSemaphorePermit>,
    evicted: CancellationToken,
}

/// A slot without a key; free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    _permit: OwnedSemaphorePermit,
}

/// A slot that counts for its key as well.
#[derive(Debug)]
pub(crate) struct KeyedSlot<K: Eq + Hash> {
    slots: Arc<Slots<K>>,
    key: K,
    _permit: Option<OwnedSemaphorePermit>,
}

/// Why there is no slot for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoSlot {
    /// The key has as many as it may.
    OfKey,
    /// All are taken.
    OfAll,
}

/// A slot that the next one may take away.
#[derive(Debug)]
pub(crate) struct EvictableSlot<K: Eq + Hash + Clone> {
    slots: Arc<Slots<K>>,
    number: u64,
    evicted: CancellationToken,
}

impl Slots {
    /// Slots without keys.
    pub(crate) fn of(limit: usize) -> Arc<Self> {
        Slots::new(limit, usize::MAX)
    }

    /// Takes a slot, if one is free.
    pub(crate) fn try_take(&self) -> Option<Slot> {
        let permit = Arc::clone(&self.free).try_acquire_owned().ok()?;
        Some(Slot { _permit: permit })
    }

    /// Waits for a slot, in order of arrival. Cancel safe.
    pub(crate) async fn take(self: Arc<Self>) -> Option<Slot> {
        // The semaphore is never closed: there is always a slot in the end.
        let permit = Arc::clone(&self.free).acquire_owned().await.ok()?;
        Some(Slot { _permit: permit })
    }
}

impl<K: Eq + Hash + Clone> Slots<K> {
    /// `limit` slots in all, `limit_per_key` for each key.
    pub(crate) fn new(limit: usize, limit_per_key: usize) -> Arc<Self> {
        // More than that is without limit, and the semaphore would panic.
        let limit = limit.min(Semaphore::MAX_PERMITS);
        let holders = Holders { next: 0, by_key: HashMap::new(), evictable: BTreeMap::new() };
        let free = Arc::new(Semaphore::new(limit));
        Arc::new(Slots { limit_per_key, free, limit, holders: Mutex::new(holders) })
    }

    /// How many there are.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        self.limit.saturating_sub(self.free.available_permits())
    }

    /// How many of `key` are taken.
    pub(crate) fn taken_by<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
    {
        self.lock().by_key.get(key).copied().unwrap_or(0)
    }

    /// The keys that have slots, with how many; those with most come first.
    pub(crate) fn holders(&self) -> Vec<(K, usize)> {
        let of_key = |(key, taken): (&K, &usize)| (key.clone(), *taken);
        let mut holders: Vec<_> = self.lock().by_key.iter().map(of_key).collect();
        holders.sort_by_key(|(_, taken)| std::cmp::Reverse(*taken));
        holders
    }

    /// Takes a slot for `key`, if one is free and the key has fewer than `most`.
    pub(crate) fn try_take_for(
        self: &Arc<Self>,
        key: K,
        most: usize,
    ) -> Result<KeyedSlot<K>, NoSlot> {
        let mut holders = self.lock();
        if holders.by_key.get(&key).is_some_and(|taken| *taken >= most) {
            return Err(NoSlot::OfKey);
        }
        let permit = Arc::clone(&self.free).try_acquire_owned().map_err(|_| NoSlot::OfAll)?;
        *holders.by_key.entry(key.clone()).or_default() += 1;
        drop(holders);
        Ok(KeyedSlot { slots: Arc::clone(self), key, _permit: Some(permit) })
    }

    /// Counts one more for `key` that is there already, whatever the limits say.
    pub(crate) fn count_for(self: &Arc<Self>, key: K) -> KeyedSlot<K> {
        *self.lock().by_key.entry(key.clone()).or_default() += 1;
        let permit = Arc::clone(&self.free).try_acquire_owned().ok();
        KeyedSlot { slots: Arc::clone(self), key, _permit: permit }
    }

    /// Takes a slot for `key`; where all are taken, the oldest one (of the key, if those are too
    /// many) is evicted.
    pub(crate) fn take_evicting(self: &Arc<Self>, key: K) -> EvictableSlot<K> {
        let mut holders = self.lock();
        let of_key = holders.by_key.get(&key).copied().unwrap_or(0);
        let mut permit = None;
        if of_key >= self.limit_per_key {
            permit = holders.evict_first(|holder| holder.key == key);
        }
        permit = permit
            .or_else(|| Arc::clone(&self.free).try_acquire_owned().ok())
            .or_else(|| holders.evict_first(|_| true));
        let number = holders.next;
        holders.next += 1;
        let evicted = CancellationToken::new();
        *holders.by_key.entry(key.clone()).or_default() += 1;
        holders.evictable.insert(number, Evictable { key, permit, evicted: evicted.clone() });
        drop(holders);
        EvictableSlot { slots: Arc::clone(self), number, evicted }
    }

    /// Evicts the holder that came first, if there is one.
    pub(crate) fn evict_oldest(&self) {
        drop(self.lock().evict_first(|_| true));
    }

    fn lock(&self) -> MutexGuard<'_, Holders<K>> {
        self.holders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash + Clone> Holders<K> {
    /// Evicts the first that is `meant`, and hands on what it held.
    fn evict_first(
        &mut self,
        meant: impl Fn(&Evictable<K>) -> bool,
    ) -> Option<OwnedSemaphorePermit> {
        let (number, _) = self.evictable.iter().find(|(_, holder)| meant(holder))?;
        let number = *number;
        let holder = self.remove(number)?;
        holder.evicted.cancel();
        holder.permit
    }

    fn remove(&mut self, number: u64) -> Option<Evictable<K>> {
        let holder = self.evictable.remove(&number)?;
        self.uncount(&holder.key);
        Some(holder)
    }
}

impl<K: Eq + Hash> Holders<K> {
    fn uncount(&mut self, key: &K) {
        if let Some(taken) = self.by_key.get_mut(key) {
            *taken = taken.saturating_sub(1);
            if *taken == 0 {
                self.by_key.remove(key);
            }
        }
    }
}

impl<K: Eq + Hash> Drop for KeyedSlot<K> {
    fn drop(&mut self) {
        self.slots.holders.lock().unwrap_or_else(PoisonError::into_inner).uncount(&self.key);
    }
}

impl<K: Eq + Hash + Clone> EvictableSlot<K> {
    /// Resolves when another has taken this slot.
    pub(crate) fn evicted(&self) -> CancellationToken {
        self.evicted.clone()
    }
}

impl<K: Eq + Hash + Clone> Drop for EvictableSlot<K> {
    fn drop(&mut self) {
        self.slots.lock().remove(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_evicted(slot: &EvictableSlot<u8>) -> bool {
        slot.evicted().is_cancelled()
    }

    #[test]
    fn the_oldest_is_evicted_where_there_are_too_many() {
        let slots = Slots::new(3, 2);
        let [a, b] = [1, 1].map(|key| slots.take_evicting(key));
        let c = slots.take_evicting(1);
        assert!(is_evicted(&a) && !is_evicted(&b) && !is_evicted(&c), "too many of one key");
        let d = slots.take_evicting(2);
        assert!(!is_evicted(&b), "three in all are not too many");
        let e = slots.take_evicting(3);
        assert!(is_evicted(&b), "too many in all");
        assert!(![&c, &d, &e].into_iter().any(is_evicted));
        slots.evict_oldest();
        assert!(is_evicted(&c) && !is_evicted(&d));
        drop((a, b, c, d, e));
        assert_eq!(slots.taken(), 0);
        assert!(slots.lock().evictable.is_empty() && slots.lock().by_key.is_empty());
        slots.evict_oldest();
    }

    #[test]
    fn slots_are_counted_beyond_their_limit() {
        let slots = Slots::new(3, usize::MAX);
        let all: Vec<_> = [1, 7, 7, 7, 7].map(|key| slots.count_for(key)).into();
        assert_eq!((slots.taken(), slots.taken_by(&7), slots.taken_by(&2)), (3, 4, 0));
        drop(all);
        assert!(slots.taken() == 0 && slots.lock().by_key.is_empty());
    }

    #[test]
    fn slots_of_a_key_are_limited_beside_all_slots() {
        let slots = Slots::new(3, usize::MAX);
        let take = |key| slots.try_take_for(key, 2);
        let (first, second, other) = (take(1).unwrap(), take(1).unwrap(), take(2).unwrap());
        assert_eq!([take(1).err(), take(2).err()], [Some(NoSlot::OfKey), Some(NoSlot::OfAll)]);
        assert_eq!(slots.holders(), [(1, 2), (2, 1)]);
        drop((first, other));
        assert!(take(2).is_ok() && take(1).is_ok());
        drop(second);
        assert_eq!((slots.taken(), slots.holders()), (0, Vec::new()));
    }

    #[tokio::test]
    async fn slots_are_waited_for_in_order() {
        let slots = Slots::of(1);
        let slot = slots.try_take().unwrap();
        assert!(slots.try_take().is_none());
        let waits = Arc::clone(&slots).take();
        drop(slot);
        assert!(waits.await.is_some() && slots.try_take().is_some());
        assert!(Slots::of(usize::MAX).try_take().is_some());
    }
}
