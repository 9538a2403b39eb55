//! Instance modes `session` and `percall` of native objects: instances made by a factory.
//!
//! `single` needs no code: the registered object is the instance.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use wire::exception::Exception;

use crate::object::{Answer, Context, Metadata, Object, Request};
use crate::session::Session;

/// Object with one instance per connection, made at its first call, dropped when it ends.
pub struct PerSession<F, O> {
    make: F,
    metadata: Metadata,
    instances: Mutex<HashMap<u64, Arc<O>>>,
}

impl<F, O> PerSession<F, O>
where
    F: Fn() -> Result<O, Exception>,
{
    /// Serves instances that `make` returns; all of them have `metadata`.
    pub fn new(metadata: Metadata, make: F) -> Self {
        PerSession { make, metadata, instances: Mutex::new(HashMap::new()) }
    }

    fn instance(&self, session: &Session, context: &Context) -> Result<Arc<O>, Exception> {
        // The calls of a session run one after the other, so its instance is made once. The lock is
        // not held meanwhile: a slow constructor delays only its own session.
        if let Some(instance) = self.lock().get(&session.id) {
            return Ok(Arc::clone(instance));
        }
        context.check_may_make_instance()?;
        let instance = Arc::new((self.make)()?);
        let mut instances = self.lock();
        // A oneway call that comes late has an instance to itself: nobody would drop this one.
        if !session.has_ended() {
            instances.insert(session.id, Arc::clone(&instance));
        }
        Ok(instance)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<O>>> {
        self.instances.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F, O> Object for PerSession<F, O>
where
    F: Fn() -> Result<O, Exception> + Send + Sync + 'static,
    O: Object,
{
    fn metadata(&self) -> Result<Metadata, Exception> {
        Ok(self.metadata.clone())
    }

    fn has_method(&self, method: &str) -> Result<bool, Exception> {
        Ok(self.metadata.methods.iter().any(|known| known == method))
    }

    fn call(&self, session: &Arc<Session>, request: Request) -> Answer {
        match self.instance(session, &request.context) {
            Ok(instance) => instance.call(session, request),
            Err(exception) => Answer::exception(exception),
        }
    }

    fn session_ended(&self, session: &Session) {
        let instance = self.lock().remove(&session.id);
        if let Some(instance) = instance {
            instance.session_ended(session);
        }
    }
}

/// Object with a new instance for each call.
pub struct PerCall<F> {
    make: F,
    metadata: Metadata,
}

impl<F, O> PerCall<F>
where
    F: Fn() -> Result<O, Exception>,
{
    /// Serves instances that `make` returns; all of them have `metadata`.
    pub fn new(metadata: Metadata, make: F) -> Self {
        PerCall { make, metadata }
    }
}

impl<F, O> Object for PerCall<F>
where
    F: Fn() -> Result<O, Exception> + Send + Sync + 'static,
    O: Object,
{
    fn metadata(&self) -> Result<Metadata, Exception> {
        Ok(self.metadata.clone())
    }

    fn has_method(&self, method: &str) -> Result<bool, Exception> {
        Ok(self.metadata.methods.iter().any(|known| known == method))
    }

    fn for_batch(&self, _session: &Arc<Session>) -> Result<Option<Arc<dyn Object>>, Exception> {
        let instance: Arc<dyn Object> = Arc::new((self.make)()?);
        Ok(Some(instance))
    }

    fn call(&self, session: &Arc<Session>, request: Request) -> Answer {
        match request.context.check_may_make_instance().and_then(|()| (self.make)()) {
            Ok(instance) => instance.call(session, request),
            Err(exception) => Answer::exception(exception),
        }
    }
}

#[cfg(test)]
mod tests {
    use wire::value::Value;

    use super::*;
    use crate::object::{MethodCall, Operation};
    use crate::session::Peer;

    struct Nothing;

    impl Object for Nothing {
        fn metadata(&self) -> Result<Metadata, Exception> {
            Ok(Metadata::default())
        }

        fn call(&self, _session: &Arc<Session>, _request: Request) -> Answer {
            Answer::from(Ok(Value::None))
        }
    }

    #[test]
    fn a_call_behind_its_session_leaves_no_instance() {
        let object = PerSession::new(Metadata::default(), || Ok(Nothing));
        let session =
            Arc::new(Session::new(1, Peer::Unix { process: None }, String::new(), Value::None));
        let instances_after_call = || {
            let call = MethodCall { method: "m".to_owned(), args: Vec::new(), kwargs: Vec::new() };
            let request =
                Request { operation: Operation::Call(call), context: Context::internal() };
            drop(object.call(&session, request));
            object.lock().len()
        };
        assert_eq!(instances_after_call(), 1);
        session.set_ended();
        object.session_ended(&session);
        assert_eq!(instances_after_call(), 0);
    }
}
