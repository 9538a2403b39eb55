//! Native services: plain Rust types as remote objects.
//!
//! Owns what `#[remote::expose]` generates code against: the [`Expose`] trait, the conversions of
//! arguments and results, and the way from a request to a method. Knows no bytes and no sockets.

mod exception;
mod from_value;
#[doc(hidden)]
pub mod glue;
mod into_value;

use std::fmt;
use std::sync::Arc;

use wire::value::Value;

use crate::object::{Answer, Context, Metadata, MethodCall, Object, Operation, Request, batch};
use crate::session::Session;

pub use exception::IntoException;
pub use from_value::{FromValue, Mismatch};
pub use into_value::{IntoResult, IntoValue};

/// A type whose members can be called remotely; `#[remote::expose]` on an `impl` block implements
/// it.
///
/// The functions get the shared pointer, so that an `async` or a blocking method can keep the
/// object alive for as long as it runs.
pub trait Expose: Send + Sync + Sized + 'static {
    /// The names and the doc comments of the members.
    fn metadata() -> Metadata;

    /// Calls a method.
    fn call_method(this: &Arc<Self>, caller: Caller<'_>, call: MethodCall) -> Answer;

    /// Reads a property; `None` where there is none of this name.
    fn get_property(this: &Arc<Self>, caller: Caller<'_>, name: &str) -> Option<Answer>;

    /// Sets a property; `None` where there is none of this name that can be set.
    fn set_property(
        this: &Arc<Self>,
        caller: Caller<'_>,
        name: &str,
        value: Value,
    ) -> Option<Answer>;

    /// A connection has ended.
    fn session_ended(_this: &Arc<Self>, _session: &Session) {}

    /// The object that a [`Daemon`](crate::Daemon) serves.
    fn into_object(self) -> Arc<dyn Object> {
        Arc::new(Exposed::new(self))
    }
}

/// On whose behalf a member is called.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// The client's connection.
    pub session: &'a Arc<Session>,
    /// What came along with the request.
    pub context: &'a Context,
}

/// A `T` as an [`Object`]: one instance for everybody.
///
/// [`Expose::into_object`] makes one. Use [`Exposed::shared`] to keep a hand on what is served, and
/// return one from the factories of [`PerSession`](crate::PerSession) and
/// [`PerCall`](crate::PerCall).
pub struct Exposed<T>(Arc<T>);

impl<T> Exposed<T> {
    /// Serves `object`.
    pub fn new(object: T) -> Self {
        Exposed(Arc::new(object))
    }

    /// Serves what others have a hand on too.
    pub fn shared(object: Arc<T>) -> Self {
        Exposed(object)
    }
}

impl<T> fmt::Debug for Exposed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Exposed<{}>", std::any::type_name::<T>())
    }
}

impl<T: Expose> Object for Exposed<T> {
    fn metadata(&self) -> Result<Metadata, crate::Exception> {
        Ok(T::metadata())
    }

    fn call(&self, session: &Arc<Session>, request: Request) -> Answer {
        let Request { operation, context } = request;
        let caller = Caller { session, context: &context };
        match operation {
            Operation::Call(call) => T::call_method(&self.0, caller, call),
            Operation::GetAttr(name) => T::get_property(&self.0, caller, &name)
                .unwrap_or_else(|| Answer::exception(Operation::GetAttr(name).unexposed())),
            Operation::SetAttr(name, value) => T::set_property(&self.0, caller, &name, value)
                .unwrap_or_else(|| {
                    Answer::exception(Operation::SetAttr(name, Value::None).unexposed())
                }),
            Operation::Batch(calls) => {
                let (this, session) = (Arc::clone(&self.0), Arc::clone(session));
                Answer::Pending(Box::pin(async move {
                    batch(calls, |call| {
                        let caller = Caller { session: &session, context: &context };
                        T::call_method(&this, caller, call)
                    })
                    .await
                }))
            }
        }
    }

    fn session_ended(&self, session: &Session) {
        T::session_ended(&self.0, session);
    }
}
