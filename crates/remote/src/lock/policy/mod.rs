//! The rules of one lock.
//!
//! Owns who has the lock, who is next, and which calls may run. Everything that happens comes in as
//! an event with its time; what is to be done about it goes out as [`Effect`]s. It refuses to know
//! sockets, clocks, tasks and instruments.
//!
//! The invariants, which [`check`](super::check) tries to break:
//!
//! - One owner at a time, and a new epoch for each; epochs only rise.
//! - A grant waits until no call of another connection runs. Meanwhile no new one begins.
//! - Whoever waits is served in order. A token's owner goes first: the lock is its own already.
//! - Behind an owner that did not give the lock up itself, the object comes to rest before the
//!   next grant and before anybody's next call.
//! - A connection that has lost its lock drives no more, until it asks for the lock again.

mod steps;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::token::TokenHash;
use super::words::{Break, Event, Loss, Outcome, Party, Record, Refusal, Request};
use steps::locked;

/// How long a plain `lock()` waits for calls that are just running.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// Requests that may wait for one lock.
const MOST_WAITING: usize = 10_000;
/// Tokens of broken locks that are remembered until their owners are told.
const MOST_REVOKED: usize = 16;

/// One request's number; the shell makes it and never uses it twice.
pub(crate) type Ticket = u64;

/// What the shell has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Answer the request of this ticket. Every ticket is answered once.
    Answer(Ticket, Outcome),
    /// Bring the object to rest, then report [`Lock::rested`].
    Rest,
    /// Remember this.
    Record(Record),
}

/// The lock of one object.
#[derive(Debug)]
pub(crate) struct Lock {
    state: State,
    queue: VecDeque<Waiting>,
    /// Driving calls that run, for each session.
    calls: BTreeMap<u64, u32>,
    /// Sessions that lost the lock, until they have it again or are gone.
    lost: BTreeMap<u64, Lost>,
    /// Of those, the ones whose session is over while calls of it still run: a batch of a dead client
    /// must not go on.
    ghosts: BTreeSet<u64>,
    /// Tokens of locks that were broken while their owner was away.
    revoked: VecDeque<(TokenHash, Break)>,
    next_epoch: u64,
    /// Whether there is anything to do at an owner's unwanted end.
    rests: bool,
}

#[derive(Debug)]
enum State {
    Free,
    Held(Hold),
    /// The owner's connection has ended, and it may come back with its token.
    Away {
        hold: Hold,
        until: Instant,
    },
    /// The lock is nobody's; the owner's last calls still run, and then it comes to rest.
    Ending {
        after: Party,
    },
    /// The object is being brought to rest.
    Resting {
        after: Party,
    },
}

/// Somebody's possession of the lock.
#[derive(Clone, Debug)]
pub(crate) struct Hold {
    pub(crate) owner: Party,
    pub(crate) epoch: u64,
    pub(crate) since: Instant,
    /// The owner's last call.
    pub(crate) used: Instant,
    token: Option<(TokenHash, Duration)>,
}

#[derive(Debug)]
struct Waiting {
    ticket: Ticket,
    request: Request,
    deadline: Instant,
    kind: Kind,
}

/// What a ticket waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Only for running calls to end.
    Plain,
    /// For whoever is before it.
    Patient,
    /// For the last calls of its own earlier connection: it has shown the token.
    Resuming,
}

#[derive(Debug)]
struct Lost {
    loss: Loss,
    told: bool,
}

impl Lock {
    /// A lock that nobody has. Epochs begin with `first_epoch`.
    pub(crate) fn new(first_epoch: u64, rests: bool) -> Self {
        Lock {
            state: State::Free,
            queue: VecDeque::new(),
            calls: BTreeMap::new(),
            lost: BTreeMap::new(),
            ghosts: BTreeSet::new(),
            revoked: VecDeque::new(),
            next_epoch: first_epoch,
            rests,
        }
    }

    /// Whoever has the lock, and until when it is kept where its owner is away.
    pub(crate) fn hold(&self) -> Option<(&Hold, Option<Instant>)> {
        match &self.state {
            State::Held(hold) => Some((hold, None)),
            State::Away { hold, until } => Some((hold, Some(*until))),
            State::Free | State::Ending { .. } | State::Resting { .. } => None,
        }
    }

    /// Whether the object is brought to rest because of this session, or is about to be.
    pub(crate) fn rests_after(&self, session: u64) -> bool {
        match &self.state {
            State::Ending { after } | State::Resting { after } => after.session == session,
            State::Free | State::Held(_) | State::Away { .. } => false,
        }
    }

    /// The tickets that wait, in order.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = (Ticket, &Party)> {
        self.queue.iter().map(|waiting| (waiting.ticket, &waiting.request.party))
    }

    /// When [`tick`](Self::tick) has something to do next.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let away = match &self.state {
            State::Away { until, .. } if !self.is_resuming() => Some(*until),
            _ => None,
        };
        self.queue.iter().map(|waiting| waiting.deadline).chain(away).min()
    }

    /// Somebody asks for the lock; the answer comes as an effect, now or later.
    pub(crate) fn request(
        &mut self,
        now: Instant,
        ticket: Ticket,
        request: Request,
        effects: &mut Vec<Effect>,
    ) {
        match self.place(now, &request) {
            Ok(Some(kind)) => {
                let wait = match kind {
                    Kind::Plain => PATIENCE,
                    Kind::Patient => request.wait.unwrap_or(PATIENCE),
                    Kind::Resuming => request.wait.unwrap_or(PATIENCE).max(PATIENCE),
                };
                let waiting = Waiting { ticket, request, deadline: now + wait, kind };
                match kind {
                    Kind::Resuming => self.queue.push_front(waiting),
                    Kind::Plain | Kind::Patient => self.queue.push_back(waiting),
                }
                self.take_over(now, effects);
                self.advance(now, effects);
                // A wait of no time at all ends now.
                self.tick(now, effects);
            }
            Ok(None) => {
                let State::Held(hold) = &mut self.state else { return };
                hold.used = now;
                hold.token = request.token.or(hold.token);
                let granted = Outcome::Granted { epoch: hold.epoch };
                effects.push(Effect::Answer(ticket, granted));
            }
            Err(refusal) => effects.push(Effect::Answer(ticket, Outcome::Refused(refusal))),
        }
    }

    /// The owner gives the lock up; false if nobody has it.
    pub(crate) fn unlock(
        &mut self,
        now: Instant,
        session: u64,
        effects: &mut Vec<Effect>,
    ) -> Result<bool, Refusal> {
        if let Some(Lost { loss, .. }) = self.lost.remove(&session) {
            return Err(Refusal::Lost(loss));
        }
        match &self.state {
            State::Held(hold) if hold.owner.session == session => {
                self.end(now, Event::Unlocked, effects);
                self.advance(now, effects);
                Ok(true)
            }
            State::Held(hold) | State::Away { hold, .. } => Err(locked(&hold.owner)),
            State::Free | State::Ending { .. } | State::Resting { .. } => Ok(false),
        }
    }

    /// Somebody takes the lock away from whoever has it; false if nobody does.
    pub(crate) fn break_it(
        &mut self,
        now: Instant,
        broken: Break,
        effects: &mut Vec<Effect>,
    ) -> bool {
        match &self.state {
            State::Held(hold) => {
                let loss = Loss::Broken(broken.clone());
                self.lost.insert(hold.owner.session, Lost { loss, told: false });
            }
            State::Away { hold, .. } => {
                if let Some((token, _)) = hold.token {
                    self.revoked.truncate(MOST_REVOKED - 1);
                    self.revoked.push_front((token, broken.clone()));
                }
            }
            State::Free | State::Ending { .. } | State::Resting { .. } => return false,
        }
        self.refuse_resuming(Loss::Broken(broken.clone()), effects);
        self.end(now, Event::Broken(broken), effects);
        self.advance(now, effects);
        true
    }

    /// The connection of a session has ended. Its calls may still run.
    pub(crate) fn disconnect(&mut self, now: Instant, session: u64, effects: &mut Vec<Effect>) {
        self.queue.retain(|waiting| {
            let stays = waiting.request.party.session != session;
            if !stays {
                let gone = Outcome::Refused(Refusal::Lost(Loss::Gone));
                effects.push(Effect::Answer(waiting.ticket, gone));
            }
            stays
        });
        match &self.state {
            State::Held(hold) if hold.owner.session == session => {
                self.lost.insert(session, Lost { loss: Loss::Gone, told: true });
                match hold.token {
                    Some((_, ttl)) if !ttl.is_zero() => self.suspend(now, ttl, effects),
                    _ => self.end(now, Event::Disconnected, effects),
                }
            }
            _ => {}
        }
        self.advance(now, effects);
    }

    /// Nothing more will come of a session but the ends of its calls.
    pub(crate) fn forget(&mut self, now: Instant, session: u64, effects: &mut Vec<Effect>) {
        self.disconnect(now, session, effects);
        if self.calls.contains_key(&session) {
            self.ghosts.insert(session);
        } else {
            self.lost.remove(&session);
        }
    }

    /// A call wants to run; a `read` is one that others may make while the object is locked.
    ///
    /// # Errors
    /// It must not run. Otherwise, and if it is no read, its end has to be reported.
    pub(crate) fn call_start(
        &mut self,
        now: Instant,
        session: u64,
        read: bool,
    ) -> Result<(), Refusal> {
        if let State::Held(hold) = &mut self.state
            && hold.owner.session == session
        {
            hold.used = now;
        }
        if read {
            return Ok(());
        }
        if let Some(lost) = self.lost.get_mut(&session) {
            lost.told = true;
            return Err(Refusal::Lost(lost.loss.clone()));
        }
        match &self.state {
            State::Held(hold) if hold.owner.session == session => {}
            State::Held(hold) | State::Away { hold, .. } => return Err(locked(&hold.owner)),
            State::Ending { after } | State::Resting { after } => {
                return Err(Refusal::Resting { after: after.name().to_owned() });
            }
            State::Free => match self.queue.front() {
                // Or else a stream of calls would keep the lock from ever being granted.
                Some(next) if next.request.party.session != session => {
                    return Err(locked(&next.request.party));
                }
                _ => {}
            },
        }
        *self.calls.entry(session).or_insert(0) += 1;
        Ok(())
    }

    /// A call that was let run, and was no read, has ended.
    pub(crate) fn call_end(&mut self, now: Instant, session: u64, effects: &mut Vec<Effect>) {
        if let Some(running) = self.calls.get_mut(&session) {
            *running = running.saturating_sub(1);
            if *running == 0 {
                self.calls.remove(&session);
                if self.ghosts.remove(&session) {
                    self.lost.remove(&session);
                }
            }
        }
        self.advance(now, effects);
    }

    /// The object has come to rest.
    pub(crate) fn rested(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if matches!(self.state, State::Resting { .. }) {
            self.state = State::Free;
        }
        self.advance(now, effects);
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        self.queue.retain(|waiting| {
            let stays = now < waiting.deadline;
            if !stays {
                let outcome = match waiting.kind {
                    Kind::Patient => Outcome::TimedOut,
                    Kind::Plain | Kind::Resuming => Outcome::Refused(Refusal::Busy),
                };
                effects.push(Effect::Answer(waiting.ticket, outcome));
            }
            stays
        });
        self.advance(now, effects);
    }
}
