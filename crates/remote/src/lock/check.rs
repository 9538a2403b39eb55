//! A run of arbitrary events against one lock, with the books kept a second time.
//!
//! Owns the invariants, in the plainest words: the fuzz target and the property test bring the
//! events. It panics where one is broken; nothing of the product calls it.

#![allow(clippy::panic, reason = "to panic is what a check is for")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::policy::{Effect, Lock};
use super::token::TokenHash;
use super::words::{Break, Event, Outcome, Party, Record, Request};

/// Sessions take part under these numbers; a session that has ended comes back under a new one.
const CLIENTS: u64 = 4;

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A client asks for the lock: seconds to wait, a token.
    Request(u8, Option<u8>, Option<u8>),
    /// A client gives it up.
    Unlock(u8),
    /// A client's connection ends.
    Disconnect(u8),
    /// A client begins a call, a reading one perhaps.
    Call(u8, bool),
    /// One of the running calls ends.
    CallEnd(u8),
    /// The object has come to rest, if it was asked to.
    Rested,
    /// Seconds go by.
    Pass(u8),
    /// Somebody breaks the lock.
    Break,
}

impl Step {
    /// Any four bytes are a step.
    pub fn from_bytes([kind, who, a, b]: [u8; 4]) -> Self {
        let maybe = |byte: u8| (!byte.is_multiple_of(3)).then_some(byte / 16);
        match kind % 12 {
            0..=2 => Step::Request(who, maybe(a), maybe(b).filter(|_| b > 128)),
            3 => Step::Unlock(who),
            4 => Step::Disconnect(who),
            5 | 6 => Step::Call(who, a % 4 == 0),
            7 | 8 => Step::CallEnd(who),
            9 => Step::Rested,
            10 => Step::Pass(a % 20),
            _ => Step::Break,
        }
    }
}

/// The fuzz target: every four bytes are a step, the first one says whether the object rests.
pub fn run_bytes(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let steps: Vec<Step> = rest
        .chunks_exact(4)
        .filter_map(|chunk| <[u8; 4]>::try_from(chunk).ok())
        .map(Step::from_bytes)
        .collect();
    run(first % 2 == 0, &steps);
}

/// Runs the steps, then lets everybody go.
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

/// The lock, and what an onlooker has written down.
struct World {
    lock: Lock,
    rests: bool,
    now: Instant,
    next_ticket: u64,
    next_session: u64,
    /// The session of each client.
    sessions: BTreeMap<u64, u64>,
    /// Tickets without an answer, in order, each with its session and whether it has a token.
    asked: VecDeque<(u64, u64, bool)>,
    running: BTreeMap<u64, u32>,
    owner: Option<u64>,
    /// Who lost the lock and has not asked again.
    banned: BTreeSet<u64>,
    epoch: u64,
    /// The owner has gone, and the object has not come to rest since.
    must_rest: bool,
    resting: bool,
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
            banned: BTreeSet::new(),
            epoch: 0,
            must_rest: false,
            resting: false,
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
                self.asked.push_back((self.next_ticket, session, token.is_some()));
                let request = Request {
                    party: Party { session, user: format!("user {session}"), address: "a".into() },
                    wait: wait.map(|seconds| Duration::from_secs(seconds.into())),
                    token: token.map(|token| {
                        (TokenHash::of(&[token % 2]), Duration::from_secs(u64::from(token) * 3))
                    }),
                };
                self.lock.request(now, self.next_ticket, request, &mut effects);
            }
            Step::Unlock(client) => {
                let session = self.session(client);
                let was_owner = self.owner == Some(session);
                let unlocked = self.lock.unlock(now, session, &mut effects);
                assert_eq!(unlocked == Ok(true), was_owner, "unlocked by who is not the owner");
                if unlocked.is_err() {
                    // Told of its loss; from now on it is a client like any other.
                    self.banned.remove(&session);
                }
            }
            Step::Disconnect(client) => {
                let session = self.session(client);
                self.sessions.insert(u64::from(client) % CLIENTS, self.next_session);
                self.next_session += 1;
                let was_owner = self.owner == Some(session);
                self.lock.disconnect(now, session, &mut effects);
                self.apply(effects);
                effects = Vec::new();
                if was_owner {
                    // A request that was on its way when its connection ended.
                    let drives = self.lock.call_start(now, session, false).is_ok();
                    assert!(!drives, "it drives although it is gone");
                }
                assert_ne!(self.owner, Some(session), "an owner whose connection has ended");
                assert!(self.asked.iter().all(|(_, of, _)| *of != session), "it still waits");
                self.lock.forget(now, session, &mut effects);
            }
            Step::Call(client, read) => self.call(self.session(client), read),
            Step::CallEnd(which) => {
                let sessions: Vec<u64> = self.running.keys().copied().collect();
                if let Some(session) = sessions.get(usize::from(which) % sessions.len().max(1)) {
                    self.end_call(*session);
                }
            }
            Step::Rested => {
                if std::mem::take(&mut self.resting) {
                    self.must_rest = false;
                    self.lock.rested(now, &mut effects);
                }
            }
            Step::Pass(seconds) => {
                self.now += Duration::from_secs(seconds.into());
                self.lock.tick(self.now, &mut effects);
            }
            Step::Break => {
                let had = self.lock.hold().is_some();
                let broken = Break { by: "b".into(), reason: String::new() };
                assert_eq!(self.lock.break_it(now, broken, &mut effects), had);
            }
        }
        self.apply(effects);
        let holder = self.lock.hold().filter(|(_, until)| until.is_none());
        assert_eq!(holder.map(|(hold, _)| hold.owner.session), self.owner, "who has it");
        let overdue = self.lock.next_deadline().is_some_and(|at| at <= self.now);
        assert!(!overdue || matches!(step, Step::Disconnect(_)), "a deadline was passed over");
    }

    fn call(&mut self, session: u64, read: bool) {
        match self.lock.call_start(self.now, session, read) {
            Ok(()) if read => {}
            Ok(()) => {
                assert!(self.owner.is_none_or(|owner| owner == session), "a stranger drives");
                let kept = self.lock.hold().is_some_and(|(_, until)| until.is_some());
                assert!(!kept, "a stranger drives while the owner is away");
                assert!(!self.must_rest, "a call before the object has come to rest");
                assert!(!self.banned.contains(&session), "it drives after it has lost the lock");
                *self.running.entry(session).or_insert(0) += 1;
            }
            Err(refusal) => {
                assert!(!read, "a read was refused: {refusal}");
                assert_ne!(self.owner, Some(session), "the owner was refused: {refusal}");
            }
        }
    }

    fn end_call(&mut self, session: u64) {
        if let Some(calls) = self.running.get_mut(&session) {
            *calls -= 1;
            if *calls == 0 {
                self.running.remove(&session);
            }
        }
        let mut effects = Vec::new();
        self.lock.call_end(self.now, session, &mut effects);
        self.apply(effects);
    }

    fn apply(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Rest => {
                    assert!(self.must_rest && !self.resting, "rests without a reason, or twice");
                    assert!(self.running.is_empty(), "rests while calls run");
                    self.resting = true;
                }
                Effect::Answer(ticket, outcome) => self.answered(ticket, &outcome),
                Effect::Record(record) => self.recorded(&record),
            }
        }
    }

    fn answered(&mut self, ticket: u64, outcome: &Outcome) {
        let at = self.asked.iter().position(|(asked, ..)| *asked == ticket);
        let Some((_, session, _)) = at.and_then(|at| self.asked.remove(at)) else {
            panic!("ticket {ticket} was answered twice, or never asked");
        };
        if let Outcome::Granted { epoch } = outcome {
            assert_eq!((self.owner, *epoch), (Some(session), self.epoch), "another was told so");
        }
    }

    fn recorded(&mut self, Record { event, party, epoch, .. }: &Record) {
        match event {
            Event::Granted | Event::Resumed => {
                assert_eq!(self.owner, None, "two owners");
                assert!(*epoch > self.epoch, "epochs rise");
                assert!(!self.must_rest, "granted before the object has come to rest");
                let strangers = self.running.keys().any(|session| *session != party.session);
                assert!(!strangers, "granted while another's call runs");
                let first = self.asked.iter().position(|(_, of, _)| *of == party.session);
                let earlier = self.asked.iter().take(first.unwrap_or(0));
                if *event == Event::Granted {
                    // Whoever shows the token is put first, and falls back into no queue.
                    let passed: Vec<_> = earlier.filter(|(.., token)| !token).collect();
                    assert!(passed.is_empty(), "served out of order: {passed:?}");
                }
                self.banned.remove(&party.session);
                (self.owner, self.epoch) = (Some(party.session), *epoch);
            }
            Event::Suspended { .. } => {
                let owner = self.owner.take();
                self.banned.extend(owner);
            }
            Event::Unlocked => self.owner = None,
            Event::Disconnected | Event::Expired | Event::Broken(_) => {
                let owner = self.owner.take();
                self.banned.extend(owner);
                self.must_rest = self.rests;
            }
        }
    }
}
