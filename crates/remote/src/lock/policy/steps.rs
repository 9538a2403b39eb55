//! The steps that the rules of a lock are made of: a place in the queue, a takeover, the end of a
//! possession, the next grant.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::super::types::{Break, Event, Loss, Outcome, Party, Record, Refusal, Request};
use super::{
    Block, Effect, GRANT_PATIENCE, Hold, Lock, LockPhase, Lost, MAX_WAITING, MAX_WAITING_OF_HOST,
    RequestPlace, Ticket, WaitKind, Waiting,
};
use crate::token::TokenHash;

impl Lock {
    /// The place of a request.
    pub(super) fn place(
        &mut self,
        now: Instant,
        request: &Request,
    ) -> Result<RequestPlace, Refusal> {
        let session = request.party.session;
        if self.gone.contains_key(&session) {
            return Err(Refusal::Lost(Loss::Gone));
        }
        // A loss is told once; asking again is how its connection goes on.
        if let Some(lost) = self.lost.get_mut(&session)
            && !std::mem::replace(&mut lost.told, true)
        {
            return Err(Refusal::Lost(lost.loss.clone()));
        }
        let shown = |(token, _): (TokenHash, Duration)| token;
        if let Some(token) = request.token.map(shown)
            && let Some(broken) = self.take_revoked(token)
        {
            return Err(Refusal::Lost(Loss::Broken(broken)));
        }
        let next = self.queue.front().filter(|next| next.request.party.session != session);
        match &self.phase {
            LockPhase::Held(hold) if hold.owner.session == session => {
                return Ok(RequestPlace::Owner);
            }
            LockPhase::Held(hold) if hold.members.contains(&session) => {
                return Ok(RequestPlace::Member);
            }
            LockPhase::Held(hold) | LockPhase::Away { hold, .. } => {
                let kept = hold.token.map(shown);
                let in_time = match &self.phase {
                    LockPhase::Away { until, .. } => now < *until || self.is_resuming(),
                    _ => true,
                };
                if kept.is_some() && kept == request.token.map(shown) && in_time {
                    let joins = matches!(self.phase, LockPhase::Held(_)) && hold.via != request.via;
                    return Ok(if joins {
                        RequestPlace::Member
                    } else {
                        RequestPlace::Queue(WaitKind::Resuming)
                    });
                }
                if request.wait.is_none() {
                    self.attempts.add_refused(now, &request.party);
                    return Err(Refusal::locked(&hold.owner));
                }
            }
            LockPhase::Free | LockPhase::Ending { .. } | LockPhase::Resting { .. } => {
                if request.wait.is_none()
                    && let Some(next) = next
                    && (next.kind != WaitKind::Patient
                        || !self.attempts.is_turn_of(now, &request.party, next.since))
                {
                    self.attempts.add_refused(now, &request.party);
                    return Err(Refusal::locked(&next.request.party));
                }
            }
        }
        // An owner that nobody remembers would go on as if nobody had broken its lock.
        if request.token.is_some()
            && self.forgotten_until.is_some_and(|until| now < until)
            && !self.lost.contains_key(&session)
        {
            self.lost.insert(session, Lost { loss: Loss::Forgotten, told: true });
            return Err(Refusal::Lost(Loss::Forgotten));
        }
        // By oneway calls a connection can ask as often as it likes, and would wait in many places.
        if self.queue.iter().any(|waiting| waiting.is_in_line(session)) {
            return Err(Refusal::Asked);
        }
        if self.queue.len() >= MAX_WAITING {
            return Err(Refusal::Crowded { waiting: self.queue.len() });
        }
        if self.queue.len() >= MAX_WAITING_OF_HOST {
            let host = request.party.host();
            let others = self.queue.iter().filter(|other| other.request.party.is_at(host));
            let waiting = others.count();
            if waiting >= MAX_WAITING_OF_HOST {
                return Err(Refusal::CrowdedByHost { waiting });
            }
        }
        Ok(RequestPlace::Queue(if request.wait.is_none() {
            WaitKind::Plain
        } else {
            WaitKind::Patient
        }))
    }

    /// The break of the lock with this token while its owner was away; handed out once.
    pub(super) fn take_revoked(&mut self, token: TokenHash) -> Option<Break> {
        // From the latest: a token may have kept more than one.
        let at = self.revoked.iter().rposition(|revoked| revoked.token == token)?;
        self.revoked.remove(at).map(|revoked| revoked.broken)
    }

    /// If this ticket has shown the owner's token, an earlier one that has shown it is refused.
    pub(super) fn replace_resuming(&mut self, ticket: Ticket, effects: &mut Vec<Effect>) {
        let first = self.queue.front();
        let Some(first) =
            first.filter(|first| (first.ticket, first.kind) == (ticket, WaitKind::Resuming))
        else {
            return;
        };
        let loss = Loss::TakenOver { by: first.request.party.name().to_owned() };
        self.refuse_waiting(&loss, effects, |waiting| {
            waiting.kind == WaitKind::Resuming && waiting.ticket != ticket
        });
    }

    /// Refuses the waiting requests that are `meant`.
    pub(super) fn refuse_waiting(
        &mut self,
        loss: &Loss,
        effects: &mut Vec<Effect>,
        meant: impl Fn(&Waiting) -> bool,
    ) {
        self.queue.retain(|waiting| {
            let goes = meant(waiting);
            if goes {
                let refused = Outcome::Refused(Refusal::Lost(loss.clone()));
                effects.push(Effect::Answer(waiting.ticket, refused));
            }
            !goes
        });
    }

    pub(super) fn is_resuming(&self) -> bool {
        self.queue.front().is_some_and(|first| first.kind == WaitKind::Resuming)
    }

    /// Keeps the lock for an owner whose connection is gone.
    pub(super) fn suspend(&mut self, now: Instant, ttl: Duration, effects: &mut Vec<Effect>) {
        let LockPhase::Held(mut hold) = std::mem::replace(&mut self.phase, LockPhase::Free) else {
            return;
        };
        effects.push(record(&hold, Event::Suspended { ttl }, None));
        self.bereave(&std::mem::take(&mut hold.members), &Loss::Gone);
        self.lost.insert(hold.owner.session, Lost { loss: Loss::Gone, told: false });
        self.phase = LockPhase::Away { hold, until: now + ttl };
    }

    /// Ends the possession of the owner, if there is one.
    pub(super) fn end(&mut self, now: Instant, event: Event, effects: &mut Vec<Effect>) {
        let (hold, is_there) = match std::mem::replace(&mut self.phase, LockPhase::Free) {
            LockPhase::Held(hold) => (hold, true),
            LockPhase::Away { hold, .. } => (hold, false),
            other @ (LockPhase::Free | LockPhase::Ending { .. } | LockPhase::Resting { .. }) => {
                self.phase = other;
                return;
            }
        };
        let loss = match &event {
            Event::Broken(broken) => Some(Loss::Broken(broken.clone())),
            Event::TakenOver { by } => Some(Loss::TakenOver { by: by.clone() }),
            Event::GivenBack { by } => Some(Loss::GivenBack { by: by.clone() }),
            Event::Disconnected => Some(Loss::Gone),
            Event::Idle { limit } => Some(Loss::Idle { limit: *limit }),
            _ => None,
        };
        if let Some(loss) = loss {
            self.bereave(&hold.members, &loss);
            if is_there {
                self.lost.insert(hold.owner.session, Lost { loss, told: false });
            }
        }
        // An owner that gives it up, or takes it over from itself, leaves the instrument as it
        // wants it.
        let is_own_will = matches!(event, Event::Unlocked | Event::TakenOver { .. });
        if !is_own_will && (self.has_safe_state || !self.calls.is_empty()) {
            self.phase = LockPhase::Ending { after: hold.owner.clone() };
        }
        effects.push(record(&hold, event, Some(now.duration_since(hold.since))));
        if !is_own_will && !self.calls.is_empty() {
            effects.push(Effect::Abort);
        }
    }

    /// The connections that had joined an owner have lost the lock with it.
    fn bereave(&mut self, members: &BTreeSet<u64>, loss: &Loss) {
        for member in members {
            self.lost.insert(*member, Lost { loss: loss.clone(), told: false });
        }
    }

    /// Does the steps that have become possible.
    pub(super) fn advance(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.is_frozen {
            return;
        }
        if let LockPhase::Away { until, .. } = &self.phase
            && now >= *until
            && !self.is_resuming()
        {
            self.end(now, Event::Expired, effects);
        }
        self.end_lease(now, effects);
        if let LockPhase::Ending { after } = &self.phase
            && self.calls.is_empty()
        {
            if self.has_safe_state {
                self.phase = LockPhase::Resting { after: after.clone() };
                effects.push(Effect::BringToSafeState);
            } else {
                self.phase = LockPhase::Free;
            }
        }
        let may_grant = match &self.phase {
            LockPhase::Free => true,
            LockPhase::Held(_) | LockPhase::Away { .. } => self.is_resuming(),
            LockPhase::Ending { .. } | LockPhase::Resting { .. } => false,
        };
        let Some(Waiting { since, kind, .. }) = self.queue.front() else { return };
        if !may_grant {
            return;
        }
        if *kind == WaitKind::Patient && self.attempts.await_before(now, *since) {
            // Until then it is nobody's, and everybody may call.
            self.block = Block::Idle;
            return;
        }
        let Some(next) = self.queue.front().map(|next| &next.request.party) else { return };
        if self.calls.keys().all(|session| *session == next.session) {
            if let LockPhase::Held(_) = &self.phase {
                let by = next.name().to_owned();
                self.end(now, Event::TakenOver { by }, effects);
            }
            self.grant(now, effects);
        } else if let (LockPhase::Free, Block::Idle) = (&self.phase, &self.block) {
            self.block = Block::Until(now + GRANT_PATIENCE);
        }
    }

    fn grant(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let Some(Waiting { ticket, request, kind, .. }) = self.queue.pop_front() else { return };
        let epoch = self.next_epoch;
        self.next_epoch += 1;
        let session = request.party.session;
        self.lost.remove(&session);
        self.block = Block::Idle;
        self.attempts.end_wait();
        self.attempts.remove(&request.party);
        let hold = Hold::new(request.party, epoch, now, request.token, request.via);
        let event = if kind == WaitKind::Resuming { Event::Resumed } else { Event::Granted };
        effects.push(record(&hold, event, None));
        effects.push(Effect::Answer(ticket, Outcome::Granted { epoch }));
        self.phase = LockPhase::Held(hold);
        // A connection may have asked more than once; it has what it asked for.
        self.queue.retain(|waiting| {
            let stays = waiting.request.party.session != session;
            if !stays {
                effects.push(Effect::Answer(waiting.ticket, Outcome::Granted { epoch }));
            }
            stays
        });
    }
}

impl Hold {
    /// The possession of a lock from `since` on.
    pub(super) fn new(
        owner: Party,
        epoch: u64,
        since: Instant,
        token: Option<(TokenHash, Duration)>,
        via: String,
    ) -> Self {
        Hold { owner, epoch, since, used: since, token, via, members: BTreeSet::new() }
    }
}

pub(super) fn record(hold: &Hold, event: Event, held: Option<Duration>) -> Effect {
    Effect::Record(Record { event, party: hold.owner.clone(), epoch: Some(hold.epoch), held })
}
