//! The rules of one lock: its owner, the next one, and which calls may run.
//!
//! Events come in with their times; [`Effect`]s go out. Knows neither sockets, clocks, tasks nor
//! instruments.
//!
//! The invariants, which [`check`](super::check) tries to break:
//!
//! - One owner at a time, and a new epoch for each; epochs only rise. Connections may join an owner
//!   by showing its token; their possession ends with the owner's.
//! - A grant waits until no call of another connection runs. Meanwhile no new call starts, for
//!   [`GRANT_PATIENCE`]; after that only the calls that ran by then are waited for. Oneway calls
//!   that were started before, and wait in their object, come first; but no grant waits longer than
//!   that for those of a client that is gone.
//! - Calls of the daemon itself give way: none begins while a client waits for the lock, and a
//!   client that finds nothing but such a call waits for its end, also one that would not wait.
//! - Requests are granted in order. A token's owner comes first: the lock is its own already. A
//!   connection that has the lock keeps it until the connection that takes it over can have it.
//! - A client that asks without waiting has its turn as well, if it asks again and again
//!   (`attempts`).
//! - An owner that makes no call for longer than its lease loses the lock (`lease`).
//! - If an owner did not give the lock up itself, its calls are aborted and end, and the object is
//!   brought to a safe state before the next grant and before the next call of any client.
//! - A connection that has lost its lock no longer drives, until it asks for the lock again. A
//!   connection that is gone neither drives nor gets the lock. Only oneway calls that it had sent
//!   to a free object are carried out.
//! - A lock with a token is restored by the daemon's next process (`kept`): its owner is away then.

mod attempts;
mod calls;
mod kept;
mod lease;
mod shown;
mod steps;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::types::{Break, Event, Loss, Outcome, Party, Record, Refusal, Request};
use crate::token::TokenHash;
pub(crate) use attempts::ATTEMPT_LIFE;
use attempts::Attempts;
pub(crate) use calls::{ABORT_SESSION, Call, LateWork, OWN_SESSION};
pub(crate) use kept::{KeptHold, is_restored_session, restored_session};
pub(crate) use shown::PhaseView;

/// How long a plain `lock()` waits for running calls, and how long the next owner keeps new calls
/// out.
pub(crate) const GRANT_PATIENCE: Duration = Duration::from_secs(10);
/// Requests that may wait for one lock.
pub(crate) const MAX_WAITING: usize = 10_000;
/// The same from one host.
pub(crate) const MAX_WAITING_OF_HOST: usize = 500;
/// Tokens of broken locks that are remembered until their owners are told; of more, only until when
/// those owners may come back.
const MAX_REVOKED: usize = 16;

/// The number of a request; the lock table makes it and never uses it twice.
pub(crate) type Ticket = u64;

/// A task for the lock table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Answer the request of this ticket. Every ticket is answered once.
    Answer(Ticket, Outcome),
    /// Abort the running calls: their owner has lost the lock against its will.
    Abort,
    /// Bring the object to a safe state, then report [`Lock::safe_state_reached`].
    BringToSafeState,
    /// Log this.
    Record(Record),
}

/// The lock of one object.
#[derive(Debug)]
pub(crate) struct Lock {
    phase: LockPhase,
    queue: VecDeque<Waiting>,
    /// Driving calls that run, for each session.
    calls: BTreeMap<u64, u32>,
    /// Reads of the owner that run, for each session; counted while there is a lease.
    reads: BTreeMap<u64, u32>,
    /// Sessions that lost the lock, until they have it again or are gone.
    lost: BTreeMap<u64, Lost>,
    /// Sessions whose client is gone, each with whether the session has ended too. Their remaining
    /// calls, such as further entries of a batch, get no lock and no longer drive.
    gone: BTreeMap<u64, bool>,
    block: Block,
    attempts: Attempts,
    lease: Option<Lease>,
    /// Tokens of locks that were broken while their owner was away.
    revoked: VecDeque<Revoked>,
    /// Until then any token may be that of a broken lock which is not among them any more.
    forgotten_until: Option<Instant>,
    next_epoch: u64,
    /// Whether it stays as it is for the next process.
    is_frozen: bool,
    /// Whether the object has a safe state, for an owner that did not give the lock up itself.
    has_safe_state: bool,
}

#[derive(Debug)]
enum LockPhase {
    Free,
    Held(Hold),
    /// The owner's connection has ended, and it may come back with its token.
    Away {
        hold: Hold,
        until: Instant,
    },
    /// No client has the lock; the last owner's calls still run, and then comes the safe state.
    Ending {
        after: Party,
    },
    /// The object is being brought to a safe state.
    Resting {
        after: Party,
    },
}

/// Whether the next in the queue keeps calls of others out of a free lock. Without that a stream of
/// calls would keep it from ever being granted.
#[derive(Debug)]
enum Block {
    /// No request waits for calls.
    Idle,
    /// Calls of others are kept out until then.
    Until(Instant),
    /// They are not kept out until as many calls of these sessions have ended: a call that hangs
    /// must not shut everybody out.
    Over { stuck: BTreeMap<u64, u32> },
}

/// The longest silence of an owner.
#[derive(Clone, Copy, Debug)]
struct Lease {
    limit: Duration,
    /// Since when it is in force: an earlier silence does not count.
    since: Instant,
}

/// The possession of the lock.
#[derive(Clone, Debug)]
pub(crate) struct Hold {
    pub(crate) owner: Party,
    pub(crate) epoch: u64,
    pub(crate) since: Instant,
    /// When the owner's last call began or ended.
    pub(crate) used: Instant,
    token: Option<(TokenHash, Duration)>,
    /// The object through which it was asked for.
    via: String,
    /// Further connections of the owner's, which have shown the token at other objects of the lock.
    members: BTreeSet<u64>,
}

#[derive(Debug)]
struct Waiting {
    ticket: Ticket,
    request: Request,
    since: Instant,
    deadline: Instant,
    kind: WaitKind,
}

impl Waiting {
    /// Whether it is this session's place in the queue; a request with the owner's token is not in
    /// line.
    fn is_in_line(&self, session: u64) -> bool {
        self.request.party.session == session && self.kind != WaitKind::Resuming
    }
}

/// The event that a request waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WaitKind {
    /// The end of running calls only.
    Plain,
    /// Its turn in the queue.
    Patient,
    /// The last calls of the client's earlier connection: it has shown the token.
    Resuming,
}

/// A lock that was broken while its owner was away.
#[derive(Debug)]
struct Revoked {
    token: TokenHash,
    broken: Break,
    /// The lock was kept for the owner until then.
    until: Instant,
}

#[derive(Debug)]
struct Lost {
    loss: Loss,
    told: bool,
}

impl Lock {
    /// A free lock. Epochs begin with `first_epoch`.
    pub(crate) fn new(first_epoch: u64, has_safe_state: bool) -> Self {
        Lock {
            phase: LockPhase::Free,
            queue: VecDeque::new(),
            calls: BTreeMap::new(),
            reads: BTreeMap::new(),
            lost: BTreeMap::new(),
            gone: BTreeMap::new(),
            block: Block::Idle,
            attempts: Attempts::default(),
            lease: None,
            revoked: VecDeque::new(),
            forgotten_until: None,
            next_epoch: first_epoch,
            is_frozen: false,
            has_safe_state,
        }
    }

    /// A client asks for the lock; the answer comes as an effect, now or later.
    pub(crate) fn request(
        &mut self,
        now: Instant,
        ticket: Ticket,
        request: Request,
        effects: &mut Vec<Effect>,
    ) {
        match self.place(now, &request) {
            Ok(RequestPlace::Queue(kind)) => {
                let wait = match kind {
                    WaitKind::Plain => GRANT_PATIENCE,
                    WaitKind::Patient => request.wait.unwrap_or(GRANT_PATIENCE),
                    WaitKind::Resuming => {
                        request.wait.unwrap_or(GRANT_PATIENCE).max(GRANT_PATIENCE)
                    }
                };
                let wait = match self.waits_for_own_calls_only(request.party.session) {
                    true => wait.max(GRANT_PATIENCE),
                    false => wait,
                };
                let waiting = Waiting { ticket, request, since: now, deadline: now + wait, kind };
                match kind {
                    // A plain request finds no queue, or it has its turn before that.
                    WaitKind::Resuming | WaitKind::Plain => self.queue.push_front(waiting),
                    WaitKind::Patient => {
                        self.attempts.remove(&waiting.request.party);
                        self.queue.push_back(waiting);
                    }
                }
                self.replace_resuming(ticket, effects);
                self.advance(now, effects);
                // A wait of no time at all ends now.
                if wait.is_zero() {
                    self.tick(now, effects);
                }
            }
            Ok(place @ (RequestPlace::Owner | RequestPlace::Member)) => {
                self.attempts.remove(&request.party);
                let LockPhase::Held(hold) = &mut self.phase else { return };
                hold.used = now;
                if let RequestPlace::Owner = place {
                    hold.token = request.token.or(hold.token);
                } else if hold.members.insert(request.party.session) {
                    self.lost.remove(&request.party.session);
                    let (event, party) = (Event::Joined, request.party);
                    let epoch = Some(hold.epoch);
                    effects.push(Effect::Record(Record { event, party, epoch, held: None }));
                }
                let granted = Outcome::Granted { epoch: hold.epoch };
                effects.push(Effect::Answer(ticket, granted));
            }
            Err(refusal) => effects.push(Effect::Answer(ticket, Outcome::Refused(refusal))),
        }
    }

    /// The owner gives the lock up, or a connection that has joined it leaves; false if the lock is
    /// free.
    pub(crate) fn unlock(
        &mut self,
        now: Instant,
        session: u64,
        effects: &mut Vec<Effect>,
    ) -> Result<bool, Refusal> {
        if self.gone.contains_key(&session) {
            return Err(Refusal::Lost(Loss::Gone));
        }
        if let Some(Lost { loss, .. }) = self.lost.remove(&session) {
            return Err(Refusal::Lost(loss));
        }
        if let LockPhase::Held(hold) = &mut self.phase
            && hold.end_membership(now, session)
        {
            return Ok(true);
        }
        match &self.phase {
            LockPhase::Held(hold) if hold.owner.session == session => {
                self.end(now, Event::Unlocked, effects);
                self.advance(now, effects);
                Ok(true)
            }
            LockPhase::Held(hold) | LockPhase::Away { hold, .. } => {
                Err(Refusal::locked(&hold.owner))
            }
            LockPhase::Free | LockPhase::Ending { .. } | LockPhase::Resting { .. } => Ok(false),
        }
    }

    /// A client gives the lock up with the owner's token on another connection, whether the owner's
    /// connection is gone or only seems to be there; false if the token is not the lock's. The
    /// owner was not asked, so the object is brought to a safe state.
    pub(crate) fn give_back(
        &mut self,
        now: Instant,
        (session, by): (u64, &str),
        token: TokenHash,
        effects: &mut Vec<Effect>,
    ) -> Result<bool, Refusal> {
        if self.gone.contains_key(&session) {
            return Err(Refusal::Lost(Loss::Gone));
        }
        if let Some(broken) = self.take_revoked(token) {
            return Err(Refusal::Lost(Loss::Broken(broken)));
        }
        match &self.phase {
            LockPhase::Held(hold) if hold.has_token(token) && !hold.is_of(session) => {}
            LockPhase::Away { hold, .. } if hold.has_token(token) => {}
            _ => return Ok(false),
        }
        let by = by.to_owned();
        let loss = Loss::GivenBack { by: by.clone() };
        self.refuse_waiting(&loss, effects, |waiting| waiting.kind == WaitKind::Resuming);
        self.end(now, Event::GivenBack { by }, effects);
        self.advance(now, effects);
        Ok(true)
    }

    /// The lock is taken away from its owner, or from the one that is about to get it; false if
    /// there is no such client.
    pub(crate) fn break_it(
        &mut self,
        now: Instant,
        broken: Break,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let loss = Loss::Broken(broken.clone());
        match &self.phase {
            LockPhase::Held(_) => {}
            LockPhase::Away { hold, until } => {
                if let Some((token, _)) = hold.token {
                    let revoked = Revoked { token, broken: broken.clone(), until: *until };
                    self.revoked.push_back(revoked);
                }
                if self.revoked.len() > MAX_REVOKED
                    && let Some(Revoked { until, .. }) = self.revoked.pop_front()
                {
                    self.forgotten_until = self.forgotten_until.max(Some(until));
                }
            }
            LockPhase::Free => {
                // The calls that it waits for may never end, and it keeps others out.
                let Some(next) = self.queue.front() else { return false };
                let party = next.request.party.clone();
                let session = party.session;
                self.refuse_waiting(&loss, effects, |other| other.request.party.session == session);
                let event = Event::Broken(broken);
                effects.push(Effect::Record(Record { event, party, epoch: None, held: None }));
                self.advance(now, effects);
                return true;
            }
            LockPhase::Ending { .. } | LockPhase::Resting { .. } => return false,
        }
        self.refuse_waiting(&loss, effects, |waiting| waiting.kind == WaitKind::Resuming);
        self.end(now, Event::Broken(broken), effects);
        self.advance(now, effects);
        true
    }

    /// The connection of a session has ended. Its calls may still run.
    pub(crate) fn disconnect(&mut self, now: Instant, session: u64, effects: &mut Vec<Effect>) {
        self.gone.entry(session).or_insert(false);
        self.refuse_waiting(&Loss::Gone, effects, |waiting| {
            waiting.request.party.session == session
        });
        let is_awaited = self.is_resuming();
        match &mut self.phase {
            LockPhase::Held(hold) if hold.owner.session == session => match hold.token {
                Some((_, ttl)) if !ttl.is_zero() || is_awaited => self.suspend(now, ttl, effects),
                _ => self.end(now, Event::Disconnected, effects),
            },
            LockPhase::Held(hold) => {
                hold.end_membership(now, session);
            }
            _ => {}
        }
        self.advance(now, effects);
    }

    /// The client of a session has lost its rights: its connection counts as ended, and its token
    /// keeps no lock.
    pub(crate) fn revoke(&mut self, now: Instant, session: u64, effects: &mut Vec<Effect>) {
        if let LockPhase::Held(hold) = &mut self.phase
            && hold.owner.session == session
        {
            hold.token = None;
            self.refuse_waiting(&Loss::Gone, effects, |waiting| waiting.kind == WaitKind::Resuming);
        }
        self.disconnect(now, session, effects);
    }

    /// The owner that is away, if there is one.
    pub(crate) fn away_owner(&self) -> Option<&Party> {
        match &self.phase {
            LockPhase::Away { hold, .. } => Some(&hold.owner),
            _ => None,
        }
    }

    /// The client of the owner's ended session has lost its rights: the lock is not kept for its
    /// return.
    pub(crate) fn revoke_away(&mut self, now: Instant, session: u64, effects: &mut Vec<Effect>) {
        if self.away_owner().is_some_and(|owner| owner.session == session) {
            self.refuse_waiting(&Loss::Gone, effects, |waiting| waiting.kind == WaitKind::Resuming);
            self.end(now, Event::Disconnected, effects);
            self.advance(now, effects);
        }
    }

    /// A session has ended: only the ends of its calls follow.
    pub(crate) fn forget(&mut self, now: Instant, session: u64, effects: &mut Vec<Effect>) {
        self.disconnect(now, session, effects);
        self.gone.insert(session, true);
        self.forget_if_over(session);
    }

    /// The object has reached its safe state.
    pub(crate) fn safe_state_reached(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if matches!(self.phase, LockPhase::Resting { .. }) {
            self.phase = LockPhase::Free;
        }
        self.advance(now, effects);
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let mut is_abandoned = false;
        let busy = match &self.phase {
            LockPhase::Ending { after } => Refusal::Ending { after: after.name().to_owned() },
            LockPhase::Resting { after } => Refusal::Resting { after: after.name().to_owned() },
            LockPhase::Free | LockPhase::Held(_) | LockPhase::Away { .. } => Refusal::Busy,
        };
        self.queue.retain(|waiting| {
            let stays = now < waiting.deadline;
            if !stays {
                is_abandoned |= waiting.kind == WaitKind::Resuming;
                let outcome = match waiting.kind {
                    WaitKind::Patient => Outcome::TimedOut,
                    WaitKind::Plain | WaitKind::Resuming => Outcome::Refused(busy.clone()),
                };
                effects.push(Effect::Answer(waiting.ticket, outcome));
            }
            stays
        });
        // Its owner is back and was refused: it must find its lock when it asks again.
        if let LockPhase::Away { hold, until } = &mut self.phase
            && is_abandoned
            && let Some((_, ttl)) = hold.token
        {
            *until = (*until).max(now + ttl);
        }
        self.advance(now, effects);
    }
}

/// The standing of a request.
enum RequestPlace {
    /// The client has the lock already.
    Owner,
    /// The client has shown the owner's token at another object of the lock, now or before.
    Member,
    /// It has to wait, if only for a moment.
    Queue(WaitKind),
}
