//! A check of the lock's invariants under arbitrary events, with a second, plainer bookkeeping.
//!
//! The fuzz target and the property test bring the events. It panics where an invariant is broken;
//! nothing of the product calls it.

#![allow(clippy::panic, reason = "to panic is what a check is for")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::policy::{Call, Effect, GRANT_PATIENCE, LateWork, Lock, PhaseView};
use super::token::TokenHash;
use super::types::{Break, Event, Loss, Outcome, Party, Record, Refusal, Request};

/// Sessions take part under these numbers; a session that has ended comes back under a new one.
const CLIENTS: u64 = 4;

/// An event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A client asks for the lock: seconds to wait, a token. The token also chooses one of the
    /// lock's two objects.
    Request(u8, Option<u8>, Option<u8>),
    /// A client gives it up.
    Unlock(u8),
    /// A client gives up the lock of this token; 2 is a token without a lock.
    GiveBack(u8, u8),
    /// A client's connection ends, and its calls still run.
    Vanish(u8),
    /// A client's connection ends, and its session.
    Disconnect(u8),
    /// A client begins a call: 0 for a reading one, 1 for one without an answer.
    Call(u8, u8),
    /// A started call that has waited begins.
    Begin(u8),
    /// Work that a client has left is done.
    Late(u8),
    /// One of the running calls ends.
    CallEnd(u8),
    /// The object has reached its safe state, if it was asked to.
    Rested,
    /// Seconds go by.
    Pass(u8),
    /// The lock is broken.
    Break,
}

impl Step {
    /// Any four bytes are a step.
    pub fn from_bytes([kind, who, a, b]: [u8; 4]) -> Self {
        let maybe = |byte: u8| (!byte.is_multiple_of(3)).then_some(byte / 16);
        match kind % 16 {
            0..=2 => Step::Request(who, maybe(a), maybe(b).filter(|_| b > 128)),
            3 => Step::Unlock(who),
            4 => Step::Disconnect(who),
            5 | 6 => Step::Call(who, a % 5),
            7 | 8 => Step::CallEnd(who),
            9 => Step::Rested,
            10 => Step::Pass(a % 20),
            11 => Step::Vanish(who),
            12 => Step::Begin(who),
            13 => Step::Late(who),
            15 => Step::GiveBack(who, a % 3),
            _ => Step::Break,
        }
    }
}

/// The fuzz target: every four bytes are a step, the first one says whether the object has a safe
/// state.
pub fn run_bytes(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let steps: Vec<Step> = rest
        .chunks_exact(4)
        .filter_map(|chunk| <[u8; 4]>::try_from(chunk).ok())
        .map(Step::from_bytes)
        .collect();
    run(first % 2 == 0, &steps);
}

/// Runs the steps, then ends every client.
///
/// # Panics
/// An invariant does not hold.
pub fn run(rests: bool, steps: &[Step]) {
    let mut world = World::new(rests);
    for step in steps {
        world.step(*step);
    }
    for client in 0..CLIENTS {
        world.step(Step::Disconnect(u8::try_from(client).unwrap_or_default()));
    }
    while let Some(session) = world.running.keys().next().copied() {
        world.end_call(session);
    }
    // Longer than any token lives.
    for _ in 0..3 {
        world.step(Step::Pass(250));
        world.step(Step::Rested);
    }
    assert!(world.lock.hold().is_none(), "nobody is left, and the lock is held");
    assert_eq!(world.lock.waiting().count(), 0, "nobody is left, and somebody waits");
    assert!(world.asked.is_empty(), "requests without an answer: {:?}", world.asked);
    assert!(!world.must_rest, "the last owner is gone, and the object was not brought to rest");
}

/// The lock, and the second bookkeeping.
struct World {
    lock: Lock,
    rests: bool,
    now: Instant,
    next_ticket: u64,
    next_session: u64,
    /// The session of each client.
    sessions: BTreeMap<u64, u64>,
    /// Tickets without an answer, in order: the session, whether it has a token, and the time.
    asked: VecDeque<(u64, u64, bool, Instant)>,
    running: BTreeMap<u64, u32>,
    owner: Option<u64>,
    /// Sessions that have joined the owner.
    members: BTreeSet<u64>,
    /// Sessions whose connection has ended, and that have not ended themselves.
    gone: BTreeSet<u64>,
    /// Sessions that lost the lock and have not asked again.
    banned: BTreeSet<u64>,
    epoch: u64,
    /// The owner has gone, and the object has not reached its safe state since.
    must_rest: bool,
    resting: bool,
    /// Calls of an owner that has gone still run.
    trailing: bool,
    /// They are not aborted yet.
    must_abort: bool,
    /// Since when the next owner waits for others' calls to end.
    granting_since: Option<Instant>,
    /// Since when calls are refused because a request waits, while it waits for the same calls.
    shut_since: Option<Instant>,
}

impl World {
    fn new(rests: bool) -> Self {
        World {
            lock: Lock::new(1, rests),
            rests,
            now: Instant::now(),
            next_ticket: 0,
            next_session: CLIENTS,
            sessions: (0..CLIENTS).map(|client| (client, client)).collect(),
            asked: VecDeque::new(),
            running: BTreeMap::new(),
            owner: None,
            members: BTreeSet::new(),
            gone: BTreeSet::new(),
            banned: BTreeSet::new(),
            epoch: 0,
            must_rest: false,
            resting: false,
            trailing: false,
            must_abort: false,
            granting_since: None,
            shut_since: None,
        }
    }

    fn session(&self, client: u8) -> u64 {
        self.sessions.get(&(u64::from(client) % CLIENTS)).copied().unwrap_or_default()
    }

    fn step(&mut self, step: Step) {
        let (now, mut effects) = (self.now, Vec::new());
        match step {
            Step::Request(client, wait, token) => {
                let session = self.session(client);
                self.next_ticket += 1;
                self.asked.push_back((self.next_ticket, session, token.is_some(), now));
                let via = if token.is_some_and(|token| token & 2 > 0) { "axis" } else { "stage" };
                let request = Request {
                    party: Party {
                        session,
                        user: format!("user {session}"),
                        identity: None,
                        address: "a".into(),
                    },
                    via: via.to_owned(),
                    wait: wait.map(|seconds| Duration::from_secs(seconds.into())),
                    token: token.map(|token| {
                        (TokenHash::of(&[token % 2]), Duration::from_secs(u64::from(token) * 3))
                    }),
                };
                if matches!(self.lock.phase(), PhaseView::Free) && !self.running.is_empty() {
                    // A request that does not wait begins it too: asking again must not prolong it.
                    self.granting_since.get_or_insert(now);
                }
                self.lock.request(now, self.next_ticket, request, &mut effects);
                if self.gone.contains(&session) {
                    let refused = matches!(
                        effects[..],
                        [Effect::Answer(_, Outcome::Refused(Refusal::Lost(_)))]
                    );
                    assert!(refused, "who is gone asks for the lock: {effects:?}");
                }
                let forgotten = Outcome::Refused(Refusal::Lost(Loss::Forgotten));
                if effects.iter().any(
                    |effect| matches!(effect, Effect::Answer(_, outcome) if *outcome == forgotten),
                ) {
                    self.banned.insert(session);
                }
            }
            Step::Unlock(client) => {
                let session = self.session(client);
                let was_owner = self.owner == Some(session) || self.members.remove(&session);
                let unlocked = self.lock.unlock(now, session, &mut effects);
                assert_eq!(unlocked == Ok(true), was_owner, "unlocked by who is not the owner");
                if unlocked.is_err() {
                    // The client knows of its loss; from now on it is like any other.
                    self.banned.remove(&session);
                }
            }
            Step::GiveBack(client, token) => {
                let session = self.session(client);
                let is_own = self.owner == Some(session) || self.members.contains(&session);
                let held = self.lock.hold().is_some();
                let token_hash = TokenHash::of(&[token]);
                let given = self.lock.give_back(now, (session, "b"), token_hash, &mut effects);
                let may = held && !is_own && token < 2;
                assert!(given != Ok(true) || may, "given back by who has nothing to give");
            }
            Step::Vanish(client) => self.vanish(self.session(client)),
            Step::Disconnect(client) => {
                let session = self.session(client);
                self.sessions.insert(u64::from(client) % CLIENTS, self.next_session);
                self.next_session += 1;
                self.vanish(session);
                self.lock.forget(now, session, &mut effects);
                self.gone.remove(&session);
                if self.running.contains_key(&session) {
                    // An entry of a batch whose connection has ended.
                    let drives = self.lock.call_start(now, session, Call::Drive).is_ok();
                    assert!(!drives, "it drives although its session is over");
                }
            }
            Step::Call(client, kind) => {
                let call = match kind {
                    0 => Call::Read,
                    1 => Call::Send,
                    _ => Call::Drive,
                };
                self.call(self.session(client), call);
            }
            Step::Begin(which) => {
                if let Some(session) = self.running(which) {
                    self.begin(session);
                }
            }
            Step::Late(client) => {
                let session = self.session(client);
                let works = [LateWork::StreamEnd, LateWork::SafeState, LateWork::AbortAbandoned];
                let work = works[usize::from(client) % works.len()];
                let is_awaited = matches!(self.lock.phase(), PhaseView::Granting(next) if next.session != session);
                if self.lock.late_start(session, work) {
                    let gives_way = work == LateWork::StreamEnd && is_awaited;
                    assert!(!gives_way, "a stream ends before a client that waits for the lock");
                    self.may_run(session);
                    *self.running.entry(session).or_insert(0) += 1;
                }
            }
            Step::CallEnd(which) => {
                if let Some(session) = self.running(which) {
                    self.end_call(session);
                }
            }
            Step::Rested => {
                if std::mem::take(&mut self.resting) {
                    self.must_rest = false;
                    self.lock.safe_state_reached(now, &mut effects);
                }
            }
            Step::Pass(seconds) => {
                self.now += Duration::from_secs(seconds.into());
                self.lock.tick(self.now, &mut effects);
            }
            Step::Break => {
                let is_next = matches!(self.lock.phase(), PhaseView::Granting(_));
                let had = self.lock.hold().is_some() || is_next;
                let broken = Break { by: "b".into(), reason: String::new() };
                assert_eq!(self.lock.break_it(now, broken, &mut effects), had);
            }
        }
        self.apply(effects);
        match self.lock.phase() {
            PhaseView::Granting(_) if !self.running.is_empty() => {
                self.granting_since.get_or_insert(self.now);
            }
            // The next request finds the same calls still running: calls are refused no longer.
            _ if self.running.is_empty() => self.granting_since = None,
            _ => {}
        }
        let holder = self.lock.hold().filter(|(_, until)| until.is_none());
        assert_eq!(holder.map(|(hold, _)| hold.owner.session), self.owner, "who has it");
        let overdue = self.lock.next_deadline().is_some_and(|at| at <= self.now);
        let ends = matches!(step, Step::Disconnect(_) | Step::Vanish(_));
        assert!(!overdue || ends, "a deadline was passed over");
    }

    /// The connection has ended. A request that was on its way then, and the rest of a batch, must
    /// not drive, whichever client has the lock.
    fn vanish(&mut self, session: u64) {
        let mut effects = Vec::new();
        self.lock.disconnect(self.now, session, &mut effects);
        self.members.remove(&session);
        self.gone.insert(session);
        self.apply(effects);
        self.call(session, Call::Drive);
        self.call(session, Call::Read);
        assert_ne!(self.owner, Some(session), "an owner whose connection has ended");
        assert!(self.asked.iter().all(|(_, of, ..)| *of != session), "it still waits");
    }

    fn call(&mut self, session: u64, call: Call) {
        let read = call == Call::Read;
        let is_owner = self.owner == Some(session) || self.members.contains(&session);
        let next = match self.lock.phase() {
            PhaseView::Granting(next) => Some(next.session),
            _ => None,
        };
        let started = self.lock.call_start(self.now, session, call);
        let may = !self.gone.contains(&session) || call == Call::Send;
        assert!(started.is_err() || may, "it drives although it is gone");
        match started {
            Ok(()) if read => {}
            Ok(()) => {
                assert!(self.owner.is_none() || is_owner, "a stranger drives");
                let kept = self.lock.hold().is_some_and(|(_, until)| until.is_some());
                assert!(!kept, "a stranger drives while the owner is away");
                assert!(!self.must_rest, "a call before the object has come to rest");
                assert!(!self.trailing, "a call beside those of an owner that has gone");
                assert!(!self.banned.contains(&session), "it drives after it has lost the lock");
                if next.is_some_and(|next| next != session)
                    && let Some(since) = self.granting_since
                {
                    let shut = self.now.duration_since(since);
                    assert!(
                        shut >= GRANT_PATIENCE,
                        "let run while another is about to have the lock"
                    );
                }
                *self.running.entry(session).or_insert(0) += 1;
            }
            Err(_) if self.gone.contains(&session) => {}
            Err(refusal) => {
                assert!(!read, "a read was refused: {refusal}");
                assert!(!is_owner, "the owner was refused: {refusal}");
                if matches!(self.lock.phase(), PhaseView::Granting(_))
                    && !self.banned.contains(&session)
                {
                    let since = *self.shut_since.get_or_insert(self.now);
                    let shut = self.now.duration_since(since);
                    assert!(shut <= GRANT_PATIENCE, "shut for {shut:?} behind a call that hangs");
                }
            }
        }
    }

    /// One of the sessions whose calls run.
    fn running(&self, which: u8) -> Option<u64> {
        let nth = usize::from(which) % self.running.len().max(1);
        self.running.keys().nth(nth).copied()
    }

    /// A call that was sent in time and has waited is like any other when it begins.
    fn begin(&mut self, session: u64) {
        if self.lock.call_begin(self.now, session, Call::Send).is_ok() {
            self.may_run(session);
            assert!(!self.banned.contains(&session), "it begins after it has lost the lock");
            // A call of an ended session belongs to no client any longer.
            let is_over = self.sessions.values().all(|client| *client != session);
            let is_gone = is_over || self.gone.contains(&session);
            let next = match self.lock.phase() {
                PhaseView::Granting(next) => Some(next.session),
                _ => None,
            };
            let asked = self.asked.iter().find(|(_, of, _, _)| Some(*of) == next);
            let late = asked.is_some_and(|(.., at)| self.now.duration_since(*at) >= GRANT_PATIENCE);
            let waits = is_gone && next.is_some_and(|next| next != session) && late;
            assert!(!waits, "what is left of who is gone begins, and another waits for the lock");
        } else {
            assert_ne!(self.owner, Some(session), "the owner's call does not begin");
        }
    }

    fn may_run(&self, session: u64) {
        let is_owner = self.owner == Some(session) || self.members.contains(&session);
        assert!(self.owner.is_none() || is_owner, "a stranger's call begins");
        let kept = self.lock.hold().is_some_and(|(_, until)| until.is_some());
        assert!(!kept, "a call begins while the owner is away");
        assert!(!self.must_rest && !self.trailing, "a call begins behind an owner's end");
    }

    fn end_call(&mut self, session: u64) {
        if let Some(calls) = self.running.get_mut(&session) {
            *calls -= 1;
            if *calls == 0 {
                self.running.remove(&session);
            }
        }
        self.trailing &= !self.running.is_empty();
        self.shut_since = None;
        let mut effects = Vec::new();
        self.lock.call_end(self.now, session, &mut effects);
        self.apply(effects);
    }

    fn apply(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::BringToSafeState => {
                    assert!(self.must_rest && !self.resting, "rests without a reason, or twice");
                    assert!(self.running.is_empty(), "rests while calls run");
                    self.resting = true;
                }
                Effect::Abort => {
                    assert!(std::mem::take(&mut self.must_abort), "aborts without a reason");
                }
                Effect::Answer(ticket, outcome) => self.answered(ticket, &outcome),
                Effect::Record(record) => self.recorded(&record),
            }
        }
        assert!(!self.must_abort, "the calls of an owner that has gone are not aborted");
    }

    fn answered(&mut self, ticket: u64, outcome: &Outcome) {
        let at = self.asked.iter().position(|(asked, ..)| *asked == ticket);
        let Some((_, session, ..)) = at.and_then(|at| self.asked.remove(at)) else {
            panic!("ticket {ticket} was answered twice, or never asked");
        };
        if let Outcome::Granted { epoch } = outcome {
            let is_theirs = self.owner == Some(session) || self.members.contains(&session);
            assert!(is_theirs && *epoch == self.epoch, "another was told so");
        }
    }

    fn recorded(&mut self, Record { event, party, epoch, .. }: &Record) {
        let Some(epoch) = *epoch else {
            assert!(matches!(event, Event::Broken(_)) && self.owner.is_none(), "{event:?}");
            return;
        };
        match event {
            Event::Granted | Event::Resumed => {
                assert_eq!(self.owner, None, "two owners");
                assert!(epoch > self.epoch, "epochs rise");
                assert!(!self.must_rest, "granted before the object has come to rest");
                let strangers = self.running.keys().any(|session| *session != party.session);
                assert!(!strangers, "granted while another's call runs");
                assert!(!self.gone.contains(&party.session), "granted to who is gone");
                let first = self.asked.iter().position(|(_, of, ..)| *of == party.session);
                let earlier = self.asked.iter().take(first.unwrap_or(0));
                if *event == Event::Granted {
                    // A client that shows the token comes first, and never falls back into the
                    // queue.
                    let passed: Vec<_> = earlier.filter(|(_, _, token, _)| !token).collect();
                    assert!(passed.is_empty(), "served out of order: {passed:?}");
                }
                self.banned.remove(&party.session);
                (self.shut_since, self.granting_since) = (None, None);
                (self.owner, self.epoch) = (Some(party.session), epoch);
            }
            Event::Joined => {
                assert_eq!(epoch, self.epoch, "joined another's epoch");
                assert!(self.owner.is_some(), "joined nobody");
                self.banned.remove(&party.session);
                self.members.insert(party.session);
            }
            Event::Unlocked => {
                self.owner = None;
                self.members.clear();
            }
            Event::Suspended { .. } | Event::TakenOver { .. } => self.robbed(),
            Event::Disconnected | Event::GivenBack { .. } | Event::Expired | Event::Broken(_) => {
                self.robbed();
                self.must_rest = self.rests;
                self.trailing = !self.running.is_empty();
                self.must_abort = self.trailing;
            }
        }
    }

    fn robbed(&mut self) {
        let owner = self.owner.take();
        self.banned.extend(owner.into_iter().chain(std::mem::take(&mut self.members)));
    }
}
