//! Which channel carries which call.
//!
//! Owns the channels of the daemon's sessions. A session has its own channel, so that its calls run
//! on one thread of the worker and its instances live as long as the session. A call that comes
//! while another has that channel borrows a further one.
//!
//! The worker releases a session's instances when the last channel that is bound to the session
//! goes. Each channel has its own thread there, and that of a borrowed channel may be the first
//! to run: then the borrowed channel stays bound until the session's own channel is.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use remote::{AnswerMemory, RequestMemory, Serializer, Session};
use wire::value::Value;

use crate::channel::{Channel, ExchangeError};
use crate::frames::{self, Answered};
use crate::run::Run;

/// The sessions of a worker.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    state: Mutex<SessionsState>,
}

#[derive(Debug, Default)]
struct SessionsState {
    slots: HashMap<u64, Slot>,
}

/// The channel of a session.
#[derive(Debug)]
enum Slot {
    /// It waits for a call.
    Idle { run: u64, channel: Channel },
    /// A call has it.
    Busy(BusySlot),
}

/// The session's channel while a call has it.
#[derive(Debug)]
struct BusySlot {
    run: u64,
    /// Whether the worker has bound the channel to the session, as its answers show.
    is_bound: bool,
    /// A borrowed channel that is bound in its place meanwhile.
    deputy: Option<Channel>,
    /// Whether the session has ended before the channel was known to be bound.
    has_ended: bool,
}

impl Slot {
    fn run(&self) -> u64 {
        match self {
            Slot::Idle { run, .. } | Slot::Busy(BusySlot { run, .. }) => *run,
        }
    }
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, SessionsState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A channel for a call of `session`: its own, unless that is in use.
    pub(crate) fn lease(
        self: &Arc<Self>,
        run: &Arc<Run>,
        session: &Arc<Session>,
    ) -> Result<Lease, ExchangeError> {
        let mut state = self.lock();
        let id = session.id;
        if let Some(Slot::Busy(busy)) = state.slots.get_mut(&id)
            && busy.run == run.number
        {
            let deputy = busy.deputy.take().filter(|channel| !channel.has_ended());
            drop(state);
            let channel = deputy.map_or_else(|| bound(run, session), Ok)?;
            return Ok(self.leased(channel, run, ChannelSource::Borrowed { session: id }));
        }
        // A stream may end, or a call begin, when its session has: without a slot the channel
        // closes after the call.
        if session.has_ended() {
            drop(state);
            return bound(run, session)
                .map(|channel| self.leased(channel, run, ChannelSource::Own { session: id }));
        }
        let idle = match state.slots.remove(&id) {
            Some(Slot::Idle { run: of, channel }) if of == run.number => Some(channel),
            _ => None,
        };
        let is_bound = idle.as_ref().is_some_and(Channel::has_sent_all);
        let busy = BusySlot { run: run.number, is_bound, deputy: None, has_ended: false };
        state.slots.insert(id, Slot::Busy(busy));
        drop(state);
        let own = idle.map_or_else(|| bound(run, session), Ok);
        own.inspect_err(|_| drop(self.lock().free(id, run, None)))
            .map(|channel| self.leased(channel, run, ChannelSource::Own { session: id }))
    }

    fn leased(self: &Arc<Self>, channel: Channel, run: &Arc<Run>, kind: ChannelSource) -> Lease {
        Lease {
            sessions: Arc::clone(self),
            run: Arc::clone(run),
            kind,
            channel: Some(channel),
            awaited: false,
            request_memory: None,
        }
    }

    /// Writes a frame without an answer on a session's own channel, if that is idle.
    pub(crate) fn tell(&self, run: &Run, session: u64, content: &Value) -> bool {
        match self.lock().slots.get_mut(&session) {
            Some(Slot::Idle { run: of, channel }) if *of == run.number => {
                channel.write_now(content)
            }
            _ => false,
        }
    }

    /// The session is over: its channel closes, now or after the call that has it.
    pub(crate) fn end(&self, session: u64) {
        let mut state = self.lock();
        let slot = match state.slots.get_mut(&session) {
            Some(Slot::Busy(busy)) if !busy.is_bound => {
                busy.has_ended = true;
                None
            }
            _ => state.slots.remove(&session),
        };
        drop(state);
        drop(slot);
    }

    /// Whether polls run in a run, and no call of a client.
    pub(crate) fn only_polls_run(&self, run: &Run) -> bool {
        let polls = run.polls();
        let is_busy = |slot: &Slot| matches!(slot, Slot::Busy(busy) if busy.run == run.number && !busy.has_ended);
        let state = self.lock();
        let mut busy = state.slots.iter().filter(|(_, slot)| is_busy(slot));
        !polls.is_empty() && busy.all(|(session, _)| polls.contains(session))
    }

    /// Closes what is left of a run.
    pub(crate) fn forget_run(&self, run: u64) {
        self.lock().slots.retain(|_, slot| slot.run() != run);
    }

    fn give_back(&self, kind: ChannelSource, run: &Run, channel: Channel) {
        let mut state = self.lock();
        let unused = match kind {
            ChannelSource::Own { session } => state.free(session, run, Some(channel)),
            ChannelSource::Borrowed { session } => state.keep_bound(session, run, channel),
        };
        drop(state);
        if let Some(mut channel) = unused
            && channel.write_now(&frames::unbind())
        {
            run.give_back(channel);
        }
    }

    /// The call has lost the channel.
    fn lost(&self, kind: ChannelSource, run: &Run) {
        if let ChannelSource::Own { session } = kind {
            self.lock().free(session, run, None);
        }
    }
}

impl SessionsState {
    /// Ends the use of a session's own channel, which is given unless it is lost. Returns a channel
    /// that the session no longer needs.
    fn free(&mut self, session: u64, run: &Run, own: Option<Channel>) -> Option<Channel> {
        // Without a slot the session has ended meanwhile, and its channel does now.
        let slot = self.slots.get_mut(&session).filter(|slot| slot.run() == run.number)?;
        let Slot::Busy(busy) = slot else { return None };
        let deputy = busy.deputy.take();
        let (kept, unused) = match own {
            // Its call was not sent, nor was what binds it.
            Some(own) if !own.has_sent_all() => (deputy.or(Some(own)), None),
            Some(own) => (Some(own), deputy),
            None => (deputy, None),
        };
        match kept {
            Some(channel) if !busy.has_ended => *slot = Slot::Idle { run: run.number, channel },
            // They close together: the worker releases the session once.
            _ => drop(self.slots.remove(&session)),
        }
        unused
    }

    /// Keeps a borrowed channel where no other one is known to be bound to its session; else
    /// returns it.
    fn keep_bound(&mut self, session: u64, run: &Run, borrowed: Channel) -> Option<Channel> {
        let slot = self.slots.get_mut(&session).filter(|slot| slot.run() == run.number);
        let place = match slot {
            Some(Slot::Busy(busy)) if !busy.is_bound && busy.deputy.is_none() => &mut busy.deputy,
            Some(Slot::Idle { channel, .. }) if !channel.has_sent_all() => {
                *channel = borrowed;
                return None;
            }
            _ => return Some(borrowed),
        };
        *place = Some(borrowed);
        None
    }
}

fn bound(run: &Run, session: &Session) -> Result<Channel, ExchangeError> {
    let mut channel = run.channel()?;
    channel.queue(&frames::bind(session))?;
    Ok(channel)
}

#[derive(Clone, Copy, Debug)]
enum ChannelSource {
    /// The session's own channel.
    Own { session: u64 },
    /// One from the pool, which is part of the session for the time of the call.
    Borrowed { session: u64 },
}

/// A channel in the hands of one call. When it is dropped, the channel goes back to where it is
/// from; while an answer is outstanding, a task waits for that first.
#[derive(Debug)]
pub(crate) struct Lease {
    sessions: Arc<Sessions>,
    run: Arc<Run>,
    kind: ChannelSource,
    /// None once it is lost or given back.
    channel: Option<Channel>,
    /// A request has been written, and its answer has not been read.
    awaited: bool,
    /// Memory of a large request: its arguments are in the worker until the answer.
    request_memory: Option<RequestMemory>,
}

impl Lease {
    /// Keeps the memory of a large request until its answer has come, also where nobody waits for
    /// that any longer.
    pub(crate) fn keep(&mut self, request_memory: Option<RequestMemory>) {
        self.request_memory = request_memory;
    }

    /// Sends a request and waits for its answer, or for the end of the worker.
    pub(crate) async fn exchange(&mut self, request: Value) -> Result<Answered, ExchangeError> {
        self.exchange_for(None, request, None).await
    }

    /// The same; an answer that `passes` to a caller with this serializer need not be read, and a
    /// large one waits for `memory`.
    pub(crate) async fn exchange_for(
        &mut self,
        passes: Option<Serializer>,
        request: Value,
        memory: Option<&AnswerMemory>,
    ) -> Result<Answered, ExchangeError> {
        let channel = self.channel.as_mut().ok_or_else(not_there)?;
        channel.queue_call(&request, self.run.facts.has_numpy)?;
        // Its values are in the worker's hands now; the call may take long.
        request.discard();
        self.awaited = true;
        let over = self.run.over.cancelled();
        let outcome = tokio::select! {
            biased;
            outcome = async {
                channel.flush().await?;
                channel.answer(passes, memory).await
            } => outcome,
            () = over => Err(ExchangeError::of_ended_worker()),
        };
        // One that has not been read is read by and by, for nobody.
        self.awaited = matches!(outcome, Err(ExchangeError::NoMemory(_)));
        if matches!(outcome, Err(ExchangeError::Io(_))) {
            self.channel = None;
            self.sessions.lost(self.kind, &self.run);
        } else {
            self.run.has_answered.store(true, Ordering::Relaxed);
        }
        outcome
    }
}

fn not_there() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(mut channel) = self.channel.take() else { return };
        let (sessions, run, kind) = (Arc::clone(&self.sessions), Arc::clone(&self.run), self.kind);
        let request_memory = self.request_memory.take();
        if !self.awaited {
            sessions.give_back(kind, &run, channel);
            return;
        }
        // The caller has gone, and the call has not: what it has begun goes on, and the channel
        // is of use only afterwards.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            sessions.lost(kind, &run);
            return;
        };
        runtime.spawn(async move {
            let finished = async {
                channel.flush().await?;
                channel.answer(None, None).await
            };
            let over = run.over.cancelled();
            let outcome = tokio::select! {
                outcome = finished => outcome,
                () = over => Err(ExchangeError::of_ended_worker()),
            };
            drop(request_memory);
            match outcome {
                Err(ExchangeError::Io(_)) => sessions.lost(kind, &run),
                _ => sessions.give_back(kind, &run, channel),
            }
        });
    }
}
