//! Entries of a batch, carried out one by one by the daemon instead of by the object: between two
//! of them the lock may change hands, or the client lose its rights.
//!
//! As in Pyro5, the exception of a method stands in the place of its entry. A method that does not
//! exist, an instance that cannot be made and a process that ends are exceptions of the request.

use std::sync::Arc;

use wire::exception::Exception;
use wire::message::Annotations;
use wire::value::Value;

use crate::batch::{self, Results};
use crate::daemon::catch_panic::{self, CallName};
use crate::object::{Context, MethodCall, Object, Operation, Reply, Request};
use crate::session::Session;

/// An object with the session whose batch it carries out.
pub(crate) struct BatchEntries<'a> {
    id: &'a str,
    object: &'a Arc<dyn Object>,
    session: &'a Arc<Session>,
    /// The instance for the batch; made for the first entry that runs, not before.
    instance: Option<Arc<dyn Object>>,
    /// Annotations that the entries have set for the answer; the last one of a key counts.
    annotations: Annotations,
}

impl<'a> BatchEntries<'a> {
    pub(crate) fn new(id: &'a str, object: &'a Arc<dyn Object>, session: &'a Arc<Session>) -> Self {
        BatchEntries { id, object, session, instance: None, annotations: Annotations::new() }
    }

    fn instance(&mut self, context: &Context) -> Result<Arc<dyn Object>, Exception> {
        // One that is there, or none.
        if context.no_instance.is_some() {
            return Ok(Arc::clone(self.object));
        }
        if let Some(known) = &self.instance {
            return Ok(Arc::clone(known));
        }
        let name = CallName { object: self.id, member: "the constructor" };
        let made = catch_panic::run(name, || self.object.for_batch(self.session))?;
        let instance = made.unwrap_or_else(|| Arc::clone(self.object));
        self.instance = Some(Arc::clone(&instance));
        Ok(instance)
    }

    /// Carries out one entry; its exception is in the inner result.
    ///
    /// # Errors
    /// The exception is the request's.
    pub(crate) async fn call(
        &mut self,
        call: MethodCall,
        context: Context,
    ) -> Result<Result<Value, Exception>, Exception> {
        if !self.object.has_method(&call.method)? {
            return Err(Operation::Call(call).unexposed());
        }
        let instance = &self.instance(&context)?;
        let method = call.method.clone();
        let request = Request { operation: Operation::Call(call), context };
        let name = CallName { object: self.id, member: &method };
        let mut result = catch_panic::call_object(name, instance, self.session, request).await;
        if let Ok(reply) = &mut result {
            for (key, data) in std::mem::take(&mut reply.annotations) {
                self.annotations.retain(|(known, _)| *known != key);
                self.annotations.push((key, data));
            }
        }
        if result.is_err() && instance.is_lost() {
            return result.map(|_| Ok(Value::None));
        }
        Ok(batch::entry(&method, result))
    }

    /// The answer to the batch.
    pub(crate) fn into_reply(self, results: Results) -> Reply {
        Reply { annotations: self.annotations, ..Reply::from(results.into_list()) }
    }
}
