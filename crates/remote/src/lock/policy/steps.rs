//! The steps that the rules of a lock are made of.
//!
//! Owns what follows from an event once it is known what the event is: a place in the queue, a
//! takeover, the end of a possession, the next grant.

use std::time::{Duration, Instant};

use super::super::token::TokenHash;
use super::super::words::{Event, Loss, Outcome, Party, Record, Refusal, Request};
use super::{Effect, Hold, Kind, Lock, Lost, MOST_WAITING, State, Waiting};

impl Lock {
    /// What a request has to wait for; `None` where the lock is the asker's already.
    pub(super) fn place(
        &mut self,
        now: Instant,
        request: &Request,
    ) -> Result<Option<Kind>, Refusal> {
        let session = request.party.session;
        // A loss is told once; asking again is how its connection goes on.
        if let Some(lost) = self.lost.get_mut(&session)
            && (lost.loss == Loss::Gone || !std::mem::replace(&mut lost.told, true))
        {
            return Err(Refusal::Lost(lost.loss.clone()));
        }
        let shown = |(token, _): (TokenHash, Duration)| token;
        if let Some(token) = request.token.map(shown)
            && let Some(at) = self.revoked.iter().position(|(revoked, _)| *revoked == token)
            && let Some((_, broken)) = self.revoked.remove(at)
        {
            return Err(Refusal::Lost(Loss::Broken(broken)));
        }
        let next = self.queue.front().map(|waiting| &waiting.request.party);
        let next = next.filter(|next| next.session != session);
        match &self.state {
            State::Held(hold) if hold.owner.session == session => return Ok(None),
            State::Held(hold) | State::Away { hold, .. } => {
                let kept = hold.token.map(shown);
                let in_time = match &self.state {
                    State::Away { until, .. } => now < *until || self.is_resuming(),
                    _ => true,
                };
                if kept.is_some() && kept == request.token.map(shown) && in_time {
                    return Ok(Some(Kind::Resuming));
                }
                if request.wait.is_none() {
                    return Err(locked(&hold.owner));
                }
            }
            State::Free | State::Ending { .. } | State::Resting { .. } => {
                if request.wait.is_none()
                    && let Some(next) = next
                {
                    return Err(locked(next));
                }
            }
        }
        if self.queue.len() >= MOST_WAITING {
            return Err(Refusal::Crowded { waiting: self.queue.len() });
        }
        Ok(Some(if request.wait.is_none() { Kind::Plain } else { Kind::Patient }))
    }

    /// Where the first ticket has shown the owner's token, the lock is kept for it alone: the
    /// connection that had it, and an earlier ticket with the same token, lose it.
    pub(super) fn take_over(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let Some(first) = self.queue.front().filter(|first| first.kind == Kind::Resuming) else {
            return;
        };
        let (ticket, by) = (first.ticket, first.request.party.name().to_owned());
        let loss = Loss::TakenOver { by };
        self.queue.retain(|waiting| {
            let stays = waiting.kind != Kind::Resuming || waiting.ticket == ticket;
            if !stays {
                let refused = Outcome::Refused(Refusal::Lost(loss.clone()));
                effects.push(Effect::Answer(waiting.ticket, refused));
            }
            stays
        });
        if let State::Held(hold) = &self.state {
            let (owner, ttl) =
                (hold.owner.session, hold.token.map_or(Duration::ZERO, |(_, ttl)| ttl));
            self.lost.insert(owner, Lost { loss, told: false });
            self.suspend(now, ttl, effects);
        }
    }

    pub(super) fn refuse_resuming(&mut self, loss: Loss, effects: &mut Vec<Effect>) {
        self.queue.retain(|waiting| {
            let stays = waiting.kind != Kind::Resuming;
            if !stays {
                let refused = Outcome::Refused(Refusal::Lost(loss.clone()));
                effects.push(Effect::Answer(waiting.ticket, refused));
            }
            stays
        });
    }

    pub(super) fn is_resuming(&self) -> bool {
        self.queue.front().is_some_and(|first| first.kind == Kind::Resuming)
    }

    /// Keeps the lock for an owner whose connection is gone.
    pub(super) fn suspend(&mut self, now: Instant, ttl: Duration, effects: &mut Vec<Effect>) {
        let State::Held(hold) = std::mem::replace(&mut self.state, State::Free) else { return };
        effects.push(record(&hold, Event::Suspended { ttl }, None));
        self.state = State::Away { hold, until: now + ttl };
    }

    /// Ends whoever's possession there is.
    pub(super) fn end(&mut self, now: Instant, event: Event, effects: &mut Vec<Effect>) {
        let (State::Held(hold) | State::Away { hold, .. }) =
            std::mem::replace(&mut self.state, State::Free)
        else {
            return;
        };
        if self.rests && event != Event::Unlocked {
            self.state = State::Ending { after: hold.owner.clone() };
        }
        effects.push(record(&hold, event, Some(now.duration_since(hold.since))));
    }

    /// Does whatever has become possible.
    pub(super) fn advance(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if let State::Away { until, .. } = &self.state
            && now >= *until
            && !self.is_resuming()
        {
            self.end(now, Event::Expired, effects);
        }
        if let State::Ending { after } = &self.state
            && self.calls.is_empty()
        {
            self.state = State::Resting { after: after.clone() };
            effects.push(Effect::Rest);
        }
        let may_grant = match &self.state {
            State::Free => true,
            State::Away { .. } => self.is_resuming(),
            State::Held(_) | State::Ending { .. } | State::Resting { .. } => false,
        };
        let Some(next) = self.queue.front().map(|next| next.request.party.session) else { return };
        if may_grant && self.calls.keys().all(|session| *session == next) {
            self.grant(now, effects);
        }
    }

    fn grant(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let Some(Waiting { ticket, request, kind, .. }) = self.queue.pop_front() else { return };
        let epoch = self.next_epoch;
        self.next_epoch += 1;
        let session = request.party.session;
        self.lost.remove(&session);
        let hold =
            Hold { owner: request.party, epoch, since: now, used: now, token: request.token };
        let event = if kind == Kind::Resuming { Event::Resumed } else { Event::Granted };
        effects.push(record(&hold, event, None));
        effects.push(Effect::Answer(ticket, Outcome::Granted { epoch }));
        self.state = State::Held(hold);
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

pub(super) fn locked(owner: &Party) -> Refusal {
    Refusal::Locked { by: owner.name().to_owned() }
}

fn record(hold: &Hold, event: Event, held: Option<Duration>) -> Effect {
    Effect::Record(Record { event, party: hold.owner.clone(), epoch: hold.epoch, held })
}
