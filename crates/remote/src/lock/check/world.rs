//! The lock under check, and the second bookkeeping beside it.

#![allow(clippy::panic, reason = "to panic is what a check is for")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::super::policy::{ATTEMPT_LIFE, Call, Effect, GRANT_PATIENCE, LateWork, Lock, PhaseView};
use super::super::types::{Break, Event, Loss, Outcome, Party, Record, Refusal, Request};
use super::step::{CLIENTS, Step};
use crate::token::TokenHash;

/// A request without an answer.
#[derive(Debug)]
struct Asked {
    ticket: u64,
    session: u64,
    has_token: bool,
    at: Instant,
    /// The first refusal of its client, if it asks again and again without waiting.
    tried: Option<Instant>,
}

/// The lock, and the second bookkeeping.
pub(super) struct World {
    lock: Lock,
    rests: bool,
    now: Instant,
    next_ticket: u64,
    next_session: u64,
    /// The session of each client.
    sessions: BTreeMap<u64, u64>,
    /// Requests without an answer, in order.
    asked: VecDeque<Asked>,
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
    lease: Option<Duration>,
    /// When a call of the owner last began or ended.
    used: Instant,
    /// The first and the last refusal of each client that asks again and again without waiting.
    tried: BTreeMap<String, (Instant, Instant)>,
}

impl World {
    pub(super) fn new(rests: bool, lease: Option<u8>) -> Self {
        let now = Instant::now();
        let lease = lease.map(|seconds| Duration::from_secs(seconds.into()));
        let mut lock = Lock::new(1, rests);
        lock.set_lease(now, lease);
        World {
            lock,
            rests,
            now,
            lease,
            used: now,
            tried: BTreeMap::new(),
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

    /// Every client leaves, and every call ends.
    pub(super) fn end_clients(&mut self) {
        for client in 0..CLIENTS {
            self.step(Step::Disconnect(u8::try_from(client).unwrap_or_default()));
        }
        while let Some(session) = self.running.keys().next().copied() {
            self.end_call(session);
        }
    }

    pub(super) fn assert_is_over(&self) {
        assert!(self.lock.hold().is_none(), "nobody is left, and the lock is held");
        assert_eq!(self.lock.waiting().count(), 0, "nobody is left, and somebody waits");
        assert!(self.asked.is_empty(), "requests without an answer: {:?}", self.asked);
        assert!(!self.must_rest, "the last owner is gone, and the object was not brought to rest");
    }

    pub(super) fn step(&mut self, step: Step) {
        let (now, mut effects) = (self.now, Vec::new());
        match step {
            Step::Request(client, wait, token) => {
                let session = self.session(client);
                let user = format!("user {}", u64::from(client) % CLIENTS);
                self.next_ticket += 1;
                let is_recent = |last: Instant| now.duration_since(last) <= ATTEMPT_LIFE;
                self.tried.retain(|_, (_, last)| is_recent(*last));
                let tried = self.tried.get(&user).filter(|_| wait.is_none());
                self.asked.push_back(Asked {
                    ticket: self.next_ticket,
                    session,
                    has_token: token.is_some(),
                    at: now,
                    tried: tried.map(|(first, _)| *first),
                });
                let via = if token.is_some_and(|token| token & 2 > 0) { "axis" } else { "stage" };
                let request = Request {
                    party: Party {
                        session,
                        user: user.clone(),
                        identity: None,
                        address: "a".into(),
                        credential: None,
                    },
                    via: via.to_owned(),
                    wait: wait.map(|seconds| Duration::from_secs(seconds.into())),
                    token: token.map(|token| {
                        (TokenHash::of(&[token % 2]), Duration::from_secs(u64::from(token) * 3))
                    }),
                };
                let is_locked = |effect: &Effect| {
                    matches!(effect, Effect::Answer(_, Outcome::Refused(Refusal::Locked { .. })))
                };
                let is_refused =
                    |effect: &Effect| matches!(effect, Effect::Answer(_, Outcome::Refused(_)));
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
                if effects.iter().any(is_locked) {
                    self.tried.entry(user).or_insert((now, now)).1 = now;
                } else if wait.is_some() && !effects.iter().any(is_refused) {
                    self.tried.remove(&user);
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
            _ if self.lock.awaited().is_some() => {
                (self.granting_since, self.shut_since) = (None, None);
            }
            PhaseView::Granting(_) if !self.running.is_empty() => {
                self.granting_since.get_or_insert(self.now);
            }
            // The next request finds the same calls still running: calls are refused no longer.
            _ if self.running.is_empty() => self.granting_since = None,
            _ => {}
        }
        let holder = self.lock.hold().filter(|(_, until)| until.is_none());
        assert_eq!(holder.map(|(hold, _)| hold.owner.session), self.owner, "who has it");
        if let (Some((hold, _)), Some(lease)) = (holder, self.lease) {
            let drives =
                |session: &u64| *session == hold.owner.session || self.members.contains(session);
            let is_silent = !self.running.keys().any(drives);
            let silence = self.now.duration_since(hold.used);
            assert!(!is_silent || silence < lease, "silent for {silence:?}, and still the owner");
        }
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
        assert!(self.asked.iter().all(|asked| asked.session != session), "it still waits");
    }

    fn call(&mut self, session: u64, call: Call) {
        let read = call == Call::Read;
        let is_owner = self.owner == Some(session) || self.members.contains(&session);
        let next = match self.lock.phase() {
            PhaseView::Granting(next) => Some(next.session),
            _ => None,
        };
        let started = self.lock.call_start(self.now, session, call);
        if is_owner && started.is_ok() {
            self.used = self.now;
        }
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
                    && self.lock.awaited().is_none()
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
            let asked = self.asked.iter().find(|asked| Some(asked.session) == next);
            let waits_for = |asked: &Asked| self.now.duration_since(asked.at);
            let late = asked.is_some_and(|asked| waits_for(asked) >= GRANT_PATIENCE);
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
        if self.owner == Some(session) || self.members.contains(&session) {
            self.used = self.now;
        }
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
        let at = self.asked.iter().position(|asked| asked.ticket == ticket);
        let Some(Asked { session, .. }) = at.and_then(|at| self.asked.remove(at)) else {
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
                let is_theirs = |asked: &&Asked| asked.session == party.session;
                let first = self.asked.iter().position(|asked| is_theirs(&asked));
                let earlier = self.asked.iter().take(first.unwrap_or(0));
                let tried = self.asked.iter().filter(is_theirs).find_map(|asked| asked.tried);
                self.tried.remove(&party.user);
                self.used = self.now;
                if *event == Event::Granted {
                    // A client that shows the token comes first, and never falls back into the
                    // queue. One that asks again and again passes those that came later.
                    let is_passed = |asked: &&Asked| {
                        !asked.has_token && tried.is_none_or(|tried| asked.at <= tried)
                    };
                    let passed: Vec<_> = earlier.filter(is_passed).collect();
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
            Event::Idle { .. } => {
                let drives =
                    |session: &u64| self.members.contains(session) || self.owner == Some(*session);
                assert!(!self.running.keys().any(drives), "taken away during a call");
                let silence = self.now.duration_since(self.used);
                assert!(self.lease.is_some_and(|lease| silence >= lease), "after {silence:?}");
                self.robbed_against_its_will();
            }
            Event::Disconnected | Event::GivenBack { .. } | Event::Expired | Event::Broken(_) => {
                self.robbed_against_its_will();
            }
        }
    }

    fn robbed_against_its_will(&mut self) {
        self.robbed();
        self.must_rest = self.rests;
        self.trailing = !self.running.is_empty();
        self.must_abort = self.trailing;
    }

    fn robbed(&mut self) {
        let owner = self.owner.take();
        self.banned.extend(owner.into_iter().chain(std::mem::take(&mut self.members)));
    }
}
