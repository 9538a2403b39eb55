//! Answers that wait for their clients to read them.
//!
//! Owns how much memory they may take together, and who gets it. An object takes room for a large
//! answer before it makes it, and waits where there is none: whoever reads is served in its turn.
//! Only the first room for an answer is waited for, so that nobody who has some waits for others.
//! While somebody waits, connections that hardly read go, and what others have read is given back.
//! A limit for each connection would be none: there are thousands. How an answer is sent is
//! [`sending`](super::sending)'s.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZero;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use wire::exception::Exception;

use crate::blocking::aside;

/// Who reads no more than this
const HARDLY: usize = 256 * 1024;
/// in this time goes where others wait.
const PERIOD: Duration = Duration::from_secs(5);
/// or than takes it so many of them for a large one: two minutes.
const PERIODS: usize = 24;
/// An answer waits for room for as long as this; then it is refused.
const PATIENCE: Duration = Duration::from_secs(120);

/// The answers that are being made and sent.
#[derive(Debug)]
pub(crate) struct Unread {
    most: Option<usize>,
    state: Mutex<State>,
    /// For making them: more at a time would only take each other's time, and everybody else's.
    turns: Semaphore,
}

#[derive(Debug, Default)]
struct State {
    bytes: usize,
    next: u64,
    holders: BTreeMap<u64, Holder>,
    waiting: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Holder {
    bytes: usize,
    /// Cancelled when its connection has to go.
    gone: CancellationToken,
    reading: Option<Reading>,
}

/// How a client reads its answer.
#[derive(Clone, Copy, Debug)]
struct Reading {
    since: Instant,
    taken: usize,
    /// So much is to be taken in a [`PERIOD`].
    owed: usize,
}

#[derive(Debug)]
struct Waiter {
    number: u64,
    bytes: usize,
    granted: oneshot::Sender<()>,
}

/// Room in memory for one answer. It holds none until some is taken, and gives it back when the
/// answer is sent, or when it is dropped.
#[derive(Clone, Debug)]
pub struct AnswerRoom(pub(crate) Arc<Place>);

/// What has a number of its own among the holders or those who wait.
#[derive(Debug)]
pub(crate) struct Place {
    unread: Arc<Unread>,
    number: u64,
}

impl AnswerRoom {
    /// Takes room for so many bytes in all, if it has some already or others leave as much. True if
    /// it has it then.
    pub fn take(&self, bytes: usize) -> bool {
        let Place { unread, number } = &*self.0;
        let Some(most) = unread.most else { return true };
        let mut state = unread.lock();
        if !state.holders.contains_key(number) {
            let fits = state.waiting.is_empty() && state.fits(bytes, most);
            if !fits {
                return false;
            }
            state.hold(*number, 0);
        }
        state.resize(*number, |known| known.max(bytes));
        true
    }

    /// Whether it holds some.
    pub fn is_taken(&self) -> bool {
        let Place { unread, number } = &*self.0;
        unread.lock().holders.contains_key(number)
    }

    /// As [`take`](Self::take), waiting where others leave less.
    ///
    /// # Errors
    /// Others do not leave any, and do read their answers.
    pub async fn wait(&self, bytes: usize) -> Result<(), Exception> {
        if self.take(bytes) {
            return Ok(());
        }
        let Place { unread, number } = &*self.0;
        let (granted, mut told) = oneshot::channel();
        unread.lock().waiting.push_back(Waiter { number: *number, bytes, granted });
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = Instant::now();
            let look_again = unread.settle(now).unwrap_or(deadline).min(deadline);
            tokio::select! {
                biased;
                _ = &mut told => return Ok(()),
                () = sleep_until(look_again) => {}
            }
            if now >= deadline {
                unread.lock().waiting.retain(|waiter| waiter.number != *number);
                // No `CommunicationError`: a stock client would give up its connection for that, and
                // the locks and instances that it has by it.
                return Err(Exception::daemon_error(format!(
                    "the daemon is busy with other large answers: no room in memory for this \
                         one within {} s; try again later, or ask for less",
                    PATIENCE.as_secs()
                )));
            }
        }
    }

    /// As [`Place::begin`].
    pub(crate) fn begin(&self, bytes: usize) -> CancellationToken {
        self.0.begin(bytes)
    }

    /// As [`Place::took`].
    pub(crate) fn took(&self, bytes: usize) {
        let _others_wait = self.0.took(bytes);
    }

    /// Makes the answer, beside the runtime's threads and a few at a time.
    pub(crate) async fn make<T>(&self, work: impl FnOnce() -> T) -> T {
        // The semaphore is never closed.
        let _turn = self.0.unread.turns.acquire().await;
        aside(work)
    }
}

impl Place {
    /// The answer of so many bytes is made, and is sent from now on.
    pub(crate) fn begin(&self, bytes: usize) -> CancellationToken {
        let mut state = self.unread.lock();
        if !state.holders.contains_key(&self.number) {
            // It is there already: to wait would only keep it longer.
            state.hold(self.number, 0);
        }
        state.resize(self.number, |_| bytes);
        let holder = state.holders.get_mut(&self.number);
        let gone = holder.map_or_else(CancellationToken::new, |holder| {
            let owed = (bytes / PERIODS).max(HARDLY);
            holder.reading = Some(Reading { since: Instant::now(), taken: 0, owed });
            holder.gone.clone()
        });
        drop(state);
        self.unread.settle(Instant::now());
        gone
    }

    /// The client has taken so much. True if others wait for room.
    pub(crate) fn took(&self, bytes: usize) -> bool {
        let mut state = self.unread.lock();
        let holder = state.holders.get_mut(&self.number);
        if let Some(reading) = holder.and_then(|holder| holder.reading.as_mut()) {
            reading.taken += bytes;
            if reading.taken >= reading.owed {
                *reading = Reading { since: Instant::now(), taken: 0, ..*reading };
            }
        }
        !state.waiting.is_empty()
    }

    /// It holds so much now.
    pub(crate) fn shrink(&self, bytes: usize) {
        self.unread.lock().resize(self.number, |known| known.min(bytes));
        self.unread.settle(Instant::now());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.unread.lock();
        state.let_go(self.number);
        state.waiting.retain(|waiter| waiter.number != self.number);
        drop(state);
        self.unread.settle(Instant::now());
    }
}

impl Unread {
    /// Whether there is a limit.
    pub(crate) fn is_limited(&self) -> bool {
        self.most.is_some()
    }

    /// Room for so many bytes; any number if absent.
    pub(crate) fn new(most: Option<usize>) -> Self {
        let turns = available_parallelism().map_or(1, NonZero::get);
        Unread { most, state: Mutex::default(), turns: Semaphore::new(turns) }
    }

    /// Room for an answer, none of it taken yet.
    pub(crate) fn room(unread: &Arc<Self>) -> AnswerRoom {
        let mut state = unread.lock();
        let number = state.next;
        state.next += 1;
        drop(state);
        AnswerRoom(Arc::new(Place { unread: Arc::clone(unread), number }))
    }

    /// Gives those who wait what room there is, in their order, and shows out who keeps it from them;
    /// when to look again, if somebody is still waiting for somebody who could have to go.
    fn settle(&self, now: Instant) -> Option<Instant> {
        let most = self.most?;
        let mut state = self.lock();
        loop {
            let next = state.waiting.front().map(|waiter| waiter.bytes);
            if next.is_none() && state.bytes <= most {
                return None;
            }
            if next.is_some_and(|bytes| state.fits(bytes, most)) {
                if let Some(Waiter { number, bytes, granted }) = state.waiting.pop_front() {
                    state.hold(number, bytes);
                    // Who has gone meanwhile gives it back at once.
                    let _ = granted.send(());
                }
                continue;
            }
            let readers = state.holders.iter();
            let slow = readers.filter_map(|(number, it)| Some((it.reading?.since, *number))).min();
            match slow {
                Some((since, number)) if now >= since + PERIOD => {
                    if let Some(holder) = state.let_go(number) {
                        holder.gone.cancel();
                    }
                }
                Some((since, _)) => return Some(since + PERIOD),
                None => return Some(now + PERIOD),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// One that needs more than there is has all of it to itself.
    fn fits(&self, bytes: usize, most: usize) -> bool {
        self.bytes == 0 || self.bytes.saturating_add(bytes) <= most
    }

    fn hold(&mut self, number: u64, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
        let holder = Holder { bytes, gone: CancellationToken::new(), reading: None };
        self.holders.insert(number, holder);
    }

    fn resize(&mut self, number: u64, size: impl FnOnce(usize) -> usize) {
        if let Some(holder) = self.holders.get_mut(&number) {
            self.bytes = self.bytes.saturating_sub(holder.bytes);
            holder.bytes = size(holder.bytes);
            self.bytes = self.bytes.saturating_add(holder.bytes);
        }
    }

    fn let_go(&mut self, number: u64) -> Option<Holder> {
        let holder = self.holders.remove(&number)?;
        self.bytes = self.bytes.saturating_sub(holder.bytes);
        Some(holder)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Waker};

    use super::*;

    const MIB: usize = 1 << 20;

    fn unread() -> Arc<Unread> {
        Arc::new(Unread::new(Some(10 * MIB)))
    }

    fn bytes(unread: &Unread) -> usize {
        unread.lock().bytes
    }

    fn is_waiting<F: Future>(waits: &mut Pin<Box<F>>) -> bool {
        waits.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_waits_for_room_and_others_behind_it_in_their_order() {
        let unread = unread();
        let room = || Unread::room(&unread);
        let (first, second, third, fourth) = (room(), room(), room(), room());
        assert!(first.take(6 * MIB) && first.take(7 * MIB) && first.take(MIB));
        assert_eq!(bytes(&unread), 7 * MIB, "what it has it keeps");
        let mut waits = Box::pin(second.wait(4 * MIB));
        assert!(is_waiting(&mut waits));
        assert!(!third.take(MIB), "there is room, but not before those who wait");
        let mut behind = Box::pin(third.wait(MIB));
        assert!(is_waiting(&mut behind));
        assert!(first.take(20 * MIB), "who has some waits for nobody");
        drop(first);
        assert!(waits.await.is_ok() && behind.await.is_ok());
        assert_eq!(bytes(&unread), 5 * MIB);
        {
            let mut gives_up = Box::pin(fourth.wait(8 * MIB));
            assert!(is_waiting(&mut gives_up));
        }
        drop((second, third, fourth));
        assert_eq!(bytes(&unread), 0);
        assert!(unread.lock().waiting.is_empty());
        assert!(room().take(30 * MIB), "one that needs more than there is has all of it");
        let unlimited = Arc::new(Unread::new(None));
        assert!(Unread::room(&unlimited).take(usize::MAX));
    }

    #[tokio::test(start_paused = true)]
    async fn who_hardly_reads_goes_when_others_wait_and_only_then() {
        let unread = unread();
        let room = || Unread::room(&unread);
        let (reads, hardly_reads, makes) = (room(), room(), room());
        assert!(makes.take(MIB));
        let reads_on = reads.0.begin(4 * MIB);
        let goes = hardly_reads.0.begin(4 * MIB);
        let long = async || {
            for _ in 0..20 {
                tokio::time::advance(PERIOD / 10).await;
                reads.0.took(HARDLY / 4);
                hardly_reads.0.took(HARDLY / 20);
                tokio::task::yield_now().await;
            }
        };
        long().await;
        assert!(!goes.is_cancelled(), "it harms nobody");
        let next = room();
        let (waited, ()) = tokio::join!(next.wait(5 * MIB), long());
        waited.unwrap();
        assert!(goes.is_cancelled() && !reads_on.is_cancelled());
        assert_eq!(bytes(&unread), 10 * MIB);
        drop(hardly_reads);
        assert_eq!(bytes(&unread), 10 * MIB, "it counts no more");
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_a_large_one_for_longer_than_two_minutes_goes_for_the_next() {
        let unread = unread();
        let room = || Unread::room(&unread);
        let (slow, small) = (room(), room());
        let goes = slow.0.begin(9 * MIB * 100);
        let stays = small.0.begin(MIB / 2);
        for _ in 0..20 {
            tokio::time::advance(PERIOD / 10).await;
            slow.0.took(2 * HARDLY);
            small.0.took(HARDLY / 9);
        }
        assert!(!goes.is_cancelled());
        // Nobody waits: the next answer is there already.
        let next = room();
        let _sent = next.0.begin(MIB);
        assert!(goes.is_cancelled() && !stays.is_cancelled());
        assert_eq!(bytes(&unread), MIB + MIB / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_too_long_is_told() {
        let unread = unread();
        let (makes, waits) = (Unread::room(&unread), Unread::room(&unread));
        assert!(makes.take(10 * MIB));
        let refused = waits.wait(MIB).await.unwrap_err();
        assert!(refused.message().contains("busy with other large answers"), "{refused}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn others_go_on_while_a_large_answer_is_made() {
        let room = Unread::room(&unread());
        let making = tokio::spawn(async move {
            room.make(|| {
                let (tell, told) = std::sync::mpsc::channel();
                tokio::spawn(async move { tell.send(()) });
                told.recv_timeout(Duration::from_secs(60))
            })
            .await
        });
        assert_eq!(making.await.unwrap(), Ok(()));
    }
}
