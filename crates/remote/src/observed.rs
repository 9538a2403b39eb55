//! An object whose results of certain members are shown to an observer: values that clients read
//! anyway.
//!
//! Only an object with such members is wrapped, so that others are called as before. The entries of
//! a batch are looked at like calls; calls with arguments are not.

use std::collections::HashSet;
use std::sync::Arc;

use wire::exception::{Exception, unwrap_from_batch};
use wire::value::Value;

use crate::card::Card;
use crate::object::{
    Answer, CallResult, MethodCall, Object, Operation, ReplyBody, Request, pass_on_to_object,
};
use crate::session::Session;

/// An observer of results, called with a member's name and its value. It must not wait.
pub type ResultObserver = Arc<dyn Fn(&str, &Value) + Send + Sync>;

/// `object`, with the values of these members shown to `observer`: of properties that are read, and
/// of methods that are called without arguments.
pub fn observed(
    object: Arc<dyn Object>,
    members: HashSet<String>,
    observer: ResultObserver,
) -> Arc<dyn Object> {
    Arc::new(ObservedObject { object, watch: Arc::new(Watch { members, observer }) })
}

struct ObservedObject {
    object: Arc<dyn Object>,
    watch: Arc<Watch>,
}

/// The members that are looked at, and the observer of their values.
struct Watch {
    members: HashSet<String>,
    observer: ResultObserver,
}

/// The looked-at members whose values a result holds.
enum Shown {
    One(String),
    /// One for each entry of a batch; `None` for entries that are not looked at.
    Entries(Vec<Option<String>>),
}

impl Watch {
    /// The members that an operation reads; `None` where it reads none that is looked at.
    fn shown(&self, operation: &Operation) -> Option<Shown> {
        match operation {
            Operation::GetAttr(name) => self.members.get(name).cloned().map(Shown::One),
            Operation::Call(call) => self.read_by(call).map(Shown::One),
            Operation::Batch(calls) => {
                let entries: Vec<_> = calls.iter().map(|call| self.read_by(call)).collect();
                entries.iter().any(Option::is_some).then_some(Shown::Entries(entries))
            }
            Operation::SetAttr(..) | Operation::Blob(_) => None,
        }
    }

    fn read_by(&self, call: &MethodCall) -> Option<String> {
        let is_plain = call.args.is_empty() && call.kwargs.is_empty();
        self.members.get(&call.method).filter(|_| is_plain).cloned()
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
        let Some(shown) = self.watch.shown(&request.operation) else {
            return self.object.call(session, request);
        };
        match self.object.call(session, request) {
            Answer::Ready(result) => {
                self.watch.show(&shown, &result);
                Answer::Ready(result)
            }
            Answer::Pending(call) => {
                let watch = Arc::clone(&self.watch);
                Answer::Pending(Box::pin(async move {
                    let result = call.await;
                    watch.show(&shown, &result);
                    result
                }))
            }
        }
    }

    fn for_batch(&self, session: &Arc<Session>) -> Result<Option<Arc<dyn Object>>, Exception> {
        let wrap = |object| -> Arc<dyn Object> {
            Arc::new(ObservedObject { object, watch: Arc::clone(&self.watch) })
        };
        Ok(self.object.for_batch(session)?.map(wrap))
    }
}
