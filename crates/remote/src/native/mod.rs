//! Native services: Rust types as remote objects, by `#[remote::expose]`.
//!
//! The macro implements the [`Expose`] trait; this room converts arguments and results, and calls
//! the method of a request. It knows no bytes and no sockets.

mod exception;
mod from_value;
#[doc(hidden)]
pub mod glue;
mod into_value;

use std::fmt;
use std::sync::{Arc, OnceLock};

use wire::value::Value;

use crate::batch::batch;
use crate::card::Card;
use crate::object::{Answer, Context, Metadata, MethodCall, Object, Operation, Request};
use crate::session::Session;

/// Derives the trait of the same name: the Python exception for an error type.
pub use remote_macros::IntoException;
/// Exposes the public methods of an `impl` block to Pyro5 clients.
///
/// It implements [`Expose`] for the type. [`Expose::into_object`] converts a value into the object
/// that a [`Daemon`](crate::Daemon) serves.
///
/// ```
/// use remote::{Exception, Expose};
///
/// struct Meter;
///
/// #[remote::expose]
/// impl Meter {
///     /// Clients call it as `meter.measure(1)`, or `meter.measure(channel=1, samples=10)`.
///     pub fn measure(&self, channel: u8, #[default(1)] samples: u32) -> Result<f64, Exception> {
///         match channel {
///             1 | 2 => Ok(f64::from(samples)),
///             _ => Err(Exception::value_error(format!("there is no channel {channel}"))),
///         }
///     }
///
///     /// `meter.range` ...
///     #[getter]
///     pub fn range(&self) -> f64 {
///         10.0
///     }
///
///     /// ... and `meter.range = 100`.
///     #[setter]
///     pub fn set_range(&self, volts: f64) {}
///
///     /// Waits without delaying other callers.
///     pub async fn settle(&self) {
///         tokio::time::sleep(std::time::Duration::from_secs(1)).await;
///     }
///
///     /// Runs on a thread of the blocking pool: for drivers that wait in system calls.
///     #[blocking]
///     pub fn calibrate(&self) -> Result<String, std::io::Error> {
///         std::fs::read_to_string("calibration.txt")
///     }
///
///     /// `for volts in meter.sweep(5):`
///     #[stream]
///     pub fn sweep(&self, steps: u32) -> impl Iterator<Item = f64> + use<> {
///         (0..steps).map(f64::from)
///     }
///
///     /// Callers do not wait for it.
///     #[oneway]
///     pub fn beep(&self) {}
/// }
///
/// let object = Meter.into_object();
/// assert_eq!(object.metadata()?.attrs, ["range"]);
/// # Ok::<(), Exception>(())
/// ```
///
/// # Exposed members
///
/// Methods that are `pub` and take `&self`, `self: Arc<Self>` or `self: &Arc<Self>`. Functions
/// without `self` (constructors), methods that are not `pub`, and those marked `#[skip]` are not.
///
/// Clients share the object, so its state is kept in a `Mutex` or an atomic. A method that panics
/// raises a `RuntimeError`, the panic is logged, and the object stays served. Lock a `Mutex` with
/// `unwrap_or_else(PoisonError::into_inner)`: otherwise every later call panics as well.
///
/// | mark | meaning |
/// |---|---|
/// | `#[getter]` or `#[property]` | a property of this name, or of the one in `#[getter(name)]` |
/// | `#[setter]` on `set_name` | setting it; `#[setter(name)]` for a method of another name |
/// | `#[blocking]` | the method runs on a separate thread |
/// | `#[stream]` | the iterator that it returns (or a `Result` of one) is read item by item |
/// | `#[oneway]` | callers do not wait |
/// | `#[session_ended]` | not for clients: called with a [`Session`] that has ended |
/// | `#[skip]` | not for clients |
/// | `#[default(...)]` on a parameter | its value if the caller gives no argument |
///
/// `#[expose(name = "Multimeter")]` sets the class's name in the texts of exceptions. The doc
/// comments are in [`Metadata::docs`].
///
/// # Arguments and results
///
/// Arguments are converted by [`FromValue`], results by [`IntoValue`]; both have implementations
/// for the types of the standard library that have a form in Python. `Vec<u8>` is Python's `bytes`.
/// Wrong, missing and superfluous arguments raise Python's `TypeError`s. The error of a `Result` is
/// converted by [`IntoException`].
///
/// A parameter of type `&Session`, `&Arc<Session>` or `&Context` takes no argument: the daemon
/// passes the caller's session, or the request's context.
///
/// A type without a form in Python is a compile error:
///
/// ```compile_fail,E0277
/// struct Meter;
///
/// #[remote::expose]
/// impl Meter {
///     pub fn measure(&self, at: std::time::Instant) {}
/// }
/// ```
///
/// ```compile_fail,E0277
/// struct Meter;
///
/// #[remote::expose]
/// impl Meter {
///     pub fn now(&self) -> std::time::Instant {
///         std::time::Instant::now()
///     }
/// }
/// ```
///
/// # Order
///
/// The calls of one connection run one after the other. Calls of several connections run
/// concurrently in a `thread` daemon. A blocking method runs to its end even if its caller
/// disconnects.
pub use remote_macros::expose;

pub use exception::IntoException;
pub use from_value::{FromValue, Mismatch};
pub use into_value::{IntoResult, IntoValue};

/// Type with remote members, implemented by `#[remote::expose]` on an `impl` block.
///
/// The functions get the `Arc`, so that an `async` or a blocking method keeps the object alive
/// while it runs.
pub trait Expose: Send + Sync + Sized + 'static {
    /// Name of the class in the texts of exceptions.
    const CLASS: &'static str;

    /// Names and doc comments of the members.
    fn metadata() -> Metadata;

    /// The typed description of the members.
    fn card() -> Card {
        Card::default().seal()
    }

    /// Calls a method.
    fn call_method(this: &Arc<Self>, caller: Caller<'_>, call: MethodCall) -> Answer;

    /// Reads a property; `None` if it does not exist.
    fn get_property(this: &Arc<Self>, caller: Caller<'_>, name: &str) -> Option<Answer>;

    /// Sets a property; `None` if it does not exist or cannot be set.
    fn set_property(
        this: &Arc<Self>,
        caller: Caller<'_>,
        name: &str,
        value: Value,
    ) -> Option<Answer>;

    /// Called when a connection has ended.
    fn session_ended(_this: &Arc<Self>, _session: &Session) {}

    /// The object that a [`Daemon`](crate::Daemon) serves.
    fn into_object(self) -> Arc<dyn Object> {
        Arc::new(Exposed::new(self))
    }
}

/// Caller of a member.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// The client's connection.
    pub session: &'a Arc<Session>,
    /// The context of the request.
    pub context: &'a Context,
}

/// `T` as an [`Object`], one instance for all clients.
///
/// [`Expose::into_object`] makes one. Use [`Exposed::shared`] to keep access to the served value.
/// The factories of [`PerSession`](crate::PerSession) and [`PerCall`](crate::PerCall) return one.
pub struct Exposed<T> {
    object: Arc<T>,
    card: OnceLock<Arc<Card>>,
    metadata: OnceLock<Metadata>,
}

impl<T> Exposed<T> {
    /// Serves `object`.
    pub fn new(object: T) -> Self {
        Exposed::shared(Arc::new(object))
    }

    /// Serves `object`, which the caller may share.
    pub fn shared(object: Arc<T>) -> Self {
        Exposed { object, card: OnceLock::new(), metadata: OnceLock::new() }
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

    fn has_method(&self, method: &str) -> Result<bool, crate::Exception> {
        let metadata = self.metadata.get_or_init(T::metadata);
        Ok(metadata.methods.iter().any(|known| known == method))
    }

    fn card(&self) -> Option<Arc<Card>> {
        Some(Arc::clone(self.card.get_or_init(|| Arc::new(T::card()))))
    }

    fn call(&self, session: &Arc<Session>, request: Request) -> Answer {
        let Request { operation, context } = request;
        let memory = context.request_memory.clone();
        let caller = Caller { session, context: &context };
        let answer = match operation {
            Operation::Call(call) => T::call_method(&self.object, caller, call),
            Operation::GetAttr(name) => T::get_property(&self.object, caller, &name)
                .unwrap_or_else(|| Answer::exception(no_property::<T>(&Operation::GetAttr(name)))),
            Operation::SetAttr(name, value) => T::set_property(&self.object, caller, &name, value)
                .unwrap_or_else(|| {
                    Answer::exception(no_property::<T>(&Operation::SetAttr(name, Value::None)))
                }),
            other => {
                let Operation::Batch(calls) = other else {
                    return Answer::exception(other.unexposed());
                };
                let (this, session) = (Arc::clone(&self.object), Arc::clone(session));
                Answer::Pending(Box::pin(async move {
                    batch(calls, |call| {
                        let caller = Caller { session: &session, context: &context };
                        T::call_method(&this, caller, call)
                    })
                    .await
                }))
            }
        };
        answer.keeping(memory)
    }

    fn session_ended(&self, session: &Session) {
        T::session_ended(&self.object, session);
    }
}

/// The exception for a property that cannot be used: Python's for an unknown name, Pyro5's for a
/// member that is not a property.
fn no_property<T: Expose>(operation: &Operation) -> crate::Exception {
    let Metadata { methods, attrs, .. } = T::metadata();
    let name = operation.name();
    if is_dunder(name) || methods.iter().chain(&attrs).any(|member| member == name) {
        return operation.unexposed();
    }
    let class = T::CLASS;
    crate::Exception::attribute_error(format!("type object '{class}' has no attribute '{name}'"))
}

/// Whether Python's objects may have a member of this name (`__class__`).
fn is_dunder(name: &str) -> bool {
    name.starts_with("__") && name.ends_with("__")
}
