//! The card of a service in a worker, and the limits that follow from it.
//!
//! The worker describes the service when it has loaded it; the configuration's facts come on top.
//! Facts count also for members that the worker does not list: a driver may answer to any name.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use remote::Metadata;
use remote::card::{Card, Member, MemberFacts, MemberKind, ValueLimits};

/// The card of a service.
#[derive(Debug, Default)]
pub(crate) struct ServiceCard {
    /// Facts from the configuration; new ones count from the next import on.
    facts: RwLock<Vec<MemberFacts>>,
    /// Whether there are limits; a call without any looks no further.
    is_limited: AtomicBool,
    known: RwLock<KnownCard>,
}

#[derive(Debug, Default)]
struct KnownCard {
    /// The card without the configuration's facts.
    described: Option<Card>,
    card: Option<Arc<Card>>,
    limits: Option<Arc<ValueLimits>>,
}

impl ServiceCard {
    pub(crate) fn new(facts: Vec<MemberFacts>) -> Self {
        ServiceCard { facts: RwLock::new(facts), ..ServiceCard::default() }
    }

    /// Takes other facts from the configuration.
    pub(crate) fn set_facts(&self, facts: Vec<MemberFacts>) {
        *self.facts.write().unwrap_or_else(PoisonError::into_inner) = facts;
    }

    /// Takes other facts from the configuration, which count at once.
    pub(crate) fn lay_facts(&self, service: &str, facts: Vec<MemberFacts>) {
        self.set_facts(facts);
        let described = self.known.read().unwrap_or_else(PoisonError::into_inner).described.clone();
        if let Some(described) = described {
            self.seal(service, described);
        }
    }

    /// Takes the card that a worker has made.
    pub(crate) fn update(&self, service: &str, members: &Metadata, card: Option<Card>) {
        self.seal(service, card.unwrap_or_else(|| card_of_names(members)));
    }

    fn seal(&self, service: &str, described: Card) {
        let facts = self.facts.read().unwrap_or_else(PoisonError::into_inner);
        let card = described.clone().with_facts(&*facts).seal();
        let limits = ValueLimits::of(service, &card, &facts).map(Arc::new);
        drop(facts);
        let is_limited = limits.is_some();
        let known = KnownCard { described: Some(described), card: Some(Arc::new(card)), limits };
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
        self.is_limited.store(is_limited, Ordering::Release);
    }

    pub(crate) fn card(&self) -> Option<Arc<Card>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).card.clone()
    }

    pub(crate) fn limits(&self) -> Option<Arc<ValueLimits>> {
        if !self.is_limited.load(Ordering::Acquire) {
            return None;
        }
        self.known.read().unwrap_or_else(PoisonError::into_inner).limits.clone()
    }
}

/// A card with names only.
fn card_of_names(members: &Metadata) -> Card {
    let of = |names: &[String], kind| -> Vec<Member> {
        let is_property = kind == MemberKind::Property;
        let member = |name: &String| Member {
            name: name.clone(),
            kind,
            readable: is_property,
            writable: is_property,
            ..Member::default()
        };
        names.iter().map(member).collect()
    };
    let mut members_of_both = of(&members.methods, MemberKind::Method);
    members_of_both.extend(of(&members.attrs, MemberKind::Property));
    Card { members: members_of_both, ..Card::default() }
}
