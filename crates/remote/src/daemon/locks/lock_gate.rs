//! Calls of an object that can be locked.
//!
//! Owns the order of things in such a call: the daemon's turn, then the lock's word, then the
//! object; for each entry of a batch anew. A call that has to wait for the lock waits without the
//! turn. Whose the lock is is the `lock` room's.

use std::sync::Arc;

use wire::exception::Exception;
use wire::value::Value;

use crate::admission::call_permit::{self, Turn};
use crate::batch::{self, Results};
use crate::daemon::Shared;
use crate::daemon::catch_panic::{self, What};
use crate::daemon::locks::methods;
use crate::daemon::locks::table::{Admission, Locks};
use crate::object::{CallResult, Context, Metadata, MethodCall, Object, Operation, Reply, Request};
use crate::session::Session;

/// Whether an operation is one on the lock, which touches no instrument.
pub(crate) fn needs_no_turn(operation: &Operation) -> bool {
    matches!(operation, Operation::Call(call) if is_on_the_lock(call))
}

/// Tells of the lock's methods as well.
pub(crate) fn add_methods(metadata: &mut Metadata) {
    for name in methods::METHODS {
        if !metadata.methods.iter().any(|known| known == name) {
            metadata.methods.push(name.to_owned());
        }
        // The driver's own method of this name is not the one that is called.
        metadata.oneway.retain(|oneway| oneway != name);
    }
}

/// Carries out a request, if the lock lets it.
pub(crate) async fn call(
    shared: &Arc<Shared>,
    session: &Arc<Session>,
    id: &str,
    object: &Arc<dyn Object>,
    request: Request,
    turn: Turn,
) -> CallResult {
    let guarded = Guarded { shared, session, id, object };
    let Request { operation, context } = request;
    match operation {
        Operation::Batch(calls) => guarded.batch(calls, &context, turn).await,
        Operation::Call(call) if is_on_the_lock(&call) => {
            // It may wait for a day, and what it carries is short or refused: not with the room that its
            // request has taken, which others need.
            drop(context);
            methods::call(shared, id, session, call).await.map(Reply::from)
        }
        operation => {
            let _turn = turn;
            guarded.run(operation, context).await
        }
    }
}

fn is_on_the_lock(call: &MethodCall) -> bool {
    methods::METHODS.contains(&call.method.as_str())
}

struct Guarded<'a> {
    shared: &'a Arc<Shared>,
    session: &'a Arc<Session>,
    id: &'a str,
    object: &'a Arc<dyn Object>,
}

impl Guarded<'_> {
    async fn run(&self, operation: Operation, mut context: Context) -> CallResult {
        let member = match &operation {
            Operation::Call(MethodCall { method: name, .. }) | Operation::GetAttr(name) => {
                Some(name.as_str())
            }
            Operation::Blob(blob) => Some(blob.method.as_str()),
            // To set a property is no reading, whatever may be read.
            Operation::SetAttr(..) | Operation::Batch(_) => None,
        };
        let oneway = context.is_oneway();
        let admission = Locks::admit(self.shared, self.id, self.session.id, member, oneway)?;
        context.leave = admission.as_ref().map(Admission::leave).unwrap_or_default();
        let name = operation.name().to_owned();
        let what = What { object: self.id, member: &name };
        let request = Request { operation, context };
        catch_panic::call(what, self.object, self.session, request).await
    }

    /// Entry by entry, since the lock may change hands between two of them.
    async fn batch(&self, calls: Vec<MethodCall>, context: &Context, turn: Turn) -> CallResult {
        let mut turn = turn;
        let mut results = Results::default();
        // What runs keeps the lock where it is until the next entry runs.
        let mut _running = None;
        // Made for the first entry that runs, not before.
        let mut object = None;
        for call in calls {
            let result = if context.held.is_some() && methods::waits(&call) {
                // What stands behind it would stay in memory for as long, and in the room of others'.
                Err(Exception::value_error(
                    "a batch of this size cannot wait for the lock: call lock(wait=SECONDS) before \
                     the batch",
                ))
            } else if is_on_the_lock(&call) {
                _running = None;
                drop(turn.take());
                let result = methods::call(self.shared, self.id, self.session, call).await;
                turn = call_permit::take(self.shared).await;
                result
            } else {
                let id = self.session.id;
                let oneway = context.is_oneway();
                match Locks::admit(self.shared, self.id, id, Some(&call.method), oneway) {
                    // As PyroLab, which looks at the lock before the first entry.
                    Err(refused) if results.is_empty() => return Err(refused),
                    Err(refused) => Err(refused),
                    Ok(admission) => {
                        let mut context = context.clone();
                        context.leave =
                            admission.as_ref().map(Admission::leave).unwrap_or_default();
                        _running = admission;
                        match self.batch_object(&mut object) {
                            Ok(object) => self.entry(&object, call, context).await,
                            // No instance, no batch: as for a call alone.
                            Err(exception) => return Err(exception),
                        }
                    }
                }
            };
            if !results.push(result) {
                break;
            }
        }
        Ok(Reply::from(results.into_list()))
    }

    fn batch_object(
        &self,
        known: &mut Option<Arc<dyn Object>>,
    ) -> Result<Arc<dyn Object>, Exception> {
        if let Some(object) = known {
            return Ok(Arc::clone(object));
        }
        let what = What { object: self.id, member: "the constructor" };
        let own = catch_panic::run(what, || self.object.for_batch(self.session))?;
        let object = own.unwrap_or_else(|| Arc::clone(self.object));
        *known = Some(Arc::clone(&object));
        Ok(object)
    }

    async fn entry(
        &self,
        object: &Arc<dyn Object>,
        call: MethodCall,
        context: Context,
    ) -> Result<Value, Exception> {
        let method = call.method.clone();
        let request = Request { operation: Operation::Call(call), context };
        let what = What { object: self.id, member: &method };
        batch::entry(&method, catch_panic::call(what, object, self.session, request).await)
    }
}
