//! An object whose results of certain members are shown to an observer: values that clients read
//! anyway.
//!
//! Only an object with such members is wrapped, so that others are called as before. Batches and
//! calls with arguments are not looked at.

use std::collections::HashSet;
use std::sync::Arc;

use wire::exception::Exception;
use wire::value::Value;

use crate::card::Card;
use crate::object::{Answer, CallResult, Object, Operation, ReplyBody, Request, pass_on_to_object};
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
    Arc::new(ObservedObject { object, members, observer })
}

struct ObservedObject {
    object: Arc<dyn Object>,
    members: HashSet<String>,
    observer: ResultObserver,
}

impl Object for ObservedObject {
    pass_on_to_object!();

    fn card(&self) -> Option<Arc<Card>> {
        self.object.card()
    }

    fn call(&self, session: &Arc<Session>, request: Request) -> Answer {
        let member = match &request.operation {
            Operation::GetAttr(name) => name,
            Operation::Call(call) if call.args.is_empty() && call.kwargs.is_empty() => &call.method,
            _ => return self.object.call(session, request),
        };
        let Some(member) = self.members.get(member).cloned() else {
            return self.object.call(session, request);
        };
        match self.object.call(session, request) {
            Answer::Ready(result) => {
                show(&self.observer, &member, &result);
                Answer::Ready(result)
            }
            Answer::Pending(call) => {
                let observer = Arc::clone(&self.observer);
                Answer::Pending(Box::pin(async move {
                    let result = call.await;
                    show(&observer, &member, &result);
                    result
                }))
            }
        }
    }

    fn for_batch(&self, session: &Arc<Session>) -> Result<Option<Arc<dyn Object>>, Exception> {
        self.object.for_batch(session)
    }
}

fn show(observer: &ResultObserver, member: &str, result: &CallResult) {
    if let Ok(reply) = result
        && let ReplyBody::Value(value) = &reply.body
    {
        observer(member, value);
    }
}
