//! The rules of one lock.
//!
//! Owns who has the lock, who is next, and which calls may run. Everything that happens comes in as
//! an event with its time; what is to be done about it goes out as [`Effect`]s. It refuses to know
//! sockets, clocks, tasks and instruments.
//!
//! The invariants, which [`check`](super::check) tries to break:
//!
//! - One owner at a time, and a new epoch for each; epochs only rise. Connections may join an
//!   owner's possession by showing its token; it ends with the owner's.
//! - A grant waits until no call of another connection runs. Meanwhile no new one is let run, for
//!   [`GRANT_PATIENCE`]: behind that only the calls are waited for that ran by then. Oneway calls that were
//!   let run before, and wait in their object, are before it; but for those of a client that is gone
//!   nobody waits longer than that.
//! - Whoever waits is served in order. A token's owner goes first: the lock is its own already. A
//!   connection that has the lock keeps it until the one that takes it over can have it.
//! - Behind an owner that did not give the lock up itself, its calls end and the object comes to rest
//!   before the next grant and before anybody's next call.
//! - A connection that has lost its lock drives no more, until it asks for the lock again; one that
//!   is gone does neither, whatever of it still runs. Only what it had sent off on a free object is
//!   carried out.

mod calls;
mod shown;
mod steps;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::token::TokenHash;
use super::types::{Break, Event, Loss, Outcome, Party, Record, Refusal, Request};
pub(crate) use calls::Call;
pub(crate) use shown::PhaseView;

/// How long a plain `lock()` waits for calls that are just running, and how long whoever is next
/// keeps new ones out.
pub(crate) const GRANT_PATIENCE: Duration = Duration::from_secs(10);
/// Requests that may wait for one lock.
pub(crate) const MAX_WAITING: usize = 10_000;
/// Tokens of broken locks that are remembered until their owners are told; of more, only until when
/// those owners may come back.
const MAX_REVOKED: usize = 16;

/// One request's number; the shell makes it and never uses it twice.
pub(crate) type Ticket = u64;

/// What the shell has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Answer the request of this ticket. Every ticket is answered once.
    Answer(Ticket, Outcome),
    /// Bring the object to rest, then report [`Lock::safe_state_reached`].
    BringToSafeState,
    /// Remember this.
    Record(Record),
}

/// The lock of one object.
#[derive(Debug)]
pub(crate) struct Lock {
    phase: LockPhase,
    queue: VecDeque<Waiting>,
    /// Driving calls that run, for each session.
    calls: BTreeMap<u64, u32>,
    /// Sessions that lost the lock, until they have it again or are gone.
    lost: BTreeMap<u64, Lost>,
    /// Sessions whose client is gone, each with whether the session is over too: what is left of
    /// them gets no lock and drives no more, a batch's further entries for one.
    gone: BTreeMap<u64, bool>,
    block: Block,
    /// Tokens of locks that were broken while their owner was away.
    revoked: VecDeque<Revoked>,
    /// Until then any token may be that of a broken lock which is not among them any more.
    forgotten_until: Option<Instant>,
    next_epoch: u64,
    /// Whether there is anything to do at an owner's unwanted end.
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
    /// The lock is nobody's; the owner's last calls still run, and then it comes to rest.
    Ending {
        after: Party,
    },
    /// The object is being brought to rest.
    Resting {
        after: Party,
    },
}

/// Whether the next in the queue keeps others' calls out of a lock that is free: or else a stream of
/// them would keep it from ever being granted.
#[derive(Debug)]
enum Block {
    /// Nobody waits for calls.
    Idle,
    /// Until then it does.
    Until(Instant),
    /// A call that hangs must not shut everybody out: until one that ran by then has ended, for
    /// each of these sessions so many, it does not.
    Over { stuck: BTreeMap<u64, u32> },
}

/// Somebody's possession of the lock.
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
    /// Whether it has this session's place in the queue; who shows a token has none there.
    fn is_in_line(&self, session: u64) -> bool {
        self.request.party.session == session && self.kind != WaitKind::Resuming
    }
}

/// What a ticket waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WaitKind {
    /// Only for running calls to end.
    Plain,
    /// For whoever is before it.
    Patient,
    /// For the last calls of its own earlier connection: it has shown the token.
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
    /// A lock that nobody has. Epochs begin with `first_epoch`.
    pub(crate) fn new(first_epoch: u64, has_safe_state: bool) -> Self {
        Lock {
            phase: LockPhase::Free,
            queue: VecDeque::new(),
            calls: BTreeMap::new(),
            lost: BTreeMap::new(),
            gone: BTreeMap::new(),
            block: Block::Idle,
            revoked: VecDeque::new(),
            forgotten_until: None,
            next_epoch: first_epoch,
            has_safe_state,
        }
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
            Ok(RequestPlace::Queue(kind)) => {
                let wait = match kind {
                    WaitKind::Plain => GRANT_PATIENCE,
                    WaitKind::Patient => request.wait.unwrap_or(GRANT_PATIENCE),
                    WaitKind::Resuming => {
                        request.wait.unwrap_or(GRANT_PATIENCE).max(GRANT_PATIENCE)
                    }
                };
                let waiting = Waiting { ticket, request, since: now, deadline: now + wait, kind };
                match kind {
                    WaitKind::Resuming => self.queue.push_front(waiting),
                    WaitKind::Plain | WaitKind::Patient => self.queue.push_back(waiting),
                }
                self.replace_resuming(ticket, effects);
                self.advance(now, effects);
                // A wait of no time at all ends now.
                if wait.is_zero() {
                    self.tick(now, effects);
                }
            }
            Ok(place @ (RequestPlace::Owner | RequestPlace::Member)) => {
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

    /// The owner gives the lock up, or one that has joined it leaves; false if nobody has it.
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
            && hold.members.remove(&session)
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

    /// Whoever shows the owner's token on another connection gives the lock up, whether the owner's
    /// own is gone, or only seems to be there still; false where the token is not the lock's. It is
    /// the end of an owner that nobody has asked, and the object comes to rest behind it.
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

    /// Somebody takes the lock away from whoever has it, or is about to get it; false if nobody is.
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
                // What it waits for may never end, and so would what it keeps out.
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
                hold.members.remove(&session);
            }
            _ => {}
        }
        self.advance(now, effects);
    }

    /// Nothing more will come of a session but the ends of its calls.
    pub(crate) fn forget(&mut self, now: Instant, session: u64, effects: &mut Vec<Effect>) {
        self.disconnect(now, session, effects);
        self.gone.insert(session, true);
        self.forget_if_over(session);
    }

    /// The object has come to rest.
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
        // Its owner is there, and told to ask again: it must find its lock when it does.
        if let LockPhase::Away { hold, until } = &mut self.phase
            && is_abandoned
            && let Some((_, ttl)) = hold.token
        {
            *until = (*until).max(now + ttl);
        }
        self.advance(now, effects);
    }
}

/// Where a request stands.
enum RequestPlace {
    /// The lock is the asker's already.
    Owner,
    /// The asker has shown the owner's token at another object of the lock, now or before.
    Member,
    /// It has to wait, if only for a moment.
    Queue(WaitKind),
}
