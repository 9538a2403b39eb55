//! A budget of bytes: memory that requests or answers may take together.
//!
//! Memory is reserved before it is used. Requests for it queue in order, up to a deadline; one that
//! needs more than there is has all of it to itself. While others wait, a peer that hardly takes or
//! sends its bytes is evicted. There is no limit for each connection: there are thousands of them.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use wire::exception::Exception;

use crate::object::{AnswerBudget, BoxFuture};

/// How long a peer has to move as many bytes as it owes; then it is evicted, if others wait.
const SLOW_PEER_WINDOW: Duration = Duration::from_secs(5);
/// Bytes that a peer owes in each window, at least.
const SLOW_PEER_BYTES: usize = 256 * 1024;
/// Windows in which the whole message has to be moved: a large one has two minutes.
const WINDOWS_PER_MESSAGE: usize = 24;

/// Memory for one purpose, in bytes.
#[derive(Debug)]
pub(crate) struct ByteBudget {
    /// No limit if absent.
    limit: Option<usize>,
    deadline: Duration,
    next: AtomicU64,
    state: Mutex<BudgetState>,
}

#[derive(Debug, Default)]
struct BudgetState {
    bytes: usize,
    holders: HashMap<u64, Holder>,
    waiting: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Holder {
    bytes: usize,
    transfer: Option<Transfer>,
}

/// How a peer takes its answer, or sends its request.
#[derive(Debug)]
struct Transfer {
    window_began: Instant,
    moved: usize,
    owed: usize,
    evicted: CancellationToken,
}

#[derive(Debug)]
struct Waiter {
    number: u64,
    bytes: usize,
    granted: oneshot::Sender<()>,
}

/// Nobody released as many bytes before the budget's deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoMemory {
    pub(crate) waited: Duration,
}

/// Bytes of a budget, released when this is dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    budget: Arc<ByteBudget>,
    number: u64,
}

impl ByteBudget {
    /// `limit` bytes, unlimited if absent; who waits for some is refused at the `deadline`.
    pub(crate) fn new(limit: Option<usize>, deadline: Duration) -> Arc<Self> {
        let (next, state) = (AtomicU64::new(0), Mutex::default());
        Arc::new(ByteBudget { limit, deadline, next, state })
    }

    pub(crate) fn is_limited(&self) -> bool {
        self.limit.is_some()
    }

    /// A reservation of no bytes yet.
    pub(crate) fn reservation(self: &Arc<Self>) -> Reservation {
        Reservation { number: self.next_number(), budget: Arc::clone(self) }
    }

    /// Reserves `bytes`, if others leave as many.
    pub(crate) fn try_take(self: &Arc<Self>, bytes: usize) -> Option<Reservation> {
        let reservation = self.reservation();
        self.try_reserve(reservation.number, bytes).then_some(reservation)
    }

    /// As [`try_reserve`](AnswerBudget::try_reserve), waiting in order where others leave less.
    ///
    /// Only the first bytes of a holder are waited for, so that no holder waits for another.
    async fn wait(&self, number: u64, bytes: usize) -> Result<(), NoMemory> {
        if self.try_reserve(number, bytes) {
            return Ok(());
        }
        let (granted, mut is_granted) = oneshot::channel();
        self.lock().waiting.push_back(Waiter { number, bytes, granted });
        let deadline = Instant::now() + self.deadline;
        loop {
            let now = Instant::now();
            let look_again = self.settle(now).unwrap_or(deadline).min(deadline);
            tokio::select! {
                biased;
                _ = &mut is_granted => return Ok(()),
                () = sleep_until(look_again) => {}
            }
            if now >= deadline {
                self.lock().waiting.retain(|waiter| waiter.number != number);
                return Err(NoMemory { waited: self.deadline });
            }
        }
    }

    /// A message of `bytes` is transferred from now on; the token is cancelled when its peer is
    /// evicted. It is in memory already, so that it waits for nothing.
    pub(crate) fn begin_transfer(&self, number: u64, bytes: usize) -> CancellationToken {
        let evicted = CancellationToken::new();
        let mut state = self.lock();
        let holder = state.resize(number, |_| bytes);
        holder.transfer = Some(Transfer {
            window_began: Instant::now(),
            moved: 0,
            owed: (bytes / WINDOWS_PER_MESSAGE).max(SLOW_PEER_BYTES),
            evicted: evicted.clone(),
        });
        drop(state);
        self.settle(Instant::now());
        evicted
    }

    /// The peer has taken or sent as many bytes. True if others wait for memory.
    pub(crate) fn transferred(&self, number: u64, bytes: usize) -> bool {
        let mut state = self.lock();
        let holder = state.holders.get_mut(&number);
        if let Some(transfer) = holder.and_then(|holder| holder.transfer.as_mut()) {
            transfer.moved += bytes;
            if transfer.moved >= transfer.owed {
                (transfer.window_began, transfer.moved) = (Instant::now(), 0);
            }
        }
        !state.waiting.is_empty()
    }

    /// Releases what `number` has beyond `bytes`.
    pub(crate) fn shrink(&self, number: u64, bytes: usize) {
        let mut state = self.lock();
        if state.holders.contains_key(&number) {
            state.resize(number, |known| known.min(bytes));
        }
        drop(state);
        self.settle(Instant::now());
    }

    /// Grants what fits, in order, and evicts slow peers that keep it from others; when to look
    /// again, if somebody still waits.
    fn settle(&self, now: Instant) -> Option<Instant> {
        let limit = self.limit?;
        let mut state = self.lock();
        loop {
            let next = state.waiting.front().map(|waiter| waiter.bytes);
            if next.is_none() && state.bytes <= limit {
                return None;
            }
            if next.is_some_and(|bytes| state.fits(bytes, limit)) {
                if let Some(Waiter { number, bytes, granted }) = state.waiting.pop_front() {
                    state.resize(number, |_| bytes);
                    // One that has given up meanwhile releases it at once.
                    let _ = granted.send(());
                }
                continue;
            }
            match state.slowest() {
                Some((began, number)) if now >= began + SLOW_PEER_WINDOW => {
                    let holder = state.release(number);
                    if let Some(transfer) = holder.and_then(|holder| holder.transfer) {
                        transfer.evicted.cancel();
                    }
                }
                Some((began, _)) => return Some(began + SLOW_PEER_WINDOW),
                None => return Some(now + SLOW_PEER_WINDOW),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BudgetState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The budget for answers, as objects use it.
impl AnswerBudget for ByteBudget {
    fn next_number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    fn try_reserve(&self, number: u64, bytes: usize) -> bool {
        let Some(limit) = self.limit else { return true };
        let mut state = self.lock();
        if !state.holders.contains_key(&number) {
            let fits = state.waiting.is_empty() && state.fits(bytes, limit);
            if !fits {
                return false;
            }
        }
        state.resize(number, |known| known.max(bytes));
        true
    }

    fn reserve(self: Arc<Self>, number: u64, bytes: usize) -> BoxFuture<Result<(), Exception>> {
        Box::pin(async move {
            // No `CommunicationError`: a stock client would give up its connection for that, and
            // the locks and instances that it has by it.
            self.wait(number, bytes).await.map_err(|NoMemory { waited }| {
                Exception::daemon_error(format!(
                    "the daemon is busy with other large answers: no room in memory for this \
                         one within {} s; try again later, or ask for less",
                    waited.as_secs()
                ))
            })
        })
    }

    fn is_reserved(&self, number: u64) -> bool {
        self.lock().holders.contains_key(&number)
    }

    fn release(&self, number: u64) {
        let mut state = self.lock();
        state.release(number);
        state.waiting.retain(|waiter| waiter.number != number);
        drop(state);
        self.settle(Instant::now());
    }
}

impl BudgetState {
    fn fits(&self, bytes: usize, limit: usize) -> bool {
        self.bytes == 0 || self.bytes.saturating_add(bytes) <= limit
    }

    fn resize(&mut self, number: u64, size: impl FnOnce(usize) -> usize) -> &mut Holder {
        let holder = self.holders.entry(number).or_insert(Holder { bytes: 0, transfer: None });
        self.bytes = self.bytes.saturating_sub(holder.bytes);
        holder.bytes = size(holder.bytes);
        self.bytes = self.bytes.saturating_add(holder.bytes);
        holder
    }

    fn release(&mut self, number: u64) -> Option<Holder> {
        let holder = self.holders.remove(&number)?;
        self.bytes = self.bytes.saturating_sub(holder.bytes);
        Some(holder)
    }

    /// The peer whose window began first.
    fn slowest(&self) -> Option<(Instant, u64)> {
        let began = |(number, holder): (&u64, &Holder)| {
            holder.transfer.as_ref().map(|transfer| (transfer.window_began, *number))
        };
        self.holders.iter().filter_map(began).min()
    }
}

impl Reservation {
    /// Reserves `bytes` in all, waiting in order where others leave less.
    pub(crate) async fn reserve(&self, bytes: usize) -> Result<(), NoMemory> {
        self.budget.wait(self.number, bytes).await
    }

    /// Reserves `bytes` in all if others leave as many and nobody waits; does not wait, since a
    /// holder that waits for another may be waited for.
    pub(crate) fn try_grow(&self, bytes: usize) -> bool {
        let Some(limit) = self.budget.limit else { return true };
        let mut state = self.budget.lock();
        let known = state.holders.get(&self.number).map_or(0, |holder| holder.bytes);
        let is_alone = state.bytes == known;
        let fits = is_alone || state.bytes.saturating_sub(known).saturating_add(bytes) <= limit;
        let may = fits && state.waiting.is_empty();
        if may {
            state.resize(self.number, |known| known.max(bytes));
        }
        may
    }

    /// As [`ByteBudget::begin_transfer`].
    pub(crate) fn begin_transfer(&self, bytes: usize) -> CancellationToken {
        self.budget.begin_transfer(self.number, bytes)
    }

    /// As [`ByteBudget::transferred`].
    pub(crate) fn transferred(&self, bytes: usize) {
        self.budget.transferred(self.number, bytes);
    }

    /// As [`ByteBudget::shrink`].
    pub(crate) fn shrink(&self, bytes: usize) {
        self.budget.shrink(self.number, bytes);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.release(self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Waker};

    use super::*;

    const MIB: usize = 1 << 20;
    const DEADLINE: Duration = Duration::from_secs(120);

    fn budget() -> Arc<ByteBudget> {
        ByteBudget::new(Some(10 * MIB), DEADLINE)
    }

    fn bytes(budget: &ByteBudget) -> usize {
        budget.lock().bytes
    }

    fn take(reservation: &Reservation, bytes: usize) -> bool {
        reservation.budget.try_reserve(reservation.number, bytes)
    }

    fn is_waiting<F: Future>(waits: &mut Pin<Box<F>>) -> bool {
        waits.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_granted_in_order() {
        let budget = budget();
        let [first, second, third, fourth] = [(); 4].map(|()| budget.reservation());
        assert!(take(&first, 6 * MIB) && take(&first, 7 * MIB) && take(&first, MIB));
        assert_eq!(bytes(&budget), 7 * MIB, "what it has it keeps");
        let mut waits = Box::pin(second.reserve(4 * MIB));
        assert!(is_waiting(&mut waits));
        assert!(!take(&third, MIB), "there is memory, but not before those who wait");
        let mut next = Box::pin(third.reserve(MIB));
        assert!(is_waiting(&mut next));
        assert!(take(&first, 20 * MIB), "a holder waits for nobody");
        drop(first);
        assert!(waits.await.is_ok() && next.await.is_ok());
        assert_eq!(bytes(&budget), 5 * MIB);
        {
            let mut gives_up = Box::pin(fourth.reserve(8 * MIB));
            assert!(is_waiting(&mut gives_up));
        }
        drop((second, third, fourth));
        assert_eq!(bytes(&budget), 0);
        assert!(budget.lock().waiting.is_empty());
        assert!(budget.try_take(30 * MIB).is_some(), "one that needs more has all of it");
        assert!(ByteBudget::new(None, DEADLINE).try_take(usize::MAX).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_peer_is_evicted_when_others_wait_and_only_then() {
        let budget = budget();
        let [fast, slow, makes] = [(); 3].map(|()| budget.reservation());
        assert!(take(&makes, MIB));
        let fast_evicted = fast.begin_transfer(4 * MIB);
        let slow_evicted = slow.begin_transfer(4 * MIB);
        let long = async || {
            for _ in 0..20 {
                tokio::time::advance(SLOW_PEER_WINDOW / 10).await;
                fast.transferred(SLOW_PEER_BYTES / 4);
                slow.transferred(SLOW_PEER_BYTES / 20);
                tokio::task::yield_now().await;
            }
        };
        long().await;
        assert!(!slow_evicted.is_cancelled(), "it harms nobody");
        let next = budget.reservation();
        let (waited, ()) = tokio::join!(next.reserve(5 * MIB), long());
        waited.unwrap();
        assert!(slow_evicted.is_cancelled() && !fast_evicted.is_cancelled());
        assert_eq!(bytes(&budget), 10 * MIB);
        drop(slow);
        assert_eq!(bytes(&budget), 10 * MIB, "it does not count any more");
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_message_has_two_minutes_where_others_need_its_memory() {
        let budget = budget();
        let [slow, small] = [(); 2].map(|()| budget.reservation());
        let slow_evicted = slow.begin_transfer(9 * MIB * 100);
        let small_evicted = small.begin_transfer(MIB / 2);
        for _ in 0..20 {
            tokio::time::advance(SLOW_PEER_WINDOW / 10).await;
            slow.transferred(2 * SLOW_PEER_BYTES);
            small.transferred(SLOW_PEER_BYTES / 9);
        }
        assert!(!slow_evicted.is_cancelled());
        // Nobody waits: the next message is in memory already.
        let next = budget.reservation();
        let _evicted = next.begin_transfer(MIB);
        assert!(slow_evicted.is_cancelled() && !small_evicted.is_cancelled());
        assert_eq!(bytes(&budget), MIB + MIB / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_waits_for_too_long_is_refused() {
        let budget = budget();
        let (makes, waits) = (budget.reservation(), budget.reservation());
        assert!(take(&makes, 10 * MIB));
        assert_eq!(waits.reserve(MIB).await, Err(NoMemory { waited: DEADLINE }));
    }
}
