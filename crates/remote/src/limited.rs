//! An object with facts about its members from the configuration: its card has them, and calls are
//! checked against their limits.
//!
//! Only an object with such facts is wrapped, so that others are called as before. Workers check
//! the calls of their services by the same [`ValueLimits`].

use std::sync::Arc;

use wire::exception::Exception;

use crate::batch::refuse_rest;
use crate::card::{Card, MemberFacts, ValueLimits};
use crate::object::{Answer, CallResult, Object, Operation, Request, pass_on_to_object};
use crate::session::Session;

/// `object`, which is served as `service`, with facts about its members.
pub fn with_facts(
    service: &str,
    object: Arc<dyn Object>,
    facts: &[MemberFacts],
) -> Arc<dyn Object> {
    let Some(card) = object.card().filter(|_| !facts.is_empty()) else { return object };
    let card = Card::clone(&card).with_facts(facts).seal();
    let limits = ValueLimits::of(service, &card, facts).map(Arc::new);
    Arc::new(LimitedObject { object, card: Arc::new(card), limits })
}

struct LimitedObject {
    object: Arc<dyn Object>,
    card: Arc<Card>,
    limits: Option<Arc<ValueLimits>>,
}

impl Object for LimitedObject {
    pass_on_to_object!();

    fn card(&self) -> Option<Arc<Card>> {
        Some(Arc::clone(&self.card))
    }

    fn call(&self, session: &Arc<Session>, request: Request) -> Answer {
        let Some(limits) = &self.limits else { return self.object.call(session, request) };
        let Request { operation, context } = request;
        match operation.within(limits) {
            Err(refused) => Answer::exception(refused),
            Ok((operation, None)) => self.object.call(session, Request { operation, context }),
            Ok((operation, Some(refused))) => {
                let made = batch_length(&operation);
                let answer = self.object.call(session, Request { operation, context });
                Answer::Pending(Box::pin(async move {
                    let result: CallResult = answer.wait().await;
                    refuse_rest(made, result, &refused)
                }))
            }
        }
    }

    fn for_batch(&self, session: &Arc<Session>) -> Result<Option<Arc<dyn Object>>, Exception> {
        let wrap = |object| -> Arc<dyn Object> {
            let (card, limits) = (Arc::clone(&self.card), self.limits.clone());
            Arc::new(LimitedObject { object, card, limits })
        };
        Ok(self.object.for_batch(session)?.map(wrap))
    }
}

/// The number of calls in a batch.
fn batch_length(operation: &Operation) -> usize {
    match operation {
        Operation::Batch(calls) => calls.len(),
        _ => 0,
    }
}
