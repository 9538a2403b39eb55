//! An object whose results of certain members are shown to an observer: values that clients read
//! anyway.
//!
//! The entries of a batch are looked at like calls; calls with arguments are not. Which members are
//! looked at may change while the object is served.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use wire::exception::{Exception, unwrap_from_batch};
use wire::value::Value;

use crate::card::Card;
use crate::object::{
    Answer, CallResult, MethodCall, Object, Operation, ReplyBody, Request, pass_on_to_object,
};
use crate::session::Session;

/// An observer of results, called with a member's name and its value. It must not wait.
pub type ResultObserver = Box<dyn Fn(&str, &Value) + Send + Sync>;

/// The members of one object that are looked at, and the observer of their values. A call of an
/// object without such members costs an atomic load.
pub struct Observation {
    has_members: AtomicBool,
    members: RwLock<HashSet<String>>,
    observer: ResultObserver,
}

/// `object`, with the values of the observed members shown: of properties that are read, and of
/// methods that are called without arguments.
pub fn observed(object: Arc<dyn Object>, observation: &Arc<Observation>) -> Arc<dyn Object> {
    Arc::new(ObservedObject { object, observation: Arc::clone(observation) })
}

struct ObservedObject {
    object: Arc<dyn Object>,
    observation: Arc<Observation>,
}

/// The looked-at members whose values a result holds.
enum Shown {
    One(String),
    /// One for each entry of a batch; `None` for entries that are not looked at.
    Entries(Vec<Option<String>>),
}

impl Observation {
    /// An observation of no member.
    pub fn new(observer: ResultObserver) -> Arc<Self> {
        let (has_members, members) = (AtomicBool::new(false), RwLock::default());
        Arc::new(Observation { has_members, members, observer })
    }

    /// Sets the members that are looked at.
    pub fn set_members(&self, members: HashSet<String>) {
        let mut known = self.members.write().unwrap_or_else(PoisonError::into_inner);
        self.has_members.store(!members.is_empty(), Ordering::Relaxed);
        *known = members;
    }

    /// The members that an operation reads; `None` where it reads none that is looked at.
    fn shown(&self, operation: &Operation) -> Option<Shown> {
        if !self.has_members.load(Ordering::Relaxed) {
            return None;
        }
        let members = self.members.read().unwrap_or_else(PoisonError::into_inner);
        match operation {
            Operation::GetAttr(name) => members.get(name).cloned().map(Shown::One),
            Operation::Call(call) => read_by(call, &members).map(Shown::One),
            Operation::Batch(calls) => {
                let entries: Vec<_> = calls.iter().map(|call| read_by(call, &members)).collect();
                entries.iter().any(Option::is_some).then_some(Shown::Entries(entries))
            }
            Operation::SetAttr(..) | Operation::Blob(_) => None,
        }
    }

    fn show(&self, shown: &Shown, result: &CallResult) {
        let Ok(reply) = result else { return };
        let ReplyBody::Value(value) = &reply.body else { return };
        match shown {
            Shown::One(member) => (self.observer)(member, value),
            Shown::Entries(entries) => {
                let results = value.as_list().unwrap_or_default();
                for (member, value) in entries.iter().zip(results) {
                    // The last entry may have raised.
                    if let Some(member) = member
                        && unwrap_from_batch(value).is_none()
                    {
                        (self.observer)(member, value);
                    }
                }
            }
        }
    }
}

impl Object for ObservedObject {
    pass_on_to_object!();

    fn card(&self) -> Option<Arc<Card>> {
        self.object.card()
    }

    fn call(&self, session: &Arc<Session>, request: Request) -> Answer {
        let Some(shown) = self.observation.shown(&request.operation) else {
            return self.object.call(session, request);
        };
        match self.object.call(session, request) {
            Answer::Ready(result) => {
                self.observation.show(&shown, &result);
                Answer::Ready(result)
            }
            Answer::Pending(call) => {
                let observation = Arc::clone(&self.observation);
                Answer::Pending(Box::pin(async move {
                    let result = call.await;
                    observation.show(&shown, &result);
                    result
                }))
            }
        }
    }

    fn for_batch(&self, session: &Arc<Session>) -> Result<Option<Arc<dyn Object>>, Exception> {
        let own = self.object.for_batch(session)?;
        match self.observation.has_members.load(Ordering::Relaxed) {
            true => Ok(own.map(|object| observed(object, &self.observation))),
            false => Ok(own),
        }
    }
}

/// The looked-at member that a call without arguments reads.
fn read_by(call: &MethodCall, members: &HashSet<String>) -> Option<String> {
    let is_plain = call.args.is_empty() && call.kwargs.is_empty();
    members.get(&call.method).filter(|_| is_plain).cloned()
}
